//! Requests about the consumers of one stream.

use hitherto_jetstream::api::{
    ApiError, ConsumerAction, ConsumerCreateRequest, ConsumerInfo, ConsumerList, ConsumerNames,
    ConsumerPauseRequest, ConsumerResetRequest, ConsumersRequest, LIST_PAGE, Paged,
    parse_next_request, parse_request,
};
use hitherto_jetstream::command::{Control, PutAction, PutConsumer};
use hitherto_jetstream::{Consumer, ConsumerBounds, ConsumerConfig, StreamSeq};
use hitherto_platform::Entropy;
use hitherto_protocol::Timestamp;

use super::call::ConsumerTarget;
use super::changes;
use super::request::Request;
use crate::jetstream::{Hands, Replica};

/// Characters of the name of a consumer that was created without one, as in nats-server.
const RANDOM_NAME_CHARS: usize = 8;

/// `CONSUMER.MSG.NEXT`.
pub(super) fn pull(
    replica: &mut Replica,
    consumer: &str,
    request: &Request,
    hands: &mut Hands<'_>,
) {
    let reply = &request.asker.reply;
    match replica.stream.consumer(consumer) {
        None => return hands.outlet.no_responders(reply, Some(&request.subject)),
        Some(consumer) if consumer.config().deliver_subject.is_some() => {
            let description = Consumer::PUSH_BASED;
            return hands.outlet.status(reply, 409, description, &[]);
        }
        Some(_) => {}
    }
    match parse_next_request(&request.payload) {
        Ok(next) => {
            // A pull may wait for long: its subject must not keep a read buffer alive.
            let pull = next.into_pull(reply.detached());
            replica.stream.handle_pull(hands.now, consumer, pull);
        }
        Err(error) => {
            let description = format!("Bad Request - {}", error.description);
            hands.outlet.status(reply, 400, &description, &[]);
        }
    }
}

/// `CONSUMER.CREATE` in its forms, and `CONSUMER.DURABLE.CREATE`.
pub(super) fn create(
    replica: &Replica,
    target: ConsumerTarget,
    request: &Request,
    hands: &Hands<'_>,
) -> Result<Control, ApiError> {
    let create = read_create(&replica.entry.name, target, request)?;
    let mut config = create.config;
    if config.consumer_name().is_none() {
        config.name = Some(random_name(replica, hands.entropy));
    }
    fit_max_batch(&mut config, hands.bounds)?;
    let stream = replica.stream.config();
    let is_default = config.max_ack_pending == 0 && stream.consumer_limits.max_ack_pending == 0;
    let config = fit_ack_pending(config.checked(stream)?, is_default, hands.bounds)?;
    check_unbound(replica, &config)?;
    let name = config.consumer_name().unwrap_or_default().to_owned();
    check_count(replica, &name, hands.bounds)?;
    Ok(Control::PutConsumer(PutConsumer {
        name,
        config: Box::new(config),
        action: match create.action {
            ConsumerAction::CreateOrUpdate => PutAction::CreateOrUpdate,
            ConsumerAction::Create => PutAction::Create,
            ConsumerAction::Update => PutAction::Update,
        },
        at: hands.now,
    }))
}

/// What a request to create a consumer of this stream says, with the name its subject has.
pub(super) fn read_create(
    stream: &str,
    target: ConsumerTarget,
    request: &Request,
) -> Result<ConsumerCreateRequest, ApiError> {
    let mut create: ConsumerCreateRequest = parse_request(&request.payload)?;
    if create.stream_name != stream {
        return Err(ApiError::stream_name_mismatch());
    }
    check_target(target, &mut create.config)?;
    if create.config.num_replicas > 1 {
        return Err(ApiError::replicas_not_supported());
    }
    Ok(create)
}

/// Holds a pull consumer to what the node lets one request ask for, which is also its default.
fn fit_max_batch(config: &mut ConsumerConfig, bounds: &ConsumerBounds) -> Result<(), ApiError> {
    if let Some(limit) = bounds.request_batch_max {
        if config.max_batch > limit {
            return Err(ApiError::consumer_max_request_batch_exceeded(limit));
        }
        if config.deliver_subject.is_none() && config.max_batch < 1 {
            config.max_batch = limit;
        }
    }
    Ok(())
}

/// A consumer whose client says nothing gets no more than the node allows; -1 is let pass, as by
/// nats-server 2.15.
fn fit_ack_pending(
    mut config: ConsumerConfig,
    is_default: bool,
    bounds: &ConsumerBounds,
) -> Result<ConsumerConfig, ApiError> {
    let Some(limit) = bounds.ack_pending_max else {
        return Ok(config);
    };
    if is_default {
        config.max_ack_pending = config.max_ack_pending.min(limit);
    }
    match config.max_ack_pending > limit {
        true => Err(ApiError::consumer_max_ack_pending_excess(limit)),
        false => Ok(config),
    }
}

/// One more consumer than the node allows a stream is refused. Asked before the request is proposed, so
/// those that are under way at the same time may pass it.
fn check_count(replica: &Replica, name: &str, bounds: &ConsumerBounds) -> Result<(), ApiError> {
    let is_new = replica.stream.consumer(name).is_none();
    match bounds.count_max {
        Some(max) if is_new && replica.stream.consumers().len() >= max => {
            Err(ApiError::maximum_consumers())
        }
        Some(_) | None => Ok(()),
    }
}

