//! The program a user would write runs against both servers unchanged.

use std::process::Stdio;

use anyhow::{Result, ensure};
use hitherto_integration::{Server, on_both_servers};

async fn the_orders_program_ends_with_all_orders_done(server: &mut Server) -> Result<()> {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_orders"))
        .args(["--server", &server.url()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(hitherto_integration::client::PATIENCE * 3, output).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}\n{said}{complained}",
        output.status
    );
    ensure!(said.contains("all 5 orders are done"), "{said}");
    Ok(())
}

on_both_servers!(the_orders_program_ends_with_all_orders_done);
