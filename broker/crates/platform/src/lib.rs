//! The outside world as traits: time, randomness, network and disk.
//!
//! Everything above this crate reaches the operating system through [`Clock`], [`Entropy`],
//! [`Net`] and [`Disk`] only, so that tests and the simulator can replace each of them. Every
//! trait comes with its real version and a twin for tests: [`SystemClock`] and [`ManualClock`],
//! [`SystemEntropy`] and [`SeededEntropy`], [`TcpNet`] and [`MemoryNet`], [`RealDisk`] and
//! [`FaultyDisk`].
//!
//! This crate knows no other crate of the workspace: no subjects, no streams, no file formats.

#![forbid(unsafe_code)]

mod clock;
mod disk;
mod entropy;
mod net;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{
    Counters, DURABLE_WRITE_ALIGN, DirEntry, Disk, DiskDir, DiskFile, DiskLock, Fault, FaultOn,
    FaultyDisk, OpenMode, OverlayDisk, RealDisk, SECTOR_BYTES,
};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use net::Net;
pub use net::{Connection, Listener, MemoryNet, ReadHalf, TcpNet, TryWrite, WriteHalf};
