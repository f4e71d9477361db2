//! Who is chosen, who is not, and the words for it.
//!
//! The texts were asked of three nats-server 2.15 on one machine: zones z1, z2, z2, disks ssd, ssd, hdd.

use proptest::prelude::*;

use super::*;
use crate::ByStorage;

/// A node with tags, free bytes, streams, and how many it leads.
type Given = (Vec<&'static str>, Option<u64>, usize, usize, bool);

fn nodes(given: &[Given]) -> Vec<Node> {
    let node = |(id, (tags, ..)): (u128, &Given)| Node {
        id: NodeId(id),
        name: format!("n{id}"),
        tags: tags.iter().map(ToString::to_string).collect(),
        limits: ByStorage::default(),
        used: ByStorage::default(),
    };
    (1..).zip(given).map(node).collect()
}

fn candidates<'a>(nodes: &'a [Node], given: &[Given]) -> Vec<Candidate<'a>> {
    let both = nodes.iter().zip(given);
    both.map(|(node, (_, free, streams, led, is_online))| Candidate {
        node,
        is_online: *is_online,
        free: *free,
        streams: *streams,
        led: *led,
    })
    .collect()
}

fn three() -> Vec<Given> {
    vec![
        (vec!["zone:z1", "disk:ssd"], Some(100), 0, 0, true),
        (vec!["zone:z2", "disk:ssd"], Some(1000), 0, 0, true),
        (vec!["zone:z2", "disk:hdd"], Some(1000), 0, 0, true),
    ]
}

fn wish(tags: &[&str]) -> Placement {
    Placement {
        tags: tags.iter().map(ToString::to_string).collect(),
        ..Placement::default()
    }
}

/// What is answered to so many replicas on these nodes.
fn ask(
    given: &[Given],
    replicas: usize,
    bytes: u64,
    unique_tag: Option<&str>,
    placement: &Placement,
) -> Result<Vec<u128>, String> {
    let nodes = nodes(given);
    let wanted = Wanted {
        replicas,
        placement: Some(placement),
        bytes,
        cluster: "C1",
        unique_tag,
        keep: &[],
    };
    let chosen = choose(&wanted, &candidates(&nodes, given));
    chosen
        .map(|peers| peers.into_iter().map(|peer| peer.0).collect())
        .map_err(|misfits| misfits.to_string())
}

fn refused(reasons: &str) -> Result<Vec<u128>, String> {
    Err(format!("no suitable peers for placement{reasons}"))
}

#[test]
fn tags_are_matched_without_case_and_may_be_excluded() {
    let ask = |replicas, tags: &[&str]| ask(&three(), replicas, 0, None, &wish(tags));
    assert_eq!(ask(3, &[]), Ok(vec![2, 3, 1]));
    assert_eq!(ask(2, &["disk:SSD"]), Ok(vec![2, 1]));
    assert_eq!(ask(1, &["disk:ssd", "zone:z2"]), Ok(vec![2]));
    assert_eq!(ask(1, &["!disk:ssd"]), Ok(vec![3]));
    assert_eq!(ask(1, &["!"]), Ok(vec![2]));
    assert_eq!(ask(5, &[]), refused(""));
    assert_eq!(
        ask(3, &["disk:ssd"]),
        refused(", tags not matched ['disk:ssd']")
    );
    assert_eq!(ask(1, &[""]), refused(", tags not matched ['']"));
    assert_eq!(
        ask(2, &["!disk:ssd"]),
        refused(", tags excluded ['disk:ssd']")
    );
    assert_eq!(
        ask(1, &["!disk:ssd", "!disk:hdd"]),
        refused(", tags excluded ['disk:hdd', 'disk:ssd']")
    );
    assert_eq!(
        ask(2, &["!disk:ssd", "a", "b", "a"]),
        refused(", tags not matched ['a'], tags excluded ['disk:ssd']")
    );
}

