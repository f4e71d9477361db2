//! Scaling streams, taking peers from them, and emptying nodes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{ByStorage, Limits, LogIndex};

const AT: Timestamp = Timestamp::from_unix_nanos(1);

/// Nodes numbered from 1 with these tags, and a thousand bytes each.
fn cluster(tags: &[&[&str]]) -> Meta {
    let limits = Limits {
        replicas_max: 5,
        ..Limits::default()
    };
    let mut meta = Meta::new(limits);
    for (id, tags) in (1..).zip(tags) {
        let node = Node {
            id: NodeId(id),
            name: format!("n{id}"),
            tags: tags.iter().map(ToString::to_string).collect(),
            limits: ByStorage {
                file: Some(1000),
                memory: None,
            },
            used: ByStorage::default(),
        };
        apply(&mut meta, MetaCommand::AdmitNode { node, at: AT });
    }
    meta
}

fn apply(meta: &mut Meta, command: MetaCommand) -> MetaOutcome {
    let index = meta.applied().next();
    meta.apply(index, command)
}

fn view() -> ClusterView {
    ClusterView {
        name: "C1".into(),
        ..ClusterView::default()
    }
}

fn config(name: &str, num_replicas: u32, tags: &[&str]) -> StreamConfig {
    let placement = Placement {
        tags: tags.iter().map(ToString::to_string).collect(),
        ..Placement::default()
    };
    StreamConfig {
        name: name.into(),
        num_replicas,
        placement: Some(placement).filter(|wish| *wish != Placement::default()),
        ..StreamConfig::default()
    }
}

fn create(meta: &mut Meta, config: StreamConfig) -> Result<Vec<u128>, String> {
    let config = Box::new(config);
    let (at, peers) = (AT, Vec::new());
    change(
        meta,
        MetaCommand::CreateStream { config, at, peers },
        &view(),
    )
}

fn update(meta: &mut Meta, config: StreamConfig, view: &ClusterView) -> Result<Vec<u128>, String> {
    let config = Box::new(config);
    let (at, peers) = (AT, Vec::new());
    change(meta, MetaCommand::UpdateStream { config, at, peers }, view)
}

