//! Tests of the subject tree; that it equals a list of filters is tried in `tests/properties.rs`.

use super::*;

fn filter(text: &str) -> SubjectFilter {
    SubjectFilter::new(text).unwrap()
}

fn tree(filters: &[&'static str]) -> SubjectTree<&'static str> {
    let mut tree = SubjectTree::new();
    for text in filters {
        tree.insert(&filter(text), *text);
    }
    tree
}

fn found(tree: &SubjectTree<&'static str>, subject: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    tree.for_each_match(subject, |value| found.push(*value));
    found
}

#[test]
fn every_matching_filter_is_found_once() {
    let tree = tree(&[
        "a.b", "a.*", "*.b", "a.>", ">", "a", "a.b.c", "*.*.*", "b.>",
    ]);
    assert_eq!(found(&tree, "a.b"), ["a.b", ">", "a.>", "a.*", "*.b"]);
    assert_eq!(found(&tree, "a"), ["a", ">"]);
    assert_eq!(found(&tree, "x.y"), [">"]);
    assert_eq!(found(&tree, "a.b.c"), ["a.b.c", ">", "a.>", "*.*.*"]);
}

#[test]
fn wildcards_in_a_subject_stand_for_themselves() {
    let tree = tree(&["a.*", "a.b", "a.>"]);
    assert_eq!(found(&tree, "a.*"), ["a.>", "a.*"]);
    assert_eq!(found(&tree, "a.>"), ["a.>", "a.*"]);
}

#[test]
fn values_of_one_filter_keep_their_order() {
    let mut tree = SubjectTree::new();
    for value in [3, 1, 2, 1] {
        tree.insert(&filter("a.*"), value);
    }
    assert_eq!(tree.remove(&filter("a.*"), |&value| value == 1), Some(1));
    let mut values = Vec::new();
    tree.for_each_match("a.x", |&value| values.push(value));
    assert_eq!(values, [3, 2, 1]);
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut tree = tree(&["a.*", "a.b"]);
    for absent in ["a.>", "a.c", "b.*", "a.*.c", "*"] {
        assert_eq!(tree.remove(&filter(absent), |_| true), None, "{absent}");
    }
    assert_eq!(tree.remove(&filter("a.*"), |_| false), None);
    assert_eq!(tree.len(), 2);
}

#[test]
fn removal_leaves_no_node_behind_and_numbers_are_used_again() {
    let mut tree = SubjectTree::new();
    let filters = ["a.*.c.>", "a.*.c", "a.*.d.*", "*.*", ">", "x.y"];
    for _ in 0..3 {
        for text in filters {
            tree.insert(&filter(text), text);
        }
        for text in filters {
            assert_eq!(tree.remove(&filter(text), |_| true), Some(text));
        }
        assert!(tree.is_empty() && tree.literals.is_empty() && tree.nodes[ROOT].is_unused());
        assert_eq!(tree.free.len(), tree.nodes.len() - 1);
    }
    assert_eq!(tree.nodes.len(), 8);
}

#[test]
fn has_match_stops_at_the_first() {
    let tree = tree(&["a.*", ">"]);
    assert!(tree.has_match("b"));
    assert!(!SubjectTree::<()>::new().has_match("b"));
}

#[test]
fn very_deep_filters_need_no_call_stack() {
    let depth = 200_000;
    let stars = vec!["*"; depth].join(".");
    let letters = vec!["a"; depth].join(".");
    let mut tree = SubjectTree::new();
    tree.insert(&filter(&stars), 1);
    tree.insert(&filter(&format!("{letters}.>")), 2);
    assert!(tree.has_match(&letters));
    assert!(tree.has_match(&format!("{letters}.a")));
    assert!(!tree.has_match("a"));
}

#[test]
fn more_branches_than_fit_inline_are_followed() {
    let mut tree = SubjectTree::new();
    for length in 1..40 {
        let letters = vec!["a"; length - 1];
        tree.insert(
            &filter(&[letters.as_slice(), &["*"]].concat().join(".")),
            length,
        );
        tree.insert(
            &filter(&[letters.as_slice(), &["*", ">"]].concat().join(".")),
            length,
        );
    }
    let mut found = Vec::new();
    tree.for_each_match(&["a"; 39].join("."), |&length| found.push(length));
    found.sort_unstable();
    assert_eq!(found, (1..40).collect::<Vec<_>>());
}

#[test]
fn every_value_is_visited_once() {
    let filters = ["a.b", "a.*", "*.b", "a.>", ">", "a", "a.b"];
    let mut tree = tree(&filters);
    tree.remove(&filter("*.b"), |_| true);
    let mut visited = Vec::new();
    tree.for_each(|value| visited.push(*value));
    visited.sort_unstable();
    assert_eq!(visited, [">", "a", "a.*", "a.>", "a.b", "a.b"]);
}
