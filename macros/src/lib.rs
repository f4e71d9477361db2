//! The macros of Hitherto; use them through the crate `hitherto`, where they are re-exported.
//!
//! Every macro works in four steps: parse the user's tokens, validate them (all errors at once, each
//! at the token it is about), expand to public traits, and on an error fall back to the user's item
//! as it stands, so that one mistake does not cause fifty.
//!
//! This crate knows the names in `hitherto` but does not depend on it.

mod aggregate;
mod consumer;
mod derives;
mod duration;
mod event;
mod options;
mod projection;
mod read_model;
mod types;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;

/// Turns an enum into the events of an aggregate.
///
/// Every variant becomes a struct of its own, with public fields, and the enum holds them:
/// `Placed { .. }` becomes `struct Placed { .. }` and `OrderEvent::Placed(Placed)`. The structs and
/// the enum implement the trait `Event`; the structs convert into the enum.
///
/// * `context = ".."`, `aggregate = ".."`: the first two tokens of the subject.
/// * `id = Type`: the aggregate's id type; `hitherto::Id` when left out.
/// * `encoding = "json"`: payloads as JSON; MessagePack when left out.
/// * `crate = path`: where `hitherto` is, when it is renamed.
/// * On a variant, `#[event(name = "..")]`: the stored name; snake case of the variant when left out.
///   Give it before renaming a variant whose events are stored.
#[proc_macro_attribute]
pub fn event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |item| event::attribute(arguments.into(), item))
}

/// The same for an enum whose variants hold structs of your own; nothing is rewritten.
///
/// The options go into `#[hitherto(context = "..", aggregate = "..")]` on the enum and
/// `#[hitherto(name = "..")]` on a variant. The structs need serde's `Serialize` and `Deserialize`,
/// and `Clone`.
#[proc_macro_derive(Event, attributes(hitherto))]
pub fn derive_event(item: TokenStream) -> TokenStream {
    event::derive(item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Turns an inherent `impl` block into an aggregate.
///
/// * `event = Type`, `rejection = Type`.
/// * `fn evolve(&mut self, event: &Event)` takes one event in.
/// * Each `#[decide] fn name(&self, command: &Command) -> Result<.., Rejection>` decides one type of
///   command. The aggregate must exist; with `#[decide(create)]` it must not; with
///   `#[decide(upsert)]` either. The `Ok` type is an event, `Option`, `Vec`, an array or a tuple of
///   events, or `()`.
/// * `crate = path`: where `hitherto` is, when it is renamed.
#[proc_macro_attribute]
pub fn aggregate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |item| aggregate::attribute(arguments.into(), item))
}

/// Turns a struct or enum into a row of a read model, with serde, `Debug`, `Clone` and `PartialEq`.
///
/// * `key = Type`: what rows are found by.
/// * `table = ".."`: the table's name; snake case of the type when left out.
/// * `crate = path`: where `hitherto` is, when it is renamed.
#[proc_macro_attribute]
pub fn read_model(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |item| read_model::attribute(arguments.into(), item))
}

/// Turns a fold into a projection: a unit struct of the function's name.
///
/// The function takes `Option<Row>` and `&Recorded<Event>` and returns `Option<Row>`.
///
/// * `name = ".."`: names the checkpoint; the function's name when left out.
/// * `key = expression`: the key of the row an event concerns, with the event's parameter in scope;
///   it may be an `Option`. The aggregate's id when left out.
/// * `crate = path`: where `hitherto` is, when it is renamed.
#[proc_macro_attribute]
pub fn projection(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |item| projection::attribute(arguments.into(), item))
}

/// Turns an async function into a consumer: a unit struct of the function's name.
///
/// The function takes `Recorded<Event>`, then any of `Context` and `Provided<T>`, and returns
/// `Handled`.
///
/// * `durable = ".."`: names the consumer on the broker.
/// * `heartbeat(max = "15m")`: the longest one handling may take. There is no default. With
///   `heartbeat(max = "15m", spent = "term")` a message that takes longer is not delivered again.
/// * `ack_wait = "30s"`: a heartbeat goes out every third of it.
/// * `concurrency = 1`: handlers at work at the same time.
/// * `max_deliver = 10`: deliveries of one message; no end when left out.
/// * `backoff = ["1s", "10s"]`: waits before redelivery; the last repeats.
/// * `on = Type`: the event type again, checked against the argument.
/// * `crate = path`: where `hitherto` is, when it is renamed.
#[proc_macro_attribute]
pub fn consumer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |item| consumer::attribute(arguments.into(), item))
}

/// Runs a macro; on errors keeps the item as far as the macro can tell it from its own attributes.
fn expand(
    item: TokenStream,
    macro_: impl FnOnce(TokenStream2) -> Result<TokenStream2, Failed>,
) -> TokenStream {
    let failed = match macro_(item.into()) {
        Ok(tokens) => return tokens.into(),
        Err(failed) => failed,
    };
    let mut tokens = failed.error.to_compile_error();
    tokens.extend(failed.fallback);
    tokens.into()
}

/// Errors, and what to leave in place of the item.
struct Failed {
    error: syn::Error,
    fallback: TokenStream2,
}

impl Failed {
    fn new(error: syn::Error, fallback: impl quote::ToTokens) -> Self {
        Self {
            error,
            fallback: fallback.into_token_stream(),
        }
    }
}

/// Parses an item; what is not one of the right kind stays as it is.
fn parse_item<T: syn::parse::Parse>(item: TokenStream2) -> Result<T, Failed> {
    syn::parse2(item.clone()).map_err(|error| Failed::new(error, item))
}

/// Collects errors so that all are shown at once.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn at(&mut self, tokens: impl quote::ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Keeps the value or the error.
    fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    fn finish<T>(self, value: Option<T>) -> syn::Result<T> {
        match (self.0, value) {
            (None, Some(value)) => Ok(value),
            (Some(error), _) => Err(error),
            (None, None) => Err(syn::Error::new(
                proc_macro2::Span::call_site(),
                "hitherto: a step failed without an error; please report this",
            )),
        }
    }
}