/// Checks and applies; returns the peers of the stream after that.
fn change(meta: &mut Meta, command: MetaCommand, view: &ClusterView) -> Result<Vec<u128>, String> {
    let checked = meta.check(command, view);
    let checked = checked.map_err(|error| error.to_string())?;
    match apply(meta, checked) {
        MetaOutcome::Created { peers, .. }
        | MetaOutcome::Updated { peers, .. }
        | MetaOutcome::Moved(Moved { peers, .. }) => {
            Ok(peers.into_iter().map(|peer| peer.0).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn leave(meta: &mut Meta, id: u128) {
    let node = NodeId(id);
    let (leaving, at) = (true, AT);
    apply(meta, MetaCommand::EvacuateNode { node, leaving, at });
}

#[test]
fn streams_and_their_first_leaders_spread() {
    let mut meta = cluster(&[&[], &[], &[]]);
    let placed: Vec<_> = ["A", "B", "C"]
        .map(|name| create(&mut meta, config(name, 1, &[])).unwrap())
        .concat();
    assert_eq!(placed, [1, 2, 3]);
    let leaders: BTreeSet<u128> = ["D", "E", "F"]
        .map(|name| create(&mut meta, config(name, 3, &[])).unwrap()[0])
        .into();
    assert_eq!(leaders.len(), 3);
}

#[test]
fn scaling_up_keeps_who_is_there_and_scaling_down_keeps_the_leader() {
    let mut meta = cluster(&[&[], &[], &[], &[]]);
    assert_eq!(create(&mut meta, config("A", 1, &[])), Ok(vec![1]));
    let up = update(&mut meta, config("A", 3, &[]), &view());
    assert_eq!(up, Ok(vec![1, 2, 3]));
    let error = update(&mut meta, config("A", 5, &[]), &view());
    assert_eq!(
        error,
        Err("no suitable peers for placement (10005)".to_owned())
    );
    let down = ClusterView {
        leader: Some(NodeId(3)),
        offline: [NodeId(1)].into(),
        ..view()
    };
    assert_eq!(
        update(&mut meta, config("A", 2, &[]), &down),
        Ok(vec![3, 2])
    );
    let unknown = update(&mut meta, config("A", 1, &[]), &view());
    assert_eq!(unknown, Ok(vec![3]), "the first of equals stays");
}

#[test]
fn an_update_that_asks_for_nothing_else_leaves_a_stream_where_it_is() {
    let mut meta = cluster(&[&[], &[], &[]]);
    create(&mut meta, config("A", 3, &[])).unwrap();
    let remove = MetaCommand::RemoveNode {
        node: NodeId(2),
        force: false,
        at: AT,
    };
    apply(&mut meta, remove);
    let more = StreamConfig {
        max_msgs: 5,
        ..config("A", 3, &[])
    };
    assert_eq!(update(&mut meta, more, &view()), Ok(vec![1, 3]));
}

#[test]
fn another_wish_moves_a_stream_and_keeps_peers_that_suit_it() {
    let mut meta = cluster(&[&["ssd"], &["ssd", "eu"], &["hdd"], &["hdd", "eu"]]);
    assert_eq!(create(&mut meta, config("A", 2, &["ssd"])), Ok(vec![1, 2]));
    let both = update(&mut meta, config("A", 1, &["eu"]), &view());
    assert_eq!(
        both,
        Err("can not move and scale a stream in a single update (10123)".to_owned())
    );
    assert_eq!(
        update(&mut meta, config("A", 2, &["eu"]), &view()),
        Ok(vec![2, 4])
    );
    let error = update(&mut meta, config("A", 2, &["hdd", "eu"]), &view());
    assert!(
        error
            .clone()
            .is_err_and(|text| text.contains("tags not matched")),
        "{error:?}"
    );
}

#[test]
fn what_streams_promise_counts_at_once() {
    let mut meta = cluster(&[&[], &[]]);
    let of = |name: &str, replicas, max_bytes| StreamConfig {
        max_bytes,
        ..config(name, replicas, &[])
    };
    assert_eq!(create(&mut meta, of("A", 2, 700)), Ok(vec![1, 2]));
    assert_eq!(
        create(&mut meta, of("B", 1, 301)),
        Err("no suitable peers for placement, insufficient storage (10005)".to_owned())
    );
    assert_eq!(create(&mut meta, of("B", 1, 300)), Ok(vec![2]));
    let more = update(&mut meta, of("A", 2, 701), &view());
    assert_eq!(
        more,
        Err("insufficient storage resources available (10047)".to_owned())
    );
    assert_eq!(
        update(&mut meta, of("A", 2, 600), &view()),
        Ok(vec![1, 2]),
        "less is always possible"
    );
    assert_eq!(meta.reserved_bytes().file, 1500);
}

#[test]
fn a_peer_that_is_taken_away_is_replaced() {
    let mut meta = cluster(&[&["a"], &["a"], &["b"]]);
    create(&mut meta, config("A", 2, &["a"])).unwrap();
    create(&mut meta, config("B", 2, &[])).unwrap();
    let codes = |name: &str, peer, view: &ClusterView| {
        let command = meta.without_peer(name, NodeId(peer), view, AT);
        command.map_err(|error| error.err_code)
    };
    assert_eq!(codes("A", 3, &view()), Err(10040));
    assert_eq!(codes("A", 1, &view()), Err(10075));
    assert_eq!(codes("C", 1, &view()), Err(10059));
    let [gone, stays] = meta.find("B").unwrap().peers[..] else {
        panic!("two peers");
    };
    let others: BTreeSet<u128> = (1..=3).collect();
    let fresh: Vec<u128> = others
        .into_iter()
        .filter(|id| ![gone, stays].contains(&NodeId(*id)))
        .collect();
    let offline = ClusterView {
        offline: [NodeId(fresh[0])].into(),
        ..view()
    };
    assert_eq!(codes("B", gone.0, &offline), Err(10075));
    let command = codes("B", gone.0, &view()).unwrap();
    assert_eq!(
        change(&mut meta, command.clone(), &view()),
        Ok(vec![stays.0, fresh[0]])
    );
    let stale = change(&mut meta, command, &view());
    assert_eq!(
        stale,
        Err("stream reconfiguration already in progress (10226)".to_owned())
    );
    let alone = Meta::new(Limits::default());
    let refusal = alone.without_peer("A", NodeId(1), &view(), AT).unwrap_err();
    assert_eq!(refusal.err_code, 10010);
}

#[test]
fn a_node_that_leaves_is_emptied_move_by_move() {
    let mut meta = cluster(&[&[], &[], &[], &["only"]]);
    for (name, replicas) in [("A", 3), ("B", 1), ("C", 1), ("D", 2)] {
        create(&mut meta, config(name, replicas, &[])).unwrap();
    }
    create(&mut meta, config("E", 1, &["only"])).unwrap();
    leave(&mut meta, 4);
    let mut moves = 0;
    while let Some(command) = meta.next_move(&view(), AT) {
        let peers = change(&mut meta, command, &view()).unwrap();
        assert!(!peers.contains(&4));
        moves += 1;
    }
    assert!(moves > 0);
    let stuck: Vec<&str> = meta.kept_by(NodeId(4)).map(|(name, _)| name).collect();
    assert_eq!(stuck, ["E"], "no other node suits it");
    assert_eq!(
        create(&mut meta, config("F", 4, &[])),
        Err("no suitable peers for placement (10005)".to_owned())
    );
}

#[test]
fn a_stream_that_lacks_a_peer_gets_one_when_there_is_one() {
    let mut meta = cluster(&[&[], &[], &[]]);
    create(&mut meta, config("A", 3, &[])).unwrap();
    let remove = MetaCommand::RemoveNode {
        node: NodeId(2),
        force: false,
        at: AT,
    };
    apply(&mut meta, remove);
    assert_eq!(meta.next_move(&view(), AT), None);
    let mut node = meta.node(NodeId(1)).unwrap().node.clone();
    (node.id, node.name) = (NodeId(9), "n9".into());
    apply(&mut meta, MetaCommand::AdmitNode { node, at: AT });
    let command = meta.next_move(&view(), AT).unwrap();
    assert_eq!(change(&mut meta, command, &view()), Ok(vec![1, 3, 9]));
    assert_eq!(meta.next_move(&view(), AT), None);
}

#[test]
fn a_successor_is_who_was_wished_for_or_who_suits() {
    let mut meta = cluster(&[&["a"], &["b"], &["c"]]);
    assert_eq!(create(&mut meta, config("A", 2, &["!c"])), Ok(vec![1, 2]));
    let led_by_1 = ClusterView {
        leader: Some(NodeId(1)),
        ..view()
    };
    let ask = |preferred: &str, tags: &[&str], cluster: &str| {
        let wish = Placement {
            cluster: cluster.into(),
            tags: tags.iter().map(ToString::to_string).collect(),
            preferred: preferred.into(),
        };
        let found = meta.successor("A", Some(&wish), &led_by_1);
        found.map_err(|error| error.to_string())
    };
    let refused = |text: &str| Err(format!("{text} (10005)"));
    assert_eq!(ask("n2", &[], ""), Ok(Some(NodeId(2))));
    assert_eq!(ask("", &[], ""), Ok(None));
    assert_eq!(ask("", &["b"], ""), Ok(Some(NodeId(2))));
    assert_eq!(
        ask("n3", &[], ""),
        refused(r#"preferred server "n3" not known"#)
    );
    assert_eq!(
        ask("n9", &[], ""),
        refused(r#"preferred server "n9" not known"#)
    );
    assert_eq!(
        ask("n1", &[], ""),
        refused(r#"preferred server "n1" is already leader"#)
    );
    assert_eq!(
        ask("", &["a"], ""),
        refused("no replacement peer connected")
    );
    assert_eq!(ask("", &[], "C2"), refused("no replacement peer connected"));
}

/// Anything that changes nodes or where streams live.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, u32),
    Scale(u8, u32),
    Admit(u128),
    Leave(u128),
    Remove(u128, bool),
    TakeAway(u8, u128),
    NextMove,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 1..=5_u32).prop_map(|(name, replicas)| Step::Create(name, replicas)),
        2 => (0..6_u8, 1..=5_u32).prop_map(|(name, replicas)| Step::Scale(name, replicas)),
        4 => (1..8_u128).prop_map(Step::Admit),
        1 => (1..8_u128).prop_map(Step::Leave),
        1 => (1..8_u128, any::<bool>()).prop_map(|(id, force)| Step::Remove(id, force)),
        1 => (0..6_u8, 1..8_u128).prop_map(|(name, id)| Step::TakeAway(name, id)),
        2 => Just(Step::NextMove),
    ]
}

/// The command of a step, if the state lets it be proposed.
fn command(meta: &Meta, step: &Step) -> Option<MetaCommand> {
    let (at, peers) = (AT, Vec::new());
    let config = |name: &u8, replicas: &u32| Box::new(config(&format!("S{name}"), *replicas, &[]));
    let command = match step {
        Step::Create(name, replicas) => MetaCommand::CreateStream {
            config: config(name, replicas),
            at,
            peers,
        },
        Step::Scale(name, replicas) => MetaCommand::UpdateStream {
            config: config(name, replicas),
            at,
            peers,
        },
        Step::Admit(id) => MetaCommand::AdmitNode {
            node: Node {
                id: NodeId(*id),
                name: format!("n{id}"),
                tags: Vec::new(),
                limits: ByStorage::default(),
                used: ByStorage::default(),
            },
            at,
        },
        Step::Leave(id) => MetaCommand::EvacuateNode {
            node: NodeId(*id),
            leaving: true,
            at,
        },
        Step::Remove(id, force) => MetaCommand::RemoveNode {
            node: NodeId(*id),
            force: *force,
            at,
        },
        Step::TakeAway(name, id) => meta
            .without_peer(&format!("S{name}"), NodeId(*id), &view(), at)
            .ok()?,
        Step::NextMove => meta.next_move(&view(), at)?,
    };
    meta.check(command, &view()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..Default::default() })]

    /// Commands are applied late, after others, as they are between a proposer and its log.
    #[test]
    fn peers_are_always_nodes_and_every_replica_knows_the_same(
        steps in prop::collection::vec((step(), any::<bool>()), 1..40),
    ) {
        let mut meta = cluster(&[&[]]);
        let mut log = Vec::new();
        let mut late: Vec<MetaCommand> = Vec::new();
        let begun = meta.clone();
        for (step, is_late) in steps {
            let Some(command) = command(&meta, &step) else {
                continue;
            };
            late.push(command);
            if is_late {
                continue;
            }
            for command in late.drain(..) {
                log.push(command.clone());
                apply(&mut meta, command);
                for (name, entry) in meta.iter() {
                    let distinct: BTreeSet<_> = entry.peers.iter().collect();
                    prop_assert_eq!(distinct.len(), entry.peers.len(), "{}", name);
                    prop_assert!(entry.peers.iter().all(|peer| meta.node(*peer).is_some()));
                    prop_assert!(entry.peers.len() <= replicas_of(&entry.config), "{}", name);
                }
                prop_assert!(!meta.is_alone(), "the last node stays");
            }
        }
        let mut replica = begun;
        for (index, command) in (replica.applied().0 + 1..).zip(log) {
            let snapshot = replica.snapshot();
            replica = Meta::restore(snapshot, replica.limits().clone()).unwrap();
            replica.apply(LogIndex(index), command);
        }
        prop_assert_eq!(replica.snapshot(), meta.snapshot());
    }
}
