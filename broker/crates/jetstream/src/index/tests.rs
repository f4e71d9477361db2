//! One test per rule, then random histories against a list of messages that is searched from end
//! to end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::trie::count;
use super::*;
use crate::Lifetime;

fn meta(seq: u64, subject: &str, at: i64) -> MessageMeta {
    MessageMeta {
        seq: StreamSeq(seq),
        at: Timestamp::from_unix_nanos(at),
        subject: Subject::new(subject.to_owned()).unwrap(),
        bytes: 10 + seq,
        lifetime: None,
    }
}

/// A table in memory.
#[derive(Debug)]
pub(super) struct Memory {
    number: u64,
    pub(super) bytes: Vec<u8>,
}

impl Memory {
    pub(super) fn table(number: u64, bytes: Vec<u8>) -> Arc<dyn TableBytes> {
        Arc::new(Self { number, bytes })
    }
}

impl TableBytes for Memory {
    fn number(&self) -> u64 {
        self.number
    }

    fn name(&self) -> String {
        format!("table {}", self.number)
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), String> {
        let start = usize::try_from(offset).unwrap();
        let bytes = self.bytes.get(start..start + buf.len());
        buf.copy_from_slice(bytes.ok_or("it ends before")?);
        Ok(())
    }
}

/// An index with tables, and what it takes to make them.
pub(super) struct Tables {
    pub(super) index: Index,
    pub(super) cache: TableCache,
    numbers: u64,
    sources: BTreeMap<u64, Arc<dyn TableBytes>>,
    /// Every removed sequence.
    removed: BTreeSet<u64>,
    /// A merge under way.
    merge: Option<(TableMerge, MergedTable, Arc<dyn TableBytes>)>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            index: Index::new(StreamSeq(0)),
            cache: TableCache::default(),
            numbers: 0,
            sources: BTreeMap::new(),
            removed: BTreeSet::new(),
            merge: None,
        }
    }

    fn write(&mut self, bytes: Vec<u8>) -> Arc<dyn TableBytes> {
        self.numbers += 1;
        let source = Memory::table(self.numbers, bytes);
        self.sources.insert(self.numbers, Arc::clone(&source));
        source
    }

    pub(super) fn freeze(&mut self, messages: usize) {
        let Some(draft) = self.index.draft_table(messages, lifetime_of) else {
            assert_eq!(self.index.hot.messages().min(messages as u64), 0);
            return;
        };
        let source = self.write(draft.bytes().to_vec());
        self.index.freeze(draft, source, &self.cache);
    }

    /// Begins a merge, or ends the one that was begun.
    fn merge(&mut self) {
        if let Some((merge, merged, source)) = self.merge.take() {
            let merged = Some((merged, source));
            self.index.finish_merge(&merge, merged, &self.cache);
            return;
        }
        let Some(merge) = self.index.begin_merge() else {
            return;
        };
        assert!(self.index.begin_merge().is_none(), "one after the other");
        let mut bytes = Vec::new();
        let mut write = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok::<(), Unreadable>(())
        };
        let merged = merge.run(&mut write).unwrap();
        let source = self.write(bytes);
        self.merge = Some((merge, merged, source));
    }

    /// Ends and starts: the tables are taken up, what is behind them is appended.
    fn reopen(&mut self, model: &Model) {
        let (numbers, only_cold) = self.index.tables();
        let floor = model.first() - 1;
        let behind = self.index.cold.last();
        let mut removed = self.removed.iter().copied().filter(|seq| *seq > floor);
        let mut removed = removed.by_ref().map(StreamSeq);
        let saved = SavedTables {
            tables: numbers
                .iter()
                .map(|n| Arc::clone(&self.sources[n]))
                .collect(),
            only_cold,
            floor: StreamSeq(floor),
            removed: &mut removed,
        };
        let mut lifetimes = Vec::new();
        let each = |seq: StreamSeq, lifetime| lifetimes.push((seq.0, lifetime));
        self.index = Index::open(saved, &self.cache, each).unwrap();
        let cold = model.messages.range(..=behind).map(|(seq, _)| *seq);
        let expected = cold.filter_map(|seq| Some((seq, lifetime_of(StreamSeq(seq))?)));
        assert_eq!(lifetimes, expected.collect::<Vec<_>>());
        for (seq, (subject, time)) in model.messages.range(behind + 1..) {
            self.index.append_saved(&meta(*seq, subject, *time));
        }
        self.index.skip_to(StreamSeq(model.last));
        self.merge = None;
    }
}

