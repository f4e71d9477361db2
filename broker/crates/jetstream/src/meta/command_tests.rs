//! The stored form of meta commands, today's and that of earlier builds.

use super::*;
use crate::{ByStorage, Limits};

fn config() -> Box<StreamConfig> {
    let config = StreamConfig {
        name: "A".into(),
        ..StreamConfig::default()
    };
    Box::new(config.checked(&Limits::default()).unwrap())
}

fn node() -> Node {
    Node {
        id: NodeId(u128::MAX),
        name: "n1".into(),
        tags: vec!["zone:a".into()],
        limits: ByStorage {
            file: Some(9),
            memory: None,
        },
        used: ByStorage { file: 4, memory: 0 },
    }
}

fn of_a_node_alone() -> Vec<MetaCommand> {
    let at = Timestamp::from_unix_nanos(5);
    vec![
        MetaCommand::CreateStream {
            config: config(),
            at,
            peers: Vec::new(),
        },
        MetaCommand::UpdateStream {
            config: config(),
            at,
            peers: Vec::new(),
        },
        MetaCommand::DeleteStream {
            name: "A".into(),
            at,
        },
    ]
}

fn of_a_cluster() -> Vec<MetaCommand> {
    let at = Timestamp::from_unix_nanos(5);
    let peers = vec![NodeId(7), NodeId(u128::MAX)];
    vec![
        MetaCommand::CreateStream {
            config: config(),
            at,
            peers: peers.clone(),
        },
        MetaCommand::UpdateStream {
            config: config(),
            at,
            peers: peers.clone(),
        },
        MetaCommand::MoveStream {
            name: "A".into(),
            was: peers,
            peers: vec![NodeId(1)],
            at,
        },
        MetaCommand::AdmitNode { node: node(), at },
        MetaCommand::UpdateNode { node: node(), at },
        MetaCommand::EvacuateNode {
            node: NodeId(7),
            leaving: true,
            at,
        },
        MetaCommand::RemoveNode {
            node: NodeId(7),
            force: false,
            at,
        },
    ]
}

fn encoded(commands: &[MetaCommand]) -> BytesMut {
    let mut buffer = BytesMut::new();
    for command in commands {
        command.encode(&mut buffer);
    }
    buffer
}

fn versions(commands: &[MetaCommand]) -> Vec<u8> {
    let version = |command: &MetaCommand| encoded(std::slice::from_ref(command))[LENGTH_BYTES];
    commands.iter().map(version).collect()
}

#[test]
fn records_back_to_back_come_back() {
    let commands = [of_a_node_alone(), of_a_cluster()].concat();
    let decoded: Result<Vec<_>, _> = MetaCommand::decode_all(encoded(&commands).freeze()).collect();
    assert_eq!(decoded.unwrap(), commands);
}

#[test]
fn only_what_names_nodes_has_version_2() {
    assert_eq!(versions(&of_a_node_alone()), [1; 3]);
    assert_eq!(versions(&of_a_cluster()), [2; 7]);
}

/// Written by the build before nodes were known: stream `A` is created and updated, `B` deleted.
const VERSION_1: &[u8] = include_bytes!("../../testdata/stored/meta_commands_v1.bin");

#[test]
fn records_of_version_1_are_read_and_written_as_they_were() {
    let decoded: Result<Vec<_>, _> =
        MetaCommand::decode_all(Bytes::from_static(VERSION_1)).collect();
    let decoded = decoded.unwrap();
    let [
        MetaCommand::CreateStream { config, peers, .. },
        MetaCommand::UpdateStream {
            config: updated, ..
        },
        MetaCommand::DeleteStream { name, .. },
    ] = &decoded[..]
    else {
        panic!("{decoded:?}");
    };
    assert_eq!((config.name.as_str(), &peers[..]), ("A", &[][..]));
    assert_eq!((updated.max_msgs, name.as_str()), (7, "B"));
    assert_eq!(encoded(&decoded), VERSION_1);
}

#[test]
fn cut_and_foreign_records_are_errors_and_end_the_reading() {
    let commands = [of_a_node_alone(), of_a_cluster()].concat();
    let whole = encoded(&commands).freeze();
    for cut in 1..whole.len() {
        let decoded: Vec<_> = MetaCommand::decode_all(whole.slice(..cut)).collect();
        assert!(decoded.len() <= commands.len());
        assert!(
            decoded.iter().rev().skip(1).all(Result::is_ok),
            "cut at {cut}"
        );
    }
    for version in [0, 3, 9] {
        let mut foreign = encoded(&commands);
        foreign[LENGTH_BYTES] = version;
        let decoded: Vec<_> = MetaCommand::decode_all(foreign.freeze()).collect();
        assert!(
            matches!(decoded[..], [Err(MetaCommandError::Version(found))] if found == version),
            "{decoded:?}"
        );
    }
}
