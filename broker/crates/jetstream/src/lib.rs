//! jetstream: being built.
