//! Raft groups on nodes of one process: crashes, power cuts, partitions, slow nodes, changes of voters and
//! snapshots; after each, every acknowledged record is there once, at its index, on every node.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a test says its seed")]

mod cluster;

use std::time::Duration;

use hitherto_cluster::{GroupError, Inbox, Log as _, NodeId, RaftOptions};
use hitherto_jetstream::LogIndex;

use self::cluster::{Cluster, Fate, GROUP};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_committed_in_one_order_on_all_nodes() {
    let mut cluster = Cluster::start(1, 3);
    cluster.propose(3_000).await;
    cluster.check(3_001).await;
    let leader = cluster.leader().await;
    let read = cluster.log(leader).read_index(GROUP).await.unwrap();
    let last = *cluster.told.lock().known.last_key_value().unwrap().0;
    assert_eq!(read, LogIndex(last));
    let status = cluster.status(leader).unwrap();
    assert_eq!(status.voters, [1, 2, 3].map(NodeId));
    assert_eq!(status.peers.len(), 2);
    assert!(
        status
            .peers
            .iter()
            .all(|peer| peer.lag == 0 && peer.last_contact.is_some())
    );
    let follower = NodeId(leader.0 % 3 + 1);
    assert!(
        !cluster.propose_at(follower),
        "only the leader takes records"
    );
    let refused = cluster.log(follower).read_index(GROUP).await.unwrap_err();
    assert_eq!(
        refused,
        GroupError::NotLeader {
            leader: Some(leader)
        }
    );
    // Many were under way: a batch holds more than one.
    assert!(last < 1_500, "{last} entries");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_power_is_cut_loses_nothing_acknowledged() {
    for seed in 0..4 {
        let mut cluster = Cluster::start(seed, 3);
        for _ in 0..3 {
            cluster.propose(100).await;
            cluster.settle().await;
            let leader = cluster.leader().await;
            // Some of these are under way when the power goes.
            for _ in 0..50 {
                cluster.propose_at(leader);
            }
            cluster.cut_power(leader).await;
            cluster.propose(50).await;
            cluster.settle().await;
            cluster.begin_life(leader);
        }
        cluster.check(450).await;
        cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_may_lose_their_power_at_once() {
    for seed in 10..16 {
        let mut cluster = Cluster::start(seed, 3);
        for round in 0..4 {
            cluster.propose(100).await;
            if round % 2 == 1 {
                cluster.settle().await;
            }
            let leader = cluster.leader().await;
            for _ in 0..50 {
                cluster.propose_at(leader);
            }
            for node in 1..=3 {
                cluster.nodes[&NodeId(node)].disk.cut_power_after(seed % 3);
            }
            for node in 1..=3 {
                cluster.cut_power(NodeId(node)).await;
            }
            for node in 1..=3 {
                cluster.begin_life(NodeId(node));
            }
        }
        cluster.check(200).await;
        cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_commits_nothing_and_follows_when_it_is_back() {
    for seed in 20..23 {
        let mut cluster = Cluster::start(seed, 3);
        cluster.propose(100).await;
        cluster.settle().await;
        let leader = cluster.leader().await;
        let others = (1..=3).map(NodeId).filter(|node| *node != leader);
        cluster.network.isolate(leader, others);
        let mut lonely = Vec::new();
        for _ in 0..20 {
            if cluster.propose_at(leader) {
                lonely.push(cluster.told.lock().fates.len() as u64);
            }
        }
        let log = std::sync::Arc::clone(cluster.log(leader));
        let read = tokio::time::timeout(Duration::from_secs(5), log.read_index(GROUP)).await;
        assert!(!matches!(read, Ok(Ok(_))), "no majority has confirmed it");
        let newer = |cluster: &Cluster| cluster.current_leader().filter(|newer| *newer != leader);
        cluster.until("another leader", newer).await;
        cluster.propose(100).await;
        cluster.check(200).await;
        for number in lonely {
            let fate = cluster.told.lock().fates[&number];
            assert!(!matches!(fate, Fate::Committed(_)), "{number}: {fate:?}");
        }
        cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hears_nothing_and_is_heard_does_not_depose_its_leader() {
    let mut cluster = Cluster::start(30, 3);
    cluster.propose(100).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let deaf = NodeId(leader.0 % 3 + 1);
    let term = cluster.status(leader).unwrap().leadership.term;
    cluster.network.cut(leader, deaf);
    for _ in 0..20 {
        cluster.propose(20).await;
        cluster.settle().await;
        let read = cluster.log(leader).read_index(GROUP).await;
        assert!(read.is_ok(), "{read:?}");
    }
    let deposed = cluster.status(leader).unwrap().leadership;
    assert_eq!((deposed.term, deposed.is_here), (term, true));
    cluster.check(500).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_far_behind_is_served_from_the_disk() {
    let options = RaftOptions {
        heartbeat: Duration::from_millis(60),
        election_timeout: Duration::from_millis(300),
        tail_bytes_max: 1_000,
        ..RaftOptions::default()
    };
    let mut cluster = Cluster::start_with(40, 3, options);
    cluster.propose(10).await;
    let leader = cluster.leader().await;
    let slow = NodeId(leader.0 % 3 + 1);
    cluster.network.cut(leader, slow);
    for _ in 0..30 {
        cluster.propose(100).await;
        cluster.settle().await;
    }
    cluster.network.heal();
    cluster
        .network
        .delay(leader, slow, Duration::from_millis(20));
    cluster.propose(100).await;
    cluster.check(3_110).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_lost_cost_time_and_nothing_else() {
    let mut cluster = Cluster::start(50, 3);
    cluster.leader().await;
    cluster.network.lose(30);
    for _ in 0..10 {
        cluster.propose(50).await;
        cluster.settle().await;
    }
    cluster.check(1).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_change_while_records_are_taken() {
    let mut cluster = Cluster::start(60, 3);
    cluster.propose(200).await;
    for joins in [4, 5] {
        let joins = NodeId(joins);
        cluster.add(joins);
        let leader = cluster.leader().await;
        let log = std::sync::Arc::clone(cluster.log(leader));
        log.add_learner(GROUP, joins).await.unwrap();
        assert_eq!(cluster.status(leader).unwrap().learners, [joins]);
        cluster.propose(100).await;
        // It and two others; of those who go, one may be the leader.
        let stay = (1..=3).map(NodeId).filter(|node| *node != leader).take(1);
        let voters: Vec<_> = stay.chain([leader, joins]).collect();
        log.change_voters(GROUP, voters.clone()).await.unwrap();
        let mut sorted = voters;
        sorted.sort_unstable();
        assert_eq!(cluster.status(leader).unwrap().voters, sorted);
        let goes: Vec<_> = cluster
            .nodes
            .keys()
            .copied()
            .filter(|node| !sorted.contains(node))
            .collect();
        for node in goes {
            cluster.cut_power(node).await;
            cluster.nodes.remove(&node);
        }
        cluster.propose(100).await;
        cluster.settle().await;
        if joins == NodeId(4) {
            // The next round looks for three nodes again.
            assert_eq!(cluster.nodes.len(), 3);
        }
    }
    cluster.check(600).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_hands_over_to_whom_it_is_told() {
    let mut cluster = Cluster::start(70, 3);
    cluster.propose(100).await;
    for _ in 0..4 {
        let leader = cluster.leader().await;
        let to = NodeId(leader.0 % 3 + 1);
        cluster
            .log(leader)
            .transfer_leader(GROUP, to)
            .await
            .unwrap();
        let handed = |cluster: &Cluster| cluster.current_leader().filter(|now| *now == to);
        cluster.until("the other leads", handed).await;
        cluster.propose(50).await;
        cluster.settle().await;
    }
    let leader = cluster.leader().await;
    let to = cluster.log(leader).step_down(GROUP).await.unwrap();
    let handed = |cluster: &Cluster| cluster.current_leader().filter(|now| *now == to);
    cluster.until("the other leads", handed).await;
    let nobody = cluster.log(to).transfer_leader(GROUP, NodeId(77)).await;
    assert_eq!(nobody, Err(GroupError::NoSuccessor));
    cluster.check(200).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lacks_what_is_gone_gets_a_snapshot() {
    let mut cluster = Cluster::start(80, 3);
    for _ in 0..300 {
        cluster.propose(2).await;
        cluster.settle().await;
    }
    let leader = cluster.leader().await;
    cluster.log(leader).compact(GROUP, 10).await.unwrap();
    let purged = |cluster: &Cluster| {
        let purged = cluster.status(leader)?.purged;
        (purged > LogIndex(100)).then_some(())
    };
    cluster.until("the log is gone", purged).await;
    let joins = NodeId(4);
    cluster.add(joins);
    let log = std::sync::Arc::clone(cluster.log(leader));
    log.add_learner(GROUP, joins).await.unwrap();
    assert!(
        *cluster.nodes[&joins].store.fetched.lock().unwrap() > 4_000,
        "it came as files"
    );
    cluster.propose(100).await;
    cluster.check(700).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_from_another_node_is_left_out() {
    let mut cluster = Cluster::start(90, 3);
    let leader = cluster.leader().await;
    let mut random = fastrand::Rng::with_seed(90);
    for len in 0..200 {
        let mut frame: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        if let Some(version) = frame.first_mut() {
            *version = 1;
        }
        cluster.log(leader).receive(NodeId(2), frame.into());
    }
    cluster.propose(10).await;
    cluster.check(10).await;
    cluster.shutdown().await;
}

/// Everything at once, as the seed says. `HITHERTO_RAFT_SEEDS=from..to` runs others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_acknowledged_records_are_there_once_and_in_order() {
    let seeds = std::env::var("HITHERTO_RAFT_SEEDS").unwrap_or_else(|_| "100..104".to_owned());
    let (from, to) = seeds.split_once("..").expect("from..to");
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        println!("seed {seed}");
        run_schedule(seed).await;
    }
}

async fn run_schedule(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let options = RaftOptions {
        heartbeat: Duration::from_millis(60),
        election_timeout: Duration::from_millis(300),
        tail_bytes_max: [0, 500, 1_000_000][random.usize(..3)],
        ..RaftOptions::default()
    };
    let mut cluster = Cluster::start_with(seed, 3, options);
    let all = [1, 2, 3].map(NodeId);
    let mut down = Vec::new();
    cluster.leader().await;
    for _ in 0..25 {
        let (node, other) = (all[random.usize(..3)], all[random.usize(..3)]);
        match random.u8(..16) {
            0 | 1 if !down.contains(&node) => {
                cluster.nodes[&node].disk.cut_power_after(random.u64(..6));
                cluster.cut_power(node).await;
                down.push(node);
            }
            2 | 3 => {
                for node in std::mem::take(&mut down) {
                    cluster.begin_life(node);
                }
            }
            4 => cluster.network.isolate(node, all),
            5 => cluster.network.cut(node, other),
            6 => cluster.network.lose(random.u32(..100)),
            7 => cluster
                .network
                .delay(node, other, Duration::from_millis(random.u64(..30))),
            8 => cluster.network.heal(),
            9 if !down.contains(&node) => {
                // Whatever comes of it.
                drop(cluster.log(node).transfer_leader(GROUP, other).await);
            }
            10 => {
                if let Some(leader) = cluster.current_leader() {
                    let log = std::sync::Arc::clone(cluster.log(leader));
                    let compacted = log.compact(GROUP, random.u64(..4));
                    drop(tokio::time::timeout(Duration::from_secs(1), compacted).await);
                }
            }
            11 if !down.contains(&node) => {
                let log = cluster.log(node);
                log.release(log.position());
            }
            12 => {
                let disk = &cluster.nodes[&node].disk;
                disk.set_capacity(random.bool().then(|| disk.used_bytes()));
            }
            _ => {}
        }
        for _ in 0..random.u32(..60) {
            if !down.contains(&node) {
                cluster.propose_at(node);
            }
            if let Some(leader) = cluster.current_leader() {
                cluster.propose_at(leader);
            }
            if random.u8(..8) == 0 {
                tokio::task::yield_now().await;
            }
        }
        // Lets something happen: until something is told, which may be at once, or for a while.
        let told = cluster.told.changed.notified();
        let while_at_most = Duration::from_millis(random.u64(1..200));
        drop(tokio::time::timeout(while_at_most, told).await);
        if random.bool() {
            let never = std::future::pending::<()>();
            drop(tokio::time::timeout(Duration::from_millis(random.u64(1..400)), never).await);
        }
    }
    cluster.network.heal();
    for node in cluster.nodes.values() {
        node.disk.set_capacity(None);
    }
    for node in down {
        cluster.begin_life(node);
    }
    cluster.check(1).await;
    cluster.shutdown().await;
}
