//! The `cluster` section of answers, held against the published schemas.

use std::time::Duration;

use hitherto_jetstream::api::{
    ClusterInfo, ConsumerInfo, Response, ResponseKind, SequenceInfo, StreamInfo, StreamState,
};
use hitherto_jetstream::{
    ByStorage, ClusterView, ConsumerConfig, GroupView, Limits, Meta, MetaCommand, Node, NodeId,
    PeerView, StreamConfig,
};
use hitherto_protocol::Timestamp;

const AT: Timestamp = Timestamp::from_unix_nanos(1_790_000_000_123_000_000);

/// Of a stream on three nodes: one leads, one follows, one is gone.
fn cluster_info() -> ClusterInfo {
    let limits = Limits {
        replicas_max: 5,
        ..Limits::default()
    };
    let mut meta = Meta::new(limits);
    let mut view = ClusterView {
        name: "C1".into(),
        ..ClusterView::default()
    };
    let admit = |id: u128| MetaCommand::AdmitNode {
        node: Node {
            id: NodeId(id),
            name: format!("N{id}"),
            tags: Vec::new(),
            limits: ByStorage::default(),
            used: ByStorage::default(),
        },
        at: AT,
    };
    let create = MetaCommand::CreateStream {
        config: Box::new(stream_config()),
        at: AT,
        peers: Vec::new(),
    };
    for command in [admit(1), admit(2), admit(3), create] {
        let command = meta.check(command, &view).unwrap();
        meta.apply(meta.applied().next(), command);
    }
    view.offline.insert(NodeId(3));
    let group = GroupView {
        leader: Some(NodeId(1)),
        leader_since: Some(AT),
        peers: vec![PeerView {
            node: NodeId(2),
            lag: 3,
            last_contact: Some(Duration::from_millis(7)),
        }],
    };
    let entry = meta.find("S").unwrap();
    meta.cluster_info(entry, &group, &view).unwrap()
}

fn stream_config() -> StreamConfig {
    StreamConfig {
        name: "S".into(),
        num_replicas: 3,
        ..StreamConfig::default()
    }
}

/// Checks the answer and returns its text.
fn checked<T: serde::Serialize>(kind: ResponseKind, body: T) -> String {
    let said = Response::new(kind, Ok(body)).to_bytes();
    hitherto_schemas::check(&said);
    String::from_utf8(said.to_vec()).unwrap()
}

#[test]
fn a_stream_on_three_nodes_is_shown_as_published() {
    let info = StreamInfo {
        config: stream_config().for_reply(),
        created: AT,
        state: StreamState::default(),
        cluster: Some(cluster_info()),
        ts: AT,
        did_create: false,
    };
    let said = checked(ResponseKind::StreamInfo, info);
    let gone = r#"{"name":"N3","current":false,"offline":true,"active":0,"peer":"00000000000000000000000000000003"}"#;
    assert!(said.contains(gone), "{said}");
}

#[test]
fn its_consumer_is_shown_where_it_lives() {
    let stream = stream_config();
    let config = ConsumerConfig {
        durable_name: Some("c".into()),
        num_replicas: 3,
        ..ConsumerConfig::default()
    };
    let info = ConsumerInfo {
        stream_name: "S".into(),
        name: "c".into(),
        created: AT,
        config: config.checked(&stream).unwrap().for_reply(),
        delivered: SequenceInfo::default(),
        ack_floor: SequenceInfo::default(),
        num_ack_pending: 0,
        num_redelivered: 0,
        num_waiting: 0,
        num_pending: 0,
        cluster: Some(cluster_info()),
        push_bound: false,
        paused: false,
        pause_remaining: None,
        ts: AT,
    };
    let said = checked(ResponseKind::ConsumerInfo, info);
    assert!(
        said.contains(r#""raft_group":"S-R3F-00000001","leader":"N1""#),
        "{said}"
    );
}
