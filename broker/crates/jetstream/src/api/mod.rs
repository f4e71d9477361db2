//! The JetStream API: what its requests and replies hold, and its errors.
//!
//! Types and their JSON only. Which subject carries which request and who answers is the broker's.
//!
//! | file | noun |
//! |---|---|
//! | `requests` | the bodies of requests, [`parse_request`] |
//! | `json_fault` | the words of Go for a body that is no such request |
//! | `pull` | the body of `CONSUMER.MSG.NEXT` |
//! | `info` | what a stream and a consumer are and hold |
//! | `cluster` | where they live |
//! | `responses` | the bodies of replies |
//! | `envelope` | [`Response`]: a reply with its type |
//! | `error` | [`ApiError`] and the table of errors |

mod cluster;
mod envelope;
mod error;
mod info;
mod json_fault;
mod pull;
mod requests;
mod responses;

pub use cluster::{ClusterInfo, PeerInfo};
pub use envelope::{Response, ResponseKind};
pub use error::{ApiError, ErrorRow};
pub use info::{
    ConsumerInfo, ConsumerPaused, ConsumerReset, LostMessages, SequenceInfo, StreamInfo,
    StreamState,
};
pub use pull::{MsgNextRequest, parse_next_request};
pub use requests::{
    ConsumerAction, ConsumerCreateRequest, ConsumerPauseRequest, ConsumerResetRequest,
    ConsumersRequest, DirectGetRequest, MsgDeleteRequest, MsgGetRequest, PurgeRequest,
    StreamInfoRequest, StreamsRequest, is_empty_request, parse_request, parse_stream_config,
};
pub use responses::{
    AccountApi, AccountInfo, AccountLimits, ConsumerList, ConsumerNames, LIST_PAGE, MsgGet,
    NAMES_PAGE, Paged, Purged, SUBJECTS_PAGE, StoredMsg, StreamInfoPage, StreamList, StreamNames,
    Success,
};
