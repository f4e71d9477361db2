//! Aggregates: state folded from events, and the commands it decides on.
//!
//! Both traits are what `#[aggregate]` expands to. `decide` is synchronous, takes `&self` and no
//! services: it is run again after a conflict, so it must be pure. Data it needs is fetched before
//! and put into the command.

use std::fmt::Debug;

use crate::event::Event;

/// State that is the fold of its events. `Default` is the state before the first event.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// Its events.
    type Event: Event;
    /// How its commands are refused.
    type Rejection: Debug + Send + Sync + 'static;

    /// Takes one event in. It must not fail: the event has happened.
    fn evolve(&mut self, event: &Self::Event);
}

/// The aggregate decides commands of type `C`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not decide the command `{C}`",
    label = "no `#[decide]` method of `{Self}` takes `&{C}`",
    note = "write `#[decide] fn name(&self, command: &{C}) -> Result<.., Rejection>` in its `#[aggregate]` block"
)]
pub trait Decide<C>: Aggregate {
    /// Whether the aggregate must exist.
    const MODE: Mode;

    /// Decides on the command in this state. No events means: already so.
    ///
    /// # Errors
    /// The rejection, when the domain says no.
    fn decide(&self, command: &C) -> Result<Vec<Self::Event>, Self::Rejection>;
}

/// Whether a command needs its aggregate to exist, that is, to have events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It must not exist yet (`#[decide(create)]`).
    Create,
    /// It must exist (`#[decide]`).
    Update,
    /// Either (`#[decide(upsert)]`).
    Upsert,
}

/// What a `#[decide]` method may return: one event, `Option`, `Vec`, an array, a pair or triple of
/// these, or `()` for none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of events of `{E}`",
    note = "return an event, `Option`, `Vec`, an array or a tuple of events, or `()`"
)]
pub trait IntoEvents<E> {
    /// Returns the events in order.
    fn into_events(self) -> Vec<E>;
}

impl<E> IntoEvents<E> for () {
    fn into_events(self) -> Vec<E> {
        Vec::new()
    }
}

impl<E, T: IntoEvents<E>> IntoEvents<E> for Option<T> {
    fn into_events(self) -> Vec<E> {
        self.map_or_else(Vec::new, IntoEvents::into_events)
    }
}

impl<E, T: IntoEvents<E>> IntoEvents<E> for Vec<T> {
    fn into_events(self) -> Vec<E> {
        self.into_iter().flat_map(IntoEvents::into_events).collect()
    }
}

impl<E, T: IntoEvents<E>, const N: usize> IntoEvents<E> for [T; N] {
    fn into_events(self) -> Vec<E> {
        self.into_iter().flat_map(IntoEvents::into_events).collect()
    }
}

impl<E, A: IntoEvents<E>, B: IntoEvents<E>> IntoEvents<E> for (A, B) {
    fn into_events(self) -> Vec<E> {
        let mut events = self.0.into_events();
        events.extend(self.1.into_events());
        events
    }
}

impl<E, A: IntoEvents<E>, B: IntoEvents<E>, C: IntoEvents<E>> IntoEvents<E> for (A, B, C) {
    fn into_events(self) -> Vec<E> {
        let mut events = (self.0, self.1).into_events();
        events.extend(self.2.into_events());
        events
    }
}
