//! Leases in virtual time, over a broker that only counts heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::BrokerError;
use crate::broker::transport::{Inbox, Incoming, Outgoing, Transport, TransportError};

/// A broker that counts heartbeats and answers them while it is well.
#[derive(Debug)]
struct Beats {
    count: AtomicUsize,
    answers: AtomicBool,
}

#[async_trait]
impl Transport for Beats {
    async fn request(&self, beat: Outgoing, wait: Duration) -> Result<Incoming, TransportError> {
        assert_eq!(
            (beat.subject.as_str(), beat.payload.as_ref()),
            ("ack", &b"+WPI"[..])
        );
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.answers.load(Ordering::Relaxed) {
            let (subject, reply, status) = (String::new(), None, None);
            let (description, headers, payload) = Default::default();
            return Ok(Incoming {
                subject,
                reply,
                status,
                description,
                headers,
                payload,
            });
        }
        tokio::time::sleep(wait).await;
        Err(TransportError::Timeout {
            subject: beat.subject,
            timeout: wait,
        })
    }

    async fn publish(&self, _: Outgoing) -> Result<(), TransportError> {
        unreachable!("a lease only sends requests")
    }

    async fn subscribe(&self, _: String) -> Result<Box<dyn Inbox>, TransportError> {
        unreachable!("a lease only sends requests")
    }

    fn new_inbox(&self) -> String {
        unreachable!("a lease only sends requests")
    }

    async fn shutdown(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

struct Scene {
    beats: Arc<Beats>,
    jetstream: JetStream,
    ack: AckSubject,
    settings: ConsumerSettings,
}

/// Ack wait 30 s, at most 2 minutes.
fn scene() -> Scene {
    let (count, answers) = (AtomicUsize::new(0), AtomicBool::new(true));
    let beats = Arc::new(Beats { count, answers });
    let transport: Arc<dyn Transport> = Arc::clone(&beats) as _;
    let jetstream = JetStream::over(transport);
    let settings = ConsumerSettings::new("test", Duration::from_secs(120));
    Scene {
        beats,
        jetstream,
        ack: AckSubject::new("ack"),
        settings,
    }
}

impl Scene {
    fn lease(&self) -> Lease<'_> {
        Lease::new(&self.jetstream, &self.ack, &self.settings)
    }

    fn count(&self) -> usize {
        self.beats.count.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn it_beats_every_third_of_ack_wait_and_ends_at_the_maximum() {
    let scene = scene();
    let began = Instant::now();
    assert_eq!(scene.lease().hold().await, LeaseEnd::Spent);
    assert_eq!(began.elapsed(), Duration::from_secs(120));
    assert_eq!(scene.count(), 11, "at 10 s, 20 s, .. 110 s");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_handler_stops_the_beats() {
    let scene = scene();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(25)) => {}
        end = scene.lease().hold() => panic!("{end:?}"),
    }
    assert_eq!(scene.count(), 2);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(scene.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_answers_it_is_lost_when_the_broker_redelivers() {
    let scene = scene();
    scene.beats.answers.store(false, Ordering::Relaxed);
    let began = Instant::now();
    assert_eq!(scene.lease().hold().await, LeaseEnd::Lost);
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_back_in_time_keep_it() {
    let scene = scene();
    scene.beats.answers.store(false, Ordering::Relaxed);
    let recover = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        scene.beats.answers.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = scene.lease().hold() => assert_eq!(end, LeaseEnd::Spent),
        () = recover => {}
    }
}
