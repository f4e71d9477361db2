//! Bits that flip while nobody looks: what is served is right or an error, nothing vanishes without a
//! report, and nothing is cut: with the bit flipped back all is there. A flip that no start and no reader meets is
//! found by a check of the store, unless the byte held nothing.
//!
//! One place is left out: the last frame of a log that ended without a pause. Nothing stands behind it that
//! would say it was ever complete, so where it is unreadable it counts as under way at the crash.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use hitherto_broker::Node;
use hitherto_broker::examine::StoreAtRest;
use hitherto_platform::{Disk, FaultyDisk, OpenMode};
use serde_json::json;

use super::fault::End;
use super::ledger::Content;
use super::life::{self, Kept, Life};
use super::{World, rounds_from_env, seed_from_env};
use crate::harness::JetStream;

/// Where a node in memory keeps its files.
const ROOT: &str = "/memory";

/// Flips tried on the files of one world.
const FLIPS_PER_WORLD: u64 = 10;

/// Messages the last frame of a log may hold here: what is published at once, and a retry.
const LAST_FRAME_MESSAGES: usize = 9;

/// One bit of one file.
#[derive(Debug)]
struct Flip {
    file: PathBuf,
    offset: u64,
    bit: u8,
}

impl Flip {
    /// Some bit of some file: files first, so that small ones have their share.
    fn random(disk: &FaultyDisk, random: &mut Rng) -> Self {
        let mut files = Vec::new();
        list_files(disk, Path::new(ROOT), &mut files);
        let file = files.swap_remove(random.usize(..files.len()));
        let content = read(disk, &file);
        // Files are made longer than what is in them: most flips hit something.
        let written: Vec<usize> = (0..content.len()).filter(|at| content[*at] != 0).collect();
        let offset = match random.u8(..8) {
            0 => random.usize(..content.len()),
            _ => written[random.usize(..written.len())],
        };
        Self {
            offset: offset as u64,
            bit: random.u8(..8),
            file,
        }
    }

    /// Tells whether the byte held nothing: of the log it lies behind the last frame, or in the zeros that fill one
    /// up. The database of checkpoints verifies every page that is in use whenever it is opened, so what it does not
    /// find is in none.
    fn hits_nothing(&self, untouched: &FaultyDisk) -> bool {
        if self.file.ends_with("state.redb") {
            return true;
        }
        let at = usize::try_from(self.offset).unwrap();
        let was_zero = || read(untouched, &self.file)[at] == 0;
        self.is_behind_log(untouched) || self.is_in_log() && was_zero()
    }

    fn is_in_log(&self) -> bool {
        self.file.starts_with(Path::new(ROOT).join("jetstream/wal"))
    }

    /// Tells whether it lies in the log, behind the last frame a start finds there.
    fn is_behind_log(&self, disk: &FaultyDisk) -> bool {
        let store = StoreAtRest::open_on(Arc::new(disk.snapshot()), Path::new(ROOT));
        let log = store.unwrap().inspect().unwrap().log;
        let name = self.file.file_name().unwrap().to_str().unwrap();
        let is_this = |number: u64| name == format!("wal-{number:010}.log");
        let file = log.iter().find(|file| is_this(file.number));
        file.is_some_and(|file| self.offset >= file.used_bytes)
    }

    fn apply(&self, disk: &FaultyDisk) {
        disk.flip_bit(&self.file, self.offset, self.bit).unwrap();
    }
}

/// The files below a directory that have something in them.
fn list_files(disk: &FaultyDisk, dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(entry.name);
        if entry.is_dir {
            list_files(disk, &path, files);
        } else if read(disk, &path).iter().any(|byte| *byte != 0) {
            files.push(path);
        }
    }
}

fn read(disk: &FaultyDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

/// What became of one flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The node does not start, and says why.
    Refused,
    /// Some messages are answered with an error, and the damage is reported.
    Reported,
    /// Every message is right: the bit is in nothing that is read.
    None,
    /// So many messages at the end are not there.
    Vanished(usize),
}

