//! Who is taken and who is not.

use hitherto_platform::SeededEntropy;
use hitherto_protocol::link::Versions;

use super::*;

/// Nodes in the order of their ids.
fn ids() -> [NodeId; 3] {
    let entropy = SeededEntropy::new(7);
    let mut ids = [(); 3].map(|()| NodeId::new(&entropy));
    ids.sort();
    ids
}

fn identity(node: NodeId, name: &str) -> Identity {
    Identity {
        node,
        server_id: format!("N{name}"),
        server_name: name.into(),
        cluster: "c".into(),
        accounts: vec!["$G".into(), "$SYS".into()],
    }
}

fn hello(of: &Identity) -> Hello {
    Hello {
        versions: VERSIONS,
        cluster: of.cluster.clone(),
        node_id: of.node.to_string(),
        server_id: of.server_id.clone(),
        server_name: of.server_name.clone(),
        version: String::new(),
        accounts: of.accounts.clone(),
        link_address: String::new(),
        client_urls: Vec::new(),
        lame_duck: false,
        jetstream: true,
        met_at: String::new(),
        capabilities: Vec::new(),
        cluster_id: None,
        credentials: None,
    }
}

#[test]
fn a_node_of_the_same_cluster_fits() {
    let [low, high, _] = ids();
    let (own, other) = (identity(low, "one"), identity(high, "two"));
    let mark = own.fit(&hello(&other), true).unwrap();
    assert_eq!((mark.node, mark.dialed), (high, true));
}

#[test]
fn nodes_that_do_not_fit_are_told_why() {
    let [low, high, _] = ids();
    let (own, other) = (identity(low, "one"), identity(high, "two"));
    let refused = |change: fn(&mut Hello, &Identity)| {
        let mut hello = hello(&other);
        change(&mut hello, &own);
        own.fit(&hello, false).unwrap_err()
    };
    let same = refused(|hello, own| hello.server_id.clone_from(&own.server_id));
    assert_eq!(same.kind, RefusalKind::SameProcess);
    let version = refused(|hello, _| hello.versions = Versions { min: 90, max: 91 });
    assert_eq!(version.kind, RefusalKind::Version);
    assert!(version.text.contains("90 to 91"), "{}", version.text);
    for (change, text) in [
        (
            (|hello, _| hello.cluster = "d".into()) as fn(&mut Hello, &Identity),
            r#"node "two" is in cluster "d", this one in "c""#,
        ),
        (|hello, _| hello.node_id = "x".into(), "has no node id"),
        (
            |hello, own| hello.node_id = own.node.to_string(),
            "copies of one store",
        ),
        (
            |hello, own| hello.server_name.clone_from(&own.server_name),
            "another node has the name",
        ),
        (|hello, _| drop(hello.accounts.pop()), "has the accounts"),
    ] {
        let refusal = refused(change);
        assert_eq!(refusal.kind, RefusalKind::Misfit);
        assert!(refusal.text.contains(text), "{}", refusal.text);
    }
}

#[test]
fn of_two_links_made_at_once_both_ends_keep_the_same_one() {
    let [low, high, _] = ids();
    let (low, high) = (identity(low, "low"), identity(high, "high"));
    // For each end: the link that the node `low` made, and the one that `high` made.
    for (own, other, own_is_low) in [(&low, &high, true), (&high, &low, false)] {
        let by_low = own.fit(&hello(other), own_is_low).unwrap();
        let by_high = own.fit(&hello(other), !own_is_low).unwrap();
        let placed = own.place(&by_low, [&by_high].into_iter(), 8);
        assert_eq!(placed, Ok(Placement::Replaces));
        let placed = own.place(&by_high, [&by_low].into_iter(), 8);
        assert_eq!(placed.unwrap_err().kind, RefusalKind::Linked);
    }
}

#[test]
fn who_connects_again_or_was_started_anew_is_let_in() {
    let [low, high, _] = ids();
    let (own, other) = (identity(low, "low"), identity(high, "high"));
    let link = own.fit(&hello(&other), false).unwrap();
    let again = link.clone();
    let placed = own.place(&again, [&link].into_iter(), 8);
    assert_eq!(placed, Ok(Placement::Replaces));
    let link = own.fit(&hello(&other), true).unwrap();
    let mut anew = own.fit(&hello(&other), false).unwrap();
    anew.server_id = "Nanew".into();
    let placed = own.place(&anew, [&link].into_iter(), 8);
    assert_eq!(placed, Ok(Placement::Replaces));
}

#[test]
fn a_second_address_of_a_node_leads_to_no_second_link() {
    let [low, high, _] = ids();
    for (own, other) in [(low, high), (high, low)] {
        let own = identity(own, "own");
        let link = own.fit(&hello(&identity(other, "other")), true).unwrap();
        let again = link.clone();
        let placed = own.place(&again, [&link].into_iter(), 8);
        assert_eq!(placed.unwrap_err().kind, RefusalKind::Linked);
    }
}

#[test]
fn names_and_ids_are_unique_and_the_number_of_nodes_is_bounded() {
    let [low, high, third] = ids();
    let own = identity(low, "low");
    let link = own.fit(&hello(&identity(high, "high")), true).unwrap();
    let namesake = own.fit(&hello(&identity(third, "high")), true).unwrap();
    let refused = own.place(&namesake, [&link].into_iter(), 8).unwrap_err();
    assert!(
        refused.text.contains("there is a node \"high\""),
        "{}",
        refused.text
    );

    let copy = own.fit(&hello(&identity(high, "copy")), false).unwrap();
    let refused = own.place(&copy, [&link].into_iter(), 8).unwrap_err();
    assert!(
        refused.text.contains("copies of one store"),
        "{}",
        refused.text
    );

    let other = own.fit(&hello(&identity(third, "third")), true).unwrap();
    assert_eq!(
        own.place(&other, [&link].into_iter(), 2),
        Ok(Placement::New)
    );
    let refused = own.place(&other, [&link].into_iter(), 1).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Full);
}
