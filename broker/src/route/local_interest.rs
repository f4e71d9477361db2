//! What a node tells the others of the subscriptions of its clients.
//!
//! Plain subscriptions to one filter are counted, and only the first and the last are told. Of queue groups
//! the number of members is told, since the choice between nodes goes by it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use bytestring::ByteString;
use hitherto_protocol::SubjectFilter;
use hitherto_protocol::link::{Interest, SpaceId, encode};

use super::outbound::LinkOutbound;
use crate::connection::{Pushed, Traffic};

/// The interest of all local clients, and the links that are told of it. One lock over both, so that each
/// link hears of all changes in one order.
#[derive(Default)]
pub(crate) struct LocalInterest {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// As many entries as there are different filters. A number is below 0 for the moment in which a
    /// subscription has gone before it was told that it came.
    counts: BTreeMap<Key, i64>,
    /// At most as many as a node has links.
    links: Vec<Arc<LinkOutbound>>,
}

/// What is counted.
type Key = (SpaceId, ByteString, Option<ByteString>);

impl LocalInterest {
    /// A client has subscribed.
    pub(crate) fn add(&self, space: SpaceId, filter: &SubjectFilter, queue: Option<&ByteString>) {
        self.change(space, filter, queue, 1);
    }

    /// A subscription has ended.
    pub(crate) fn remove(
        &self,
        space: SpaceId,
        filter: &SubjectFilter,
        queue: Option<&ByteString>,
    ) {
        self.change(space, filter, queue, -1);
    }

    fn change(
        &self,
        space: SpaceId,
        filter: &SubjectFilter,
        queue: Option<&ByteString>,
        change: i64,
    ) {
        let key = (space, ByteString::from(filter.as_str()), queue.cloned());
        let mut state = self.lock();
        let count = state.counts.entry(key.clone()).or_default();
        let before = told(*count, queue);
        *count += change;
        let now = told(*count, queue);
        if *count == 0 {
            state.counts.remove(&key);
        }
        if now != before {
            let interest = Interest {
                space,
                filter: filter.clone(),
                queue: queue.cloned(),
                members: now,
            };
            state.tell(&interest);
        }
    }

    /// Tells a new link everything there is, and from now on what changes.
    pub(super) fn attach(&self, outbound: &Arc<LinkOutbound>) {
        let mut state = self.lock();
        let mut beginning = BytesMut::new();
        for ((space, filter, queue), count) in &state.counts {
            let members = told(*count, queue.as_ref());
            let Ok(filter) = SubjectFilter::new(filter.clone()) else {
                continue;
            };
            if members == 0 {
                continue;
            }
            let interest = Interest {
                space: *space,
                filter,
                queue: queue.clone(),
                members,
            };
            write(&mut beginning, &interest);
        }
        outbound.push_beginning(&beginning);
        state.links.push(Arc::clone(outbound));
    }

    /// The link has ended.
    pub(super) fn detach(&self, outbound: &Arc<LinkOutbound>) {
        self.lock()
            .links
            .retain(|link| !Arc::ptr_eq(link, outbound));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, interest: &Interest) {
        for link in &self.links {
            let pushed = link.push_core(Traffic::default(), |buffer| {
                encode::interest(buffer, interest)
            });
            if pushed == Pushed::WakeWriter {
                link.wake_writer();
            }
        }
    }
}

/// The number that is told for a count.
fn told(count: i64, queue: Option<&ByteString>) -> u32 {
    match queue {
        Some(_) => u32::try_from(count.max(0)).unwrap_or(u32::MAX),
        None => u32::from(count > 0),
    }
}

fn write(buffer: &mut BytesMut, interest: &Interest) {
    if let Err(error) = encode::interest(buffer, interest) {
        // A subject that came over a socket fits; of one from inside the process nobody else hears.
        tracing::warn!(%error, "other nodes do not hear of a subscription");
    }
}

impl fmt::Debug for LocalInterest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("LocalInterest")
            .field("filters", &state.counts.len())
            .field("links", &state.links.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hitherto_protocol::link::{FRAME_BYTES_MAX, Frame, FrameDecoder};

    use super::*;
    use crate::route::outbound::Work;

    const SPACE: SpaceId = SpaceId(0);

    fn heard(outbound: &LinkOutbound) -> Vec<String> {
        let mut chunk = BytesMut::new();
        let mut heard = Vec::new();
        while matches!(outbound.take_work(&mut chunk), Work::Write) {
            let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
            while let Some(frame) = decoder.decode(&mut chunk).unwrap() {
                let Frame::Interest(interest) = frame else {
                    panic!("{frame:?}");
                };
                let queue = interest.queue.unwrap_or_default();
                heard.push(format!("{} {queue} {}", interest.filter, interest.members));
            }
            outbound.note_written();
        }
        heard
    }

    fn filter(filter: &'static str) -> SubjectFilter {
        SubjectFilter::new(filter).unwrap()
    }

    #[test]
    fn the_first_and_the_last_plain_subscription_are_told() {
        let interest = LocalInterest::default();
        let link = Arc::new(LinkOutbound::new(1 << 20));
        interest.attach(&link);
        assert_eq!(heard(&link), [""; 0]);
        interest.add(SPACE, &filter("a.*"), None);
        interest.add(SPACE, &filter("a.*"), None);
        assert_eq!(heard(&link), ["a.*  1"]);
        interest.remove(SPACE, &filter("a.*"), None);
        assert_eq!(heard(&link), [""; 0]);
        interest.remove(SPACE, &filter("a.*"), None);
        assert_eq!(heard(&link), ["a.*  0"]);
    }

    #[test]
    fn every_change_of_a_queue_group_is_told() {
        let interest = LocalInterest::default();
        let link = Arc::new(LinkOutbound::new(1 << 20));
        interest.attach(&link);
        let queue = ByteString::from_static("q");
        interest.add(SPACE, &filter("a"), Some(&queue));
        interest.add(SPACE, &filter("a"), Some(&queue));
        interest.remove(SPACE, &filter("a"), Some(&queue));
        assert_eq!(heard(&link), ["a q 1", "a q 2", "a q 1"]);
    }

    #[test]
    fn a_new_link_hears_what_there_is_and_an_ended_one_nothing() {
        let interest = LocalInterest::default();
        let queue = ByteString::from_static("q");
        interest.add(SPACE, &filter("a"), None);
        interest.add(SPACE, &filter("b"), Some(&queue));
        interest.add(SPACE, &filter("b"), Some(&queue));
        interest.add(SPACE, &filter("gone"), None);
        interest.remove(SPACE, &filter("gone"), None);
        let link = Arc::new(LinkOutbound::new(1 << 20));
        interest.attach(&link);
        assert_eq!(heard(&link), ["a  1", "b q 2"]);
        interest.detach(&link);
        interest.add(SPACE, &filter("c"), None);
        assert_eq!(heard(&link), [""; 0]);
    }

    #[test]
    fn a_subscription_may_be_told_to_end_before_it_is_told_to_begin() {
        let interest = LocalInterest::default();
        let link = Arc::new(LinkOutbound::new(1 << 20));
        interest.attach(&link);
        interest.remove(SPACE, &filter("a"), None);
        interest.add(SPACE, &filter("a"), None);
        assert_eq!(heard(&link), [""; 0]);
        interest.add(SPACE, &filter("a"), None);
        assert_eq!(heard(&link), ["a  1"]);
    }
}