/// Starts a node on the damaged disk and holds every message against what it was.
async fn effect_of(world: &mut World, stored: &[(u64, Content)]) -> Effect {
    let config = world.config();
    let node = match Node::start(config).await {
        Ok(node) => node,
        Err(error) => {
            tracing::debug!(%error, "the node does not start");
            world.disk.kill();
            return Effect::Refused;
        }
    };
    let js = JetStream::of(node);
    let (mut errors, mut vanished) = (0, 0);
    for (seq, content) in stored {
        let got = js.api("STREAM.MSG.GET.EVENTS", json!({ "seq": seq })).await;
        match got["error"]["err_code"].as_u64() {
            None => assert_eq!(vanished, 0, "sequence {seq} is there, one before it is not"),
            Some(10037) => {
                vanished += 1;
                continue;
            }
            Some(code) => {
                assert_ne!(code, 10059, "the stream has vanished");
                errors += 1;
                continue;
            }
        }
        let message = &got["message"];
        let payload = data_encoding::BASE64.encode(content.payload.as_bytes());
        assert_eq!(message["subject"], content.subject, "sequence {seq}");
        assert_eq!(message["data"], payload, "sequence {seq}");
    }
    let is_reported = !js.node.damage().is_healthy();
    assert!(errors == 0 || is_reported, "{errors} errors, and no report");
    world.end(js, End::Killed).await;
    match (errors, vanished) {
        (0, 0) => Effect::None,
        (_, 0) => Effect::Reported,
        (_, vanished) => Effect::Vanished(vanished),
    }
}

/// Tells whether `hitherto check` finds damage in the store.
fn is_found_by_check(disk: &FaultyDisk) -> bool {
    let store = StoreAtRest::open_on(Arc::new(disk.clone()), Path::new(ROOT));
    let report = store.and_then(|store| store.check(&mut |_| {}));
    report.map_or(true, |report| !report.is_intact())
}

/// A store with some lives behind it, and what is in it.
async fn grown(world: &mut World) -> Vec<(u64, Content)> {
    let mut stored = Vec::new();
    for _ in 0..3 {
        let js = JetStream::with(world.config()).await;
        life::set_up(&js).await;
        let ledger = &mut world.ledgers[0];
        let mut life = Life::new(&js, Kept::Always, ledger, &mut world.random);
        for _ in 0..12 {
            life.step().await;
        }
        stored = life::read_all(&js, Kept::Always).await;
        let end = End::random(&mut world.random);
        world.end(js, end).await;
    }
    stored
}

#[tokio::test]
async fn flipped_bits_are_never_served_and_never_cut() {
    let first_seed = seed_from_env();
    let worlds = (rounds_from_env() / 8).div_ceil(FLIPS_PER_WORLD);
    let mut counts = [0; 4];
    let mut last_frames = 0;
    for seed in first_seed..first_seed + worlds {
        let mut world = World::new(seed);
        let stored = grown(&mut world).await;
        for _ in 0..FLIPS_PER_WORLD {
            let untouched = world.disk.snapshot();
            let flip = Flip::random(&world.disk, &mut world.random);
            flip.apply(&world.disk);
            eprintln!("seed {seed}: {flip:?}");
            let flipped = world.disk.snapshot();
            let effect = effect_of(&mut world, &stored).await;
            match effect {
                Effect::Refused => {
                    counts[0] += 1;
                    // Nothing was changed or cut on the way.
                    flip.apply(&world.disk);
                    assert_eq!(effect_of(&mut world, &stored).await, Effect::None);
                }
                Effect::Reported => counts[1] += 1,
                Effect::None if is_found_by_check(&flipped) => counts[2] += 1,
                Effect::None if flip.hits_nothing(&untouched) => counts[3] += 1,
                Effect::None => {
                    assert!(flip.is_behind_log(&flipped), "nobody notices {flip:?}");
                    last_frames += 1;
                }
                Effect::Vanished(messages) => {
                    assert!(
                        flip.is_in_log() && messages <= LAST_FRAME_MESSAGES,
                        "{messages} are lost"
                    );
                    last_frames += 1;
                }
            }
            world.disk = untouched;
        }
    }
    let [refused, reported, found, unread] = counts;
    eprintln!(
        "{refused} flips refused at start, {reported} reported, {found} found by a check, {unread} in bytes that hold nothing, \
         {last_frames} in the last frame of a log"
    );
    assert!(refused + reported > 0, "no flip was noticed at all");
}
