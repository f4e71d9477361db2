//! hitherto: being built.
