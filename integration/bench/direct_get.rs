//! Scenarios: the last message of a subject, and all messages of an aggregate, by direct get.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use fastrand::Rng;
use hitherto_integration::raw::{RawClient, RawMessage};

use crate::closed_loop::{ClosedLoop, End, Requests, status, text};
use crate::loaded::{EVENTS_EACH, Loaded, PAYLOAD_BYTES};
use crate::measure::{Figure, Latencies, Sample, Usage, Watched};

const WARM_UP: Duration = Duration::from_millis(300);

/// Ends an answer of several messages.
const END_OF_BATCH: u16 = 204;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DirectGet {
    /// The last message of a random subject.
    Last {
        connections: usize,
        in_flight: usize,
    },
    /// All messages of a random aggregate, one load at a time.
    Aggregate,
}

impl DirectGet {
    /// Measures the server at `addr` for `duration`.
    pub(crate) fn run(
        self,
        addr: SocketAddr,
        watched: Watched<'_>,
        (loaded, duration): (Loaded, Duration),
    ) -> Result<Sample> {
        let (connections, in_flight) = match self {
            Self::Last {
                connections,
                in_flight,
            } => (connections, in_flight),
            Self::Aggregate => (1, 1),
        };
        let readers = (0..connections).map(|number| self.reader(number, loaded));
        let mut readers = ClosedLoop::connect(addr, in_flight, readers)?;
        readers.run(End::At(Instant::now() + WARM_UP), &mut Latencies::new()?)?;
        let mut latencies = Latencies::new()?;
        let start = Usage::of(watched)?;
        readers.run(End::At(Instant::now() + duration), &mut latencies)?;
        let time = start.elapsed();
        let end = Usage::of(watched)?;
        ensure!(
            latencies.count() > 0,
            "nothing was read within {duration:?}"
        );
        let rate = Figure::rate(latencies.count(), time);
        let [p50, p99] = latencies.figures();
        Ok(Sample {
            figures: match self {
                Self::Last { .. } => vec![rate, p50, p99],
                Self::Aggregate => vec![p50, p99, rate],
            },
            cost: Some(start.until(&end, 0)),
            way: None,
        })
    }

    fn reader(self, number: usize, loaded: Loaded) -> Reader {
        // Each reader has its own sequence of subjects, the same in every run.
        let rng = Rng::with_seed(u64::try_from(number).unwrap_or_default());
        match self {
            Self::Last { .. } => Reader {
                rng,
                subjects: loaded.event_subjects(),
                wanted: 1,
                taken: 0,
            },
            Self::Aggregate => Reader {
                rng,
                subjects: loaded.aggregates(),
                wanted: EVENTS_EACH,
                taken: 0,
            },
        }
    }
}

struct Reader {
    rng: Rng,
    subjects: usize,
    /// Messages of one answer.
    wanted: usize,
    /// Messages of the answer under way; one at a time where there are several.
    taken: usize,
}

impl Requests for Reader {
    fn queue(&mut self, client: &mut RawClient, _: usize, reply: &str) {
        let subject = self.rng.usize(..self.subjects);
        if self.wanted == 1 {
            let request = format!("$JS.API.DIRECT.GET.{}.event.{subject}", Loaded::EVENTS);
            return client.publish(&request, reply, b"");
        }
        let request = format!("$JS.API.DIRECT.GET.{}", Loaded::AGGREGATES);
        let body = format!(r#"{{"batch":1000,"next_by_subj":"aggregate.{subject}"}}"#);
        client.publish(&request, reply, body.as_bytes());
    }

    fn take_answer(&mut self, _: usize, message: RawMessage<'_>) -> Result<bool> {
        match status(message) {
            None if message.payload.len() == PAYLOAD_BYTES => {
                self.taken += 1;
                let alone = self.wanted == 1;
                self.taken *= usize::from(!alone);
                Ok(alone)
            }
            Some(END_OF_BATCH) => {
                let taken = std::mem::take(&mut self.taken);
                ensure!(taken == self.wanted, "{taken} of {} came", self.wanted);
                Ok(true)
            }
            _ => bail!("not a stored message: {}", text(message)),
        }
    }
}
