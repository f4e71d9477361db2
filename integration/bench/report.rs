//! The result as a Markdown document: medians over the rounds, ratios and goals.

use std::fmt::Write;
use std::fs;

use hitherto_integration::Kind;

use crate::goal::Goal;
use crate::measure::{Cost, Figure, Sample};
use crate::probe::Disk;
use crate::scenario::Scenario;

/// The samples of a run, in the order the scenarios first came.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    kinds: Vec<Kind>,
    rows: Vec<Row>,
}

/// One scenario against one server: a sample per round.
#[derive(Debug)]
struct Row {
    scenario: Scenario,
    kind: Kind,
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn new(disk: &Disk, kinds: Vec<Kind>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            machine: format!("{cores} cores, Linux {}; disk: {disk}", kernel.trim()),
            kinds,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, scenario: Scenario, kind: Kind, sample: Sample) {
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
                 default syncs every 2 minutes. Medians over the rounds; in brackets the range. A \
                 ratio is the median of the rounds' own ratios.\n";
        text += &self.figures();
        text += &self.goals();
        text + &self.costs()
    }

    fn figures(&self) -> String {
        let mut text = String::from("\n| scenario | figure |");
        for kind in &self.kinds {
            put(&mut text, format_args!(" {kind} |"));
        }
        put(
            &mut text,
            format_args!("\n|---|---|{}\n", "---|".repeat(self.kinds.len())),
        );
        for scenario in self.scenarios() {
            for figure in self.figure_names(scenario) {
                put(
                    &mut text,
                    format_args!("| {} | {figure} |", scenario.title()),
                );
                for kind in &self.kinds {
                    let cell = self.row(scenario, *kind).map(|row| row.cell(figure));
                    put(&mut text, format_args!(" {} |", cell.unwrap_or_default()));
                }
                text.push('\n');
            }
        }
        text
    }

    /// Our goals, and whether they are met.
    fn goals(&self) -> String {
        let mut text =
            String::from("\n| scenario | figure | goal | ours | |\n|---|---|---|---|---|\n");
        for scenario in self.scenarios() {
            for goal in scenario.goals() {
                let line = self
                    .goal(scenario, goal)
                    .unwrap_or_else(|| "- | not measured".into());
                let Goal { figure, bound } = goal;
                put(
                    &mut text,
                    format_args!("| {} | {figure} | {bound} | {line} |\n", scenario.title()),
                );
            }
        }
        text
    }

    /// What we reach, and the verdict; `None` when one side was not measured.
    fn goal(&self, scenario: Scenario, goal: &Goal) -> Option<String> {
        let ours = self.row(scenario, Kind::Hitherto)?;
        let value = ours.median(goal.figure)?;
        let (ratio, said) = match goal.bound.beside() {
            Some(kind) => {
                let ratio = ours.ratio(self.row(scenario, kind)?, goal.figure)?;
                (ratio, format!("{ratio:.2} x"))
            }
            None => (
                f64::NAN,
                ours.samples[0].figure(goal.figure)?.unit.say(value),
            ),
        };
        let verdict = if goal.bound.is_met(value, ratio) {
            "met"
        } else {
            "**not met**"
        };
        Some(format!("{said} | {verdict}"))
    }

    fn costs(&self) -> String {
        let mut text = String::from(
            "\nThe disk's bytes per byte of payload are counted at the device, other writers included, \
             and by `/proc/<pid>/io`, where the kernel counts whole folios.\n\n\
             | scenario | server | cores: server, client | bytes at the device | by the process | way |\n\
             |---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let Some(cores) = row.cost(|cost| Some(cost.server_cores)) else {
                continue;
            };
            let client = row.cost(|cost| Some(cost.client_cores));
            let factor = |factor: Option<f64>| {
                factor.map_or_else(String::new, |factor| format!("{factor:.1}"))
            };
            put(
                &mut text,
                format_args!(
                    "| {} | {} | {cores:.2}, {:.2} | {} | {} | {} |\n",
                    row.scenario.title(),
                    row.kind,
                    client.unwrap_or_default(),
                    factor(row.cost(|cost| cost.device_factor)),
                    factor(row.cost(|cost| cost.process_factor)),
                    row.samples[0].way.unwrap_or_default(),
                ),
            );
        }
        text
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let mut scenarios: Vec<Scenario> = Vec::new();
        for row in &self.rows {
            if !scenarios.contains(&row.scenario) {
                scenarios.push(row.scenario);
            }
        }
        scenarios
    }

    fn figure_names(&self, scenario: Scenario) -> Vec<&'static str> {
        let row = self.rows.iter().find(|row| row.scenario == scenario);
        let figures = row.into_iter().flat_map(|row| &row.samples[0].figures);
        figures.map(|figure| figure.name).collect()
    }

    fn row(&self, scenario: Scenario, kind: Kind) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.scenario == scenario && row.kind == kind)
    }
}

impl Row {
    fn values(&self, figure: &str) -> Vec<f64> {
        let figures = self
            .samples
            .iter()
            .filter_map(|sample| sample.figure(figure));
        figures.map(|figure| figure.value).collect()
    }

    fn median(&self, figure: &str) -> Option<f64> {
        median(self.values(figure))
    }

    /// Ours beside the other's, round by round.
    fn ratio(&self, other: &Self, figure: &str) -> Option<f64> {
        let pairs = self.values(figure).into_iter().zip(other.values(figure));
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }

    fn cost(&self, part: impl Fn(&Cost) -> Option<f64>) -> Option<f64> {
        let costs = self.samples.iter().filter_map(|sample| sample.cost);
        median(costs.filter_map(|cost| part(&cost)).collect())
    }

    fn cell(&self, figure: &str) -> String {
        let Some(Figure { unit, .. }) = self.samples[0].figure(figure) else {
            return String::new();
        };
        let values = self.values(figure);
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(0.0, f64::max);
        let middle = unit.say(median(values).unwrap_or(f64::NAN));
        format!("{middle} ({} to {})", unit.say(lowest), unit.say(highest))
    }
}

/// The value in the middle; `None` of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string grows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Unit;

    fn sample(rate: f64) -> Sample {
        Sample::of([Figure {
            name: "rate",
            value: rate,
            unit: Unit::PerSecond,
        }])
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 100.0]), Some(3.5));
        assert_eq!(median(vec![4.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_goal_is_met_not_met_or_not_measured() {
        let mut report = Report {
            machine: String::new(),
            kinds: vec![Kind::Hitherto, Kind::NatsServer],
            rows: Vec::new(),
        };
        let verdict = |report: &Report| report.goal(Scenario::Core, &Scenario::Core.goals()[0]);
        report.add(Scenario::Core, Kind::Hitherto, sample(30.0));
        assert_eq!(verdict(&report), None);
        report.add(Scenario::Core, Kind::NatsServer, sample(20.0));
        assert_eq!(verdict(&report).as_deref(), Some("1.50 x | met"));
        report.add(Scenario::Core, Kind::Hitherto, sample(20.0));
        report.add(Scenario::Core, Kind::NatsServer, sample(20.0));
        assert_eq!(verdict(&report).as_deref(), Some("1.25 x | **not met**"));
    }
}
