//! Checking and inspecting a store at rest: what is damaged is found, what is there is shown, and nothing is
//! ever written.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hitherto_broker::examine::{CheckReport, Inspection, StoreAtRest};
use hitherto_broker::{LocalClient, Node, NodeConfig, Subject};
use hitherto_platform::{Disk, FaultyDisk, OpenMode};

const STORE: &str = "/memory";

async fn request(client: &LocalClient, to: &str, body: String) -> Bytes {
    let subject = Subject::new(to.to_owned()).unwrap();
    let answer = client.request(subject, None, body.into(), Duration::from_secs(20));
    answer.await.unwrap().payload
}

/// Streams A and B with 100 messages each, some behind the last checkpoint, and a consumer of A.
async fn fill(disk: &FaultyDisk) {
    let config = || NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    let node = Node::start(config()).await.unwrap();
    let client = node.client();
    for name in ["A", "B"] {
        let config = format!(
            r#"{{"name":"{name}","subjects":["{}.*"]}}"#,
            name.to_lowercase()
        );
        request(&client, &format!("$JS.API.STREAM.CREATE.{name}"), config).await;
    }
    let consumer = r#"{"stream_name":"A","config":{"durable_name":"C","ack_policy":"explicit"}}"#;
    let create = "$JS.API.CONSUMER.CREATE.A.C";
    request(&client, create, consumer.to_owned()).await;
    publish(&client, 0..90).await;
    node.shutdown().await.unwrap();
    let node = Node::start(config()).await.unwrap();
    publish(&node.client(), 90..100).await;
    drop(node);
    disk.crash();
}

async fn publish(client: &LocalClient, numbers: std::ops::Range<u32>) {
    for number in numbers {
        for subject in ["a", "b"] {
            let payload = format!("{number:04}{}", "x".repeat(2_000));
            request(client, &format!("{subject}.{number}"), payload).await;
        }
    }
}

fn store(disk: &FaultyDisk) -> StoreAtRest {
    StoreAtRest::open_on(Arc::new(disk.clone()), Path::new(STORE)).unwrap()
}

fn check(disk: &FaultyDisk) -> CheckReport {
    let operations = disk.counters().operations;
    let mut last = None;
    let report = store(disk).check(&mut |progress| last = Some(progress));
    assert_eq!(disk.counters().operations, operations, "nothing is written");
    let last = last.unwrap();
    assert!(last.done <= last.total, "{last:?}");
    report.unwrap()
}

fn inspect(disk: &FaultyDisk) -> Inspection {
    store(disk).inspect().unwrap()
}

/// The segment of a stream by its place in the order of creation.
fn segment(disk: &FaultyDisk, stream: usize) -> PathBuf {
    let streams = Path::new("/memory/jetstream/streams");
    let dir = streams.join(&disk.list(streams).unwrap()[stream].name);
    let files = disk.list(&dir).unwrap().into_iter();
    let mut segments = files.filter(|file| file.name.to_string_lossy().ends_with(".dat"));
    dir.join(segments.next().unwrap().name)
}

#[tokio::test]
async fn an_intact_store_is_intact_and_shows_what_a_node_would_find() {
    let disk = FaultyDisk::new();
    fill(&disk).await;
    let report = check(&disk);
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.streams.len(), 2);
    assert!(report.streams[0].messages > 50, "{report:?}");
    assert!(report.log_entries > 200, "{report:?}");

    let inspection = inspect(&disk);
    assert_eq!(Some(&inspection.store_id), report.store_id.as_ref());
    let a = &inspection.streams[0];
    assert_eq!(a.info.config.name, "A");
    assert_eq!((a.info.state.messages, a.info.state.last_seq), (100, 100));
    assert_eq!(a.segments.len(), 1);
    assert_eq!(a.consumers[0].name, "C");
    assert_eq!(a.consumers[0].num_pending, 100);

    let store = store(&disk);
    for seq in [1, 95] {
        let message = store.message("A", seq).unwrap().unwrap();
        assert_eq!(message.subject, format!("a.{}", seq - 1));
        let text = message.text.unwrap();
        assert!(text.starts_with(&format!("{:04}", seq - 1)), "{text}");
    }
    assert_eq!(store.message("A", 101).unwrap(), None);
    assert_eq!(store.message("NONE", 1).unwrap(), None);
}

