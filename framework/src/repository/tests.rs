//! Appends whose fate is unknown, over a transport that loses messages on one side or the other.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::broker::transport::{Inbox, Incoming, Outgoing, Transport, TransportError};
use crate::{App, Broker, BrokerError, CommandId, Id, RunningApp, aggregate, event};

#[event(context = "lossy", aggregate = "counter")]
enum CounterEvent {
    Added { by: u32 },
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

#[derive(Debug, Default, Clone, PartialEq)]
struct Counter {
    sum: u32,
}

struct Add(Vec<u32>);

#[aggregate(event = CounterEvent, rejection = Never)]
impl Counter {
    fn evolve(&mut self, CounterEvent::Added(added): &CounterEvent) {
        self.sum += added.by;
    }

    #[decide(upsert)]
    fn add(&self, command: &Add) -> Result<Vec<Added>, Never> {
        Ok(command.0.iter().map(|by| Added { by: *by }).collect())
    }
}

const WELL: u8 = 0;
/// The broker stores the append, its answer is lost.
const LOSE_ANSWERS: u8 = 1;
/// The append never arrives.
const LOSE_REQUESTS: u8 = 2;

/// Loses what belongs to appends; everything else passes.
#[derive(Debug)]
struct Lossy {
    inner: Arc<dyn Transport>,
    loses: Arc<AtomicU8>,
}

#[async_trait]
impl Transport for Lossy {
    async fn request(&self, message: Outgoing, wait: Duration) -> Result<Incoming, TransportError> {
        let loses = match message.subject.starts_with("lossy.") {
            true => self.loses.load(Ordering::Relaxed),
            false => WELL,
        };
        let subject = message.subject.clone();
        if loses != LOSE_REQUESTS {
            let answer = self.inner.request(message, wait).await;
            if loses == WELL {
                return answer;
            }
        }
        Err(TransportError::Timeout {
            subject,
            timeout: wait,
        })
    }

    async fn publish(&self, message: Outgoing) -> Result<(), TransportError> {
        self.inner.publish(message).await
    }

    async fn subscribe(&self, subject: String) -> Result<Box<dyn Inbox>, TransportError> {
        self.inner.subscribe(subject).await
    }

    fn new_inbox(&self) -> String {
        self.inner.new_inbox()
    }

    async fn shutdown(&self) -> Result<(), BrokerError> {
        self.inner.shutdown().await
    }
}

async fn start() -> (RunningApp, Arc<AtomicU8>) {
    let inner = Broker::in_memory().await.unwrap().transport;
    let loses = Arc::new(AtomicU8::new(WELL));
    let transport = Lossy {
        inner,
        loses: Arc::clone(&loses),
    };
    let app = App::new(Broker {
        transport: Arc::new(transport),
    });
    (app.aggregate::<Counter>().start().await.unwrap(), loses)
}

async fn add(
    app: &RunningApp,
    command_id: &CommandId,
    numbers: &[u32],
) -> Result<Executed<CounterEvent>, ExecuteError<Never>> {
    let id = Id::new("c-1").unwrap();
    app.execute::<Counter, _>(&id, command_id.clone(), Add(numbers.to_vec()))
        .await
}

async fn sum(app: &RunningApp) -> u32 {
    app.load::<Counter>(&Id::new("c-1").unwrap())
        .await
        .unwrap()
        .state
        .sum
}

#[tokio::test]
async fn a_lost_answer_is_found_in_the_log() {
    for numbers in [&[5][..], &[2, 3]] {
        let (app, loses) = start().await;
        let command_id = CommandId::random();
        loses.store(LOSE_ANSWERS, Ordering::Relaxed);
        let done = add(&app, &command_id, numbers).await.unwrap();
        assert_eq!((done.events.len(), done.duplicate), (numbers.len(), false));
        loses.store(WELL, Ordering::Relaxed);
        let again = add(&app, &command_id, numbers).await.unwrap();
        assert!(again.duplicate);
        assert_eq!(again.version, done.version);
        add(&app, &CommandId::random(), &[1]).await.unwrap();
        assert_eq!(sum(&app).await, 6);
    }
}

#[tokio::test]
async fn a_lost_append_is_unknown_and_safe_to_send_again() {
    for numbers in [&[5][..], &[2, 3]] {
        let (app, loses) = start().await;
        let command_id = CommandId::random();
        loses.store(LOSE_REQUESTS, Ordering::Relaxed);
        let error = add(&app, &command_id, numbers).await.unwrap_err();
        assert!(matches!(&error, ExecuteError::Unknown { command_id: id } if *id == command_id));
        assert!(error.is_retryable() && !error.certainly_not_written());
        loses.store(WELL, Ordering::Relaxed);
        let done = add(&app, &command_id, numbers).await.unwrap();
        assert!(!done.duplicate);
        assert_eq!(sum(&app).await, 5);
    }
}
