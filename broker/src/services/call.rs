//! The subjects of the JetStream API: what a client asks for, read off the subject of its request.
//!
//! Names of streams and consumers hold no dots, so a subject splits into tokens without ambiguity
//! (`server/jetstream_api.go`, nats-server 2.15).

use hitherto_jetstream::api::ResponseKind;

/// Where all requests go.
pub(crate) const API_PREFIX: &str = "$JS.API.";

/// A request, by its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiCall {
    /// `INFO`: the account's usage and limits.
    AccountInfo,
    /// `STREAM.NAMES`.
    StreamNames,
    /// `STREAM.LIST`.
    StreamList,
    /// `STREAM.CREATE.<stream>`.
    StreamCreate(String),
    /// `STREAM.UPDATE.<stream>`.
    StreamUpdate(String),
    /// `STREAM.DELETE.<stream>`.
    StreamDelete(String),
    /// A request to one stream that exists.
    Stream(String, StreamApi),
    /// Exists in NATS and not here; answered with an error. The name of the operation in the type of
    /// the answer.
    Unsupported(&'static str),
}

/// A request to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamApi {
    /// `STREAM.INFO.<stream>`.
    Info,
    /// `STREAM.PURGE.<stream>`.
    Purge,
    /// `STREAM.MSG.GET.<stream>`.
    MessageGet,
    /// `STREAM.MSG.DELETE.<stream>`.
    MessageDelete,
    /// `CONSUMER.NAMES.<stream>`.
    ConsumerNames,
    /// `CONSUMER.LIST.<stream>`.
    ConsumerList,
    /// The forms of `CONSUMER.CREATE`, and `CONSUMER.DURABLE.CREATE`.
    ConsumerCreate(ConsumerTarget),
    /// `CONSUMER.INFO.<stream>.<consumer>`.
    ConsumerInfo(String),
    /// `CONSUMER.DELETE.<stream>.<consumer>`.
    ConsumerDelete(String),
    /// `CONSUMER.PAUSE.<stream>.<consumer>`.
    ConsumerPause(String),
    /// `CONSUMER.RESET.<stream>.<consumer>`.
    ConsumerReset(String),
    /// `CONSUMER.MSG.NEXT.<stream>.<consumer>`.
    Next(String),
    /// `DIRECT.GET.<stream>`, or with the subject whose last message is wanted.
    DirectGet(Option<String>),
}

/// What the subject of a consumer's creation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConsumerTarget {
    /// `CONSUMER.CREATE.<stream>`: an ephemeral consumer, named by the server unless the body does.
    Ephemeral,
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    Durable(String),
    /// `CONSUMER.CREATE.<stream>.<consumer>` and `..<consumer>.<filter>`.
    Named(String, Option<String>),
}

impl ConsumerTarget {
    /// The place of the stream's name among the tokens of the subject.
    pub(crate) fn stream_token(&self) -> usize {
        match self {
            Self::Ephemeral | Self::Named(..) => 4,
            Self::Durable(_) => 5,
        }
    }
}

impl ApiCall {
    /// Reads the subject of a request; `None` when no such request exists.
    pub(crate) fn parse(subject: &str) -> Option<Self> {
        let operation = subject.strip_prefix(API_PREFIX)?;
        match operation.split_once('.') {
            None if operation == "INFO" => Some(Self::AccountInfo),
            None => None,
            Some(("STREAM", rest)) => parse_stream(rest),
            Some(("CONSUMER", rest)) => parse_consumer(rest),
            Some(("DIRECT", rest)) => parse_direct(rest.strip_prefix("GET.")?),
            Some(_) => None,
        }
    }
}

impl ApiCall {
    /// Tells whether it asks for messages, and not about them.
    pub(crate) fn is_for_messages(&self) -> bool {
        matches!(
            self,
            Self::Stream(_, StreamApi::Next(_) | StreamApi::DirectGet(_))
        )
    }

