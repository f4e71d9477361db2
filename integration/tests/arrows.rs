//! The arrows between the crates point the way the architecture page says, and the pure crates stay
//! pure.
//!
//! `cargo tree` is asked for everything a crate reaches through ordinary and build dependencies, with
//! all its features where nothing else is said.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use hitherto_integration::{programs, tree};

/// What a pure crate must not reach: the outside world arrives as arguments.
const OUTSIDE_WORLD: &[&str] = &[
    "async-nats",
    "fastrand",
    "getrandom",
    "mio",
    "openraft",
    "rand",
    "redb",
    "rustix",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-util",
    "uuid",
];

/// One crate and what it may reach.
struct Rule {
    package: &'static str,
    features: &'static [&'static str],
    /// The crates of this workspace it may reach; reaching fewer is fine.
    ours: &'static [&'static str],
    /// Crates it must not reach.
    banned: &'static [&'static str],
}

const ALL: &[&str] = &["--all-features"];

const RULES: &[Rule] = &[
    Rule {
        package: "hitherto-protocol",
        features: ALL,
        ours: &[],
        banned: OUTSIDE_WORLD,
    },
    Rule {
        package: "hitherto-platform",
        features: ALL,
        ours: &[],
        banned: &["async-nats", "openraft", "redb"],
    },
    Rule {
        package: "hitherto-jetstream",
        features: ALL,
        ours: &["hitherto-protocol"],
        banned: OUTSIDE_WORLD,
    },
    Rule {
        package: "hitherto-storage",
        features: ALL,
        ours: &[
            "hitherto-jetstream",
            "hitherto-platform",
            "hitherto-protocol",
        ],
        banned: &["async-nats", "openraft"],
    },
    Rule {
        package: "hitherto-cluster",
        features: ALL,
        ours: &[
            "hitherto-jetstream",
            "hitherto-platform",
            "hitherto-protocol",
            "hitherto-storage",
        ],
        banned: &["async-nats"],
    },
    Rule {
        package: "hitherto-broker",
        features: ALL,
        ours: BROKER,
        banned: &["async-nats", "mdbook-core"],
    },
    Rule {
        package: "hitherto-macros",
        features: ALL,
        ours: &[],
        banned: OUTSIDE_WORLD,
    },
    Rule {
        package: "hitherto",
        features: &["--no-default-features", "--features", "remote"],
        ours: &["hitherto-macros"],
        banned: &["mdbook-core"],
    },
    Rule {
        package: "hitherto-schemas",
        features: ALL,
        ours: &[],
        banned: &["async-nats", "tokio"],
    },
    Rule {
        package: "hitherto-integration",
        features: ALL,
        ours: &["hitherto-schemas"],
        banned: &[],
    },
];

const BROKER: &[&str] = &[
    "hitherto-cluster",
    "hitherto-jetstream",
    "hitherto-platform",
    "hitherto-protocol",
    "hitherto-storage",
];

/// Crates that get time, files and randomness as arguments, and what their sources must not say.
const PURE_SOURCES: &[&str] = &["broker/crates/protocol/src", "broker/crates/jetstream/src"];
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
];

#[test]
fn arrows_point_one_way() -> Result<()> {
    for rule in RULES {
        let reached = reached(rule.package, rule.features)?;
        for ours in reached.iter().filter(|name| name.starts_with("hitherto")) {
            ensure!(
                ours == rule.package || rule.ours.contains(&ours.as_str()),
                "{} must not reach {ours}",
                rule.package
            );
        }
        for banned in rule.banned {
            ensure!(
                !reached.contains(*banned),
                "{} must not reach {banned}",
                rule.package
            );
        }
    }
    Ok(())
}

#[test]
fn the_framework_reaches_the_broker_through_its_feature_alone() -> Result<()> {
    let with = reached(
        "hitherto",
        &["--no-default-features", "--features", "embedded"],
    )?;
    ensure!(
        with.contains("hitherto-broker"),
        "the feature embedded brings the broker"
    );
    ensure!(
        !with.contains("async-nats"),
        "the feature embedded brings no client over a socket"
    );
    let without = reached("hitherto", &["--no-default-features"])?;
    ensure!(
        !without.contains("hitherto-broker"),
        "without it there is no broker"
    );
    Ok(())
}

#[test]
fn pure_crates_name_no_clock_file_or_socket() -> Result<()> {
    for folder in PURE_SOURCES {
        for path in tree::rust_files(&programs::repository().join(folder))? {
            // `tests.rs` and `shadow_tests.rs` alike.
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if stem.is_some_and(|stem| stem.ends_with("tests")) {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for word in IMPURE {
                ensure!(!code.contains(word), "{} uses {word}", path.display());
            }
        }
    }
    Ok(())
}

/// The names of all crates that `package` reaches.
fn reached(package: &str, features: &[&str]) -> Result<BTreeSet<String>> {
    let output = programs::cargo()
        .args(["tree", "--locked", "--quiet", "--package", package])
        .args([
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(features)
        .output()
        .context("starting cargo tree")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "cargo tree --package {package}: {complaint}"
    );
    let lines = String::from_utf8(output.stdout)?;
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}
