//! `--signal command=pid`: steers a running server, as `nats-server --signal` does.

use std::fs;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Sends the signal that `request` names: `stop=1234`, or `reload=/run/nats.pid`.
pub(super) fn send(request: &str) -> anyhow::Result<()> {
    let (command, target) = request.split_once('=').unwrap_or((request, ""));
    let signal = match command {
        "stop" => Signal::KILL,
        "quit" => Signal::INT,
        "term" => Signal::TERM,
        "reopen" => Signal::USR1,
        "ldm" => Signal::USR2,
        "reload" => Signal::HUP,
        _ => bail!(
            "unknown signal {command:?}: it is one of stop, quit, term, reopen, ldm and reload"
        ),
    };
    if target.is_empty() {
        // Differs from nats-server, which looks for processes of its own name.
        bail!("--signal {command} needs a process: {command}=1234 or {command}=/path/to/pid-file");
    }
    let pid = pid_of(target)?;
    kill_process(pid, signal).with_context(|| format!("signal {command:?} to {target}"))
}

/// A number, or a file that holds one.
fn pid_of(target: &str) -> anyhow::Result<Pid> {
    let number = match target.parse() {
        Ok(number) => Some(number),
        Err(_) => {
            let text = fs::read_to_string(target);
            let text = text.with_context(|| format!("invalid pid: {target}"))?;
            text.trim().parse().ok()
        }
    };
    // Zero and negative numbers would reach whole groups of processes.
    let pid = number.filter(|number| *number > 0).and_then(Pid::from_raw);
    pid.with_context(|| format!("invalid pid: {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_a_number_or_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        fs::write(&file, "42\n").unwrap();
        assert_eq!(pid_of("42").unwrap(), Pid::from_raw(42).unwrap());
        assert_eq!(
            pid_of(file.to_str().unwrap()).unwrap(),
            Pid::from_raw(42).unwrap()
        );
        for wrong in ["0", "-1", "/no/such/file", "99999999999"] {
            assert!(pid_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_sent_without_command_and_process() {
        for wrong in ["explode=1", "stop", "stop="] {
            assert!(send(wrong).is_err(), "{wrong}");
        }
    }
}
