//! Tables of many pages against the same messages in memory, what questions read, and damage.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hitherto_protocol::{Subject, SubjectFilter, Timestamp};

use super::{TableBytes, TableCache, Unreadable, catch_unreadable};
use crate::index::{Index, SavedTables, Selection};
use crate::{MessageMeta, StreamSeq};

/// A table in memory that counts what is read of it and may fail.
#[derive(Debug, Default)]
struct Counting {
    number: u64,
    bytes: Mutex<Vec<u8>>,
    reads: AtomicU64,
    /// From so many reads on every read fails; 0 for never.
    fails_from: AtomicU64,
}

impl Counting {
    fn new(number: u64, bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            number,
            bytes: Mutex::new(bytes.to_vec()),
            ..Self::default()
        })
    }

    fn reads(&self) -> u64 {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl TableBytes for Counting {
    fn number(&self) -> u64 {
        self.number
    }

    fn name(&self) -> String {
        "a table".to_owned()
    }

    fn len(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), String> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        let fails_from = self.fails_from.load(Ordering::Relaxed);
        if fails_from > 0 && reads >= fails_from {
            return Err("the disk is on fire".to_owned());
        }
        let bytes = self.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = bytes.get(start..start + buf.len());
        buf.copy_from_slice(bytes.ok_or("it ends before")?);
        Ok(())
    }
}

fn meta(seq: u64, subject: String) -> MessageMeta {
    MessageMeta {
        seq: StreamSeq(seq),
        at: Timestamp::from_unix_nanos(i64::try_from(seq).unwrap() * 1_000),
        subject: Subject::new(subject).unwrap(),
        bytes: 100 + seq % 50,
        lifetime: None,
    }
}

/// Orders with three events each, in between a hot subject with many messages and a few gaps.
fn orders(messages: u64) -> Vec<MessageMeta> {
    let subject = |seq: u64| match seq % 4 {
        0 => "hot.subject".to_owned(),
        event => format!("orders.order.{:07}.event-{event}", seq / 16 * 7 % 9_973),
    };
    (1..=messages)
        .filter(|seq| seq % 1_000 != 17)
        .map(|seq| meta(seq, subject(seq)))
        .collect()
}

fn index_of(metas: &[MessageMeta]) -> Index {
    let mut index = Index::new(StreamSeq(0));
    for meta in metas {
        index.append(meta);
    }
    index
}

/// The same in tables of so many messages each, but for the last few.
fn tables_of(metas: &[MessageMeta], each: usize) -> (Index, Vec<Arc<Counting>>, TableCache) {
    let (mut index, mut sources) = (Index::new(StreamSeq(0)), Vec::new());
    let cache = TableCache::default();
    for (at, meta) in metas.iter().enumerate() {
        index.append(meta);
        if at % each == each / 2 && at > each {
            let draft = index.draft_table(each, |_| None).unwrap();
            let source = Counting::new(sources.len() as u64 + 1, draft.bytes());
            sources.push(Arc::clone(&source));
            index.freeze(draft, source, &cache);
        }
    }
    (index, sources, cache)
}

fn reads(sources: &[Arc<Counting>]) -> u64 {
    sources.iter().map(|source| source.reads()).sum()
}

fn filter(text: &str) -> SubjectFilter {
    SubjectFilter::new(text.to_owned()).unwrap()
}

fn assert_same(cold: &Index, hot: &Index, seqs: impl Iterator<Item = u64>) {
    assert_eq!(cold.messages(), hot.messages());
    assert_eq!(cold.bytes(), hot.bytes());
    assert_eq!(cold.subjects(), hot.subjects());
    assert_eq!(
        (cold.first_seq(), cold.first_at()),
        (hot.first_seq(), hot.first_at())
    );
    let filters = [
        ">",
        "hot.subject",
        "orders.>",
        "orders.order.*.event-2",
        "orders.order.0000700.>",
        "*.order.0000700.event-1",
        "nothing.>",
        "orders.order.0000700.event-9",
    ];
    for text in filters {
        let selection = Selection::new(vec![filter(text)]);
        assert_eq!(cold.last(&filter(text)), hot.last(&filter(text)), "{text}");
        for from in [0, 1, 777, 5_000, 9_999, 12_345, 30_000] {
            let from = StreamSeq(from);
            let next = cold.next(from, &selection);
            assert_eq!(next, hot.next(from, &selection), "{text} from {from}");
            let count = cold.count(from, &selection);
            assert_eq!(count, hot.count(from, &selection), "{text} from {from}");
            let upto = cold.last_per_subject_upto(&selection, from);
            assert_eq!(upto, hot.last_per_subject_upto(&selection, from));
        }
        assert_eq!(
            cold.selected(&selection, None),
            hot.selected(&selection, None)
        );
        let subjects = cold.subjects_matching(&filter(text));
        assert_eq!(subjects, hot.subjects_matching(&filter(text)));
    }
    for seq in seqs {
        assert_eq!(cold.get(StreamSeq(seq)), hot.get(StreamSeq(seq)));
        assert_eq!(cold.subject(StreamSeq(seq)), hot.subject(StreamSeq(seq)));
        let at = Timestamp::from_unix_nanos(i64::try_from(seq).unwrap() * 1_000 - 5);
        assert_eq!(cold.at_time(at), hot.at_time(at));
        for place in [0, 1, 1_500, 5_000] {
            let cold = cold.nth_on("hot.subject", place);
            assert_eq!(cold, hot.nth_on("hot.subject", place));
        }
    }
    assert!(cold.holes().eq(hot.holes()));
}

