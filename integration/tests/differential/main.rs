//! The same random calls to our broker and to nats-server 2.15, and the same answers from both.
//!
//! A round is a few dozen operations: calls of the JetStream API with good and bad configurations,
//! publishes with every header, direct gets, pulls and acks. [`generate`] makes them from a seed,
//! [`peer`] carries them out on one server, [`normal`] leaves out what must differ (times, names of
//! servers), and whatever else differs is a fault or a line in [`known`] and in the book's page of
//! compatibility. A round that differs is made as short as it can be before it is shown.
//!
//! `HITHERTO_DIFFERENTIAL_ROUNDS` sets how many rounds are run, `HITHERTO_SEED` from which seed:
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

/// How many rounds are run when nobody asks for more: some 10 s.
const ROUNDS: u32 = 40;

/// The seed when nobody names one: what CI runs is the same every time, and the search for more is a
/// command.
const SEED: u64 = 1;

/// How many operations a round has.
const OPS: usize = 40;

/// After how many faults a run ends.
const FAULTS_MAX: usize = 8;

/// How often a read that differs is repeated: nats-server finishes some work after its answer.
const READS_MAX: usize = 6;

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
    let mut seeded = Seeded::from_env_or(SEED);
    let (mut known, mut ops) = (0, 0);
    // By what differs, so that one fault is shown once.
    let mut faults = BTreeMap::new();
    for round in 0..rounds {
        let all = generate::round(seeded.random(), OPS);
        let Some(found) = pair.run(&all)? else {
            ops += all.len();
            continue;
        };
        ops += found.index;
        if known::reason(&all[found.index], &found.ours, &found.theirs).is_some() {
            known += 1;
            continue;
        }
        let what = what_differs(&all[found.index], &found);
        if let Entry::Vacant(place) = faults.entry(what) {
            let (shortest, found) = pair.shorten(all, found)?;
            let text = format!(
                "round {round} at {}\n{}",
                place.key(),
                shown(&shortest, &found)?
            );
            skip::note(&text);
            place.insert(text);
        }
        if faults.len() == FAULTS_MAX {
            break;
        }
    }
    skip::note(&format!(
        "{rounds} rounds, {ops} operations answered alike, {known} rounds ended early by a known difference"
    ));
    let texts: Vec<String> = faults.into_values().collect();
    ensure!(texts.is_empty(), "{seeded}\n{}", texts.join("\n"));
    ensure!(known * 2 < rounds, "known differences end most rounds");
    Ok(())
}

/// The kind of operation and the first place where the answers differ.
fn what_differs(op: &Op, found: &Difference) -> String {
    let op = op.to_string();
    let mut words = op.split([' ', '.']).take(4).collect::<Vec<_>>();
    words.truncate(if words[0] == "$JS" { 4 } else { 1 });
    format!(
        "{} {}",
        words.join("."),
        normal::first_difference(&found.ours, &found.theirs)
    )
}

impl Pair {
    /// Runs a round on both servers, until its end or the first difference.
    fn run(&mut self, ops: &[Op]) -> Result<Option<Difference>> {
        self.rounds += 1;
        let prefix = format!("r{}", self.rounds);
        self.ours.start_round(&prefix);
        self.theirs.start_round(&prefix);
        let mut difference = None;
        for (index, op) in ops.iter().enumerate() {
            let reads = if op.only_reads() { READS_MAX } else { 1 };
            let mut answers = self.both(op)?;
            for _ in 1..reads {
                if answers.0 == answers.1 {
                    break;
                }
                answers = self.both(op)?;
            }
            let (ours, theirs) = answers;
            if ours != theirs && !known::leaves_both_alike(op, &ours, &theirs) {
                difference = Some(Difference {
                    index,
                    ours,
                    theirs,
                });
                break;
            }
        }
        self.ours.end_round()?;
        self.theirs.end_round()?;
        Ok(difference)
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
            if let Some(again) = self.run(&fewer)?
                && again.index + 1 == fewer.len()
                && known::reason(&fewer[again.index], &again.ours, &again.theirs).is_none()
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
