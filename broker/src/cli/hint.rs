//! What to do about an error, in one sentence.

use std::io::ErrorKind;

use hitherto_broker::Error;

/// The way out of an error, where there is a usual one.
pub(super) fn for_error(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<Error>()? {
        Error::Listen { addr, source } => match source.kind() {
            ErrorKind::AddrInUse => Some(format!(
                "Another program listens on port {}. Stop it, choose another port with --port, or let \
                 the system choose one with --port 0.",
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
        },
        Error::StoreDir { dir, source } => match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Some(format!(
                "This user may not write to {}. Choose a folder of your own with --store-dir.",
                dir.display()
            )),
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Some(format!(
                "A part of {} is a file. Choose a folder with --store-dir.",
                dir.display()
            )),
            ErrorKind::StorageFull => Some(format!(
                "The disk of {} is full. Make room, or choose another with --store-dir.",
                dir.display()
            )),
            _ => None,
        },
        Error::StoreLocked { .. } => Some(
            "Only one broker at a time may use a store. Stop the other one, or choose another folder \
             with --store-dir."
                .into(),
        ),
        _ => None,
    }
}