/// Merges until there is nothing to merge.
fn merge_all(index: &mut Index, cache: &TableCache) -> usize {
    let mut merges = 0;
    while let Some(merge) = index.begin_merge() {
        merges += 1;
        let mut bytes = Vec::new();
        let mut write = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok::<(), Unreadable>(())
        };
        let merged = merge.run(&mut write).unwrap();
        let source = Counting::new(1_000 + merges as u64, &bytes);
        assert!(index.finish_merge(&merge, Some((merged, source)), cache));
    }
    merges
}

#[test]
fn many_pages_answer_as_memory_does() {
    let metas = orders(11_500);
    let mut hot = index_of(&metas);
    let (mut cold, _, cache) = tables_of(&metas, 1_000);
    assert_same(&cold, &hot, (1..14_100).step_by(297));
    // A beginning, single ones, all of a subject.
    let (first, single) = (1..2_500, (2_500..11_500).step_by(11));
    let doomed = Selection::new(vec![filter("orders.order.0000700.>")]);
    let doomed = hot.selected(&doomed, None).into_iter().map(|seq| seq.0);
    for seq in first.chain(single).chain(doomed) {
        assert_eq!(cold.remove(StreamSeq(seq)), hot.remove(StreamSeq(seq)));
    }
    assert_same(&cold, &hot, (1..14_100).step_by(297));
    assert!(merge_all(&mut cold, &cache) > 0);
    assert!(cold.tables().0.len() < 8);
    assert_same(&cold, &hot, (1..14_100).step_by(297));
}

#[test]
fn most_questions_read_a_page_or_none() {
    let metas = orders(21_500);
    let (mut cold, sources, cache) = tables_of(&metas, 1_500);
    assert_eq!(cold.tables().0.len(), sources.len());
    assert!(sources.len() > 12);
    reads(&sources);
    // What is nowhere is asked of Bloom filters; one question in a hundred is answered wrongly.
    for number in 0..300 {
        assert_eq!(
            cold.last(&filter(&format!("orders.order.new{number}.>"))),
            None
        );
        assert_eq!(
            cold.count_on(&format!("orders.order.new{number}.event-1")),
            0
        );
    }
    let absent = reads(&sources);
    assert!(absent < 200, "{absent} pages of {} tables", sources.len());
    let whole = Selection::new(vec![filter("orders.>")]);
    assert!(cold.count(StreamSeq(0), &whole) > 15_000);
    assert!(reads(&sources) <= 2 * sources.len() as u64);
    // A follower with a filter reads each page once.
    let (mut from, mut found) = (StreamSeq(0), 0);
    while let Some(seq) = cold.next(from, &whole) {
        (from, found) = (seq.next(), found + 1);
    }
    assert_eq!(found, cold.count(StreamSeq(0), &whole));
    assert!(reads(&sources) < 24_000 / 256 + 3 * sources.len() as u64);
    // A limit takes the oldest, again and again.
    for _ in 0..6_000 {
        cold.remove(cold.first_seq()).unwrap();
    }
    assert!(reads(&sources) < 6_000 / 256 + 3 * sources.len() as u64);
    merge_all(&mut cold, &cache);
    let (tables, _) = cold.tables();
    assert!(tables.len() < 8, "{tables:?}");
}