/// `CONSUMER.INFO`.
pub(super) fn info(
    replica: &Replica,
    consumer: &str,
    request: &Request,
    now: Timestamp,
) -> Result<ConsumerInfo, ApiError> {
    request.expect_empty()?;
    let info = replica.consumer_info(consumer, now);
    info.map(changes::consumer_info)
        .ok_or_else(ApiError::consumer_not_found)
}

/// `CONSUMER.DELETE`.
pub(super) fn delete(
    replica: &Replica,
    consumer: String,
    request: &Request,
    now: Timestamp,
) -> Result<Control, ApiError> {
    request.expect_empty()?;
    check_known(replica, &consumer)?;
    Ok(Control::DeleteConsumer {
        name: consumer,
        incarnation: None,
        at: now,
    })
}

/// `CONSUMER.PAUSE`.
pub(super) fn pause(
    replica: &Replica,
    consumer: String,
    request: &Request,
    now: Timestamp,
) -> Result<Control, ApiError> {
    let ConsumerPauseRequest { pause_until } = parse_request(&request.payload)?;
    check_known(replica, &consumer)?;
    Ok(Control::PauseConsumer {
        name: consumer,
        until: pause_until.filter(|until| !until.is_zero()),
        at: now,
    })
}

/// `CONSUMER.RESET`.
pub(super) fn reset(
    replica: &Replica,
    consumer: String,
    request: &Request,
    now: Timestamp,
) -> Result<Control, ApiError> {
    let ConsumerResetRequest { seq } = parse_request(&request.payload)?;
    check_known(replica, &consumer)?;
    Ok(Control::ResetConsumer {
        name: consumer,
        seq: (seq > 0).then_some(StreamSeq(seq)),
        at: now,
    })
}

fn check_known(replica: &Replica, consumer: &str) -> Result<(), ApiError> {
    match replica.stream.consumer(consumer) {
        Some(_) => Ok(()),
        None => Err(ApiError::consumer_not_found()),
    }
}

/// While somebody listens on its deliver subject, a push consumer keeps it.
fn check_unbound(replica: &Replica, config: &ConsumerConfig) -> Result<(), ApiError> {
    let existing = config
        .consumer_name()
        .and_then(|name| replica.stream.consumer(name));
    let moves = existing.is_some_and(|consumer| {
        consumer.is_bound() && consumer.config().deliver_subject != config.deliver_subject
    });
    match moves {
        true if config.deliver_subject.is_some() => Err(ApiError::consumer_name_in_use()),
        true | false => Ok(()),
    }
}

/// `CONSUMER.NAMES`.
pub(super) fn names(replica: &Replica, request: &Request) -> Result<ConsumerNames, ApiError> {
    let ConsumersRequest { offset } = parse_request(&request.payload)?;
    let names = replica.stream.consumers().map(Consumer::name);
    Ok(ConsumerNames::new(
        names.map(str::to_owned).collect(),
        offset,
    ))
}

/// `CONSUMER.LIST`.
pub(super) fn list(
    replica: &Replica,
    request: &Request,
    now: Timestamp,
) -> Result<ConsumerList, ApiError> {
    let ConsumersRequest { offset } = parse_request(&request.payload)?;
    let consumers = replica.stream.consumers().collect();
    let (page, consumers) = Paged::cut(consumers, offset, LIST_PAGE);
    let cluster = replica.cluster_info();
    Ok(ConsumerList {
        page,
        consumers: consumers
            .into_iter()
            .map(|consumer| ConsumerInfo {
                cluster: cluster.clone(),
                ..consumer.info(now)
            })
            .collect(),
    })
}

/// Checks what the subject of the request says against the body, and takes the name from it.
fn check_target(target: ConsumerTarget, config: &mut ConsumerConfig) -> Result<(), ApiError> {
    match target {
        ConsumerTarget::Ephemeral if config.durable_name.is_some() => {
            Err(ApiError::consumer_ephemeral_with_durable_name())
        }
        ConsumerTarget::Ephemeral => Ok(()),
        ConsumerTarget::Durable(name) => match &config.durable_name {
            None => Err(ApiError::consumer_durable_not_set()),
            Some(durable) if *durable != name => {
                Err(ApiError::consumer_durable_not_match_subject())
            }
            Some(_) => {
                config.name = Some(name);
                Ok(())
            }
        },
        ConsumerTarget::Named(name, filter) => {
            if config
                .durable_name
                .as_ref()
                .is_some_and(|durable| *durable != name)
            {
                return Err(ApiError::consumer_durable_not_match_subject());
            }
            // Another name in the body is passed over, as by nats-server.
            config.name = Some(name);
            filter.map_or(Ok(()), |filter| check_filter(&filter, config))
        }
    }
}

fn check_filter(filter: &str, config: &ConsumerConfig) -> Result<(), ApiError> {
    match *config.filters() {
        [only] if only == filter => Ok(()),
        [] | [_] => Err(ApiError::consumer_filter_mismatch()),
        [..] => Err(ApiError::consumer_multiple_filters_not_allowed()),
    }
}

fn random_name(replica: &Replica, entropy: &dyn Entropy) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    loop {
        let mut random = entropy.u64();
        let name: String = (0..RANDOM_NAME_CHARS)
            .map(|_| {
                let place = usize::try_from(random % 62).unwrap_or_default();
                random /= 62;
                char::from(ALPHABET[place])
            })
            .collect();
        if replica.stream.consumer(&name).is_none() {
            return name;
        }
    }
}
