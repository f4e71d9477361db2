//! The same random calls to our broker and to nats-server 2.15, and the same answers from both.
//!
//! A round is a few dozen operations: calls of the JetStream API with good and bad configurations,
//! publishes with every header, direct gets, pulls and acks; it ends with looking at everything there
//! is. [`generate`] makes them from a seed, [`peer`] carries them out on one server, [`normal`] leaves
//! out what must differ (times, names of servers), and whatever else differs is a fault or a line in
//! [`known`] and in the book's page of compatibility. A round that differs is made as short as it can
//! be before it is shown; what it has found is kept in [`stories`].
//!
//! Every run takes the seeds of a fixed list: what nobody has seen yet may find a difference that is not of the
//! change at hand. Look for those by command; what a seed finds becomes a story or joins the list.
//! `HITHERTO_SEED` names the only seed to run, `HITHERTO_DIFFERENTIAL_ROUNDS` the rounds of each:
//!
//! ```text
//! HITHERTO_SEED=$RANDOM HITHERTO_DIFFERENTIAL_ROUNDS=5000 cargo test -p hitherto-integration --test differential
//! ```

mod configs;
mod generate;
mod known;
mod normal;
mod op;
mod peer;
mod stories;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hitherto_integration::seed::Seeded;
use hitherto_integration::{Kind, Server, server, skip};
use serde_json::Value;

use op::Op;
use peer::Peer;

/// Sets how many rounds are run.
const ROUNDS_VARIABLE: &str = "HITHERTO_DIFFERENTIAL_ROUNDS";

/// How many rounds are run of each seed when nobody asks for more.
const ROUNDS: u32 = 12;

/// What every run takes, so that a change is held against what others were.
const SEEDS: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8];

/// How many operations a round has.
const OPS: usize = 40;

/// After how many faults a run ends.
const FAULTS_MAX: usize = 8;

/// How often a read that differs is repeated: nats-server finishes some work after its answer.
const READS_MAX: usize = 6;

/// How many times longer a round that differs waits for answers when it is repeated: on a busy machine one may come
/// late, which looks like none.
const PATIENCE: u32 = 10;

/// How long a round that differs is made shorter.
const SHORTENING: Duration = Duration::from_secs(8);

/// Both servers, and how many rounds they have seen: each round has names of its own.
struct Pair {
    ours: Peer,
    theirs: Peer,
    rounds: u32,
}

/// The first operation of a round whose answers differ.
struct Difference {
    index: usize,
    ours: Value,
    theirs: Value,
    is_known: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn both_servers_answer_alike() -> Result<()> {
    let Some(stock) = server::kind_program(Kind::NatsServer)? else {
        skip::loudly(
            &skip::test_name(),
            "there is no nats-server to compare with",
        );
        return Ok(());
    };
    let parent = std::env::temp_dir();
    let program: PathBuf = hitherto_integration::programs::hitherto()?;
    let ours = Server::start(Kind::Hitherto, program, &parent).await?;
    let theirs = Server::start(Kind::NatsServer, stock, &parent).await?;
    let (our_addr, their_addr) = (ours.addr(), theirs.addr());
    tokio::task::spawn_blocking(move || {
        compare(Pair {
            ours: Peer::connect(our_addr)?,
            theirs: Peer::connect(their_addr)?,
            rounds: 0,
        })
    })
    .await?
}

fn compare(mut pair: Pair) -> Result<()> {
    let rounds = match std::env::var(ROUNDS_VARIABLE) {
        Ok(text) => text.parse()?,
        Err(_) => ROUNDS,
    };
    let mut findings = Findings::default();
    for story in stories::all()? {
        let all = looked_at(story.ops);
        pair.compare(&story.name, all, &mut findings)?;
    }
    let seeds = match Seeded::fixed() {
        Some(seed) => vec![seed],
        None => SEEDS.to_vec(),
    };
    for seed in seeds {
        skip::note(&format!("HITHERTO_SEED={seed}"));
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..rounds {
            let all = looked_at(generate::round(&mut random, OPS));
            let name = format!("HITHERTO_SEED={seed} round {round}");
            pair.compare(&name, all, &mut findings)?;
            if findings.faults.len() == FAULTS_MAX {
                return findings.judge();
            }
        }
    }
    findings.judge()
}

/// The operations, and a look at what is there after them.
fn looked_at(mut ops: Vec<Op>) -> Vec<Op> {
    ops.extend(generate::look());
    ops
}

/// What all rounds have shown.
#[derive(Default)]
struct Findings {
    rounds: u32,
    /// Operations answered alike.
    ops: usize,
    /// Rounds that a known difference has ended early.
    cut_short: u32,
    /// How often each known difference was seen, by its phrase.
    known: BTreeMap<&'static str, u32>,
    /// By what differs, so that one fault is shown once.
    faults: BTreeMap<String, String>,
}

impl Findings {
    fn judge(self) -> Result<()> {
        let Self {
            rounds,
            ops,
            cut_short,
            ..
        } = self;
        skip::note(&format!(
            "{rounds} rounds, {ops} operations answered alike, {cut_short} rounds ended early by a known difference"
        ));
        for (phrase, times) in &self.known {
            skip::note(&format!("{times} times: {phrase}"));
        }
        let texts: Vec<String> = self.faults.into_values().collect();
        ensure!(texts.is_empty(), "{}", texts.join("\n"));
        ensure!(cut_short * 4 < rounds, "known differences end many rounds");
        Ok(())
    }
}

/// The kind of operation and the first place where the answers differ.
fn what_differs(op: &Op, found: &Difference) -> String {
    let place = normal::first_difference(&found.ours, &found.theirs);
    format!("{} {place}", op.kind())
}

impl Pair {
    /// Runs a round and notes what it shows.
    fn compare(&mut self, name: &str, ops: Vec<Op>, findings: &mut Findings) -> Result<()> {
        findings.rounds += 1;
        let Some(found) = self.run(&ops, Some(&mut findings.known))? else {
            findings.ops += ops.len();
            return Ok(());
        };
        findings.ops += found.index;
        if found.is_known {
            findings.cut_short += 1;
            return Ok(());
        }
        let Some(found) = self.repeat(&ops)? else {
            let what = what_differs(&ops[found.index], &found);
            skip::note(&format!(
                "{name}: differed once, and not when there was more time: {what}"
            ));
            return Ok(());
        };
        let what = what_differs(&ops[found.index], &found);
        if let Entry::Vacant(place) = findings.faults.entry(what) {
            let (shortest, found) = self.shorten(ops, found)?;
            let text = format!("{name} at {}\n{}", place.key(), shown(&shortest, &found)?);
            skip::note(&text);
            place.insert(text);
        }
        Ok(())
    }