/// Every seventh message stays as long as it says.
fn lifetime_of(seq: StreamSeq) -> Option<Lifetime> {
    seq.0.is_multiple_of(7).then(|| Lifetime {
        expires: seq
            .0
            .is_multiple_of(2)
            .then(|| at(i64::try_from(seq.0).unwrap())),
        is_marker: seq.0.is_multiple_of(3),
    })
}

/// Messages 1, 2, 3, ... at 10, 20, 30, ...
fn index_of(subjects: &[&str]) -> Index {
    let mut index = Index::new(StreamSeq(0));
    for (seq, subject) in (1..).zip(subjects) {
        let at = i64::try_from(seq).unwrap() * 10;
        index.append(&meta(seq, subject, at));
    }
    index
}

fn filter(text: &str) -> SubjectFilter {
    SubjectFilter::new(text.to_owned()).unwrap()
}

fn selection(filters: &[&str]) -> Selection {
    Selection::new(filters.iter().map(|text| filter(text)).collect())
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_unix_nanos(nanos)
}

fn numbers(seqs: impl IntoIterator<Item = StreamSeq>) -> Vec<u64> {
    seqs.into_iter().map(|seq| seq.0).collect()
}

#[test]
fn an_empty_index_starts_behind_its_last_sequence() {
    let index = Index::new(StreamSeq(41));
    assert_eq!(index.first_seq(), StreamSeq(42));
    assert_eq!(index.last_seq(), StreamSeq(41));
    assert_eq!((index.first_at(), index.last_at()), (None, None));
    assert_eq!(
        (index.messages(), index.bytes(), index.subjects()),
        (0, 0, 0)
    );
    assert_eq!(index.at_time(at(0)), StreamSeq(42));
    assert_eq!(index.next(StreamSeq(0), &Selection::all()), None);
    assert_eq!(index.last(&filter(">")), None);
    assert_eq!(index.holes().count(), 0);
}

#[test]
fn appended_messages_are_counted_and_found() {
    let index = index_of(&["a.b", "a.c", "a.b"]);
    assert_eq!((index.messages(), index.subjects()), (3, 2));
    assert_eq!(index.bytes(), 11 + 12 + 13);
    assert_eq!(
        (index.first_at(), index.last_at()),
        (Some(at(10)), Some(at(30)))
    );
    assert_eq!(index.subject(StreamSeq(2)).unwrap(), "a.c");
    let entry = index.get(StreamSeq(2)).unwrap();
    assert_eq!((entry.at, entry.bytes), (at(20), 12));
    for absent in [0, 4, u64::MAX] {
        assert!(!index.contains(StreamSeq(absent)));
        assert_eq!(index.get(StreamSeq(absent)), None);
        assert_eq!(index.subject(StreamSeq(absent)), None);
    }
}

#[test]
#[should_panic(expected = "message 3 comes after 3")]
fn a_sequence_is_not_given_twice() {
    let mut index = index_of(&["a", "a", "a"]);
    index.append(&meta(3, "a", 40));
}

