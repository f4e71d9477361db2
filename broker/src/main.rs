//! The `hitherto` command.

fn main() {}
