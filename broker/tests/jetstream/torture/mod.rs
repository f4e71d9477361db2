//! Whole nodes in many short lives on one disk that fails in every way it can: random work, one fault,
//! an end, a restart, and a look at everything that was ever acknowledged.
//!
//! | file | noun |
//! |---|---|
//! | `mod` | the tests, and the [`World`] in which a node lives and dies |
//! | `fault` | what goes wrong in a life, and how it ends |
//! | `life` | the random work of one life |
//! | `ledger` | what was promised, held against what is there |
//! | `rot` | bits that flip while nobody looks |
//!
//! `HITHERTO_FAULT_ROUNDS` says how many lives there are in all, `HITHERTO_SEED` repeats a run:
//! `HITHERTO_FAULT_ROUNDS=2000 cargo test --release -p hitherto-broker --test jetstream torture`.

#![allow(
    clippy::print_stderr,
    reason = "a run says how to repeat it, and what it has seen"
)]

mod fault;
mod ledger;
mod life;
mod rot;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use hitherto_broker::NodeConfig;
use hitherto_platform::{FaultyDisk, ManualClock, SeededEntropy};

use self::fault::{End, Fault};
use self::ledger::Ledger;
use self::life::{Kept, Life};
use crate::harness::JetStream;

/// Lives when nobody says how many: seconds of work.
const ROUNDS: u64 = 160;

/// Lives on one disk.
const LIVES_PER_WORLD: u64 = 8;

/// Longer than any ack wait in these tests.
const LONG: Duration = Duration::from_secs(60);

/// A disk, and what lives on it one after the other.
struct World {
    disk: FaultyDisk,
    clock: Arc<ManualClock>,
    random: Rng,
    /// In the order of [`Kept::ALL`].
    ledgers: [Ledger; 4],
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            disk: FaultyDisk::new(),
            clock: Arc::new(ManualClock::new(
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            )),
            random: Rng::with_seed(seed),
            ledgers: Kept::ALL.map(Kept::ledger),
        }
    }

    fn config(&mut self) -> NodeConfig {
        NodeConfig::in_memory()
            .disk(Arc::new(self.disk.clone()))
            .clock(Arc::<ManualClock>::clone(&self.clock))
            .entropy(Arc::new(SeededEntropy::new(self.random.u64(..))))
    }

    /// Starts a node; now and then it dies while it starts, and another one follows.
    async fn start(&mut self) -> JetStream {
        while self.random.u8(..4) == 0 {
            self.disk.cut_power_after(self.random.u64(..12));
            let config = self.config();
            if let Ok(node) = hitherto_broker::Node::start(config).await {
                self.end(JetStream::of(node), End::Torn).await;
            } else {
                self.disk.crash_torn(self.random.u64(..));
            }
        }
        let config = self.config();
        let js = JetStream::with(config).await;
        life::set_up(&js).await;
        // Once the stream has an owner: whatever was delivered in the life before is due again.
        self.clock.advance(LONG);
        js
    }

    /// One life: what is there is held against the ledger, then work, a fault, and an end.
    async fn live(&mut self) {
        let js = self.start().await;
        for (kept, ledger) in Kept::ALL.into_iter().zip(&mut self.ledgers) {
            ledger.compare_with(&life::read_all(&js, kept).await);
            life::retry_unknown(&js, ledger).await;
        }
        let fault = Fault::random(&mut self.random);
        fault.arm(&self.disk, &mut self.random);
        let steps = self.random.usize(1..24);
        for _ in 0..steps {
            let at = self.random.usize(..Kept::ALL.len());
            let (kept, ledger) = (Kept::ALL[at], &mut self.ledgers[at]);
            let mut life = Life::new(&js, kept, ledger, &mut self.random);
            // Who waits for the disk, or for what a full one refused, waits by the node's clock.
            tokio::select! {
                () = life.step() => {}
                () = let_time_pass(&self.clock) => {}
            }
        }
        let end = End::random(&mut self.random);
        if self.end(js, end).await {
            self.ledgers.iter_mut().for_each(Ledger::is_safe);
        }
    }

    /// Ends a node; `true` when it says that all went well.
    async fn end(&mut self, js: JetStream, end: End) -> bool {
        let mut is_clean = false;
        match end {
            End::Shutdown => {
                // Fails where the disk does.
                is_clean = js.node.shutdown().await.is_ok();
                self.disk.kill();
            }
            End::Killed => {
                // First, so that nothing the threads still do reaches the disk.
                self.disk.kill();
                drop(js);
            }
            End::PowerCut | End::Torn => {
                self.disk.cut_power_after(0);
                drop(js);
                if end == End::Torn {
                    self.disk.crash_torn(self.random.u64(..));
                } else {
                    self.disk.crash();
                }
            }
        }
        self.disk.set_capacity(None);
        self.disk.disarm();
        is_clean
    }

    /// The last life: all is there, and the consumer gets what it has not acknowledged.
    async fn finish(mut self) -> u64 {
        let js = self.start().await;
        for (kept, ledger) in Kept::ALL.into_iter().zip(&mut self.ledgers) {
            ledger.compare_with(&life::read_all(&js, kept).await);
            life::drain(&js, kept, ledger).await;
        }
        js.stop().await;
        self.ledgers.iter().map(Ledger::acked).sum()
    }
}

/// Moves the clock on, as long as it is polled. The step beside it takes far less, unless it waits for the clock.
async fn let_time_pass(clock: &ManualClock) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        clock.advance(Duration::from_millis(100));
    }
}

fn seed_from_env() -> u64 {
    match std::env::var("HITHERTO_SEED") {
        Ok(text) => text.parse().expect("HITHERTO_SEED is an unsigned number"),
        Err(_) => fastrand::u64(..),
    }
}

fn rounds_from_env() -> u64 {
    match std::env::var("HITHERTO_FAULT_ROUNDS") {
        Ok(text) => text.parse().expect("HITHERTO_FAULT_ROUNDS is a number"),
        Err(_) => ROUNDS,
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_any_of_many_lives() {
    let first_seed = seed_from_env();
    let worlds = rounds_from_env().div_ceil(LIVES_PER_WORLD);
    let mut acked = 0;
    for number in 0..worlds {
        let seed = first_seed.wrapping_add(number);
        let told = Told(seed);
        let mut world = World::new(seed);
        for _ in 1..LIVES_PER_WORLD {
            world.live().await;
        }
        acked += world.finish().await;
        drop(told);
    }
    assert!(acked >= worlds, "only {acked} messages were acknowledged");
    eprintln!(
        "{} lives, {acked} acknowledged messages, none lost",
        worlds * LIVES_PER_WORLD
    );
}

/// Says how to repeat the run when the test fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "repeat with HITHERTO_SEED={} HITHERTO_FAULT_ROUNDS=1",
                self.0
            );
        }
    }
}