#[test]
fn the_room_has_to_suffice() {
    let full = [(vec![], Some(0), 0, 0, true)];
    assert_eq!(
        ask(&full, 1, 0, None, &wish(&[])),
        refused(", insufficient storage")
    );
    let ask = |replicas, bytes, tags: &[&str]| ask(&three(), replicas, bytes, None, &wish(tags));
    assert_eq!(ask(2, 1000, &[]), Ok(vec![2, 3]));
    assert_eq!(ask(3, 101, &[]), refused(", insufficient storage"));
    assert_eq!(
        ask(2, 200, &["disk:ssd"]),
        refused(", insufficient storage, tags not matched ['disk:ssd']")
    );
}

#[test]
fn a_unique_tag_keeps_peers_apart_unless_the_stream_names_one() {
    let untagged = [(vec!["disk:ssd"], None, 0, 0, true)];
    assert_eq!(
        ask(&untagged, 1, 0, Some("zone:"), &wish(&[])),
        refused(", server tag not unique")
    );
    let ask =
        |replicas, bytes, tags: &[&str]| ask(&three(), replicas, bytes, Some("zone:"), &wish(tags));
    assert_eq!(ask(2, 0, &[]), Ok(vec![2, 1]));
    assert_eq!(ask(3, 0, &[]), refused(", server tag not unique"));
    assert_eq!(ask(2, 0, &["zone:z2"]), Ok(vec![2, 3]));
    assert_eq!(
        ask(2, 200, &[]),
        refused(", insufficient storage, server tag not unique")
    );
}

#[test]
fn nodes_that_do_not_answer_are_left_out() {
    let mut given = three();
    given[2].4 = false;
    let ask = |replicas, tags: &[&str]| ask(&given, replicas, 0, None, &wish(tags));
    assert_eq!(ask(2, &[]), Ok(vec![2, 1]));
    assert_eq!(
        ask(1, &["disk:hdd"]),
        Err("no suitable peers for placement, peer offline, tags not matched ['disk:hdd']".into())
    );
    assert_eq!(
        ask(2, &["disk:ssd", "x"]),
        refused(", tags not matched ['disk:ssd', 'x']")
    );
}

#[test]
fn another_cluster_has_no_nodes_here() {
    let elsewhere = |cluster: &str| Placement {
        cluster: cluster.into(),
        ..wish(&[])
    };
    let ask = |cluster| ask(&three(), 1, 0, None, &elsewhere(cluster));
    assert_eq!(ask("C2"), refused(""));
    assert_eq!(ask("C1"), Ok(vec![2]));
}

#[test]
fn who_has_the_fewest_streams_is_taken_and_who_leads_the_fewest_leads() {
    let given: [Given; 4] = [
        (vec![], None, 4, 0, true),
        (vec![], None, 3, 2, true),
        (vec![], None, 3, 1, true),
        (vec![], None, 2, 2, true),
    ];
    assert_eq!(ask(&given, 3, 0, None, &wish(&[])), Ok(vec![3, 4, 2]));
}

#[test]
fn those_that_stay_come_first_and_are_not_judged() {
    let given = three();
    let nodes = nodes(&given);
    let placement = wish(&["disk:hdd"]);
    let keep = [&nodes[0]];
    let wanted = Wanted {
        replicas: 2,
        placement: Some(&placement),
        bytes: 500,
        cluster: "C1",
        unique_tag: None,
        keep: &keep,
    };
    let candidates = candidates(&nodes, &given);
    assert_eq!(choose(&wanted, &candidates), Ok(vec![NodeId(1), NodeId(3)]));
    let fewer = Wanted {
        replicas: 1,
        ..wanted
    };
    assert_eq!(choose(&fewer, &candidates), Ok(vec![NodeId(1)]));
}

const TAGS: [&str; 6] = ["zone:a", "zone:b", "zone:c", "disk:ssd", "disk:hdd", "x"];

fn given() -> impl Strategy<Value = Given> {
    (
        prop::sample::subsequence(TAGS.to_vec(), 0..4),
        prop::option::of(0..40_u64),
        0..3_usize,
        0..2_usize,
        prop::bool::weighted(0.8),
    )
}

