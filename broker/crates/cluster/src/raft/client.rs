//! How openraft calls the other nodes of a group.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use hitherto_jetstream::GroupId;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::fetching::Fetching;
use super::peers::{Call, Peers};
use super::snapshot::RaftSnapshot;
use super::types::{TypeConfig, Vote};
use super::wire::{Offer, Request, Response};
use crate::NodeId;
use crate::links::Channel;

/// Requests of one stream that are under way at most.
const APPENDS_IN_FLIGHT_MAX: usize = 16;

/// How long a follower may take to make entries durable before the stream is begun anew: 2 s. A lost frame
/// costs as much; a link that breaks is told at once.
const APPEND_DEADLINE: Duration = Duration::from_secs(2);

/// How long a node that installs a snapshot may fetch nothing: 30 s. It may be at its last file, with all of it to
/// check and sync.
const FETCH_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Waits before a node that was not reached is called again, doubling from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

type RpcError = RPCError<TypeConfig>;

/// Makes clients of one group.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) peers: Arc<Peers>,
    pub(crate) group: GroupId,
    pub(crate) here: NodeId,
    pub(crate) fetching: Arc<Fetching>,
}

/// Calls one peer about one group.
pub(crate) struct Client {
    clients: Clients,
    peer: NodeId,
    is_for_heartbeats: bool,
}

impl RaftNetworkFactory<TypeConfig> for Clients {
    type Network = Client;

    async fn new_client(&mut self, target: u128, _: &()) -> Client {
        Client {
            clients: self.clone(),
            peer: NodeId(target),
            is_for_heartbeats: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u128, node: &()) -> Client {
        let client = self.new_client(target, node).await;
        Client {
            is_for_heartbeats: true,
            ..client
        }
    }
}

impl Client {
    fn call(&self, channel: Channel, request: Request) -> Call {
        let Clients { peers, group, .. } = &self.clients;
        peers.call((self.peer, channel), *group, request)
    }

    async fn control(
        &self,
        request: Request,
        (kind, within): (RPCTypes, Duration),
    ) -> Result<Response, RpcError> {
        let mut call = self.call(Channel::Control, request);
        let response = timeout(within, call.response()).await;
        match response.map_err(|_| self.timed_out(kind, within))? {
            Response::Lost | Response::Refused => Err(unreachable()),
            response => Ok(response),
        }
    }

    fn timed_out(&self, action: RPCTypes, timeout: Duration) -> RpcError {
        RPCError::Timeout(Timeout {
            action,
            id: self.clients.here.0,
            target: self.peer.0,
            timeout,
        })
    }

    /// Sends what comes, up to [`APPENDS_IN_FLIGHT_MAX`] ahead of the responses.
    fn begin_stream(
        &self,
        mut requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    ) -> Pipeline {
        let session = self.clients.peers.number();
        let (sent, calls) = mpsc::channel(APPENDS_IN_FLIGHT_MAX);
        let (peers, group) = (Arc::clone(&self.clients.peers), self.clients.group);
        let to = (self.peer, Channel::Append);
        let sending = tokio::spawn(async move {
            // First a place among those under way, then the entries: what is read is sent at once.
            while let Ok(place) = sent.reserve().await
                && let Some(request) = requests.next().await
            {
                let request = Request::Append { session, request };
                place.send(peers.call(to, group, request));
            }
        });
        Pipeline {
            calls,
            sending: sending.abort_handle(),
        }
    }
}

/// Requests under way, oldest first.
struct Pipeline {
    calls: mpsc::Receiver<Call>,
    sending: AbortHandle,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = RaftSnapshot;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let request = Request::Append {
            session: 0,
            request: rpc,
        };
        let within = (RPCTypes::AppendEntries, option.soft_ttl());
        match self.control(request, within).await? {
            Response::Append(Ok(_)) => Ok(AppendEntriesResponse::Success),
            Response::Append(Err(StreamAppendError::Conflict(_))) => {
                Ok(AppendEntriesResponse::Conflict)
            }
            Response::Append(Err(StreamAppendError::HigherVote(vote))) => {
                Ok(AppendEntriesResponse::HigherVote(vote))
            }
            _ => Err(nonsense()),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if self.is_for_heartbeats {
            return openraft::network::stream_append_sequential(self, input, option);
        }
        let pipeline = self.begin_stream(input);
        let this = &*self;
        let responses = stream::unfold(Some(pipeline), move |pipeline| async move {
            let mut pipeline = pipeline?;
            let mut call = pipeline.calls.recv().await?;
            let response = timeout(APPEND_DEADLINE, call.response()).await;
            let result = match response {
                Ok(Response::Append(result)) => Ok(result),
                Ok(Response::Lost | Response::Refused) => Err(unreachable()),
                Ok(_) => Err(nonsense()),
                Err(_) => Err(this.timed_out(RPCTypes::AppendEntries, APPEND_DEADLINE)),
            };
            let goes_on = matches!(result, Ok(Ok(_)));
            Some((result, goes_on.then_some(pipeline)))
        });
        let responses: BoxStream<'s, _> = Box::pin(responses);
        Box::pin(async move { Ok(responses) })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let within = (RPCTypes::Vote, option.soft_ttl());
        match self.control(Request::Vote(rpc), within).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(nonsense()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let within = (RPCTypes::Vote, option.soft_ttl());
        match self.control(Request::PreVote(rpc), within).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(nonsense()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<TypeConfig, RaftSnapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let offer = Offer {
            vote,
            meta: snapshot.meta,
            snapshot: snapshot.snapshot,
        };
        let mut call = self.call(Channel::Bulk, Request::Offer(Box::new(offer)));
        let mut cancel = std::pin::pin!(cancel);
        let mut fetched = self.clients.fetching.count(self.peer);
        loop {
            // Both may be dropped: the call is asked again, and whoever cancels has the last word.
            let response = tokio::select! {
                closed = &mut cancel => return Err(StreamingError::Closed(closed)),
                response = timeout(FETCH_PAUSE_MAX, call.response()) => response,
            };
            match response {
                Ok(Response::Installed(vote)) => return Ok(SnapshotResponse::new(vote)),
                Ok(Response::Lost | Response::Refused) => return Err(unreachable().into()),
                Ok(_) => return Err(nonsense().into()),
                Err(_) => {
                    let before =
                        std::mem::replace(&mut fetched, self.clients.fetching.count(self.peer));
                    if before == fetched {
                        return Err(self
                            .timed_out(RPCTypes::InstallSnapshot, FETCH_PAUSE_MAX)
                            .into());
                    }
                }
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let within = (RPCTypes::TransferLeader, option.soft_ttl());
        match self.control(Request::TransferLeader(req), within).await? {
            Response::TransferLeader(true) => Ok(Ok(())),
            Response::TransferLeader(false) => Err(unreachable()),
            _ => Err(nonsense()),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        let (first, last) = BACKOFF;
        let waits = std::iter::successors(Some(first), move |wait| Some((*wait * 2).min(last)));
        Some(Backoff::new(waits))
    }
}

fn unreachable() -> RpcError {
    let error = io::Error::new(
        io::ErrorKind::NotConnected,
        "the peer was not reached or refused",
    );
    RPCError::Unreachable(Unreachable::new(&error))
}

fn nonsense() -> RpcError {
    let error = io::Error::new(
        io::ErrorKind::InvalidData,
        "the peer answered something else",
    );
    RPCError::Network(NetworkError::new(&error))
}
