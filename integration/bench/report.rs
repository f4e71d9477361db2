//! The result as a Markdown document: medians over the rounds, their spread and their ratios.

use std::fmt::Write;
use std::fs;

use hitherto_integration::Kind;

use crate::measure::Sample;
use crate::probe::Disk;

/// The samples of a run, in the order the scenarios and servers first came.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    scenario: String,
    kind: Kind,
    samples: Vec<Sample>,
}

impl Row {
    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.len() % 2 {
            0 => f64::midpoint(figures[middle - 1], figures[middle]),
            _ => figures[middle],
        }
    }

    fn spread(&self) -> String {
        let rates = || self.samples.iter().map(|sample| sample.rate);
        let lowest = rates().fold(f64::INFINITY, f64::min);
        format!(
            "{} to {}",
            grouped(lowest),
            grouped(rates().fold(0.0, f64::max))
        )
    }
}

impl Report {
    pub(crate) fn new(disk: &Disk) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            machine: format!("{cores} cores, Linux {}; disk: {disk}", kernel.trim()),
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, scenario: String, kind: Kind, sample: Sample) {
        let row = self
            .rows
            .iter_mut()
            .find(|row| row.scenario == scenario && row.kind == kind);
        match row {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row {
                scenario,
                kind,
                samples: vec![sample],
            }),
        }
    }

    /// The whole document; `command` is what repeats the run.
    pub(crate) fn to_markdown(&self, command: &str) -> String {
        let mut text = format!(
            "Measured with `{command}`.\n\nMachine: {}.\n\n",
            self.machine
        );
        text += "Ours syncs before each ack, as nats-server does with `sync_interval: always`; its \
                 default syncs every 2 minutes.\nMedians over the rounds; in brackets the range. The disk's bytes are counted at \
                 the device, so other writers are in them.\n\n";
        text += "| scenario | server | msg/s | p50 us | p99 us | cores: server, client | disk bytes \
                 per payload byte |\n|---|---|---|---|---|---|---|\n";
        for row in &self.rows {
            // Writing to a string does not fail.
            writeln!(text, "{}", line(row)).ok();
        }
        text + &self.ratios()
    }

    /// Our rate beside each other server's.
    fn ratios(&self) -> String {
        let mut text = String::new();
        for ours in self.rows.iter().filter(|row| row.kind == Kind::Hitherto) {
            let others = |row: &&Row| row.scenario == ours.scenario && row.kind != Kind::Hitherto;
            for other in self.rows.iter().filter(others) {
                let ratio = ours.median(|sample| sample.rate) / other.median(|sample| sample.rate);
                let cell = format!("| {} | {} | {ratio:.2} |", ours.scenario, other.kind);
                writeln!(text, "{cell}").ok();
            }
        }
        if text.is_empty() {
            return text;
        }
        format!("\n| scenario | beside | our rate is this many times |\n|---|---|---|\n{text}")
    }
}

fn line(row: &Row) -> String {
    format!(
        "| {} | {} | {} ({}) | {} | {} | {:.2}, {:.2} | {} |",
        row.scenario,
        row.kind,
        grouped(row.median(|sample| sample.rate)),
        row.spread(),
        grouped(row.median(|sample| sample.p50_us)),
        grouped(row.median(|sample| sample.p99_us)),
        row.median(|sample| sample.server_cores),
        row.median(|sample| sample.client_cores),
        factor(row),
    )
}

/// How many times a payload reaches the disk.
fn factor(row: &Row) -> String {
    let factor = row.median(|sample| sample.write_factor.unwrap_or(f64::NAN));
    if factor.is_nan() {
        "not known".to_owned()
    } else {
        format!("{factor:.1}")
    }
}

/// A whole number with a comma at each thousand.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1234567.0, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        let sample = |rate| Sample {
            rate,
            p50_us: 0.0,
            p99_us: 0.0,
            server_cores: 0.0,
            client_cores: 0.0,
            write_factor: None,
        };
        let samples = [4.0, 1.0, 3.0, 100.0].map(sample).to_vec();
        let row = Row {
            scenario: String::new(),
            kind: Kind::Hitherto,
            samples,
        };
        assert!((row.median(|sample| sample.rate) - 3.5).abs() < f64::EPSILON);
    }
}
