//! Every dependency comes from crates.io under a licence that `deny.toml` allows, and none is
//! banned there.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use hitherto_integration::programs;
use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The part of `deny.toml` that this test enforces.
struct Policy {
    licences: BTreeSet<String>,
    /// Further licences, each allowed for one package.
    exceptions: BTreeSet<(String, String)>,
    banned: BTreeSet<String>,
}

impl Policy {
    fn load() -> Result<Self> {
        let text = fs::read_to_string(programs::repository().join("deny.toml"))?;
        let exceptions = quoted(list(&text, "exceptions")?);
        let exceptions = exceptions
            .chunks_exact(2)
            .map(|pair| (pair[1].clone(), pair[0].clone()));
        Ok(Self {
            licences: quoted(list(&text, "allow")?).into_iter().collect(),
            exceptions: exceptions.collect(),
            banned: quoted(list(&text, "deny")?).into_iter().collect(),
        })
    }

    /// Whether the licence expression leaves `package` a choice that is allowed (SPDX, and
    /// `MIT/Apache-2.0` as older packages write it).
    fn allows(&self, package: &str, expression: &str) -> bool {
        let spaced = expression
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut parser = Parser {
            policy: self,
            package,
            rest: &words,
        };
        parser.any() && parser.rest.is_empty()
    }
}

/// Reads a licence expression and decides it at the same time.
struct Parser<'a> {
    policy: &'a Policy,
    package: &'a str,
    rest: &'a [&'a str],
}

impl Parser<'_> {
    fn any(&mut self) -> bool {
        let mut allowed = self.all();
        while self.take("OR") {
            allowed |= self.all();
        }
        allowed
    }

    fn all(&mut self) -> bool {
        let mut allowed = self.one();
        while self.take("AND") {
            allowed &= self.one();
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            return self.any() & self.take(")");
        }
        let mut name = self.next().to_owned();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.next());
        }
        self.policy.licences.contains(&name)
            || self
                .policy
                .exceptions
                .contains(&(self.package.to_owned(), name))
    }

    /// The next word; empty, which no policy allows, at the end.
    fn next(&mut self) -> &str {
        let Some((first, after)) = self.rest.split_first() else {
            return "";
        };
        self.rest = after;
        first
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest.first() == Some(&word);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }
}

/// The text of the list `name = [ .. ]`.
fn list<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let start = format!("\n{name} = [\n");
    let rest = text
        .split_once(&start)
        .with_context(|| format!("deny.toml has no {name}"))?
        .1;
    Ok(rest
        .split_once("\n]")
        .with_context(|| format!("{name} in deny.toml does not end"))?
        .0)
}

fn quoted(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_dependency_is_allowed() -> Result<()> {
    let policy = Policy::load()?;
    let output = programs::cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {complaint}");
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names packages")?;
    ensure!(
        packages.len() > 50,
        "only {} packages were found",
        packages.len()
    );
    let faults: Vec<String> = packages
        .iter()
        .filter_map(|package| fault(&policy, package))
        .collect();
    ensure!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

fn fault(policy: &Policy, package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let source = package["source"].as_str();
    let licence = package["license"].as_str().unwrap_or("no licence");
    if source.is_some_and(|source| source != CRATES_IO) {
        return Some(format!("{name}: comes from {source:?}"));
    }
    if policy.banned.contains(name) {
        return Some(format!("{name}: is banned"));
    }
    (!policy.allows(name, licence)).then(|| format!("{name}: its licence is {licence}"))
}

#[test]
fn a_licence_expression_needs_one_allowed_choice() {
    let policy = Policy {
        licences: ["MIT", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .into(),
        exceptions: [("book".to_owned(), "Odd".to_owned())].into(),
        banned: BTreeSet::new(),
    };
    for allowed in ["MIT", "GPL-3.0 OR MIT", "Foo/MIT", "(Foo OR MIT) AND MIT"] {
        assert!(policy.allows("any", allowed), "{allowed}");
    }
    assert!(policy.allows("any", "Apache-2.0 WITH LLVM-exception"));
    assert!(policy.allows("book", "Odd AND MIT") && !policy.allows("any", "Odd"));
    for refused in ["", "Foo", "MIT AND Foo", "Apache-2.0", "MIT MIT", "(MIT"] {
        assert!(!policy.allows("any", refused), "{refused}");
    }
}
