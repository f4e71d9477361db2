//! Requests about which streams there are, answered by the owner of the meta group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hitherto_jetstream::api::{
    AccountApi, AccountInfo, AccountLimits, ApiError, LIST_PAGE, Paged, ResponseKind, StreamNames,
    StreamsRequest, parse_request, parse_stream_config,
};
use hitherto_jetstream::{API_LEVEL, Limits, StreamConfig};
use hitherto_protocol::SubjectFilter;

use super::call::ApiCall;
use super::request::Request;
use super::{Listing, StreamCall, changes};
use crate::jetstream::{ApiChange, Hands, MetaOwner, Outlet, Replica};

/// A request on its way to the owner of the meta group.
pub(crate) struct MetaCall {
    pub(crate) call: ApiCall,
    pub(crate) request: Request,
}

/// Answers a request, proposes what it asks for, or has the owner of the stream answer it.
pub(crate) fn handle_meta(meta: &mut MetaOwner, call: MetaCall, hands: &mut Hands<'_>) {
    let MetaCall { call, request } = call;
    let asker = &request.asker;
    let refused = match call {
        ApiCall::AccountInfo => {
            hands
                .outlet
                .answer(ResponseKind::AccountInfo, asker, Ok(account_info(meta)));
            return;
        }
        ApiCall::StreamNames => {
            hands
                .outlet
                .answer(ResponseKind::StreamNames, asker, names(meta, &request));
            return;
        }
        ApiCall::StreamList => {
            if let Err(error) = list(meta, &request, hands.outlet) {
                changes::refuse_as(ResponseKind::StreamList, asker, error, hands.outlet);
            }
            return;
        }
        ApiCall::StreamCreate(name) => read_config(&name, &request)
            .and_then(|config| meta.create(config, asker, hands))
            .map_err(|error| (ApiChange::StreamCreate, error)),
        ApiCall::StreamUpdate(name) => read_update(&name, &request)
            .and_then(|config| check_online(meta, &name).map(|()| config))
            .and_then(|config| meta.update(config, asker, hands))
            .map_err(|error| (ApiChange::StreamUpdate, error)),
        ApiCall::StreamDelete(name) => request
            .expect_empty()
            .and_then(|()| meta.delete(name, asker, hands))
            .map_err(|error| (ApiChange::StreamDelete, error)),
        // In a cluster, since this node does not lead the stream: another one does, or there is none.
        ApiCall::Stream(name, api) => {
            if !meta.has_stream(&name) {
                let error = ApiError::stream_not_found();
                super::stream_is_gone(&StreamCall { api, request }, error, hands.outlet);
            }
            return;
        }
        // Does not come here: the handler of the API knows where these go.
        ApiCall::Unsupported(_) => return,
    };
    if let Err((change, error)) = refused {
        changes::refuse_as(change.response(), asker, error, hands.outlet);
    }
}

/// Whether the consumers of a stream fit into the limits of another configuration for it.
///
/// Looked at before the change is proposed, as on nats-server: a consumer created at the same moment
/// keeps what it was created with. What is wrong with the configuration itself is said first.
pub(crate) fn check_update(replica: &Replica, call: &MetaCall) -> Result<(), ApiError> {
    // What cannot be read is refused by the meta group, which knows the stream's name too.
    let Ok(config) = parse_stream_config(&call.request.payload) else {
        return Ok(());
    };
    let existing = replica.stream.config();
    match config.clone().checked(&Limits::default()) {
        Ok(checked) if existing.can_update_to(&checked).is_ok() => {}
        Ok(_) | Err(_) => return Ok(()),
    }
    let limits = &config.consumer_limits;
    let threshold = limits.inactive_threshold;
    let too_large = replica
        .stream
        .consumers()
        .map(|consumer| consumer.config())
        .filter(|consumer| {
            (limits.max_ack_pending > 0 && consumer.max_ack_pending > limits.max_ack_pending)
                || (!threshold.is_zero() && consumer.inactive_threshold > threshold)
        })
        .map(|consumer| consumer.name.as_deref().unwrap_or_default())
        .collect::<Vec<_>>();
    if too_large.is_empty() {
        return Ok(());
    }
    let text = format!(
        "change to limits violates consumers: {}",
        too_large.join(", ")
    );
    Err(ApiError::stream_update_failed(&text))
}

