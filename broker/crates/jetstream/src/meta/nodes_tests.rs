//! Nodes that come, change and go, and what the state keeps of them.

use hitherto_protocol::Timestamp;

use super::super::{ClusterView, MetaCommand, MetaRestoreError, MetaSnapshot};
use super::*;
use crate::{ByStorage, GroupId, Limits, LogIndex};

const AT: Timestamp = Timestamp::from_unix_nanos(1);

fn meta() -> Meta {
    let limits = Limits {
        replicas_max: 5,
        ..Limits::default()
    };
    Meta::new(limits)
}

fn run(meta: &mut Meta, command: MetaCommand) -> MetaOutcome {
    let view = ClusterView::default();
    let checked = meta.check(command.clone(), &view);
    let index = meta.applied().next();
    let outcome = meta.apply(index, checked.clone().unwrap_or(command));
    if let Err(error) = checked {
        assert_eq!(outcome, MetaOutcome::Refused(error), "both refuse alike");
    }
    outcome
}

fn node(id: u128) -> Node {
    Node {
        id: NodeId(id),
        name: format!("n{id}"),
        tags: Vec::new(),
        limits: ByStorage::default(),
        used: ByStorage::default(),
    }
}

fn admit(meta: &mut Meta, id: u128) -> MetaOutcome {
    let node = node(id);
    run(meta, MetaCommand::AdmitNode { node, at: AT })
}

fn create(meta: &mut Meta, name: &str, num_replicas: u32) -> MetaOutcome {
    let config = StreamConfig {
        name: name.into(),
        num_replicas,
        ..StreamConfig::default()
    };
    let command = MetaCommand::CreateStream {
        config: Box::new(config),
        at: AT,
        peers: Vec::new(),
    };
    run(meta, command)
}

fn remove(meta: &mut Meta, id: u128, force: bool) -> MetaOutcome {
    let node = NodeId(id);
    let at = AT;
    run(meta, MetaCommand::RemoveNode { node, force, at })
}

fn peers(meta: &Meta, name: &str) -> Vec<u128> {
    let entry = meta.find(name).unwrap();
    entry.peers.iter().map(|peer| peer.0).collect()
}

