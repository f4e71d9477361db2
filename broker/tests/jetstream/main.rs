//! JetStream through the in-process client: what a program sees of streams and consumers, over restarts
//! and on a disk that fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod audit;
mod batches;
mod consumers;
mod damage;
mod faults;
mod harness;
mod keeper;
mod push;
mod reads;
mod relaxed;
mod restarts;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod torture;
mod unread;
