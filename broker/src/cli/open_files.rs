//! How many files the process may have open, and how many clients that leaves room for.
//!
//! The usual soft limit of 1,024 is far below the default of 65,536 connections. nats-server's documentation has
//! the operator raise it; here the process raises it itself, as far as the hard limit lets it. Clients may not
//! take all of it: without a descriptor the store cannot make files.

use hitherto_broker::config::{MAX_CONNECTIONS, ServerOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the open files so many parts of 4 are for clients; the rest is for the store, monitoring, and clients
/// that are being refused.
const CLIENT_QUARTERS: u64 = 3;

/// The limit of the process.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenFiles {
    /// `None` means any number.
    limit: Option<u64>,
}

impl OpenFiles {
    /// Raises the soft limit to the hard one.
    pub(super) fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = Rlimit {
            current: maximum,
            maximum,
        };
        let limit = match setrlimit(Resource::Nofile, wanted) {
            Ok(()) => maximum,
            Err(error) => {
                tracing::warn!(%error, ?current, ?maximum, "cannot raise the limit of open files");
                current
            }
        };
        Self { limit }
    }

    /// Lets no more clients in than there is room for.
    pub(super) fn hold(self, options: &mut ServerOptions) {
        let Some(limit) = self.limit else {
            return;
        };
        let room = usize::try_from(limit / 4 * CLIENT_QUARTERS).unwrap_or(usize::MAX);
        match options.limit_connections(room.max(1)) {
            None => {}
            // Nobody asked for so many.
            Some(MAX_CONNECTIONS) => {
                tracing::info!("{limit} open files leave room for {room} client connections");
            }
            Some(wanted) => tracing::warn!(
                "{limit} open files leave room for {room} client connections, not for the {wanted} of max_connections; \
                 raise the hard limit, for example by `ulimit -Hn` or LimitNOFILE"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_three_quarters_of_the_open_files_and_no_more_than_configured() {
        let connections = |limit, configured| {
            let mut options = ServerOptions::default();
            options.limit_connections(configured);
            OpenFiles { limit }.hold(&mut options);
            options.limit_connections(0)
        };
        assert_eq!(connections(Some(1024), usize::MAX), Some(768));
        assert_eq!(connections(Some(1024), 10), Some(10));
        assert_eq!(connections(Some(1_048_576), usize::MAX), Some(65_536));
        assert_eq!(connections(None, 10), Some(10));
    }
}