fn refusal(outcome: &MetaOutcome) -> &ApiError {
    match outcome {
        MetaOutcome::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

fn moved(outcome: MetaOutcome) -> Vec<Moved> {
    match outcome {
        MetaOutcome::NodeChanged { moved, .. } => moved,
        other => panic!("{other:?}"),
    }
}

fn kept(meta: &Meta) -> Meta {
    let bytes = rmp_serde::to_vec_named(&meta.snapshot()).unwrap();
    let snapshot: MetaSnapshot = rmp_serde::from_slice(&bytes).unwrap();
    Meta::restore(snapshot, meta.limits().clone()).unwrap()
}

#[test]
fn the_first_node_keeps_what_it_had_alone() {
    let mut meta = meta();
    create(&mut meta, "A", 1);
    assert!(peers(&meta, "A").is_empty());
    let view = ClusterView::default();
    let two = MetaCommand::CreateStream {
        config: Box::new(StreamConfig {
            name: "B".into(),
            num_replicas: 2,
            ..StreamConfig::default()
        }),
        at: AT,
        peers: Vec::new(),
    };
    assert_eq!(meta.check(two, &view).unwrap_err().err_code, 10074);
    let gained = Moved {
        group: GroupId(1),
        was: Vec::new(),
        peers: vec![NodeId(7)],
    };
    assert_eq!(moved(admit(&mut meta, 7)), [gained]);
    assert_eq!(moved(admit(&mut meta, 8)), []);
    assert_eq!(peers(&meta, "A"), [7]);
    assert_eq!(meta.find_peer("n8"), Some(NodeId(8)));
    assert_eq!(
        meta.find_peer("00000000000000000000000000000008"),
        Some(NodeId(8))
    );
    assert_eq!(meta.find_peer("n9"), None);
}

#[test]
fn names_belong_to_one_node_and_only_admitted_ones_change() {
    let mut meta = meta();
    admit(&mut meta, 1);
    let stranger = Node {
        name: "n1".into(),
        ..node(2)
    };
    let command = MetaCommand::AdmitNode {
        node: stranger,
        at: AT,
    };
    let outcome = run(&mut meta, command);
    assert_eq!(
        refusal(&outcome).to_string(),
        r#"the server name "n1" belongs to node 00000000000000000000000000000001 (10041)"#
    );
    let update = |node| MetaCommand::UpdateNode { node, at: AT };
    let outcome = run(&mut meta, update(node(3)));
    assert_eq!(refusal(&outcome).err_code, 10044);
    let leave = |id| MetaCommand::EvacuateNode {
        node: NodeId(id),
        leaving: true,
        at: AT,
    };
    assert_eq!(refusal(&run(&mut meta, leave(3))).err_code, 10044);
    assert_eq!(refusal(&remove(&mut meta, 3, true)).err_code, 10044);

    run(&mut meta, leave(1));
    let renamed = Node {
        name: "other".into(),
        ..node(1)
    };
    run(&mut meta, update(renamed.clone()));
    let entry = meta.node(NodeId(1)).unwrap();
    assert_eq!((&entry.node, entry.leaving), (&renamed, true));
    admit(&mut meta, 1);
    assert!(
        !meta.node(NodeId(1)).unwrap().leaving,
        "it was admitted anew"
    );
}

#[test]
fn a_cluster_has_no_more_nodes_than_it_may() {
    let mut meta = meta();
    let max = u128::try_from(Node::COUNT_MAX).unwrap();
    for id in 1..=max {
        admit(&mut meta, id);
    }
    let outcome = admit(&mut meta, max + 1);
    assert_eq!(
        refusal(&outcome).to_string(),
        "a cluster has at most 128 nodes (10041)"
    );
    assert_eq!(
        moved(admit(&mut meta, max)),
        [],
        "one of them may come again"
    );
}

#[test]
fn a_node_with_the_only_copy_goes_by_force_alone() {
    let mut meta = meta();
    (1..=3).for_each(|id| drop(admit(&mut meta, id)));
    create(&mut meta, "R3", 3);
    create(&mut meta, "R1", 1);
    let [holder] = peers(&meta, "R1")[..] else {
        panic!("one copy has one peer");
    };
    let outcome = remove(&mut meta, holder, false);
    assert_eq!(
        refusal(&outcome).to_string(),
        format!(
            "node \"n{holder}\" keeps 1 streams that are nowhere else; evacuate it, or force the removal (10041)"
        )
    );
    assert_eq!(peers(&meta, "R1"), [holder], "nothing has changed");

    let lost = moved(remove(&mut meta, holder, true));
    assert_eq!(lost.len(), 2);
    assert!(peers(&meta, "R1").is_empty());
    assert_eq!(peers(&meta, "R3").len(), 2);
    let view = ClusterView::default();
    assert_eq!(
        meta.next_move(&view, AT),
        None,
        "nobody would begin R1 empty"
    );

    let others: Vec<u128> = (1..=3).filter(|id| *id != holder).collect();
    let [gone, last] = others[..] else {
        panic!("two are left");
    };
    assert_eq!(moved(remove(&mut meta, gone, false)).len(), 1);
    let outcome = remove(&mut meta, last, true);
    assert_eq!(
        refusal(&outcome).to_string(),
        format!("node \"n{last}\" is the last one of the cluster (10041)")
    );
}

#[test]
fn a_choice_is_looked_at_again_when_it_is_applied() {
    let mut meta = meta();
    (1..=3).for_each(|id| drop(admit(&mut meta, id)));
    let config = StreamConfig {
        name: "A".into(),
        num_replicas: 3,
        ..StreamConfig::default()
    };
    let command = |peers: &[u128]| MetaCommand::CreateStream {
        config: Box::new(config.clone().checked(meta.limits()).unwrap()),
        at: AT,
        peers: peers.iter().copied().map(NodeId).collect(),
    };
    let refused: Vec<MetaCommand> = [&[1, 2, 4][..], &[1, 2, 2], &[1, 2], &[1, 2, 3, 4], &[]]
        .map(command)
        .into();
    let chosen = meta.check(command(&[]), &ClusterView::default()).unwrap();
    for command in refused {
        let outcome = meta.clone().apply(LogIndex(9), command);
        assert_eq!(
            refusal(&outcome).to_string(),
            "no suitable peers for placement (10005)"
        );
    }
    let mut other = meta.clone();
    assert!(matches!(
        other.apply(LogIndex(9), chosen.clone()),
        MetaOutcome::Created { .. }
    ));
    remove(&mut meta, 2, false);
    let outcome = meta.apply(LogIndex(9), chosen);
    assert_eq!(refusal(&outcome).err_code, 10005);
}

#[test]
fn nodes_and_peers_outlive_a_restart() {
    let mut meta = meta();
    (1..=3).for_each(|id| drop(admit(&mut meta, id)));
    create(&mut meta, "A", 3);
    let leave = MetaCommand::EvacuateNode {
        node: NodeId(2),
        leaving: true,
        at: AT,
    };
    run(&mut meta, leave);
    let restored = kept(&meta);
    assert_eq!(restored.snapshot(), meta.snapshot());
    assert_eq!(peers(&restored, "A"), peers(&meta, "A"));
    assert!(restored.node(NodeId(2)).unwrap().leaving);
}

/// Written by the build before nodes were known: stream `A`, updated once.
const VERSION_1: &[u8] = include_bytes!("../../testdata/stored/meta_snapshot_v1.bin");

#[test]
fn a_snapshot_of_version_1_is_read_and_written_as_it_was() {
    let snapshot: MetaSnapshot = rmp_serde::from_slice(VERSION_1).unwrap();
    let mut meta = Meta::restore(snapshot, Limits::default()).unwrap();
    let entry = meta.find("A").unwrap();
    assert_eq!((entry.config.max_msgs, &entry.peers[..]), (7, &[][..]));
    assert!(meta.is_alone());
    assert_eq!(
        rmp_serde::to_vec_named(&meta.snapshot()).unwrap(),
        VERSION_1
    );
    admit(&mut meta, 1);
    let bytes = serde_json::to_string(&meta.snapshot()).unwrap();
    assert!(bytes.starts_with(r#"{"version":2,"#), "{bytes}");
}

#[test]
fn a_snapshot_whose_nodes_contradict_each_other_is_refused() {
    let mut meta = meta();
    admit(&mut meta, 1);
    admit(&mut meta, 2);
    create(&mut meta, "A", 2);
    let json = serde_json::to_string(&meta.snapshot()).unwrap();
    let restore = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        let snapshot: MetaSnapshot = serde_json::from_str(&json.replace(from, to)).unwrap();
        Meta::restore(snapshot, Limits::default()).unwrap_err()
    };
    let name = |name: &str| name.to_owned();
    assert_eq!(
        restore(r#""name":"n2""#, r#""name":"n1""#),
        MetaRestoreError::Node { name: name("n1") }
    );
    assert_eq!(
        restore(r#""id":2"#, r#""id":1"#),
        MetaRestoreError::Node { name: name("n2") }
    );
    assert_eq!(
        restore(r#""peers":[1,2]"#, r#""peers":[1,3]"#),
        MetaRestoreError::Contradiction { name: name("A") }
    );
}
