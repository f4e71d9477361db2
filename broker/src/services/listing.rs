//! A page of stream infos, which the owners of the streams write together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hitherto_jetstream::api::{Paged, ResponseKind, StreamInfo, StreamList};

use super::Asker;
use crate::jetstream::Outlet;

/// The page, until its last place is filled in.
pub(crate) struct Listing {
    asker: Asker,
    page: Paged,
    /// Streams that do not serve, with the reason.
    offline: BTreeMap<String, String>,
    places: Mutex<Vec<Option<StreamInfo>>>,
    missing: AtomicUsize,
}

impl Listing {
    /// A page with so many places.
    pub(crate) fn new(
        asker: Asker,
        page: Paged,
        offline: BTreeMap<String, String>,
        places: usize,
    ) -> Self {
        Self {
            asker,
            page,
            offline,
            places: Mutex::new(vec![None; places]),
            missing: AtomicUsize::new(places),
        }
    }

    /// Fills in a place; `None` when the stream has gone since. Who fills in the last one sends the page.
    pub(crate) fn fill(&self, place: usize, info: Option<StreamInfo>, outlet: &mut Outlet) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(empty) = places.get_mut(place) {
            *empty = info;
        }
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let streams = std::mem::take(&mut *places).into_iter().flatten().collect();
            drop(places);
            self.send(streams, outlet);
        }
    }

    /// Sends the page.
    pub(crate) fn send(&self, streams: Vec<StreamInfo>, outlet: &mut Outlet) {
        let list = StreamList {
            page: self.page,
            streams,
            offline: self.offline.clone(),
        };
        outlet.answer(ResponseKind::StreamList, &self.asker, Ok(list));
    }
}
