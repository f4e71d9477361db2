//! Progress bars on standard error; nothing is drawn when it is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use order_service::rebuild::Rebuilding;

/// Shows how much of a file has been decided.
pub(crate) fn of_import(bytes: u64) -> ProgressBar {
    styled(
        bytes,
        "deciding   [{bar:40}] {percent:>3}%  {bytes}/{total_bytes}  {eta} left",
    )
}

/// Shows how far a rebuild is.
pub(crate) fn of_rebuild() -> ProgressBar {
    styled(
        0,
        "rebuilding [{bar:40}] {percent:>3}%  {pos}/{len} events  {msg}",
    )
}

/// Shows that something is waited for.
pub(crate) fn waiting(for_what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(for_what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Takes a report of the framework.
pub(crate) fn show(
    bar: &ProgressBar,
    Rebuilding {
        projection,
        progress,
    }: Rebuilding,
) {
    bar.set_message(projection);
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

fn styled(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is one of ours");
    ProgressBar::new(length).with_style(style.progress_chars("=> "))
}
