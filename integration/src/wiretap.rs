//! Listens to what our server tells while a test runs, and holds all of it against the published schemas:
//! advisories, metrics, and by the audit of the API each answer with its request.
//!
//! So no test need think of it. Only where the schemas are at hand; see [`hitherto_schemas`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use hitherto_schemas::Schemas;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::raw::RawClient;

/// What is listened to.
const EVENTS: &str = "$JS.EVENT.>";

/// Comes back after everything that was told before it was published.
const BARRIER: &str = "_WIRETAP.barrier";

/// How often the thread looks whether it is asked for something, and tries to connect again.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How long catching up may take; a server that has just been killed never answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Faults that are kept; a test that fails with so many needs no more.
const FAULTS_MAX: usize = 10;

/// A connection that listens until it is dropped; over restarts of the server, too.
pub(crate) struct Wiretap {
    /// Asks the thread to catch up, and tells it to end when dropped.
    orders: Option<SyncSender<SyncSender<()>>>,
    faults: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// The thread's side.
struct Listener {
    schemas: &'static Schemas,
    addr: SocketAddr,
    orders: Receiver<SyncSender<()>>,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Wiretap {
    /// Listens from now on; `None` when there are no schemas.
    ///
    /// # Errors
    ///
    /// When the server cannot be connected to.
    pub(crate) fn on(addr: SocketAddr) -> Result<Option<Self>> {
        let Some(schemas) = hitherto_schemas::schemas() else {
            return Ok(None);
        };
        let client = listen(addr).context("listening to what the server tells")?;
        let (sender, orders) = mpsc::sync_channel(1);
        let faults = Arc::<Mutex<Vec<String>>>::default();
        let listener = Listener {
            schemas,
            addr,
            orders,
            faults: Arc::clone(&faults),
        };
        let thread = thread::Builder::new()
            .name("wiretap".into())
            .spawn(move || listener.run(client))?;
        Ok(Some(Self {
            orders: Some(sender),
            faults,
            thread: Some(thread),
        }))
    }

    /// Waits until everything that was told so far has been heard, if the server runs.
    pub(crate) fn catch_up(&self) {
        let (done, caught_up) = mpsc::sync_channel(1);
        let asked = self.orders.as_ref().map(|orders| orders.send(done));
        if let Some(Ok(())) = asked {
            // A server that has ended tells nothing more.
            caught_up.recv_timeout(PATIENCE).ok();
        }
    }

    /// What did not have the published shape.
    pub(crate) fn faults(&self) -> Vec<String> {
        faults(&self.faults).clone()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // It has no way to fail that its own output does not tell.
            thread.join().ok();
        }
    }
}

impl Listener {
    fn run(self, client: RawClient) {
        let mut connected = Some(client);
        loop {
            // The server has ended; a test may start it again.
            if let Some(client) = connected.take() {
                match self.hear(client) {
                    Ok(()) => return,
                    Err(_) => continue,
                }
            }
            match self.orders.recv_timeout(LOOK_INTERVAL) {
                Ok(done) => drop(done),
                Err(RecvTimeoutError::Timeout) => connected = listen(self.addr).ok(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Hears until it is told to end.
    fn hear(&self, mut client: RawClient) -> io::Result<()> {
        let mut waiting: Option<SyncSender<()>> = None;
        loop {
            if waiting.is_none() {
                match self.orders.try_recv() {
                    Ok(done) => {
                        client.publish(BARRIER, "", b"");
                        client.flush()?;
                        waiting = Some(done);
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if !has_input(&client)? {
                continue;
            }
            client.receive(|message| match message.subject {
                BARRIER => drop(waiting.take()),
                subject => self.judge(subject, message.payload),
            })?;
        }
    }

    fn judge(&self, subject: &str, payload: &[u8]) {
        if let Err(fault) = self.schemas.judge(payload) {
            let mut faults = faults(&self.faults);
            if faults.len() < FAULTS_MAX {
                faults.push(format!("{subject}: {fault}"));
            }
        }
    }
}

fn faults(faults: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(addr: SocketAddr) -> io::Result<RawClient> {
    let mut client = RawClient::connect(addr)?;
    client.subscribe(EVENTS, 1);
    client.subscribe(BARRIER, 2);
    client.ping()?;
    Ok(client)
}

fn has_input(client: &RawClient) -> io::Result<bool> {
    let interval = Timespec::try_from(LOOK_INTERVAL).map_err(io::Error::other)?;
    let mut fds = [PollFd::new(client, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&interval))? > 0)
}

impl fmt::Debug for Wiretap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiretap")
            .field("faults", &self.faults())
            .finish_non_exhaustive()
    }
}
