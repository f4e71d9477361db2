//! A stream whose first checkpoint failed: the meta group's checkpoint may know what the stream's own log says
//! only later.

use bytes::{Bytes, BytesMut};
use hitherto_jetstream::LogIndex;
use hitherto_jetstream::command::{Append, Command};
use hitherto_platform::{Disk, FaultyDisk, SeededEntropy};
use hitherto_protocol::Subject;
use hitherto_storage::WalEntry;

use super::*;
use crate::jetstream::files::{IndexBudget, StateSnapshot};
use crate::jetstream::replicas::configure;

const DIR: &str = "/node";
const STREAM: GroupId = GroupId(1);

/// Writes what a node leaves behind that could save nothing but its meta group.
fn leave_without_checkpoint(disk: &Arc<dyn Disk>, changed: impl Fn(&mut StreamConfig)) {
    let at = Timestamp::from_unix_nanos(1);
    let config = StreamConfig {
        name: "S".into(),
        subjects: vec!["s".into()],
        ..StreamConfig::default()
    };
    let config = config.checked(&Limits::default()).unwrap();
    let mut update = config.clone();
    changed(&mut update);
    let update = Box::new(update.checked(&Limits::default()).unwrap());
    let mut meta = Meta::new(Limits::default());
    let meta_commands = [
        MetaCommand::CreateStream {
            config: Box::new(config),
            at,
            peers: Vec::new(),
        },
        MetaCommand::UpdateStream {
            config: update.clone(),
            at,
            peers: Vec::new(),
        },
    ];
    let append = Append {
        at,
        subject: Subject::new("s").unwrap(),
        headers: None,
        payload: Bytes::from_static(b"acknowledged"),
    };
    let commands = [Command::Append(append), configure(update, at)];

    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
    let options = WalOptions {
        entropy: Arc::clone(&entropy),
        ..WalOptions::default()
    };
    let (mut wal, _) = Wal::open(Arc::clone(disk), &Path::new(DIR).join("wal"), options).unwrap();
    for (number, (of_meta, of_stream)) in (1..).zip(meta_commands.into_iter().zip(commands)) {
        let index = LogIndex(number);
        let (mut meta_body, mut body) = (BytesMut::new(), BytesMut::new());
        of_meta.encode(&mut meta_body);
        of_stream.encode(&mut body);
        meta.apply(index, of_meta);
        let entry = |group, body| WalEntry::plain(group, index, body);
        let entries = [entry(GroupId::META, &meta_body[..]), entry(STREAM, &body)];
        wal.append(&entries).unwrap();
    }
    let state_file = Path::new(DIR).join("state.redb");
    let mut checkpoints = Checkpoints::open(disk, &state_file, &*entropy).unwrap();
    let checkpoint = Checkpoint {
        applied: meta.applied(),
        wal: wal.position(),
        state: StateSnapshot::Meta(meta.snapshot()).encode(),
        manifest: None,
    };
    checkpoints.save(GroupId::META, &checkpoint).unwrap();
}

fn recovered(disk: &Arc<dyn Disk>) -> Recovered {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(8));
    let stores = Stores::new(
        Arc::clone(disk),
        Path::new(DIR).join("streams"),
        IndexBudget::new(u64::MAX),
    );
    recover(&stores, Path::new(DIR), &entropy, &Limits::default()).unwrap()
}

#[test]
fn a_stream_without_a_checkpoint_begins_as_it_was_created() {
    let changes: [fn(&mut StreamConfig); 3] = [
        |config| config.sealed = true,
        |config| config.max_msg_size = 5,
        |config| config.compression = Compression::S2,
    ];
    for change in changes {
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new());
        leave_without_checkpoint(&disk, change);
        let recovered = recovered(&disk);
        let stream = &recovered.streams[&STREAM].stream;
        assert_eq!(stream.state().messages, 1, "{:?}", stream.config());
        let known = &recovered.meta.find("S").unwrap().config;
        assert_eq!(stream.config(), known, "its log says so");
    }
}
