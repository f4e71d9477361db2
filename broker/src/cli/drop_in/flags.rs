//! The flags of nats-server, read as Go's `flag` package reads them: `-x v`, `--x v`, `-x=v`.

/// A flag of nats-server 2.15 (`ConfigureOptions` in `server/opts.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Addr,
    Port,
    Name,
    Config,
    TestConfig,
    Tls,
    TlsCert,
    TlsKey,
    TlsVerify,
    TlsCaCert,
    User,
    Pass,
    Auth,
    ClientAdvertise,
    Pid,
    HttpPort,
    PortsFileDir,
    Log,
    LogTime,
    LogTimeUtc,
    Debug,
    Trace,
    DebugAndTrace,
    JetStream,
    StoreDir,
    Signal,
    Cluster,
    ClusterName,
    ClusterAdvertise,
    NoAdvertise,
    Routes,
    ConnectRetries,
    Version,
    Help,
    /// Exists in nats-server and not here.
    Unsupported,
}

/// Whether a flag takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// `-x`, `-x=true` or `-x=false`.
    Nothing,
    /// `-x v` or `-x=v`.
    Value,
}

use Takes::{Nothing, Value};

/// Every flag by its names.
const FLAGS: &[(&[&str], Takes, Flag)] = &[
    (&["a", "addr", "net"], Value, Flag::Addr),
    (&["p", "port"], Value, Flag::Port),
    (&["n", "name", "server_name"], Value, Flag::Name),
    (&["c", "config"], Value, Flag::Config),
    (&["t"], Nothing, Flag::TestConfig),
    (&["tls"], Nothing, Flag::Tls),
    (&["tlscert"], Value, Flag::TlsCert),
    (&["tlskey"], Value, Flag::TlsKey),
    (&["tlsverify"], Nothing, Flag::TlsVerify),
    (&["tlscacert"], Value, Flag::TlsCaCert),
    (&["user"], Value, Flag::User),
    (&["pass"], Value, Flag::Pass),
    (&["auth"], Value, Flag::Auth),
    (&["client_advertise"], Value, Flag::ClientAdvertise),
    (&["P", "pid"], Value, Flag::Pid),
    (&["m", "http_port"], Value, Flag::HttpPort),
    (&["ports_file_dir"], Value, Flag::PortsFileDir),
    (&["l", "log"], Value, Flag::Log),
    (&["T", "logtime"], Nothing, Flag::LogTime),
    (&["logtime_utc"], Nothing, Flag::LogTimeUtc),
    (&["D", "debug"], Nothing, Flag::Debug),
    (&["V", "trace", "VV"], Nothing, Flag::Trace),
    (&["DV", "DVV"], Nothing, Flag::DebugAndTrace),
    (&["js", "jetstream"], Nothing, Flag::JetStream),
    (&["sd", "store_dir"], Value, Flag::StoreDir),
    (&["sl", "signal"], Value, Flag::Signal),
    (&["cluster", "cluster_listen"], Value, Flag::Cluster),
    (&["cluster_name"], Value, Flag::ClusterName),
    (&["cluster_advertise"], Value, Flag::ClusterAdvertise),
    (&["no_advertise"], Nothing, Flag::NoAdvertise),
    (&["routes"], Value, Flag::Routes),
    (&["connect_retries"], Value, Flag::ConnectRetries),
    (&["v", "version"], Nothing, Flag::Version),
    (&["h", "help"], Nothing, Flag::Help),
    (
        &[
            "ms",
            "https_port",
            "r",
            "remote_syslog",
            "log_size_limit",
            "max_traced_msg_len",
            "profile",
        ],
        Value,
        Flag::Unsupported,
    ),
    (&["s", "syslog", "help_tls"], Nothing, Flag::Unsupported),
];

/// One flag of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) flag: Flag,
    /// As it was written, without the dashes.
    pub(super) name: String,
    /// `true` or `false` for a flag that takes nothing.
    pub(super) value: String,
}

/// A command line nats-server would not take either.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum FlagError {
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value {value:?} for -{name}")]
    NoBoolean { name: String, value: String },
    #[error("unrecognized command: {0:?}")]
    Command(String),
}

/// Reads a command line, without the name of the program.
pub(super) fn parse(args: impl IntoIterator<Item = String>) -> Result<Vec<Given>, FlagError> {
    let mut args = args.into_iter();
    let mut given = Vec::new();
    while let Some(arg) = args.next() {
        let Some(text) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            // `nats-server help` and `nats-server version` are understood.
            match find(&arg) {
                Some((flag @ (Flag::Help | Flag::Version), _)) => given.push(Given {
                    flag,
                    name: arg,
                    value: "true".into(),
                }),
                _ => return Err(FlagError::Command(arg)),
            }
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let (flag, takes) = find(name).ok_or_else(|| FlagError::Unknown(name.into()))?;
        let value = match takes {
            Nothing => boolean(name, value.as_deref())?,
            Value => value
                .or_else(|| args.next())
                .ok_or_else(|| FlagError::NoValue(name.into()))?,
        };
        let name = name.into();
        given.push(Given { flag, name, value });
    }
    Ok(given)
}

fn find(name: &str) -> Option<(Flag, Takes)> {
    let found = FLAGS.iter().find(|(names, ..)| names.contains(&name));
    found.map(|(_, takes, flag)| (*flag, *takes))
}

fn boolean(name: &str, value: Option<&str>) -> Result<String, FlagError> {
    match value {
        None | Some("true" | "t" | "T" | "TRUE" | "True" | "1") => Ok("true".into()),
        Some("false" | "f" | "F" | "FALSE" | "False" | "0") => Ok("false".into()),
        Some(value) => Err(FlagError::NoBoolean {
            name: name.into(),
            value: value.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<(Flag, String)>, FlagError> {
        let given = parse(line.split(' ').map(String::from))?;
        Ok(given.into_iter().map(|g| (g.flag, g.value)).collect())
    }

    #[test]
    fn one_dash_two_dashes_and_equals_signs_are_the_same() {
        for line in ["-p -1", "--p -1", "-p=-1", "--port=-1", "-port -1"] {
            assert_eq!(read(line).unwrap(), [(Flag::Port, "-1".into())], "{line}");
        }
        for line in ["-js", "--jetstream", "-js=true", "-js=1"] {
            let expected = [(Flag::JetStream, "true".into())];
            assert_eq!(read(line).unwrap(), expected, "{line}");
        }
        assert_eq!(read("-T=false").unwrap(), [(Flag::LogTime, "false".into())]);
    }

    #[test]
    fn flags_that_take_nothing_leave_the_next_word_alone() {
        let expected = [
            (Flag::JetStream, "true".into()),
            (Flag::StoreDir, "dir".into()),
            (Flag::DebugAndTrace, "true".into()),
        ];
        assert_eq!(read("-js -sd dir -DV").unwrap(), expected);
    }

    #[test]
    fn what_go_refuses_is_refused() {
        let refused = [
            ("--bogus", "flag provided but not defined: -bogus"),
            ("-p", "flag needs an argument: -p"),
            ("-js=maybe", "invalid boolean value \"maybe\" for -js"),
            ("start", "unrecognized command: \"start\""),
        ];
        for (line, text) in refused {
            assert_eq!(read(line).unwrap_err().to_string(), text);
        }
    }
}