/// Answers an update that was refused.
pub(crate) fn refuse_update(call: &MetaCall, error: ApiError, outlet: &mut Outlet) {
    changes::refuse_as(
        ResponseKind::StreamUpdate,
        &call.request.asker,
        error,
        outlet,
    );
}

fn read_config(name: &str, request: &Request) -> Result<StreamConfig, ApiError> {
    let config = parse_stream_config(&request.payload)?;
    if config.name != name {
        return Err(ApiError::stream_name_mismatch());
    }
    Ok(config)
}

/// As [`read_config`], but what is wrong with the configuration is said before its name, as by nats-server.
fn read_update(name: &str, request: &Request) -> Result<StreamConfig, ApiError> {
    let config = parse_stream_config(&request.payload)?;
    if config.name != name {
        config.checked(&Limits::default())?;
        return Err(ApiError::stream_name_mismatch());
    }
    Ok(config)
}

fn check_online(meta: &MetaOwner, stream: &str) -> Result<(), ApiError> {
    match meta.parts().directory.offline_reason(stream) {
        Some(reason) => Err(ApiError::stream_offline_reason(&reason)),
        None => Ok(()),
    }
}

fn account_info(meta: &MetaOwner) -> AccountInfo {
    let usage = meta.parts().directory.usage();
    let figures = &meta.parts().figures;
    let limits = meta.limits();
    let reserved = meta.reserved_bytes();
    AccountInfo {
        memory: usage.bytes.memory,
        storage: usage.bytes.file,
        reserved_memory: reserved.memory,
        reserved_storage: reserved.file,
        limits: account_limits(limits),
        streams: usage.streams,
        consumers: usage.consumers,
        api: AccountApi {
            level: API_LEVEL,
            total: figures.total.load(Ordering::Relaxed),
            errors: figures.errors.load(Ordering::Relaxed),
        },
    }
}

/// What nobody has set is unlimited, also where the node has a bound of its own.
fn account_limits(limits: &Limits) -> AccountLimits {
    let bytes = |limit: Option<u64>| limit.map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX));
    let count =
        |limit: Option<usize>| limit.map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX));
    let streams_max = limits.streams_max;
    AccountLimits {
        max_memory: bytes(limits.account.memory),
        max_storage: bytes(limits.account.file),
        max_streams: count((streams_max != Limits::default().streams_max).then_some(streams_max)),
        max_consumers: count(limits.consumers.count_max),
        max_ack_pending: limits.consumers.ack_pending_max.unwrap_or(-1),
        memory_max_stream_bytes: bytes(limits.stream.memory),
        storage_max_stream_bytes: bytes(limits.stream.file),
        max_bytes_required: limits.max_bytes_required,
    }
}

fn names(meta: &MetaOwner, request: &Request) -> Result<StreamNames, ApiError> {
    let (offset, filter) = read_streams_request(request)?;
    let streams = meta.streams(filter.as_ref()).into_iter();
    let names = streams.map(|(name, _)| name.to_owned());
    Ok(StreamNames::new(names.collect(), offset))
}

fn list(meta: &MetaOwner, request: &Request, outlet: &mut Outlet) -> Result<(), ApiError> {
    let (offset, filter) = read_streams_request(request)?;
    let streams = meta.streams(filter.as_ref()).into_iter();
    let (page, streams) = Paged::cut(streams.collect(), offset, LIST_PAGE);
    let (mut groups, mut offline) = (Vec::new(), BTreeMap::new());
    for (name, group) in streams {
        match meta.parts().directory.offline_reason(name) {
            Some(reason) => drop(offline.insert(name.to_owned(), reason)),
            None => groups.push(group),
        }
    }
    let listing = Listing::new(request.asker.clone(), page, offline, groups.len());
    if groups.is_empty() {
        listing.send(Vec::new(), outlet);
        return Ok(());
    }
    let listing = Arc::new(listing);
    for (place, group) in groups.into_iter().enumerate() {
        meta.ask_for_listing(group, &listing, place);
    }
    Ok(())
}

fn read_streams_request(request: &Request) -> Result<(i64, Option<SubjectFilter>), ApiError> {
    let StreamsRequest { offset, subject } = parse_request(&request.payload)?;
    let filter = match subject.as_str() {
        "" => None,
        subject => {
            let filter = SubjectFilter::new(subject.to_owned());
            Some(filter.map_err(|_| ApiError::bad_request())?)
        }
    };
    Ok((offset, filter))
}