    /// The type of the answer; `None` when it is no JSON or has no type here.
    pub(crate) fn response(&self) -> Option<ResponseKind> {
        match self {
            Self::AccountInfo => Some(ResponseKind::AccountInfo),
            Self::StreamNames => Some(ResponseKind::StreamNames),
            Self::StreamList => Some(ResponseKind::StreamList),
            Self::StreamCreate(_) => Some(ResponseKind::StreamCreate),
            Self::StreamUpdate(_) => Some(ResponseKind::StreamUpdate),
            Self::StreamDelete(_) => Some(ResponseKind::StreamDelete),
            Self::Stream(_, api) => api.response(),
            Self::Unsupported(_) => None,
        }
    }
}

impl StreamApi {
    /// The type of the answer; `None` when the answer is messages.
    pub(crate) fn response(&self) -> Option<ResponseKind> {
        match self {
            Self::Info => Some(ResponseKind::StreamInfo),
            Self::Purge => Some(ResponseKind::StreamPurge),
            Self::MessageGet => Some(ResponseKind::MsgGet),
            Self::MessageDelete => Some(ResponseKind::MsgDelete),
            Self::ConsumerNames => Some(ResponseKind::ConsumerNames),
            Self::ConsumerList => Some(ResponseKind::ConsumerList),
            Self::ConsumerCreate(_) => Some(ResponseKind::ConsumerCreate),
            Self::ConsumerInfo(_) => Some(ResponseKind::ConsumerInfo),
            Self::ConsumerDelete(_) => Some(ResponseKind::ConsumerDelete),
            Self::ConsumerPause(_) => Some(ResponseKind::ConsumerPause),
            Self::ConsumerReset(_) => Some(ResponseKind::ConsumerReset),
            Self::Next(_) | Self::DirectGet(_) => None,
        }
    }
}

fn parse_stream(rest: &str) -> Option<ApiCall> {
    match rest {
        "NAMES" => return Some(ApiCall::StreamNames),
        "LIST" => return Some(ApiCall::StreamList),
        _ => {}
    }
    let (operation, name) = rest.rsplit_once('.')?;
    let of_stream = |api| Some(ApiCall::Stream(name.to_owned(), api));
    match operation {
        "CREATE" => Some(ApiCall::StreamCreate(name.to_owned())),
        "UPDATE" => Some(ApiCall::StreamUpdate(name.to_owned())),
        "DELETE" => Some(ApiCall::StreamDelete(name.to_owned())),
        "INFO" => of_stream(StreamApi::Info),
        "PURGE" => of_stream(StreamApi::Purge),
        "MSG.GET" => of_stream(StreamApi::MessageGet),
        "MSG.DELETE" => of_stream(StreamApi::MessageDelete),
        "SNAPSHOT" => Some(ApiCall::Unsupported("stream_snapshot")),
        "RESTORE" => Some(ApiCall::Unsupported("stream_restore")),
        "LEADER.STEPDOWN" => Some(ApiCall::Unsupported("stream_leader_stepdown")),
        "PEER.REMOVE" => Some(ApiCall::Unsupported("stream_remove_peer")),
        "PEER.EVACUATE" => Some(ApiCall::Unsupported("stream_evacuate_peer")),
        "CANCEL_MOVE" => Some(ApiCall::Unsupported("stream_cancel_move")),
        _ => None,
    }
}

fn parse_consumer(rest: &str) -> Option<ApiCall> {
    if let Some(rest) = rest.strip_prefix("CREATE.") {
        return parse_consumer_create(rest);
    }
    if let Some((operation, stream)) = rest.split_once('.')
        && !stream.contains('.')
    {
        match operation {
            "NAMES" => return Some(ApiCall::Stream(stream.into(), StreamApi::ConsumerNames)),
            "LIST" => return Some(ApiCall::Stream(stream.into(), StreamApi::ConsumerList)),
            _ => return None,
        }
    }
    let (rest, consumer) = rest.rsplit_once('.')?;
    let (operation, stream) = rest.rsplit_once('.')?;
    let consumer = consumer.to_owned();
    let api = match operation {
        "DURABLE.CREATE" => StreamApi::ConsumerCreate(ConsumerTarget::Durable(consumer)),
        "INFO" => StreamApi::ConsumerInfo(consumer),
        "DELETE" => StreamApi::ConsumerDelete(consumer),
        "MSG.NEXT" => StreamApi::Next(consumer),
        "PAUSE" => StreamApi::ConsumerPause(consumer),
        "RESET" => StreamApi::ConsumerReset(consumer),
        "UNPIN" => return Some(ApiCall::Unsupported("consumer_unpin")),
        "LEADER.STEPDOWN" => return Some(ApiCall::Unsupported("consumer_leader_stepdown")),
        "PEER.REMOVE" => return Some(ApiCall::Unsupported("consumer_remove_peer")),
        "PEER.EVACUATE" => return Some(ApiCall::Unsupported("consumer_evacuate_peer")),
        _ => return None,
    };
    Some(ApiCall::Stream(stream.to_owned(), api))
}

