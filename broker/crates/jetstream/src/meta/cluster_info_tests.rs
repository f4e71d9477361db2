//! The `cluster` section of infos, beside that of three nats-server 2.15.

use super::super::{MetaCommand, MetaOutcome, Node};
use super::*;
use crate::{ByStorage, Limits};

const AT: Timestamp = Timestamp::from_unix_nanos(1_790_000_000_123_000_000);

fn view() -> ClusterView {
    ClusterView {
        name: "C1".into(),
        ..ClusterView::default()
    }
}

fn cluster() -> Meta {
    let limits = Limits {
        replicas_max: 5,
        ..Limits::default()
    };
    let mut meta = Meta::new(limits);
    for id in 1..=3 {
        let node = Node {
            id: NodeId(id),
            name: format!("N{id}"),
            tags: Vec::new(),
            limits: ByStorage::default(),
            used: ByStorage::default(),
        };
        meta.apply(
            meta.applied().next(),
            MetaCommand::AdmitNode { node, at: AT },
        );
    }
    meta
}

fn created(meta: &mut Meta, num_replicas: u32, storage: Storage) -> StreamEntry {
    let config = StreamConfig {
        name: format!("S{num_replicas}"),
        num_replicas,
        storage,
        ..StreamConfig::default()
    };
    let command = MetaCommand::CreateStream {
        config: Box::new(config.clone()),
        at: AT,
        peers: Vec::new(),
    };
    let command = meta.check(command, &view()).unwrap();
    let outcome = meta.apply(meta.applied().next(), command);
    assert!(
        matches!(outcome, MetaOutcome::Created { .. }),
        "{outcome:?}"
    );
    meta.find(&config.name).unwrap().clone()
}

fn heard(node: u128, lag: u64, ago: Option<u64>) -> PeerView {
    PeerView {
        node: NodeId(node),
        lag,
        last_contact: ago.map(Duration::from_millis),
    }
}

#[test]
fn the_other_peers_are_shown_as_the_leader_sees_them() {
    let mut meta = cluster();
    let entry = created(&mut meta, 3, Storage::File);
    let mut group = GroupView {
        leader: Some(NodeId(2)),
        leader_since: Some(AT),
        peers: vec![heard(1, 0, Some(250)), heard(3, 7, Some(1))],
    };
    let info = meta.cluster_info(&entry, &group, &view()).unwrap();
    assert_eq!(
        serde_json::to_string(&info).unwrap(),
        concat!(
            r#"{"name":"C1","raft_group":"S-R3F-00000001","leader":"N2","#,
            r#""leader_since":"2026-09-21T14:13:20.123Z","replicas":["#,
            r#"{"name":"N1","current":true,"active":250000000,"peer":"00000000000000000000000000000001"},"#,
            r#"{"name":"N3","current":false,"active":1000000,"lag":7,"peer":"00000000000000000000000000000003"}]}"#,
        )
    );

    let flags = |group: &GroupView, view: &ClusterView| {
        let info = meta.cluster_info(&entry, group, view).unwrap();
        let peers = info.replicas.into_iter();
        peers
            .map(|peer| (peer.name, peer.current, peer.offline))
            .collect::<Vec<_>>()
    };
    group.peers = vec![heard(1, 0, Some(2001)), heard(3, 0, None)];
    let of = |name: &str, current, offline| (name.to_owned(), current, offline);
    assert_eq!(
        flags(&group, &view()),
        [of("N1", false, false), of("N3", false, false)]
    );
    group.peers = vec![heard(1, 0, Some(2000)), heard(3, 0, Some(1))];
    let without_1 = ClusterView {
        offline: [NodeId(1)].into(),
        ..view()
    };
    assert_eq!(
        flags(&group, &without_1),
        [of("N1", false, true), of("N3", true, false)]
    );
    let leaderless = GroupView::default();
    assert_eq!(flags(&leaderless, &view()).len(), 3);
}

#[test]
fn one_copy_has_a_leader_and_no_group() {
    let mut meta = cluster();
    let entry = created(&mut meta, 1, Storage::File);
    let group = GroupView {
        leader: Some(entry.peers[0]),
        leader_since: Some(AT),
        peers: Vec::new(),
    };
    let info = meta.cluster_info(&entry, &group, &view());
    assert_eq!(
        serde_json::to_string(&info).unwrap(),
        r#"{"name":"C1","leader":"N1"}"#
    );
    let in_memory = created(&mut meta, 2, Storage::Memory);
    let info = meta.cluster_info(&in_memory, &GroupView::default(), &view());
    assert_eq!(
        info.and_then(|info| info.raft_group).as_deref(),
        Some("S-R2M-00000002")
    );
    let alone = Meta::new(Limits::default());
    assert_eq!(alone.cluster_info(&entry, &group, &view()), None);
}
