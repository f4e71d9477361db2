//! hitherto-broker: being built.
