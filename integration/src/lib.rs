//! The harness of the black-box tests and of the benchmark: it starts brokers as processes of their
//! own and talks to them over sockets only.
//!
//! It knows no crate of the broker and none of the framework, so a test in this package sees what a user
//! sees. Each test runs unchanged against two [`Kind`]s of server: ours, and a stock nats-server where
//! one is installed. Where it is not, those tests are [skipped](skip) and say so. Whatever our server
//! tells meanwhile is held against the published schemas, where `HITHERTO_JETSTREAM_SCHEMAS` names them.

pub mod client;
pub mod programs;
pub mod raw;
pub mod seed;
pub mod server;
pub mod skip;
pub mod tree;
mod wiretap;

pub use server::{Kind, Server};

/// Declares each named `async fn(&mut Server) -> anyhow::Result<()>` as two tests, one per
/// [`Kind`] of server, each with a server and a store of its own.
///
/// # Examples
///
/// ```no_run
/// use hitherto_integration::{Server, client, on_both_servers};
///
/// async fn a_new_stream_is_empty(server: &mut Server) -> anyhow::Result<()> {
///     let context = client::connect_jetstream(server).await?;
///     let stream = client::create_orders(&context).await?;
///     anyhow::ensure!(stream.cached_info().state.messages == 0);
///     Ok(())
/// }
///
/// on_both_servers!(a_new_stream_is_empty);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! on_both_servers {
    ($($rule:ident),+ $(,)?) => {
        mod hitherto {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $rule() {
                let kind = $crate::Kind::Hitherto;
                $crate::server::run(kind, async |server| super::$rule(server).await).await;
            })+
        }

        mod nats_server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $rule() {
                let kind = $crate::Kind::NatsServer;
                $crate::server::run(kind, async |server| super::$rule(server).await).await;
            })+
        }
    };
}
