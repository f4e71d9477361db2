//! The log of the process: in our own form for `hitherto serve`, in that of nats-server for the drop-in.
//!
//! Tools read the lines of nats-server, `[pid] 2026/01/01 12:00:00.000000 [INF] text`; see its
//! `logger/log.go`. Differs from nats-server: the time is UTC, whatever the machine's time zone.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use hitherto_broker::config::ProcessOptions;
use time::OffsetDateTime;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Events of this target end the process: nats-server marks them `[FTL]`.
pub(super) const FATAL: &str = "hitherto::fatal";

/// The log, once it is started.
pub(super) struct Log {
    file: Option<Arc<LogFile>>,
    set_filter: Box<dyn Fn(EnvFilter) + Send + Sync>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Ours,
    /// For tools that know nats-server.
    NatsServer,
}

/// A log file that can be opened again under its name, after somebody has moved the old one away.
struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

/// Where lines go.
#[derive(Clone)]
enum Sink {
    Stderr,
    File(Arc<LogFile>),
}

/// A log line as nats-server writes it.
struct NatsServerForm {
    pid: u32,
    with_time: bool,
}

impl Log {
    /// Starts the log of the process; once only.
    pub(super) fn start(form: Form, options: &ProcessOptions) -> anyhow::Result<Self> {
        let file = match &options.log_file {
            Some(path) => Some(Arc::new(LogFile::open(path)?)),
            None => None,
        };
        let sink = file.clone().map_or(Sink::Stderr, Sink::File);
        let ansi = file.is_none() && io::stderr().is_terminal();
        let builder = tracing_subscriber::fmt()
            .with_writer(sink)
            .with_ansi(ansi && form == Form::Ours);
        let set_filter: Box<dyn Fn(EnvFilter) + Send + Sync> = match form {
            Form::Ours => {
                let builder = builder
                    .with_env_filter(filter(options))
                    .with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Box::new(move |filter| drop(handle.reload(filter)))
            }
            Form::NatsServer => {
                let form = NatsServerForm {
                    pid: std::process::id(),
                    with_time: options.log_time,
                };
                let builder = builder.event_format(form).with_env_filter(filter(options));
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Box::new(move |filter| drop(handle.reload(filter)))
            }
        };
        Ok(Self { file, set_filter })
    }

    /// Takes another level.
    pub(super) fn set_level(&self, options: &ProcessOptions) {
        (self.set_filter)(filter(options));
    }

    /// Opens the file again under its name. The old one stays in use when that fails.
    pub(super) fn reopen(&self) {
        let Some(file) = &self.file else {
            return tracing::info!("File log re-open ignored, not a file logger");
        };
        match file.reopen() {
            Ok(()) => tracing::info!("File log re-opened"),
            Err(error) => tracing::error!(%error, "the log file cannot be opened again"),
        }
    }
}

/// `RUST_LOG` chooses; without it the options do, and `info` is the default.
fn filter(options: &ProcessOptions) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(if options.trace {
            // The protocol is traced by the connections alone; of the rest, `debug` says enough.
            "info,hitherto_broker=debug,hitherto_broker::connection=trace"
        } else if options.debug {
            "info,hitherto_broker=debug"
        } else {
            "info"
        })
    })
}

impl LogFile {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = append_to(path).with_context(|| format!("cannot log to {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    fn reopen(&self) -> io::Result<()> {
        let file = append_to(&self.path)?;
        *self.lock() = file;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stderr => io::stderr().write(line),
            Self::File(file) => file.lock().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().flush(),
            Self::File(file) => file.lock().flush(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for NatsServerForm
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "[{}] ", self.pid)?;
        if self.with_time {
            write_time(&mut writer, OffsetDateTime::now_utc())?;
        }
        write!(writer, "[{}] ", label(event))?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn write_time(writer: &mut impl fmt::Write, time: OffsetDateTime) -> fmt::Result {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micros) = time.to_hms_micro();
    let month = u8::from(month);
    write!(
        writer,
        "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} "
    )
}

fn label(event: &Event<'_>) -> &'static str {
    let metadata = event.metadata();
    match *metadata.level() {
        _ if metadata.target() == FATAL => "FTL",
        Level::ERROR => "ERR",
        Level::WARN => "WRN",
        Level::INFO => "INF",
        Level::DEBUG => "DBG",
        Level::TRACE => "TRC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_of_nats_server() {
        let mut line = String::new();
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_767_268_800_000_042_000).unwrap();
        write_time(&mut line, time).unwrap();
        assert_eq!(line, "2026/01/01 12:00:00.000042 ");
    }

    #[test]
    fn a_log_file_that_was_moved_away_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = LogFile::open(&path).unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        log.reopen().unwrap();
        log.lock().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
