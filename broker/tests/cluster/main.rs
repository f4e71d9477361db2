//! Nodes of a cluster in one process, linked over loopback: what clients and watchers see of it.
//!
//! | file | what |
//! |---|---|
//! | `harness` | nodes that are linked, and waiting until they know of each other |
//! | `messages` | publish and subscribe, queue groups, requests, over all nodes |
//! | `joining` | who finds whom, who is refused, who leaves and comes back |
//! | `encrypted` | links by TLS |
//! | `watching` | INFO, monitoring, the system account |
//! | `replicated` | streams, over nodes that end and come back |

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod encrypted;
mod harness;
mod joining;
mod messages;
mod replicated;
#[path = "../support/mod.rs"]
mod support;
mod watching;