#[test]
fn a_removed_message_is_gone_from_every_view() {
    let mut index = index_of(&["a.b", "a.c", "a.b"]);
    let removed = index.remove(StreamSeq(2)).unwrap();
    assert_eq!((removed.at, removed.bytes), (at(20), 12));
    assert_eq!(removed.subject, "a.c");
    assert_eq!(index.remove(StreamSeq(2)), None);
    assert_eq!(index.remove(StreamSeq(9)), None);
    assert_eq!(
        (index.messages(), index.bytes(), index.subjects()),
        (2, 24, 1)
    );
    assert_eq!(index.last_on("a.c"), None);
    assert_eq!(numbers(index.holes()), [2]);
    assert_eq!(index.at_time(at(15)), StreamSeq(3));
    assert_eq!(
        index.next(StreamSeq(2), &Selection::all()),
        Some(StreamSeq(3))
    );
}

#[test]
fn removing_the_first_message_moves_past_holes() {
    let mut index = index_of(&["a", "b", "c", "d"]);
    index.remove(StreamSeq(2)).unwrap();
    index.remove(StreamSeq(3)).unwrap();
    index.remove(StreamSeq(1)).unwrap();
    assert_eq!(index.first_seq(), StreamSeq(4));
    assert_eq!(index.first_at(), Some(at(40)));
    assert_eq!(index.holes().count(), 0);
}

#[test]
fn removing_the_last_message_keeps_its_sequence_taken() {
    let mut index = index_of(&["a", "b"]);
    index.remove(StreamSeq(2)).unwrap();
    assert_eq!(index.last_seq(), StreamSeq(2));
    assert_eq!(index.last_at(), Some(at(10)));
    assert_eq!(numbers(index.holes()), [2]);
    index.remove(StreamSeq(1)).unwrap();
    assert_eq!(index.first_seq(), StreamSeq(3));
    index.append(&meta(3, "a", 30));
    assert_eq!(index.first_seq(), StreamSeq(3));
}

#[test]
fn skipped_sequences_are_holes_between_messages_only() {
    let mut index = index_of(&["a"]);
    index.append(&meta(4, "b", 40));
    index.skip_to(StreamSeq(6));
    index.skip_to(StreamSeq(5));
    assert_eq!(index.last_seq(), StreamSeq(6));
    assert_eq!(numbers(index.holes()), [2, 3, 5, 6]);
    assert_eq!(index.at_time(at(11)), StreamSeq(4));
    assert_eq!(index.at_time(at(41)), StreamSeq(7));
}

#[test]
fn a_wide_gap_costs_nothing() {
    let mut index = index_of(&["a"]);
    index.append(&meta(u64::MAX / 2, "a", 20));
    let all = Selection::all();
    assert_eq!(
        index.next(StreamSeq(2), &all),
        Some(StreamSeq(u64::MAX / 2))
    );
    assert_eq!(index.count(StreamSeq(2), &all), 1);
    assert_eq!(index.at_time(at(11)), StreamSeq(u64::MAX / 2));
    assert_eq!(numbers(index.holes().take(2)), [2, 3]);
    assert!(index.hot.table.used_bytes() < 64 * 1024);
}

#[test]
fn a_hot_subject_beside_an_old_message_keeps_the_table_small() {
    let mut index = index_of(&["old", "hot"]);
    for seq in 3..50_000 {
        index.append(&meta(seq, "hot", 30));
        index.remove(StreamSeq(seq - 1)).unwrap();
    }
    assert_eq!(index.first_seq(), StreamSeq(1));
    assert_eq!(index.messages(), 2);
    assert!(index.hot.table.used_bytes() < 64 * 1024);
}

#[test]
fn a_subject_may_be_the_beginning_of_another() {
    let mut index = index_of(&["a", "a.b", "a.b.c", "a"]);
    assert_eq!(index.last(&filter("a")), Some(StreamSeq(4)));
    assert_eq!(index.last(&filter("a.>")), Some(StreamSeq(3)));
    assert_eq!(index.last(&filter("a.*")), Some(StreamSeq(2)));
    assert_eq!(index.count_on("a"), 2);
    assert_eq!(index.count(StreamSeq(0), &selection(&["a.>"])), 2);
    index.remove(StreamSeq(2)).unwrap();
    assert_eq!(index.count_on("a.b"), 0);
    assert_eq!(index.first_on("a.b"), None);
    assert_eq!(index.first_on("a.b.c"), Some(StreamSeq(3)));
    assert_eq!(index.first_on("a.b.c.d"), None);
}

