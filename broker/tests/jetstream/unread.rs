//! Messages that cannot be read when it is their turn: what passes is waited for, what is damaged is passed
//! over, and neither leaves the stream for it.

use hitherto_platform::{Fault, FaultOn, FaultyDisk};
use serde_json::{Value, json};

use crate::damage;
use crate::harness::{JetStream, next, text};

/// A stream of 80 messages, the first of which lie in a segment, with a consumer.
async fn fill(disk: &FaultyDisk, retention: &str, consumer: Value) {
    let js = JetStream::on(disk).await;
    js.stream("S", &["s"], json!({ "retention": retention }))
        .await;
    js.consumer("S", "C", consumer).await;
    for number in 0..80 {
        js.publish("s", &format!("{number:04}{}", "x".repeat(2_000)))
            .await;
    }
    js.stop().await;
}

/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>...`
fn numbers(reply: &str) -> Vec<u64> {
    let numbers = reply.split('.').skip(4).take(3);
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_read_that_fails_for_a_while_is_no_delivery() {
    for (retention, acks) in [
        ("workqueue", json!({ "max_deliver": 1 })),
        ("interest", json!({ "ack_policy": "none" })),
    ] {
        let disk = FaultyDisk::new();
        fill(&disk, retention, acks).await;
        let js = JetStream::on(&disk).await;
        for on in [FaultOn::OpenRead, FaultOn::Read] {
            disk.arm(Fault::times(3, on, "seg-", Fault::TOO_MANY_OPEN_FILES));
        }
        let body = json!({ "batch": 1, "expires": 20_000_000_000_u64 });
        let mut pulled = js.pull("S", "C", body).await;
        let message = next(&mut pulled).await;
        assert!(text(&message).starts_with("0000"));
        let reply = message.reply.clone().unwrap();
        assert_eq!(numbers(reply.as_str()), [1, 1, 1], "{retention}");
        let info = js.consumer_info("S", "C").await;
        assert_eq!(info["num_pending"], 79, "{info}");
        if retention == "workqueue" {
            assert_eq!(js.state("S").await["messages"], 80);
            js.ack_sync(&message, "").await;
            assert_eq!(js.state("S").await["messages"], 79);
        }
        js.stop().await;
    }
}

#[tokio::test]
async fn a_damaged_message_stays_in_a_stream_whose_consumers_are_done_with_it() {
    for (retention, acks) in [
        ("workqueue", json!({})),
        ("interest", json!({ "ack_policy": "all" })),
        ("interest", json!({ "ack_policy": "none" })),
    ] {
        let disk = FaultyDisk::new();
        fill(&disk, retention, acks.clone()).await;
        disk.flip_bit(&damage::segment(&disk, 0), 5_000, 1).unwrap();
        let js = JetStream::on(&disk).await;
        let mut terminated = js.listen("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C");
        let mut delivered = 0;
        loop {
            let messages = js.fetch("S", "C", 200).await;
            if messages.is_empty() {
                break;
            }
            for message in &messages {
                if acks["ack_policy"] != "none" {
                    js.ack_sync(message, "").await;
                }
            }
            delivered += messages.len() as u64;
        }
        let advisory: Value = serde_json::from_slice(&next(&mut terminated).await.payload).unwrap();
        let reason = advisory["reason"].as_str().unwrap();
        assert!(reason.contains("damaged"), "{advisory}");
        let state = js.state("S").await;
        let lost = state["lost"]["msgs"].as_array().unwrap().len() as u64;
        assert!(lost > 0 && delivered + lost == 80, "{acks}: {state}");
        // Without acknowledgements messages go when the record of their delivery is written.
        let mut asked = 0;
        while js.state("S").await["messages"] != lost {
            asked += 1;
            assert!(asked < 10_000, "{acks}: {}", js.state("S").await);
        }
        let info = js.consumer_info("S", "C").await;
        let left = (&info["num_pending"], &info["num_ack_pending"]);
        assert_eq!(left, (&json!(0), &json!(0)), "{info}");
        js.stop().await;
    }
}