#[tokio::test]
async fn a_store_in_use_and_a_folder_without_one_are_refused() {
    let disk = FaultyDisk::new();
    let config = NodeConfig::in_memory().disk(Arc::new(disk.clone()));
    let node = Node::start(config).await.unwrap();
    let open = |dir| StoreAtRest::open_on(Arc::new(disk.clone()), Path::new(dir));
    let error = open(STORE).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("locked by another process"), "{cause}");
    let error = open("/elsewhere").unwrap_err().to_string();
    assert!(error.contains("there is no store in /elsewhere"), "{error}");
    node.shutdown().await.unwrap();
    assert!(open(STORE).is_ok());
}

#[tokio::test]
async fn a_damaged_block_is_reported_with_its_messages() {
    let disk = FaultyDisk::new();
    fill(&disk).await;
    let path = segment(&disk, 1);
    disk.flip_bit(&path, 70_000, 1).unwrap();
    let report = check(&disk);
    assert!(!report.is_intact());
    assert_eq!(report.damage.len(), 1, "{report:?}");
    let place = &report.damage[0];
    assert_eq!(place.file, path);
    assert_eq!(place.stream.as_deref(), Some("B"));
    let (first, last) = (place.first_seq.unwrap(), place.last_seq.unwrap());
    assert!(first > 30 && last < 70, "{place:?}");
    assert_eq!(report.streams[1].damaged_places, 1);
    assert_eq!(report.streams[0].damaged_places, 0);
    assert_eq!(report.start_error, None);
}

#[tokio::test]
async fn damage_of_log_that_no_checkpoint_holds_means_that_no_node_would_start() {
    let disk = FaultyDisk::new();
    fill(&disk).await;
    let frames = log_frames(&disk);
    // Of what was published after the clean stop there are ten frames at the least.
    flip_in_body(&disk, frames[frames.len() - 5]);
    let report = check(&disk);
    assert_eq!(report.damage[0].file, Path::new(LOG), "{report:?}");
    assert!(report.start_error.is_some(), "{report:?}");
    assert!(store(&disk).inspect().is_err());
}

#[tokio::test]
async fn damage_of_log_behind_every_checkpoint_is_reported_and_stops_no_start() {
    let disk = FaultyDisk::new();
    fill(&disk).await;
    let frames = log_frames(&disk);
    flip_in_body(&disk, frames[frames.len() / 2]);
    let report = check(&disk);
    assert_eq!(report.damage[0].file, Path::new(LOG), "{report:?}");
    assert!(!report.is_intact(), "{report:?}");
    assert_eq!(report.start_error, None);
    assert_eq!(inspect(&disk).streams[0].info.state.messages, 100);
}

const LOG: &str = "/memory/jetstream/wal/wal-0000000001.log";

/// Where the frames of the log begin.
fn log_frames(disk: &FaultyDisk) -> Vec<usize> {
    let file = disk.open(Path::new(LOG), OpenMode::Read).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    let sectors = (0..content.len()).step_by(512);
    sectors
        .filter(|at| content[*at..].starts_with(b"HWFR"))
        .collect()
}

fn flip_in_body(disk: &FaultyDisk, frame: usize) {
    disk.flip_bit(Path::new(LOG), frame as u64 + 45, 1).unwrap();
}

#[tokio::test]
async fn a_missing_segment_and_emptied_checkpoints_are_damage() {
    let disk = FaultyDisk::new();
    fill(&disk).await;
    let path = segment(&disk, 0);
    disk.remove_file(&path).unwrap();
    let report = check(&disk);
    assert_eq!(report.offline[0].name, "A", "{report:?}");
    assert_eq!(report.damage[0].file, path, "{report:?}");
    assert_eq!(inspect(&disk).offline[0].name, "A");

    let state = Path::new("/memory/jetstream/state.redb");
    let file = disk.open(state, OpenMode::ReadWrite).unwrap();
    file.set_len(0).unwrap();
    let report = check(&disk);
    assert_eq!(report.store_id, None);
    assert!(report.damage.iter().any(|place| place.file == state));
}
