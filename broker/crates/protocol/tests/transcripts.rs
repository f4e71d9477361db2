//! Runs `testdata/*.txt`: what a client sends, and what the decoder makes of it.
//!
//! A transcript is a list of cases, each a block of lines: `== name`, `limits <control line>
//! <payload>` (optional), `> bytes` (with `\r`, `\n`, `\t`, `\xNN`, `\\`, and `*N` behind a quoted
//! byte run as in `"a"*90`), `< operation`, `! error | text of -ERR or "silence"`. Each `>` is one
//! read. Every case also runs with all bytes in one read and with one byte per read.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use hitherto_protocol::{ClientOp, Decoder, Limits};

#[test]
fn transcripts_decode_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for case in parse(&text) {
            case.run(&path);
            cases += 1;
        }
    }
    assert!(cases > 50, "only {cases} cases found");
}

struct Case {
    name: String,
    limits: Limits,
    reads: Vec<Vec<u8>>,
    expected: Vec<String>,
}

impl Case {
    fn run(&self, path: &Path) {
        let whole = vec![self.reads.concat()];
        let single: Vec<Vec<u8>> = self
            .reads
            .concat()
            .into_iter()
            .map(|byte| vec![byte])
            .collect();
        for (how, reads) in [
            ("as given", &self.reads),
            ("at once", &whole),
            ("by byte", &single),
        ] {
            let seen = decode(self.limits, reads);
            assert_eq!(
                seen,
                self.expected,
                "{}: {} ({how})",
                path.display(),
                self.name
            );
        }
    }
}

fn decode(limits: Limits, reads: &[Vec<u8>]) -> Vec<String> {
    let mut decoder = Decoder::new(limits);
    let mut buf = BytesMut::new();
    let mut seen = Vec::new();
    for read in reads {
        buf.extend_from_slice(read);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(op)) => seen.push(format!("< {}", show(&op))),
                Ok(None) => break,
                Err(error) => {
                    let answer = error.wire_text().unwrap_or("silence");
                    seen.push(format!("! {error} | {answer}"));
                    return seen;
                }
            }
        }
    }
    seen
}

fn show(op: &ClientOp) -> String {
    match op {
        ClientOp::Connect(connect) => {
            let (verbose, echo, headers) = (connect.verbose, connect.echo, connect.headers);
            let name = connect.name.as_deref().unwrap_or("-");
            format!("connect verbose={verbose} echo={echo} headers={headers} name={name}")
        }
        ClientOp::Publish(publish) => {
            let (subject, reply) = (text(&publish.subject), optional(publish.reply.as_ref()));
            let (headers, payload) = (optional(publish.headers.as_ref()), text(&publish.payload));
            format!("publish {subject} reply={reply} headers={headers} payload={payload}")
        }
        ClientOp::Subscribe {
            subject,
            queue,
            sid,
        } => {
            format!(
                "subscribe {} queue={} sid={}",
                text(subject),
                optional(queue.as_ref()),
                text(sid)
            )
        }
        ClientOp::Unsubscribe { sid, max } => match max {
            Some(max) => format!("unsubscribe {} after {max}", text(sid)),
            None => format!("unsubscribe {} now", text(sid)),
        },
        ClientOp::Ping => "ping".into(),
        ClientOp::Pong => "pong".into(),
        ClientOp::Info => "info".into(),
        ClientOp::Ok => "ok".into(),
        ClientOp::Err(text) => format!("err {}", text.escape_ascii()),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn optional(bytes: Option<&Bytes>) -> String {
    bytes.map_or_else(|| "-".into(), |bytes| text(bytes))
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            let (name, limits) = (name.to_owned(), Limits::default());
            cases.push(Case {
                name,
                limits,
                reads: Vec::new(),
                expected: Vec::new(),
            });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        if let Some(limits) = line.strip_prefix("limits ") {
            let (line, payload) = limits.split_once(' ').unwrap();
            case.limits = Limits {
                control_line_bytes_max: line.parse().unwrap(),
                payload_bytes_max: payload.parse().unwrap(),
            };
        } else if let Some(read) = line.strip_prefix("> ") {
            case.reads.push(unescape(read));
        } else {
            case.expected.push(line.to_owned());
        }
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char == '"'
            && let Some((run, behind)) = rest.as_str().split_once("\"*")
        {
            let digits = behind.chars().take_while(char::is_ascii_digit).count();
            bytes.extend(run.repeat(behind[..digits].parse().unwrap()).bytes());
            rest = behind[digits..].chars();
            continue;
        }
        if char != '\\' {
            bytes.extend(char.to_string().bytes());
            continue;
        }
        match rest.next().unwrap() {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            'x' => {
                let hex: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            other => bytes.push(u8::try_from(other).unwrap()),
        }
    }
    bytes
}
