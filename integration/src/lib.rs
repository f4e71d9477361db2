//! The harness: being built.