fn parse_consumer_create(rest: &str) -> Option<ApiCall> {
    let mut tokens = rest.splitn(3, '.');
    let stream = tokens.next()?.to_owned();
    let target = match (tokens.next(), tokens.next()) {
        (None, _) => ConsumerTarget::Ephemeral,
        (Some(name), filter) => ConsumerTarget::Named(name.into(), filter.map(str::to_owned)),
    };
    Some(ApiCall::Stream(stream, StreamApi::ConsumerCreate(target)))
}

fn parse_direct(rest: &str) -> Option<ApiCall> {
    let (stream, last_by_subject) = match rest.split_once('.') {
        None => (rest, None),
        Some((stream, subject)) => (stream, Some(subject.to_owned())),
    };
    let api = StreamApi::DirectGet(last_by_subject);
    Some(ApiCall::Stream(stream.to_owned(), api))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(operation: &str) -> Option<ApiCall> {
        ApiCall::parse(&format!("{API_PREFIX}{operation}"))
    }

    fn of_stream(api: StreamApi) -> Option<ApiCall> {
        Some(ApiCall::Stream("S".into(), api))
    }

    #[test]
    fn requests_are_read_off_their_subjects() {
        assert_eq!(parse("INFO"), Some(ApiCall::AccountInfo));
        assert_eq!(parse("STREAM.NAMES"), Some(ApiCall::StreamNames));
        assert_eq!(
            parse("STREAM.CREATE.S"),
            Some(ApiCall::StreamCreate("S".into()))
        );
        assert_eq!(parse("STREAM.MSG.GET.S"), of_stream(StreamApi::MessageGet));
        assert_eq!(parse("CONSUMER.LIST.S"), of_stream(StreamApi::ConsumerList));
        assert_eq!(
            parse("CONSUMER.MSG.NEXT.S.C"),
            of_stream(StreamApi::Next("C".into()))
        );
        assert_eq!(
            parse("DIRECT.GET.S.a.b"),
            of_stream(StreamApi::DirectGet(Some("a.b".into())))
        );
        assert_eq!(parse("DIRECT.GET.S"), of_stream(StreamApi::DirectGet(None)));
    }

    #[test]
    fn consumers_are_created_in_four_forms() {
        let created = |operation| match parse(operation) {
            Some(ApiCall::Stream(stream, StreamApi::ConsumerCreate(target))) => {
                assert_eq!(stream, "S");
                target
            }
            other => panic!("{operation}: {other:?}"),
        };
        assert_eq!(created("CONSUMER.CREATE.S"), ConsumerTarget::Ephemeral);
        assert_eq!(
            created("CONSUMER.CREATE.S.C"),
            ConsumerTarget::Named("C".into(), None)
        );
        assert_eq!(
            created("CONSUMER.CREATE.S.C.a.*.>"),
            ConsumerTarget::Named("C".into(), Some("a.*.>".into()))
        );
        assert_eq!(
            created("CONSUMER.DURABLE.CREATE.S.C"),
            ConsumerTarget::Durable("C".into())
        );
    }

    #[test]
    fn what_nats_has_and_we_have_not_is_told_apart_from_what_nobody_has() {
        assert_eq!(
            parse("STREAM.SNAPSHOT.S"),
            Some(ApiCall::Unsupported("stream_snapshot"))
        );
        assert_eq!(
            parse("CONSUMER.LEADER.STEPDOWN.S.C"),
            Some(ApiCall::Unsupported("consumer_leader_stepdown"))
        );
        for unknown in [
            "NOTHING",
            "STREAM.NOTHING.S",
            "CONSUMER.NOTHING.S.C",
            "META.LEADER.STEPDOWN",
        ] {
            assert_eq!(parse(unknown), None, "{unknown}");
        }
    }
}