#[test]
fn a_table_takes_little_memory() {
    let metas: Vec<_> = (1..=50_000)
        .map(|seq| meta(seq, format!("orders.order.{seq:08}.placed")))
        .collect();
    let hot = index_of(&metas);
    let mut cold = index_of(&metas);
    let draft = cold.draft_table(metas.len(), |_| None).unwrap();
    let bytes = draft.bytes().len() as u64;
    let source = Counting::new(1, draft.bytes());
    cold.freeze(draft, source, &TableCache::default());
    let (before, now) = (hot.memory_bytes(), cold.memory_bytes());
    assert!(
        now < 50_000 * 9 / 2 && now * 12 < before,
        "{now} after {before}"
    );
    assert!(bytes < 50_000 * 35, "{bytes} bytes in the table");
    assert_eq!(cold.subjects(), 50_000);
}

#[test]
fn a_page_that_cannot_be_read_ends_what_asked_for_it() {
    let metas = orders(3_000);
    let (cold, sources, _) = tables_of(&metas, 1_000);
    sources[0].fails_from.store(1, Ordering::Relaxed);
    let asked = catch_unreadable(|| cold.get(StreamSeq(5)));
    let error = asked.unwrap_err();
    assert_eq!(error.problem, "the disk is on fire");
    assert!(
        error
            .to_string()
            .starts_with("a table cannot be read at offset 0")
    );
    // What is in memory needs no page.
    assert!(
        catch_unreadable(|| cold.get(StreamSeq(2_990)))
            .unwrap()
            .is_some()
    );
    sources[0].fails_from.store(0, Ordering::Relaxed);
    assert!(
        catch_unreadable(|| cold.get(StreamSeq(5)))
            .unwrap()
            .is_some()
    );
}

#[test]
fn every_flipped_byte_is_found_or_changes_nothing() {
    let metas = orders(2_100);
    let hot = index_of(&metas);
    let whole = hot.draft_table(1_400, |_| None).unwrap();
    let behind = metas[1_400..].iter();
    let open = |bytes: &[u8]| {
        let cache = TableCache::default();
        let saved = SavedTables {
            tables: vec![Counting::new(1, bytes)],
            only_cold: 0,
            floor: StreamSeq(0),
            removed: &mut std::iter::empty(),
        };
        let mut index = Index::open(saved, &cache, |_, _| {})?;
        for meta in behind.clone() {
            index.append_saved(meta);
        }
        catch_unreadable(|| {
            let all = Selection::all();
            let one = Selection::new(vec![filter("orders.order.*.event-1")]);
            let subjects = index.subjects_matching(&filter(">"));
            let seqs = index.selected(&all, None);
            let bytes: Vec<_> = seqs.iter().map(|seq| index.get(*seq)).collect();
            let last = index.last(&filter("orders.>"));
            (subjects, seqs, bytes, last, index.count(StreamSeq(3), &one))
        })
    };
    let right = open(whole.bytes()).unwrap();
    let (mut found, mut bytes) = (0, whole.bytes().to_vec());
    for at in (0..bytes.len()).step_by(53) {
        bytes[at] ^= 0x10;
        match open(&bytes) {
            Err(_) => found += 1,
            Ok(answers) => assert_eq!(answers, right, "byte {at}"),
        }
        bytes[at] ^= 0x10;
    }
    // Every byte is covered by a checksum.
    assert_eq!(found, bytes.len().div_ceil(53));
    for len in [0, 5, 31, 32, 100, bytes.len() - 1] {
        assert!(open(&bytes[..len]).is_err());
    }
}

#[test]
fn a_merge_that_cannot_read_or_write_changes_nothing() {
    let metas = orders(24_000);
    let (mut cold, sources, cache) = tables_of(&metas, 2_000);
    let hot = index_of(&metas);
    let merge = cold.begin_merge().unwrap();
    let full = |_: &[u8]| {
        Err(Unreadable {
            table: "new".to_owned(),
            offset: 0,
            problem: "no room".to_owned(),
        })
    };
    assert_eq!(merge.run(&mut { full }).unwrap_err().problem, "no room");
    sources[3].fails_from.store(1, Ordering::Relaxed);
    let failed = merge.run(&mut |_| Ok::<(), Unreadable>(()));
    assert_eq!(failed.unwrap_err().problem, "the disk is on fire");
    sources[3].fails_from.store(0, Ordering::Relaxed);
    assert!(!cold.finish_merge(&merge, None, &cache));
    assert_same(&cold, &hot, (1..24_100).step_by(501));
    assert!(cold.begin_merge().is_some(), "and is tried again");
}