    /// Runs a round again with more patience; what differs then.
    fn repeat(&mut self, ops: &[Op]) -> Result<Option<Difference>> {
        self.set_patience(PATIENCE);
        let found = self.run(ops, None)?;
        self.set_patience(1);
        Ok(found.filter(|found| !found.is_known))
    }

    fn set_patience(&mut self, patience: u32) {
        self.ours.patience = patience;
        self.theirs.patience = patience;
    }

    /// Runs a round on both servers, until its end or the first difference that is unknown or leaves
    /// them with different states. Counts the known ones.
    fn run(
        &mut self,
        ops: &[Op],
        mut count: Option<&mut BTreeMap<&'static str, u32>>,
    ) -> Result<Option<Difference>> {
        self.rounds += 1;
        let prefix = format!("r{}", self.rounds);
        self.ours.start_round(&prefix);
        self.theirs.start_round(&prefix);
        let mut difference = None;
        for (index, op) in ops.iter().enumerate() {
            if let Op::Pull {
                stream, consumer, ..
            } = op
            {
                self.settle(stream, consumer)?;
            }
            let reads = if op.only_reads() { READS_MAX } else { 1 };
            let mut answers = self.both(op)?;
            for _ in 1..reads {
                if answers.0 == answers.1 {
                    break;
                }
                answers = self.both(op)?;
            }
            let (ours, theirs) = answers;
            if ours == theirs {
                continue;
            }
            let known = known::difference(op, &ours, &theirs);
            if let (Some(known), Some(counts)) = (known, count.as_deref_mut()) {
                *counts.entry(known.phrase).or_default() += 1;
            }
            if known.is_none() || !known::leaves_both_alike(op, &ours, &theirs) {
                difference = Some(Difference {
                    index,
                    ours,
                    theirs,
                    is_known: known.is_some(),
                });
                break;
            }
        }
        self.ours.end_round()?;
        self.theirs.end_round()?;
        Ok(difference)
    }

    /// Waits until a consumer of both servers says the same of itself, or does not for other reasons:
    /// nats-server counts what was just published in the background, and a delivery tells the count.
    fn settle(&mut self, stream: &str, consumer: &str) -> Result<()> {
        let info = Op::Api {
            call: format!("CONSUMER.INFO.{stream}.{consumer}"),
            body: String::new(),
        };
        for _ in 0..READS_MAX {
            let (ours, theirs) = self.both(&info)?;
            if ours["num_pending"] == theirs["num_pending"] {
                break;
            }
        }
        Ok(())
    }

    fn both(&mut self, op: &Op) -> Result<(Value, Value)> {
        let (ours, theirs) = (self.ours.carry_out(op)?, self.theirs.carry_out(op)?);
        Ok((normal::answer(ours), normal::answer(theirs)))
    }

    /// Leaves out every operation without which the last one still differs.
    fn shorten(
        &mut self,
        mut ops: Vec<Op>,
        mut found: Difference,
    ) -> Result<(Vec<Op>, Difference)> {
        ops.truncate(found.index + 1);
        let mut candidate = found.index;
        let deadline = Instant::now() + SHORTENING;
        while candidate > 0 && Instant::now() < deadline {
            candidate -= 1;
            let mut fewer = ops.clone();
            fewer.remove(candidate);
            if let Some(again) = self.run(&fewer, None)?
                && again.index + 1 == fewer.len()
                && !again.is_known
            {
                ops = fewer;
                found = again;
            }
        }
        Ok((ops, found))
    }
}

fn shown(ops: &[Op], found: &Difference) -> Result<String> {
    let mut text = String::new();
    for op in ops {
        writeln!(text, "{op}")?;
    }
    normal::differences("", &found.ours, &found.theirs, &mut |path, ours, theirs| {
        text.push_str(&format!(
            "  {path}\n    ours:        {ours}\n    nats-server: {theirs}\n"
        ));
    });
    Ok(text)
}