#[test]
fn maxima_fall_back_when_the_newest_goes() {
    let mut index = index_of(&["a.x", "a.y", "b", "a.y"]);
    index.remove(StreamSeq(4)).unwrap();
    assert_eq!(index.last(&filter("a.>")), Some(StreamSeq(2)));
    assert_eq!(index.last(&filter(">")), Some(StreamSeq(3)));
    index.remove(StreamSeq(2)).unwrap();
    assert_eq!(index.last(&filter("*.*")), Some(StreamSeq(1)));
    index.remove(StreamSeq(1)).unwrap();
    assert_eq!(index.last(&filter("a.>")), None);
}

#[test]
fn maxima_fall_back_among_many_children() {
    // Near: found among the messages just before. Far: only below other children, long ago.
    let mut index = Index::new(StreamSeq(0));
    for seq in 1..=100 {
        index.append(&meta(seq, &format!("o.{seq}.x"), 10));
    }
    for seq in 101..=1_000 {
        index.append(&meta(seq, "other", 10));
    }
    index.append(&meta(1_001, "o.new.x", 10));
    index.remove(StreamSeq(1_001)).unwrap();
    assert_eq!(index.last(&filter("o.>")), Some(StreamSeq(100)));
    assert_eq!(index.last(&filter("o.*.x")), Some(StreamSeq(100)));
    index.remove(StreamSeq(100)).unwrap();
    assert_eq!(index.last(&filter("o.>")), Some(StreamSeq(99)));
    assert_eq!(index.last(&filter(">")), Some(StreamSeq(1_000)));
}

#[test]
fn subjects_that_begin_alike_are_told_apart() {
    let mut index = index_of(&[
        "a.b.c", "a.b.d", "a.bc.d", "a.b", "a.b.d.e", "a.b.dd", "a", "a.b.d",
    ]);
    let counts = [
        "a.>", "a.b.>", "a.bc.*", "a.b", "a.b.d", "a.b.d.>", "a", ">",
    ]
    .map(|text| index.count(StreamSeq(0), &selection(&[text])));
    assert_eq!(counts, [7, 5, 1, 1, 2, 1, 1, 8]);
    index.remove(StreamSeq(5)).unwrap();
    index.append(&meta(9, "a.b.d.e", 90));
    assert_eq!(index.last(&filter("a.b.d.*")), Some(StreamSeq(9)));
    assert_eq!(index.subjects(), 7);
}

#[test]
fn emptied_nodes_are_reused() {
    let mut index = index_of(&["keep.me"]);
    for seq in 2..1_000 {
        index.append(&meta(seq, &format!("gone.{seq}.placed"), 20));
        index.remove(StreamSeq(seq)).unwrap();
    }
    assert_eq!(index.hot.trie.live_nodes(), 2);
    assert_eq!(index.subjects(), 1);
    assert!(index.hot.trie.heap_bytes() < 6 * 1024);
}

#[test]
fn many_children_are_found_as_few_are() {
    let mut index = Index::new(StreamSeq(0));
    for seq in 1..=500 {
        index.append(&meta(seq, &format!("o.{}.placed", seq % 100), 10));
    }
    assert_eq!(index.subjects(), 100);
    assert_eq!(index.last(&filter("o.7.*")), Some(StreamSeq(407)));
    assert_eq!(index.last(&filter("o.*.placed")), Some(StreamSeq(500)));
    let subjects = index.subjects_matching(&filter("o.*.placed"));
    assert!(subjects.is_sorted() && subjects.iter().all(|(_, count)| *count == 5));
    for seq in 1..=500 {
        index.remove(StreamSeq(seq)).unwrap();
    }
    assert_eq!((index.messages(), index.hot.trie.live_nodes()), (0, 1));
}

