//! JetStream, which is each node's own for now: the node of a client answers for its own streams.

use std::time::Duration;

use bytes::Bytes;
use hitherto_broker::{Error, LocalClient, Subject, SubjectFilter};

use crate::harness::cluster;

const WAIT: Duration = Duration::from_secs(10);

async fn ask(client: &LocalClient, subject: &'static str, body: &'static str) -> String {
    let subject = Subject::new(subject).unwrap();
    let answer = client.request(subject, None, body.into(), WAIT).await;
    String::from_utf8(answer.unwrap().payload.to_vec()).unwrap()
}

#[tokio::test]
async fn one_node_answers_a_request_and_it_is_that_of_the_client() {
    let mut cluster = cluster(2).await;
    let [here, there] = [0, 1].map(|node: usize| cluster.nodes[node].client());
    let create = r#"{"name":"ORDERS","subjects":["orders.>"]}"#;
    let created = ask(&here, "$JS.API.STREAM.CREATE.ORDERS", create).await;
    assert!(created.contains("\"did_create\":true"), "{created}");
    cluster.settle().await;

    let inbox = here.new_inbox();
    let filter = SubjectFilter::new(inbox.as_str().to_owned()).unwrap();
    let mut answers = here.subscribe(filter, None).unwrap();
    cluster.settle().await;
    let info = Subject::new("$JS.API.STREAM.INFO.ORDERS").unwrap();
    here.publish(info, Some(inbox.clone()), None, Bytes::new())
        .await
        .unwrap();
    let answer = answers.next().await.unwrap();
    assert!(
        answer
            .payload
            .starts_with(br#"{"type":"io.nats.jetstream.api.v1.stream_info_response"#)
    );
    // The other node has not answered as well: what it would have said came before this.
    cluster.settle().await;
    here.publish(inbox, None, None, "last".into())
        .await
        .unwrap();
    assert_eq!(answers.next().await.unwrap().payload, "last");

    let info = ask(&there, "$JS.API.STREAM.INFO.ORDERS", "").await;
    assert!(info.contains("stream not found"), "{info}");
}

#[tokio::test]
async fn a_stream_takes_what_clients_of_its_node_publish() {
    let mut cluster = cluster(2).await;
    let [here, there] = [0, 1].map(|node: usize| cluster.nodes[node].client());
    let create = r#"{"name":"ORDERS","subjects":["orders.>"]}"#;
    ask(&here, "$JS.API.STREAM.CREATE.ORDERS", create).await;
    cluster.settle().await;
    let stored = ask(&here, "orders.1", "one").await;
    assert_eq!(stored, r#"{"stream":"ORDERS","seq":1}"#);
    let subject = || Subject::new("orders.2").unwrap();
    let refused = there.request(subject(), None, Bytes::new(), WAIT).await;
    assert!(
        matches!(refused, Err(Error::NoResponders { .. })),
        "{refused:?}"
    );

    // With a stream of the same name at the other node each takes its own.
    ask(&there, "$JS.API.STREAM.CREATE.ORDERS", create).await;
    cluster.settle().await;
    let stored = ask(&there, "orders.2", "two").await;
    assert_eq!(stored, r#"{"stream":"ORDERS","seq":1}"#);
    let stored = ask(&here, "orders.3", "three").await;
    assert_eq!(stored, r#"{"stream":"ORDERS","seq":2}"#);
}

#[tokio::test]
async fn a_push_consumer_delivers_to_a_client_of_another_node() {
    let mut cluster = cluster(2).await;
    let [here, there] = [0, 1].map(|node: usize| cluster.nodes[node].client());
    let filter = SubjectFilter::new("deliver.here").unwrap();
    let mut delivered = there.subscribe(filter, None).unwrap();
    cluster.settle().await;
    let create = r#"{"name":"ORDERS","subjects":["orders.>"]}"#;
    ask(&here, "$JS.API.STREAM.CREATE.ORDERS", create).await;
    ask(&here, "orders.1", "one").await;
    let consumer = r#"{"stream_name":"ORDERS","config":{"durable_name":"d","deliver_subject":"deliver.here","ack_policy":"explicit"}}"#;
    let created = ask(&here, "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.d", consumer).await;
    assert!(!created.contains("error"), "{created}");
    let message = delivered.next().await.unwrap();
    assert_eq!(
        (message.subject.as_str(), &message.payload[..]),
        ("orders.1", &b"one"[..])
    );
    let ack = message.reply.unwrap();
    assert!(ack.as_str().starts_with("$JS.ACK.ORDERS.d."), "{ack}");
}
