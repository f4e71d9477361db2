//! The command line of nats-server: `hitherto -js -sd DIR`, or the same program under the name
//! `nats-server`.
//!
//! | file | noun |
//! |---|---|
//! | `flags` | the flags, and reading them |
//!
//! What flags do not say is as in nats-server: all addresses, port 4222, no streams without `-js`.

mod flags;

use std::path::Path;

use anyhow::{Context as _, bail};
use hitherto_broker::NATS_VERSION;
use hitherto_broker::auth::{Auth, User};
use hitherto_broker::config::{CLIENT_PORT, ServerOptions, TlsOptions};

use self::flags::{Flag, Given};
use super::cluster_flags::ClusterFlags;
use super::log::{FATAL, Form};
use super::process::{Load, Process};
use super::send_signal;

/// The name that makes the program behave as nats-server.
const NAME: &str = "nats-server";

const USAGE: &str = "\
Usage: nats-server [options]

Server Options:
    -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)
    -p, --port <port>                Use port for clients (default: 4222, -1 for a free one)
    -n, --name
        --server_name <server_name>  Server name (default: auto)
    -P, --pid <file>                 File to store PID
    -m, --http_port <port>           Use port for http monitoring (-1 for a free one)
    -c, --config <file>              Configuration file
    -t                               Test configuration and exit
    -sl,--signal <signal>=<pid>      Send signal to a running server (ldm, stop, quit, term, reopen, reload);
                                     <pid> is a number or the path of a PID file
        --client_advertise <string>  Client URL to advertise to clients
        --ports_file_dir <dir>       Write a ports file in this directory (<program>_<pid>.ports)

Logging Options:
    -l, --log <file>                 File to redirect log output
    -T, --logtime                    Timestamp log entries (default: true)
    -D, --debug                      Enable debugging output
    -V, --trace                      Trace the raw protocol
    -DV                              Debug and trace

JetStream Options:
    -js, --jetstream                 Enable JetStream
    -sd, --store_dir <dir>           Set the storage directory

Authorization Options:
        --user <user>                User required for connections
        --pass <password>            Password required for connections
        --auth <token>               Authorization token required for connections

TLS Options:
        --tls                        Enable TLS, do not verify clients (default: false)
        --tlscert <file>             Server certificate file
        --tlskey <file>              Private key for server certificate
        --tlsverify                  Enable TLS, verify client certificates
        --tlscacert <file>           Client certificate CA for verification

