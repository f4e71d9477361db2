//! hitherto-macros: being built.