#[test]
fn the_next_of_many_rare_subjects_is_found_by_scan() {
    let mut index = Index::new(StreamSeq(0));
    for seq in 1..=4_000 {
        let event = if seq % 1_000 == 0 { "paid" } else { "placed" };
        index.append(&meta(seq, &format!("o.{seq}.{event}"), 10));
    }
    let paid = selection(&["o.*.paid"]);
    assert_eq!(index.next(StreamSeq(1), &paid), Some(StreamSeq(1_000)));
    assert_eq!(index.next(StreamSeq(1_001), &paid), Some(StreamSeq(2_000)));
    assert_eq!(index.next(StreamSeq(4_001), &paid), None);
    assert_eq!(index.count(StreamSeq(1_001), &paid), 3);
    assert_eq!(index.count(StreamSeq(3_500), &paid), 1);
}

#[test]
fn the_next_of_few_rare_subjects_is_found_by_postings() {
    let mut index = Index::new(StreamSeq(0));
    for seq in 1..=3_000 {
        let subject = if seq == 2_500 {
            "b.x.rare"
        } else {
            "a.y.common"
        };
        index.append(&meta(seq, subject, 10));
    }
    let rare = selection(&["b.*.rare"]);
    assert_eq!(index.next(StreamSeq(1), &rare), Some(StreamSeq(2_500)));
    assert_eq!(index.next(StreamSeq(2_501), &rare), None);
    assert_eq!(index.next(StreamSeq(1), &selection(&["c.*"])), None);
}

#[test]
fn a_selection_of_everything_is_recognized() {
    assert!(Selection::new(Vec::new()).is_all());
    assert!(selection(&[">"]).is_all());
    assert!(selection(&["a", ">"]).is_all());
    assert!(Selection::all().matches("a.b"));
    let some = selection(&["a.*", "b"]);
    assert!(!some.is_all());
    assert!(some.matches("a.x") && some.matches("b") && !some.matches("a"));
}

#[test]
fn overlapping_filters_count_a_message_once() {
    let index = index_of(&["a.b", "a.c", "d.b"]);
    let both = selection(&["a.*", "*.b"]);
    assert_eq!(index.count(StreamSeq(0), &both), 3);
    assert_eq!(numbers(index.selected(&both, None)), [1, 2, 3]);
    assert_eq!(numbers(index.last_per_subject(&both)), [1, 2, 3]);
}

#[test]
fn wildcard_characters_within_a_token_are_ordinary() {
    let index = index_of(&["a*.b", "ax.b", "a.>b"]);
    assert_eq!(numbers(index.selected(&selection(&["a*.b"]), None)), [1]);
    assert_eq!(numbers(index.selected(&selection(&["a.>b"]), None)), [3]);
}

#[test]
fn times_that_go_back_do_no_harm() {
    let mut index = Index::new(StreamSeq(0));
    for (seq, nanos) in (1..=3_000).zip([50, 10, 40, i64::MAX, i64::MIN].into_iter().cycle()) {
        index.append(&meta(seq, "a", nanos));
    }
    for nanos in [i64::MIN, 0, 45, i64::MAX] {
        let found = index.at_time(at(nanos));
        assert!(index.contains(found) || found == StreamSeq(3_001));
    }
}

#[test]
fn a_subject_of_2000_tokens_needs_no_stack() {
    let long = vec!["a"; 2_000].join(".");
    let mut index = index_of(&[&long, "a.b"]);
    let stars = filter(&vec!["*"; 2_000].join("."));
    assert_eq!(index.last(&stars), Some(StreamSeq(1)));
    assert_eq!(
        index.next(StreamSeq(0), &selection(&[stars.as_str()])),
        Some(StreamSeq(1))
    );
    assert_eq!(index.subjects_matching(&filter("*.>")).len(), 2);
    assert_eq!(index.remove(StreamSeq(1)).unwrap().subject, *long);
    assert_eq!(index.hot.trie.live_nodes(), 3);
}

