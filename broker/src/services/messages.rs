//! Reading and deleting single messages through the API.

use hitherto_jetstream::api::{
    ApiError, MsgDeleteRequest, MsgGet, MsgGetRequest, StoredMsg, parse_request,
};
use hitherto_jetstream::command::Control;
use hitherto_jetstream::{StoredMessage, StreamSeq};

use super::request::Request;
use super::selector::Selector;
use crate::jetstream::Replica;

/// `STREAM.MSG.GET`.
pub(super) fn get(replica: &Replica, request: &Request) -> Result<MsgGet, ApiError> {
    let (get, selector) = read_get(request)?;
    let seq = selector
        .find(&replica.stream)
        .ok_or_else(ApiError::no_message_found)?;
    let stored = read(replica, seq)?;
    let headers = stored.headers.filter(|_| !get.no_hdr);
    let message = StoredMsg {
        subject: stored.subject.as_str().to_owned(),
        seq: stored.seq.0,
        hdrs: headers
            .map(|headers| headers.as_bytes().clone())
            .unwrap_or_default(),
        data: stored.payload,
        time: stored.at,
    };
    Ok(MsgGet { message })
}

/// What a request for a message says, and which message it means.
pub(super) fn read_get(request: &Request) -> Result<(MsgGetRequest, Selector), ApiError> {
    let get: MsgGetRequest = parse_request(&request.payload)?;
    if get.batch != 0 || get.max_bytes != 0 {
        return Err(ApiError::bad_request());
    }
    let selector = Selector::of_get(&get).ok_or_else(ApiError::bad_request)?;
    Ok((get, selector))
}

/// `STREAM.MSG.DELETE`.
pub(super) fn delete(request: &Request) -> Result<Control, ApiError> {
    let MsgDeleteRequest { seq, no_erase } = parse_request(&request.payload)?;
    Ok(Control::DeleteMessage {
        seq: StreamSeq(seq),
        erase: !no_erase,
    })
}

/// The message at a sequence; damage is an error, never another message.
fn read(replica: &Replica, seq: StreamSeq) -> Result<StoredMessage, ApiError> {
    match replica.read(seq) {
        Ok(Some(stored)) => Ok(stored),
        Ok(None) => Err(ApiError::no_message_found()),
        Err(error) => Err(ApiError::stream_general(&format!(
            "message {seq} cannot be read: {error}"
        ))),
    }
}
