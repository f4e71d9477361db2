//! The order service: the running example of Hitherto, written to be read and copied.
//!
//! Start with [`order`]: the rules, pure and tested without a broker. Then [`read_model`], what
//! people see; [`notices`], a consumer that calls a slow service; [`desk`], where commands are
//! decided once and for ever; [`service`], all of it wired together. [`import`] and [`http`] bring
//! commands in. [`generate`] makes the command file that comes with the package.

#![forbid(unsafe_code)]

pub mod command;
pub mod desk;
mod digest;
pub mod generate;
pub mod http;
pub mod import;
pub mod moment;
pub mod money;
pub mod notices;
pub mod order;
pub mod read_model;
pub mod rebuild;
pub mod refusal;
pub mod service;
pub mod summary;