#[test]
fn memory_stays_within_what_is_documented() {
    const ORDERS: u64 = 10_000;
    let mut index = Index::new(StreamSeq(0));
    let events = ["placed", "paid", "packed", "shipped"];
    for seq in 1..=ORDERS * 4 {
        let event = events[usize::try_from(seq % 4).unwrap()];
        index.append(&meta(
            seq,
            &format!("orders.order.{:08}.{event}", seq / 4),
            10,
        ));
    }
    assert!((56..=84).contains(&(index.memory_bytes() / (ORDERS * 4))));

    let mut index = Index::new(StreamSeq(0));
    for seq in 1..=ORDERS {
        index.append(&meta(seq, &format!("orders.order.{seq:08}.placed"), 10));
    }
    assert!((48..=64).contains(&(index.memory_bytes() / ORDERS)));
    let allocated =
        u64::try_from(index.hot.trie.heap_bytes() + index.hot.table.used_bytes()).unwrap();
    let counted = index.memory_bytes();
    assert!(
        (counted..=counted * 6 / 5).contains(&allocated),
        "{allocated} for {counted}"
    );

    let mut index = Index::new(StreamSeq(0));
    for seq in 1..=ORDERS {
        index.append(&meta(seq, "one.subject", 10));
    }
    assert!((4..=12).contains(&(index.memory_bytes() / ORDERS)));
    for seq in 1..=ORDERS {
        index.remove(StreamSeq(seq)).unwrap();
    }
    assert!(index.memory_bytes() < 1024);
    assert!(index.hot.trie.heap_bytes() < 1024);
}

/// The messages as a list, searched from end to end.
#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, (String, i64)>,
    last: u64,
}

impl Model {
    fn selected(&self, from: u64, wanted: impl Fn(&str) -> bool) -> Vec<u64> {
        let all = self.messages.range(from..);
        let wanted = all.filter(|(_, (subject, _))| wanted(subject));
        wanted.map(|(seq, _)| *seq).collect()
    }

    fn last_per_subject(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<&str, (u64, u64)> {
        let mut subjects = BTreeMap::new();
        for (seq, (subject, _)) in &self.messages {
            if wanted(subject) {
                let entry = subjects.entry(subject.as_str()).or_insert((0, 0));
                *entry = (*seq, entry.1 + 1);
            }
        }
        subjects
    }

    fn first(&self) -> u64 {
        let first = self.messages.keys().next();
        first.copied().unwrap_or(self.last + 1)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        gap: u64,
        subject: String,
        later: i64,
    },
    /// Of the messages there are, this one counted from the front, around.
    Remove(usize),
    RemoveFirst,
    RemoveLast,
    Skip(u64),
    /// The messages of one subject, that of the message counted from the front, around.
    RemoveSubject(usize),
    /// So many of the oldest in memory become a table.
    Freeze(usize),
    Merge,
    Reopen,
}

/// Tokens from few letters, so that subjects meet and one begins another.
fn subject() -> impl Strategy<Value = String> {
    let token = prop_oneof![8 => "[abc]", 1 => "[a-z][0-9]"];
    prop::collection::vec(token, 1..5).prop_map(|tokens| tokens.join("."))
}

fn filter_text() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => "[abc]", 2 => Just("*".to_owned())];
    (prop::collection::vec(token, 1..5), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest {
            tokens.pop();
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    })
}

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![8 => Just(0_u64), 2 => 1..4_u64, 1 => 900..3_000_u64];
    let append = (gap, subject(), 0..3_i64).prop_map(|(gap, subject, later)| Step::Append {
        gap,
        subject,
        later,
    });
    prop_oneof![
        12 => append,
        3 => any::<usize>().prop_map(Step::Remove),
        2 => Just(Step::RemoveFirst),
        1 => Just(Step::RemoveLast),
        1 => (0..5_u64).prop_map(Step::Skip),
    ]
}

fn step_with_tables() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => step(),
        2 => any::<usize>().prop_map(Step::RemoveSubject),
        6 => (1..30_usize).prop_map(Step::Freeze),
        4 => Just(Step::Merge),
        1 => Just(Step::Reopen),
    ]
}

