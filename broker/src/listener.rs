//! Accepts client connections and owns their tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hitherto_platform::{Connection, Listener};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::{self, Environment};
use crate::stop::StopSignal;

/// Clients above `max_connections` that may be waiting for their `-ERR` at a time; more are just closed.
const REFUSALS_MAX: usize = 128;

/// A stopping node waits so long for the connections to write what they have.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// After a failed accept (out of file descriptors, most likely) the next one waits: 100 ms.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts until the doors are closed or the node stops, then waits for the connections to end. Dropping the future ends all of
/// them at once.
pub(crate) async fn run(
    listener: Box<dyn Listener>,
    environment: Arc<Environment>,
    mut doors_closed: StopSignal,
    mut stop: StopSignal,
) {
    let mut tasks = JoinSet::new();
    loop {
        // Accepting and joining are cancel safe; stopping ends the loop.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            () = stop.stopped() => break,
            () = doors_closed.stopped() => break,
        };
        match accepted {
            Ok((connection, peer)) => {
                admit(&mut tasks, &environment, &stop, connection, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    // In lame duck mode the connections there are live on. Joining is cancel safe.
    loop {
        tokio::select! {
            _ = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.stopped() => break,
        }
    }
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    timeout(CLOSE_WAIT, all_ended).await.ok();
}

fn admit(
    tasks: &mut JoinSet<()>,
    environment: &Arc<Environment>,
    stop: &StopSignal,
    connection: Box<dyn Connection>,
    peer: SocketAddr,
) {
    let environment = Arc::clone(environment);
    let connections_max = environment.settings().limits.connections_max;
    if tasks.len() < connections_max {
        tasks.spawn(connection::serve(
            environment,
            connection,
            peer,
            stop.clone(),
        ));
    } else if tasks.len() < connections_max.saturating_add(REFUSALS_MAX) {
        tracing::warn!(%peer, "maximum connections exceeded");
        tasks.spawn(connection::refuse(environment, connection, peer));
    }
}