fn wished() -> impl Strategy<Value = Vec<String>> {
    let tag = prop::sample::select(TAGS.to_vec());
    let tag = (tag, prop::bool::weighted(0.3)).prop_map(|(tag, not)| match not {
        true => format!("!{tag}"),
        false => tag.to_uppercase(),
    });
    prop::collection::vec(tag, 0..3)
}

/// What the rules say of one node, told another way.
fn fits(given: &Given, tags: &[String], bytes: u64) -> bool {
    let (own, free, .., is_online) = given;
    let has = |tag: &str| own.contains(&tag.to_lowercase().as_str());
    let matches = |tag: &String| match tag.strip_prefix('!') {
        Some(tag) => !has(tag),
        None => has(tag),
    };
    *is_online && free.is_none_or(|free| free > 0 && free >= bytes) && tags.iter().all(matches)
}

fn zone(given: &Given) -> Option<&'static str> {
    let zones = given.0.iter().copied();
    zones.into_iter().find(|tag| tag.starts_with("zone:"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..Default::default() })]

    #[test]
    fn a_choice_keeps_every_rule_and_is_found_when_there_is_one(
        given in prop::collection::vec(given(), 0..9),
        tags in wished(),
        replicas in 1..=5_usize,
        bytes in 0..30_u64,
        is_unique: bool,
        order in any::<prop::sample::Index>(),
    ) {
        let placement = Placement { tags: tags.clone(), ..Placement::default() };
        let unique_tag = is_unique.then_some("Zone:");
        let answer = ask(&given, replicas, bytes, unique_tag, &placement);

        // Deterministic, whatever order the nodes are given in.
        let nodes = nodes(&given);
        let mut turned = candidates(&nodes, &given);
        if !turned.is_empty() {
            turned.rotate_left(order.index(given.len()));
        }
        let wanted = Wanted {
            replicas,
            placement: Some(&placement),
            bytes,
            cluster: "C1",
            unique_tag,
            keep: &[],
        };
        let again = choose(&wanted, &turned);
        let again = again.map(|peers| peers.into_iter().map(|peer| peer.0).collect::<Vec<_>>());
        prop_assert_eq!(&again.map_err(|misfits| misfits.to_string()), &answer);

        let is_held_apart = is_unique && !tags.iter().any(|tag| tag.to_lowercase().starts_with("zone:"));
        let fitting: Vec<&Given> = given.iter().filter(|node| fits(node, &tags, bytes)).collect();
        let zones: BTreeSet<_> = fitting.iter().filter_map(|node| zone(node)).collect();
        let possible = match is_held_apart {
            true => zones.len(),
            false => fitting.len(),
        };
        match answer {
            Ok(peers) => {
                prop_assert_eq!(peers.len(), replicas);
                let chosen: Vec<&Given> = peers
                    .iter()
                    .map(|peer| &given[usize::try_from(*peer).unwrap() - 1])
                    .collect();
                prop_assert!(chosen.iter().all(|node| fits(node, &tags, bytes)));
                let distinct: BTreeSet<_> = peers.iter().collect();
                prop_assert_eq!(distinct.len(), replicas, "no peer twice");
                let most = chosen.iter().map(|node| node.2).max();
                if is_held_apart {
                    let zones: BTreeSet<_> = chosen.iter().filter_map(|node| zone(node)).collect();
                    prop_assert_eq!(zones.len(), replicas);
                } else {
                    let left = (1..).zip(&given).filter(|(id, node)| !peers.contains(id) && fits(node, &tags, bytes));
                    let fewest = left.map(|(_, node)| node.2).min();
                    prop_assert!(fewest.is_none_or(|fewest| Some(fewest) >= most), "fewest streams first");
                }
            }
            Err(text) => {
                prop_assert!(possible < replicas, "{} fit: {}", possible, text);
                let storage = given.iter().any(|node| {
                    let roomy = (node.0.clone(), None, node.2, node.3, true);
                    fits(&roomy, &tags, bytes) && node.1.is_some_and(|free| free < bytes.max(1))
                });
                prop_assert_eq!(text.contains("insufficient storage"), storage, "{}", text);
                prop_assert!(text.starts_with("no suitable peers for placement"));
            }
        }
    }
}
