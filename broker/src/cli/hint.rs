//! What to do about an error, in one sentence.

use std::io::ErrorKind;
use std::net::SocketAddr;

use hitherto_broker::Error;
use hitherto_storage::Error as StoreError;

/// The way out of an error, where there is a usual one.
pub(super) fn for_error(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<Error>()? {
        Error::Listen { addr, source } => for_listen(*addr, source.kind()),
        Error::Store(StoreError::Io { source, .. }) => for_store(source.kind()),
        Error::Store(StoreError::Full { .. }) => {
            Some("Make room on the disk, or choose another one with --store-dir.".into())
        }
        Error::Store(StoreError::Locked { .. }) => Some(
            "Only one broker at a time may use a store. Stop the other one, or choose another folder \
             with --store-dir."
                .into(),
        ),
        _ => None,
    }
}

fn for_listen(addr: SocketAddr, kind: ErrorKind) -> Option<String> {
    match kind {
        ErrorKind::AddrInUse => Some(format!(
            "Another program listens on port {}. Stop it, choose another port with --port, or let the \
             system choose one with --port 0.",
            addr.port()
        )),
        ErrorKind::AddrNotAvailable => Some(format!(
            "This machine has no address {}. Try --host 127.0.0.1 or --host 0.0.0.0.",
            addr.ip()
        )),
        ErrorKind::PermissionDenied => {
            Some("Ports below 1024 are for privileged users. Try --port 4222.".into())
        }
        _ => None,
    }
}

fn for_store(kind: ErrorKind) -> Option<String> {
    let problem = match kind {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "This user may not write there."
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "A part of this path is a file.",
        _ => return None,
    };
    Some(format!(
        "{problem} Choose a folder of your own with --store-dir."
    ))
}
