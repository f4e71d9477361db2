//! What every broker must do for the framework. `conformance.rs` runs each rule on each broker.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

pub(crate) mod brokers;
pub(crate) mod consumers;
pub(crate) mod domain;
pub(crate) mod execute;
pub(crate) mod flaky;
pub(crate) mod projections;
pub(crate) mod streams;