fn run(steps: &[Step]) -> (Index, Model) {
    let mut tables = Tables::new();
    let mut model = Model::default();
    let mut now = 0;
    for step in steps {
        let seqs: Vec<u64> = model.messages.keys().copied().collect();
        let removed: Vec<u64> = match step {
            Step::Append {
                gap,
                subject,
                later,
            } => {
                now += later;
                model.last += 1 + gap;
                let meta = meta(model.last, subject, now);
                tables.index.append(&meta);
                model.messages.insert(model.last, (subject.clone(), now));
                continue;
            }
            Step::Skip(count) => {
                model.last += count;
                tables.index.skip_to(StreamSeq(model.last));
                continue;
            }
            Step::Freeze(messages) => {
                tables.freeze(*messages);
                continue;
            }
            Step::Merge => {
                tables.merge();
                continue;
            }
            Step::Reopen => {
                tables.reopen(&model);
                continue;
            }
            Step::Remove(at) => seqs
                .get(at % seqs.len().max(1))
                .copied()
                .into_iter()
                .collect(),
            Step::RemoveFirst => seqs.first().copied().into_iter().collect(),
            Step::RemoveLast => seqs.last().copied().into_iter().collect(),
            Step::RemoveSubject(at) => match seqs.get(at % seqs.len().max(1)) {
                Some(seq) => {
                    let subject = model.messages[seq].0.clone();
                    model.selected(0, |other| other == subject)
                }
                None => Vec::new(),
            },
        };
        for seq in removed {
            let (subject, time) = model.messages.remove(&seq).unwrap();
            let removed = tables.index.remove(StreamSeq(seq)).unwrap();
            tables.removed.insert(seq);
            assert_eq!(tables.index.remove(StreamSeq(seq)), None);
            assert_eq!(
                (removed.subject.as_str(), removed.at, removed.bytes),
                (&*subject, at(time), 10 + seq)
            );
        }
    }
    (tables.index, model)
}

fn check_state(index: &Index, model: &Model) {
    let first = model.first();
    assert_eq!(index.first_seq(), StreamSeq(first));
    assert_eq!(index.last_seq(), StreamSeq(model.last));
    assert_eq!(index.messages(), count(model.messages.len()));
    assert_eq!(
        index.bytes(),
        model.messages.keys().map(|seq| 10 + seq).sum::<u64>()
    );
    let subjects = model.last_per_subject(|_| true);
    assert_eq!(index.subjects(), count(subjects.len()));
    let mut times = model.messages.values().map(|(_, time)| at(*time));
    assert_eq!(index.first_at(), times.clone().next());
    assert_eq!(index.last_at(), times.next_back());
    let holes = (first..=model.last).filter(|seq| !model.messages.contains_key(seq));
    assert_eq!(numbers(index.holes()), holes.collect::<Vec<_>>());
    for (subject, (last, messages)) in &subjects {
        assert_eq!(index.last_on(subject), Some(StreamSeq(*last)));
        assert_eq!(index.count_on(subject), *messages);
        let all = model.selected(0, |other| other == *subject);
        assert_eq!(index.first_on(subject), all.first().copied().map(StreamSeq));
        for place in [0, 1, all.len() / 2, all.len()] {
            let nth = all.get(place).copied().map(StreamSeq);
            assert_eq!(index.nth_on(subject, place), nth);
        }
    }
    for (seq, (subject, time)) in &model.messages {
        assert_eq!(index.subject(StreamSeq(*seq)).unwrap(), subject.as_str());
        assert_eq!(index.get(StreamSeq(*seq)).unwrap().at, at(*time));
    }
    let end = model
        .messages
        .values()
        .map(|(_, time)| *time)
        .max()
        .unwrap_or(0);
    for time in -1..=end + 1 {
        let found = model.messages.iter().find(|(_, (_, other))| *other >= time);
        let expected = found.map_or(model.last + 1, |(seq, _)| *seq);
        assert_eq!(index.at_time(at(time)), StreamSeq(expected), "at {time}");
    }
    if index.cold.is_empty() {
        check_nodes(index, subjects.keys());
    }
}

