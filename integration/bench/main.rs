//! The benchmark: being built in this change.

fn main() {}
