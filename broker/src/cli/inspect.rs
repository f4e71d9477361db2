//! `hitherto inspect`: what is in a store whose broker is stopped.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use hitherto_broker::examine::{FoundMessage, Inspection, StoreAtRest, StreamInspection};
use serde::Serialize;

use super::units::{bytes_text, counted};

const EXAMPLES: &str = "\
Examples:
  hitherto inspect ./data
      Streams, consumers and the log in ./data, the --store-dir of a broker that is stopped
  hitherto inspect ./data --stream ORDERS
      One stream with its configuration, segments and consumers
  hitherto inspect ./data --stream ORDERS --seq 42
      One message
  hitherto inspect ./data --json | jq '.streams[].state.messages'
      The same as JSON

It writes nothing, and shows what a broker would find at its next start.";

/// The arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    /// Folder of the data, as given to `serve --store-dir`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Show this stream only
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Show the message with this sequence
    #[arg(long, value_name = "SEQUENCE", requires = "stream")]
    seq: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let store = StoreAtRest::open(&self.dir)?;
        match (&self.stream, self.seq) {
            (Some(stream), Some(seq)) => {
                let Some(message) = store.message(stream, seq)? else {
                    bail!("there is no message {seq} in a stream {stream:?}");
                };
                self.print(&message, message_text)
            }
            (Some(stream), None) => {
                let inspection = store.inspect()?;
                if let Some(offline) = inspection.offline.iter().find(|o| o.name == *stream) {
                    bail!("stream {stream:?} is damaged: {}", offline.reason);
                }
                let mut streams = inspection.streams.into_iter();
                let Some(found) = streams.find(|found| found.info.config.name == *stream) else {
                    bail!("there is no stream {stream:?} in {}", self.dir.display());
                };
                self.print(&found, stream_text)
            }
            (None, _) => self.print(&store.inspect()?, overview_text),
        }
    }

    fn print<T: Serialize>(&self, shown: &T, text: fn(&T) -> String) -> anyhow::Result<()> {
        let shown = match self.json {
            true => serde_json::to_string_pretty(shown)? + "\n",
            false => text(shown),
        };
        let mut out = std::io::stdout().lock();
        out.write_all(shown.as_bytes()).context("cannot print")
    }
}

fn overview_text(inspection: &Inspection) -> String {
    let mut lines = vec![format!("store {}", inspection.store_id)];
    for file in &inspection.log {
        lines.push(format!(
            "  log file {}: {}, {} used, {}",
            file.number,
            bytes_text(file.bytes),
            bytes_text(file.used_bytes),
            counted(file.frames, "frame"),
        ));
    }
    for stream in &inspection.streams {
        lines.push(summary_line(stream));
        lines.extend(stream.consumers.iter().map(consumer_line));
    }
    for stream in &inspection.offline {
        lines.push(format!(
            "stream {}: damaged: {}",
            stream.name, stream.reason
        ));
    }
    if inspection.streams.is_empty() && inspection.offline.is_empty() {
        lines.push("no streams".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn stream_text(stream: &StreamInspection) -> String {
    let config = serde_json::to_string_pretty(&stream.info.config);
    let config = config.expect("a configuration always serializes");
    let mut lines = vec![
        summary_line(stream),
        format!("  configuration: {}", config.replace('\n', "\n  ")),
        format!("  folder: streams/{}", stream.group),
        format!("  last entry of its log: {}", stream.applied),
        match &stream.checkpoint {
            Some(position) => format!("  checkpoint: the log is needed from {position}"),
            None => "  checkpoint: none yet".to_owned(),
        },
    ];
    for segment in &stream.segments {
        lines.push(format!(
            "  segment {} to {}: {}, {}, {}",
            segment.first_seq,
            segment.last_seq,
            counted(segment.messages, "message"),
            bytes_text(segment.bytes),
            if segment.sealed { "complete" } else { "open" },
        ));
    }
    if stream.tables > 0 {
        let (tables, bytes) = (stream.tables as u64, bytes_text(stream.table_bytes));
        lines.push(format!(
            "  {} of the index: {bytes}",
            counted(tables, "table")
        ));
    }
    lines.extend(stream.consumers.iter().map(consumer_line));
    lines.push(String::new());
    lines.join("\n")
}

fn summary_line(stream: &StreamInspection) -> String {
    let (config, state) = (&stream.info.config, &stream.info.state);
    format!(
        "stream {} [{}]: {}, sequences {} to {}, {}, {}",
        config.name,
        config.subjects.join(", "),
        counted(state.messages, "message"),
        state.first_seq,
        state.last_seq,
        bytes_text(state.bytes),
        counted(stream.segments.len() as u64, "segment"),
    )
}

fn consumer_line(consumer: &hitherto_broker::examine::ConsumerInfo) -> String {
    format!(
        "  consumer {}: acknowledged to {}, delivered to {}, {} waiting for acks, {} to deliver",
        consumer.name,
        consumer.ack_floor.stream_seq,
        consumer.delivered.stream_seq,
        consumer.num_ack_pending,
        consumer.num_pending,
    )
}

fn message_text(message: &FoundMessage) -> String {
    let mut lines = vec![
        format!("stream {} message {}", message.stream, message.seq),
        format!("  subject: {}", message.subject),
        format!("  stored: {}", message.time),
    ];
    for (name, value) in &message.headers {
        lines.push(format!("  header: {name}: {value}"));
    }
    lines.push(match &message.text {
        Some(text) => format!("  payload: {}", text.escape_debug()),
        None => format!("  payload in base64: {}", message.data),
    });
    lines.push(String::new());
    lines.join("\n")
}