fn check_nodes<'a>(index: &Index, subjects: impl ExactSizeIterator<Item = &'a &'a str>) {
    let fewest = subjects.len() + 1;
    let mut nodes: Vec<&str> = vec![""];
    for subject in subjects {
        nodes.extend(subject.match_indices('.').map(|(dot, _)| &subject[..dot]));
        nodes.push(subject);
    }
    nodes.sort_unstable();
    nodes.dedup();
    // Ends that subjects do not share take one node; the first is the root's.
    let most = nodes.len();
    let live = index.hot.trie.live_nodes();
    assert!(
        (fewest..=most).contains(&live),
        "{live} nodes for {nodes:?}"
    );
}

fn check_selection(index: &Index, model: &Model, selection: &Selection, from: u64) {
    let wanted = |subject: &str| selection.matches(subject);
    let all = model.selected(0, wanted);
    assert_eq!(numbers(index.selected(selection, None)), all);
    let newest = all.last().copied().map(StreamSeq);
    assert_eq!(index.last_selected(selection), newest);
    let before: Vec<u64> = all.iter().copied().filter(|seq| *seq < from).collect();
    assert_eq!(
        numbers(index.selected(selection, Some(StreamSeq(from)))),
        before
    );
    let mut upto: BTreeMap<&str, u64> = BTreeMap::new();
    for (seq, (subject, _)) in model.messages.range(..=from) {
        if wanted(subject) {
            upto.insert(subject, *seq);
        }
    }
    let mut upto: Vec<u64> = upto.into_values().collect();
    upto.sort_unstable();
    assert_eq!(
        numbers(index.last_per_subject_upto(selection, StreamSeq(from))),
        upto
    );
    let mut newest: Vec<u64> = model
        .last_per_subject(wanted)
        .values()
        .map(|(seq, _)| *seq)
        .collect();
    newest.sort_unstable();
    assert_eq!(numbers(index.last_per_subject(selection)), newest);
    for from in [0, from, from + 1, model.first(), model.last, model.last + 1] {
        let behind = model.selected(from, wanted);
        let next = index.next(StreamSeq(from), selection);
        assert_eq!(
            next,
            behind.first().copied().map(StreamSeq),
            "next from {from}"
        );
        assert_eq!(index.count(StreamSeq(from), selection), count(behind.len()));
    }
}

fn check(steps: &[Step], filters: &[String], from: u64) {
    let (index, model) = run(steps);
    check_state(&index, &model);
    for text in filters {
        let one = filter(text);
        let newest = model
            .selected(0, |subject| one.matches(subject))
            .last()
            .copied();
        assert_eq!(index.last(&one), newest.map(StreamSeq), "last on {text}");
        let subjects = model.last_per_subject(|subject| one.matches(subject));
        let subjects: Vec<(String, u64)> = subjects
            .iter()
            .map(|(name, (_, n))| ((*name).to_owned(), *n))
            .collect();
        assert_eq!(index.subjects_matching(&one), subjects);
        check_selection(&index, &model, &Selection::new(vec![one]), from);
    }
    let union = Selection::new(filters.iter().map(|text| filter(text)).collect());
    check_selection(&index, &model, &union, from);
    check_selection(&index, &model, &Selection::all(), from);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_a_searched_list(
        steps in prop::collection::vec(step(), 0..150),
        filters in prop::collection::vec(filter_text(), 1..8),
        from in 0..4_000_u64,
    ) {
        check(&steps, &filters, from);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_with_tables_is_that_of_a_searched_list(
        steps in prop::collection::vec(step_with_tables(), 0..300),
        filters in prop::collection::vec(filter_text(), 1..8),
        from in 0..4_000_u64,
    ) {
        check(&steps, &filters, from);
    }
}
