//! `hitherto check`: verifies the files of a store whose broker is stopped.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use hitherto_broker::examine::{CheckReport, DamagedPlace, Progress, StoreAtRest};
use indicatif::{ProgressBar, ProgressStyle};

use super::units::{bytes_text, counted};

const EXAMPLES: &str = "\
Examples:
  hitherto check ./data
      Verify everything in ./data, the --store-dir of a broker that is stopped
  hitherto check ./data --json | jq '.damage[].file'
      The damaged files
  hitherto check /mnt/backup/data && echo intact
      Whether a copy is good: exit code 0 when nothing is damaged, 1 otherwise

It reads every file once and writes nothing. What to do about damage is in the book under
\"Damage, check and repair\".";

/// The arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// Folder of the data, as given to `serve --store-dir`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let store = StoreAtRest::open(&self.dir)?;
        let bar = progress_bar();
        let report = store.check(&mut |progress: Progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        })?;
        bar.finish_and_clear();
        let mut out = std::io::stdout().lock();
        let printed = match self.json {
            true => serde_json::to_writer_pretty(&mut out, &report)
                .map_err(Into::into)
                .and_then(|()| writeln!(out)),
            false => out.write_all(text(&report).as_bytes()),
        };
        printed.context("cannot print the report")?;
        match report.damage.len() + report.offline.len() {
            0 if report.start_error.is_none() => Ok(()),
            _ => bail!("the store in {} is damaged", self.dir.display()),
        }
    }
}

/// Only seen on a terminal.
fn progress_bar() -> ProgressBar {
    let style = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";
    let style = ProgressStyle::with_template(style).expect("a fixed template");
    ProgressBar::new(0)
        .with_style(style)
        .with_message("verifying")
}

fn text(report: &CheckReport) -> String {
    let mut lines = Vec::new();
    let id = report.store_id.as_deref().unwrap_or("unknown");
    lines.push(format!("store {id}"));
    lines.push(format!(
        "  log: {}, {}, {}",
        counted(report.log_files as u64, "file"),
        counted(report.log_frames, "frame"),
        if report.log_entries == 1 {
            "1 entry".to_owned()
        } else {
            format!("{} entries", report.log_entries)
        },
    ));
    for stream in &report.streams {
        lines.push(format!(
            "  stream {}: {}, {} in them, {}: {}",
            stream.name,
            counted(stream.segments as u64, "segment"),
            counted(stream.messages, "message"),
            bytes_text(stream.bytes),
            match stream.damaged_places {
                0 => "intact".to_owned(),
                places => counted(places as u64, "damaged place"),
            }
        ));
    }
    if report.is_intact() {
        lines.push("nothing is damaged".to_owned());
    }
    for place in &report.damage {
        lines.push(place_text(place));
    }
    for stream in &report.offline {
        lines.push(format!(
            "OFFLINE: a broker would not serve stream {}",
            stream.name
        ));
        lines.push(format!("  {}", stream.reason));
    }
    if let Some(error) = &report.start_error {
        lines.push("FATAL: a broker would not start on this store".to_owned());
        lines.push(format!("  {error}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn place_text(place: &DamagedPlace) -> String {
    let lost = match (&place.stream, place.first_seq, place.last_seq) {
        (Some(stream), Some(first), Some(last)) if first == last => {
            format!("stream {stream}: message {first} cannot be read")
        }
        (Some(stream), Some(first), Some(last)) => {
            format!("stream {stream}: messages {first} to {last} cannot be read")
        }
        (Some(stream), ..) => format!("stream {stream}: no message is lost by it"),
        (None, ..) => "concerns the whole store".to_owned(),
    };
    format!(
        "DAMAGED: {} at offset {}: {}\n  {lost}",
        place.file.display(),
        place.offset,
        place.problem
    )
}
