//! The tests that the crate async-nats publishes in its own package, run against our broker.
//!
//! They are what the client's makers expect of a server, so they say more about compatibility than
//! tests of ours could. [`build`] takes them from the published package, [`run`] gives each a
//! process of its own, [`exclusions`] names those that cannot pass yet or here, each with its reason.
//!
//! Two environment variables are for working on them: `HITHERTO_SUITE_ONLY` runs the tests whose
//! names contain it, and `HITHERTO_SUITE_AGAINST=nats-server` runs them against the stock server that
//! `HITHERTO_NATS_SERVER` names, which proves the launcher.

mod build;
mod exclusions;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use hitherto_integration::{Kind, server, skip};
use hitherto_schemas::Schemas;

use exclusions::Reason;
use run::{Outcome, Run};

/// Runs only the tests whose names contain this.
const ONLY_VARIABLE: &str = "HITHERTO_SUITE_ONLY";

/// Names another server than ours to run the tests against.
const AGAINST_VARIABLE: &str = "HITHERTO_SUITE_AGAINST";

/// How many answers of another shape than the published one are shown.
const FAULTS_SHOWN: usize = 10;

/// A suite that lost most of its tests proves nothing: the package has 330.
const TESTS_MIN: usize = 300;

#[tokio::test]
async fn the_clients_own_tests_pass() -> Result<()> {
    let kind = kind()?;
    let Some(server) = server::kind_program(kind)? else {
        skip::loudly(&skip::test_name(), "there is no nats-server to run against");
        return Ok(());
    };
    let suite = match build::suite()? {
        build::Suite::Built(suite) => suite,
        build::Suite::Missing(why) => {
            skip::loudly(&skip::test_name(), &why);
            return Ok(());
        }
    };
    let all = run::list(&suite).await?;
    ensure!(
        all.len() >= TESTS_MIN,
        "only {} tests were found",
        all.len()
    );
    let excluded = exclusions::for_server(kind);
    let unknown: Vec<_> = excluded
        .keys()
        .filter(|name| !all.iter().any(|test| test == *name))
        .collect();
    ensure!(
        unknown.is_empty(),
        "excluded tests that do not exist: {unknown:?}"
    );
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let chosen: Vec<String> = all
        .into_iter()
        .filter(|name| name.contains(&only))
        .collect();
    let records = match (kind, hitherto_schemas::schemas()) {
        (Kind::Hitherto, Some(schemas)) => Some((schemas, tempfile::tempdir()?)),
        _ => None,
    };
    let run = Run {
        suite: &suite,
        server: &server,
        records: records.as_ref().map(|(_, folder)| folder.path()),
    };
    let outcomes = run::all(run, &chosen, |name| excluded.contains_key(name)).await?;
    judge(&outcomes, &excluded)?;
    match &records {
        Some((schemas, folder)) => judge_records(schemas, folder.path()),
        None => Ok(()),
    }
}

/// Holds what the servers told against the published schemas.
fn judge_records(schemas: &Schemas, folder: &Path) -> Result<()> {
    let (mut told, mut faults) = (0, BTreeSet::new());
    for record in fs::read_dir(folder)? {
        for line in fs::read(record?.path())?.split(|byte| *byte == b'\n') {
            told += usize::from(!line.is_empty());
            if let Err(fault) = schemas.judge(line) {
                faults.insert(fault);
            }
        }
    }
    skip::note(&format!(
        "async-nats' own tests: {told} advisories and answers, {} of them not as published",
        faults.len()
    ));
    let shown: Vec<_> = faults.into_iter().take(FAULTS_SHOWN).collect();
    ensure!(shown.is_empty(), "not as published:\n{}", shown.join("\n"));
    Ok(())
}

fn kind() -> Result<Kind> {
    match std::env::var(AGAINST_VARIABLE).as_deref() {
        Err(_) => Ok(Kind::Hitherto),
        Ok("nats-server") => Ok(Kind::NatsServer),
        Ok(other) => bail!("{AGAINST_VARIABLE} is \"nats-server\" or not set, not {other:?}"),
    }
}

/// Holds what happened against what was expected to happen.
fn judge(outcomes: &BTreeMap<String, Outcome>, excluded: &BTreeMap<String, Reason>) -> Result<()> {
    let mut faults = String::new();
    let mut passed = 0;
    for (name, outcome) in outcomes {
        match (outcome, excluded.get(name.as_str())) {
            (Outcome::Passed, None) => passed += 1,
            (Outcome::PassedAlone, None) => {
                passed += 1;
                skip::note(&format!("{name} passed only when run on its own"));
            }
            (Outcome::Failed(output), None) => writeln!(faults, "\n== {name} failed\n{output}")?,
            (Outcome::Failed(_), Some(_)) => {}
            (Outcome::Passed | Outcome::PassedAlone, Some(reason))
                if reason.depends_on_the_place() =>
            {
                skip::note(&format!("{name} passes; it is excluded since {reason}"));
            }
            (Outcome::Passed | Outcome::PassedAlone, Some(reason)) => {
                writeln!(faults, "\n== {name} passes; it is excluded since {reason}")?;
            }
        }
    }
    let failed = faults.matches("\n== ").count();
    skip::note(&format!(
        "async-nats' own tests: {passed} of {} passed, {} are excluded, {failed} faults",
        outcomes.len(),
        outcomes
            .keys()
            .filter(|name| excluded.contains_key(name.as_str()))
            .count(),
    ));
    ensure!(faults.is_empty(), "{faults}");
    Ok(())
}
