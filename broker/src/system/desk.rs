//! Takes requests in. Runs on the threads of those who ask, so it only copies and hands over.

use std::sync::Arc;

use bytes::Bytes;
use hitherto_protocol::Subject;
use tokio::sync::mpsc;

use super::subjects::{self, Question};
use crate::account::{Account, Accounts};
use crate::pubsub::{Handler, Message, Origin, Reach, Target};

/// A request on its way to its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) question: Question,
    /// The account it was asked in.
    pub(super) account: Account,
    pub(super) subject: Subject,
    /// `None` when nobody waits for an answer.
    pub(super) reply: Option<Subject>,
    pub(super) payload: Bytes,
}

/// The handler behind one subject.
struct Desk {
    question: Question,
    account: Account,
    requests: mpsc::Sender<Request>,
}

impl Handler for Desk {
    /// Every node answers for itself, but for who asks: only the node of a client knows it.
    fn reach(&self) -> Reach {
        match self.question {
            Question::UserInfo => Reach::Node,
            _ => Reach::Cluster,
        }
    }

    /// When too many wait, the request is not answered: who asks a server that is overloaded by such requests
    /// learns it by its time-out.
    fn handle(&self, _: Origin, message: &Message) {
        let request = Request {
            question: self.question,
            account: self.account,
            subject: message.subject.detached(),
            reply: message.reply.as_ref().map(Subject::detached),
            payload: Bytes::copy_from_slice(&message.payload),
        };
        if self.requests.try_send(request).is_err() {
            tracing::warn!(subject = %message.subject, "a request about the server is not answered: too many wait");
        }
    }
}

/// Listens in both accounts, until the routers are cleared.
pub(super) fn open(accounts: &Accounts, id: &str, name: &str, requests: &mpsc::Sender<Request>) {
    let served = [
        (Account::System, subjects::of_system_account(id, name)),
        (Account::Ordinary, subjects::of_ordinary_account()),
    ];
    for (account, served) in served {
        for (filter, question) in served {
            let desk = Arc::new(Desk {
                question,
                account,
                requests: requests.clone(),
            });
            // It ends with the router, so its key is not needed.
            drop(
                accounts
                    .router(account)
                    .subscribe(filter, None, Target::Handler(desk)),
            );
        }
    }
}
