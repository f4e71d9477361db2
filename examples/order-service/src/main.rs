//! The command line of the order service.

#![forbid(unsafe_code)]

mod cli;
mod progress;
mod stop;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hitherto::Broker;
use order_service::generate::generate;
use order_service::http;
use order_service::import::{SHIPPED, import};
use order_service::notices::Carrier;
use order_service::service::{OrderService, Stores};
use order_service::summary::{Run, State, Summary};
use tokio::io::{AsyncBufRead, BufReader};
use tokio::net::TcpListener;

use self::cli::{Args, Subcommand};
use self::stop::Stop;

/// What shells expect of a program that ended because of Ctrl-C.
const STOPPED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    if let Some(Subcommand::Generate { seed }) = args.subcommand {
        write!(io::stdout(), "{}", generate(seed))?;
        return Ok(ExitCode::SUCCESS);
    }
    log_to_stderr();
    let stop = Stop::on_signal()?;
    let service = Arc::new(start(&args).await?);
    let done = if args.rebuild {
        rebuild(&service, &args).await
    } else if let Some(address) = &args.serve {
        serve(&service, address, stop).await
    } else {
        decide_all(&service, &args, stop).await
    };
    // Also after an error: what was decided is checkpointed, and the next start is quick.
    let stopped = service.shutdown().await;
    let code = done?;
    stopped.map(|()| code)
}

// ANCHOR: start
async fn start(args: &Args) -> Result<OrderService> {
    let folder = args.folder();
    let stores = Stores::open(&folder)?;
    let broker = match &args.broker {
        Some(url) => Broker::connect(url).await.with_context(|| {
            format!(
                "no broker at {url}; `cargo run -p hitherto-broker -- serve` starts one, \
                 and without --broker none is needed"
            )
        })?,
        None => Broker::embedded(folder.join("broker")).await?,
    };
    OrderService::start(broker, stores, Carrier::default()).await
}
// ANCHOR_END: start

/// Imports the commands and prints the summary.
async fn decide_all(service: &OrderService, args: &Args, stop: Stop) -> Result<ExitCode> {
    service.catch_up().await?;
    let (commands, bytes) = open_commands(args).await?;
    let bar = progress::of_import(bytes);
    let (started, advance) = (Instant::now(), bar.clone());
    let step = move |bytes| advance.inc(bytes);
    let tally = import(&service.desk, commands, step, stop.clone().requested()).await;
    bar.finish_and_clear();
    let run = Run::new(tally?, started.elapsed());
    let state = settle(service, stop.clone()).await?;
    let summary = Summary { run, state };
    if args.json {
        print_json(&summary)?;
    } else {
        writeln!(io::stdout(), "{summary}")?;
    }
    Ok(if stop.is_requested() {
        ExitCode::from(STOPPED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Opens the commands, and tells how many bytes there are.
async fn open_commands(args: &Args) -> Result<(Box<dyn AsyncBufRead + Send + Unpin>, u64)> {
    let Some(path) = &args.commands else {
        let bytes = u64::try_from(SHIPPED.len()).unwrap_or(u64::MAX);
        return Ok((Box::new(SHIPPED.as_bytes()), bytes));
    };
    let file = tokio::fs::File::open(path).await.with_context(|| {
        format!(
            "cannot open {}; `order-service generate` prints such a file",
            path.display()
        )
    })?;
    let bytes = file.metadata().await?.len();
    Ok((Box::new(BufReader::new(file)), bytes))
}

/// Waits until read models and notices are up to date, or somebody wants to stop.
async fn settle(service: &OrderService, stop: Stop) -> Result<State> {
    let bar = progress::waiting("announcing parcels to the carrier");
    // Both may be cancelled: waiting changes nothing.
    tokio::select! {
        settled = service.settle() => if !settled? {
            bar.println("some notices are missing: a later run brings them, or another --data folder has them");
        },
        () = stop.requested() => {}
    }
    bar.finish_and_clear();
    State::read(service).await
}

/// Makes the read models anew and prints how they compare.
async fn rebuild(service: &OrderService, args: &Args) -> Result<ExitCode> {
    let bar = progress::of_rebuild();
    let reports = service
        .rebuild(|progress| progress::show(&bar, progress))
        .await;
    bar.finish_and_clear();
    let reports = reports?;
    if args.json {
        print_json(&reports)?;
    } else {
        for report in &reports {
            writeln!(io::stdout(), "{report}")?;
        }
    }
    ensure!(
        reports.iter().all(|report| report.equal != Some(false)),
        "a rebuilt read model differs from the one before; the rebuilt one is in use now"
    );
    Ok(ExitCode::SUCCESS)
}

/// Answers HTTP until somebody wants to stop.
async fn serve(service: &Arc<OrderService>, address: &str, stop: Stop) -> Result<ExitCode> {
    service.catch_up().await?;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; `--serve 127.0.0.1:0` picks a free port")
    })?;
    writeln!(
        io::stdout(),
        "listening on http://{}",
        listener.local_addr()?
    )?;
    axum::serve(listener, http::router(Arc::clone(service)))
        .with_graceful_shutdown(stop.requested())
        .await?;
    Ok(ExitCode::SUCCESS)
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}

/// Tells what went wrong and, below, why.
#[allow(clippy::print_stderr, reason = "the command line talks to its user")]
fn report(error: &anyhow::Error) {
    eprintln!("order-service: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}
