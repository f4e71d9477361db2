//! platform: being built.