Cluster Options:
        --cluster <url>              Listen for other servers (nats://host:port)
        --cluster_name <name>        Name of the cluster
        --routes <url,url,...>       Where other servers are
        --cluster_advertise <string> Address other servers are told
        --no_advertise               Do not tell clients of other servers
        --connect_retries <number>   How often an address other servers told is tried again

Common Options:
    -h, --help                       Show this message
    -v, --version                    Show version

This is Hitherto, which takes the command line of nats-server. `hitherto --help` shows its own.
";

/// Tells whether a command line is one of nats-server: by the program's name, or by a first argument that
/// is a flag, other than those that ask for Hitherto's own help and version.
pub(super) fn is_meant(program: &str, first: Option<&str>) -> bool {
    let own = ["-h", "--help", "--version"];
    program == NAME || first.is_some_and(|first| first.starts_with('-') && !own.contains(&first))
}

/// Runs the command line.
pub(super) fn run(args: Vec<String>) -> anyhow::Result<()> {
    let given = match flags::parse(args) {
        Ok(given) => given,
        Err(error) => {
            print(USAGE);
            return Err(error.into());
        }
    };
    let asks_for = |flag| given.iter().find(|given| given.flag == flag);
    if asks_for(Flag::Help).is_some() {
        print(USAGE);
        return Ok(());
    }
    if asks_for(Flag::Version).is_some() {
        print(&version());
        return Ok(());
    }
    if let Some(signal) = asks_for(Flag::Signal) {
        return send_signal::send(&signal.value);
    }
    let tested = match (asks_for(Flag::TestConfig), asks_for(Flag::Config)) {
        (Some(_), Some(config)) => Some(config.value.clone()),
        (Some(_), None) => bail!("must specify configuration file to test"),
        (None, _) => None,
    };
    let load: Load = Box::new(move || load(&given));
    let options = load()?;
    if let Some(path) = tested {
        // Looks at what only a start would find out.
        options.node_config()?;
        print(&format!("{NAME}: configuration file {path} is valid\n"));
        return Ok(());
    }
    let process = Process {
        options,
        load,
        form: Form::NatsServer,
        ports_file: None,
    };
    process.run().inspect_err(|error| {
        tracing::error!(target: FATAL, "{error:#}");
    })
}

/// Under the name of nats-server what tools expect from it; otherwise our own name as well.
fn version() -> String {
    if super::program() == NAME {
        format!("{NAME}: v{NATS_VERSION}\n")
    } else {
        format!(
            "hitherto {} ({NAME}: v{NATS_VERSION})\n",
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// What the configuration file says, and on top of it the flags.
fn load(given: &[Given]) -> anyhow::Result<ServerOptions> {
    let value = |flag| given.iter().rev().find(|given| given.flag == flag);
    let mut options = ServerOptions::default();
    if let Some(config) = value(Flag::Config) {
        options.read_file(Path::new(&config.value))?;
    }
    given
        .iter()
        .try_for_each(|given| apply(given, &mut options))?;
    if let Some(token) = value(Flag::Auth) {
        options.auth = Auth::new().token(token.value.clone());
    }
    if let Some(user) = value(Flag::User) {
        let password = value(Flag::Pass).map(|pass| pass.value.clone());
        let user = User::new(user.value.clone(), password.unwrap_or_default());
        options.auth = Auth::new().user(user);
    }
    if let Some(tls) = tls(given)? {
        options.tls = Some(tls);
    }
    cluster(given, &mut options)?;
    Ok(options)
}

/// What the flags say about other servers, on top of what the file says.
fn cluster(given: &[Given], options: &mut ServerOptions) -> anyhow::Result<()> {
    let value = |flag| {
        let given = given.iter().rev().find(|given| given.flag == flag);
        given.map(|given| given.value.as_str())
    };
    if value(Flag::Cluster).is_some() {
        options.cluster.get_or_insert_default();
    }
    let flags = ClusterFlags {
        listen: value(Flag::Cluster),
        name: value(Flag::ClusterName),
        routes: value(Flag::Routes),
        advertise: value(Flag::ClusterAdvertise),
        no_advertise: value(Flag::NoAdvertise).map(|on| on == "true"),
        connect_retries: value(Flag::ConnectRetries)
            .map(|retries| {
                let retries = retries.parse();
                retries.context("invalid value for flag -connect_retries")
            })
            .transpose()?,
    };
    flags.apply(options, "--cluster")
}

/// What the flags say about TLS; `None` when they say nothing.
fn tls(given: &[Given]) -> anyhow::Result<Option<TlsOptions>> {
    let value = |flag| {
        let given = given.iter().rev().find(|given| given.flag == flag);
        given.map(|given| given.value.as_str())
    };
    let verify = value(Flag::TlsVerify) == Some("true");
    if value(Flag::Tls) != Some("true") && !verify {
        return Ok(None);
    }
    let cert = value(Flag::TlsCert).context("TLS server certificate must be present: --tlscert")?;
    let key = value(Flag::TlsKey).context("TLS server private key must be present: --tlskey")?;
    let tls = TlsOptions::new(cert, key);
    if !verify {
        return Ok(Some(tls));
    }
    let ca = value(Flag::TlsCaCert).context("--tlsverify needs --tlscacert")?;
    Ok(Some(tls.verify(ca)))
}

/// Puts one flag into the options.
fn apply(given: &Given, options: &mut ServerOptions) -> anyhow::Result<()> {
    let Given { flag, name, value } = given;
    let on = value == "true";
    match flag {
        Flag::Addr => options.host.clone_from(value),
        Flag::Port => options.port = port(name, value)?.unwrap_or(CLIENT_PORT),
        Flag::Name => options.server_name = Some(value.clone()),
        Flag::Pid => options.process.pid_file = Some(value.into()),
        Flag::HttpPort => options.http_port = port(name, value)?,
        Flag::PortsFileDir => options.process.ports_file_dir = Some(value.into()),
        Flag::Log => options.process.log_file = Some(value.into()),
        Flag::LogTime => options.process.log_time = on,
        // Times are always in UTC.
        Flag::LogTimeUtc => {}
        Flag::Debug => options.process.debug = on,
        Flag::Trace => options.process.trace = on,
        Flag::DebugAndTrace => {
            options.process.debug = on;
            options.process.trace = on;
        }
        Flag::JetStream => options.jetstream = on,
        Flag::StoreDir => options.store_dir = value.into(),
        Flag::ClientAdvertise => options.client_advertise = Some(value.clone()),
        // Looked at by `run` and `load`.
        Flag::Signal
        | Flag::Version
        | Flag::Help
        | Flag::Config
        | Flag::TestConfig
        | Flag::Tls
        | Flag::TlsCert
        | Flag::TlsKey
        | Flag::TlsVerify
        | Flag::TlsCaCert
        | Flag::Cluster
        | Flag::ClusterName
        | Flag::ClusterAdvertise
        | Flag::NoAdvertise
        | Flag::Routes
        | Flag::ConnectRetries
        | Flag::User
        | Flag::Pass
        | Flag::Auth => {}
        Flag::Unsupported => bail!(
            "-{name} is not supported; the page \"NATS compatibility\" of the book lists what is"
        ),
    }
    Ok(())
}

/// A port as nats-server reads it: -1 is a free one, 0 the default.
fn port(name: &str, value: &str) -> anyhow::Result<Option<u16>> {
    match value {
        "-1" => Ok(Some(0)),
        "0" => Ok(None),
        _ => {
            let port = value.parse();
            let port = port.with_context(|| format!("invalid value {value:?} for flag -{name}"))?;
            Ok(Some(port))
        }
    }
}

#[allow(clippy::print_stdout, reason = "the command line talks to its user")]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> anyhow::Result<ServerOptions> {
        load(&flags::parse(line.split(' ').map(String::from))?)
    }

    #[test]
    fn the_name_or_a_flag_in_front_means_nats_server() {
        assert!(is_meant("nats-server", None));
        assert!(is_meant("nats-server", Some("--help")));
        assert!(is_meant("hitherto", Some("-js")));
        assert!(is_meant("hitherto", Some("--store_dir")));
        for first in [
            None,
            Some("serve"),
            Some("--help"),
            Some("-h"),
            Some("--version"),
        ] {
            assert!(!is_meant("hitherto", first), "{first:?}");
        }
    }

    #[test]
    fn flags_fill_in_the_options() {
        let options =
            options("-js -sd d -p -1 -m -1 -a 127.0.0.1 -n one -P p -l l -DV -T=false").unwrap();
        assert!(options.jetstream && options.process.debug && options.process.trace);
        assert!(!options.process.log_time);
        assert_eq!((options.port, options.http_port), (0, Some(0)));
        assert_eq!(options.host, "127.0.0.1");
        assert_eq!(options.server_name.as_deref(), Some("one"));
        assert_eq!(options.store_dir, Path::new("d"));
    }

    #[test]
    fn defaults_are_those_of_nats_server() {
        let options = options("-D").unwrap();
        assert!(!options.jetstream && options.http_port.is_none());
        assert_eq!((options.host.as_str(), options.port), ("0.0.0.0", 4222));
        assert_eq!(self::options("-p 0").unwrap().port, 4222);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (line, name) in [
            ("-routes nats://a:1", "--cluster"),
            ("-cluster a:1 -routes http://a:1", "http"),
            ("-cluster a:1 -connect_retries x", "connect_retries"),
            ("-s", "-s"),
            ("-p x", "-p"),
        ] {
            let error = options(line).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn flags_say_where_other_servers_are() {
        let line =
            "-cluster nats://127.0.0.1:-1 -cluster_name c -routes nats://a:1,b:2 -no_advertise";
        let shown = format!("{:?}", options(line).unwrap().cluster.unwrap());
        for part in [
            "\"c\"",
            "\"127.0.0.1\"",
            "port: 0",
            "\"a\"",
            "\"b\"",
            "no_advertise: true",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(options("-D").unwrap().cluster.is_none());
    }

    #[test]
    fn flags_count_more_than_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.conf");
        std::fs::write(
            &file,
            "port: 1\nserver_name: filed\nauthorization { token: t }\n",
        )
        .unwrap();
        let options = options(&format!("-c {} -p 2 --user u --pass p", file.display())).unwrap();
        assert_eq!(
            (options.port, options.server_name.as_deref()),
            (2, Some("filed"))
        );
        let shown = format!("{:?}", options.auth);
        assert!(
            shown.contains("\"u\"") && shown.contains("token: None"),
            "{shown}"
        );
    }
}
