//! `/subsz`: the subscriptions.

use hitherto_protocol::{Subject, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Monitor, Page, Refused};
use crate::account::Account;
use crate::pubsub::{RouterFigures, Subscription};

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SubszOptions {
    pub(crate) offset: i64,
    pub(crate) limit: i64,
    /// Also list them.
    pub(crate) subscriptions: bool,
    /// Only those of this account; empty for all.
    pub(crate) account: String,
    /// Only those that would get a message with this subject; empty for all.
    pub(crate) test: String,
}

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Subsz<'a> {
    server_id: &'a str,
    now: Timestamp,
    #[serde(flatten)]
    figures: SublistFigures,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<SubscriptionDetail>,
}

/// Numbers about the subscriptions. There is no shared cache of matches here: each publisher remembers
/// its own, so what nats-server tells about its cache is 0.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct SublistFigures {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: f64,
    max_fanout: u64,
    avg_fanout: f64,
}

/// One subscription.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SubscriptionDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_tag: Option<String>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qgroup: Option<String>,
    /// Empty for the broker's own services and clients inside the process.
    sid: String,
    msgs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
    /// 0 for the broker's own services.
    cid: u64,
}

impl SubscriptionDetail {
    pub(super) fn of(subscription: &Subscription) -> Self {
        let sid = subscription.sid();
        Self {
            account: None,
            account_tag: None,
            subject: subscription.filter().as_str().to_owned(),
            qgroup: subscription.queue().map(ToString::to_string),
            sid: sid
                .map(|sid| String::from_utf8_lossy(sid).into_owned())
                .unwrap_or_default(),
            msgs: subscription.messages(),
            max: subscription.max_messages(),
            cid: subscription.subscriber().map_or(0, |id| id.0),
        }
    }

    pub(super) fn into_subject(self) -> String {
        self.subject
    }

    fn in_account(mut self, name: &str) -> Self {
        self.account = Some(name.to_owned());
        self.account_tag = Some(name.to_owned());
        self
    }
}

impl SublistFigures {
    pub(super) fn of(figures: RouterFigures) -> Self {
        let mut sum = Self::default();
        sum.add(figures);
        sum
    }

    fn add(&mut self, figures: RouterFigures) {
        self.num_subscriptions += figures.subscriptions;
        self.num_inserts += figures.inserts;
        self.num_removes += figures.removes;
        self.num_matches += figures.matches;
    }
}

impl Monitor {
    /// Makes the document.
    ///
    /// # Errors
    /// When the subject to test is none.
    pub(crate) fn subsz(&self, options: &SubszOptions) -> Result<Subsz<'_>, Refused> {
        let test = test_subject(&options.test)?;
        let page = Page::new(options.offset, options.limit);
        let wanted = |account: &Account| {
            options.account.is_empty() || self.accounts().get(*account).name == options.account
        };
        let mut figures = SublistFigures::default();
        let mut list = Vec::new();
        for account in Account::ALL.into_iter().filter(wanted) {
            let space = self.accounts().get(account);
            figures.add(space.router.figures());
            if options.subscriptions {
                let found = space.router.list(|subscription| {
                    let filter = subscription.filter();
                    test.as_ref()
                        .is_none_or(|test| filter.matches(test.as_str()))
                });
                let details = found.iter().map(|found| SubscriptionDetail::of(found));
                list.extend(details.map(|detail| detail.in_account(&space.name)));
            }
        }
        Ok(Subsz {
            server_id: &self.info().server_id,
            now: self.now(),
            figures,
            total: list.len(),
            offset: page.offset,
            limit: page.limit,
            subscriptions_list: page.cut(list),
        })
    }
}

fn test_subject(test: &str) -> Result<Option<Subject>, Refused> {
    if test.is_empty() {
        return Ok(None);
    }
    let subject = Subject::new(test.to_owned()).ok();
    match subject.filter(|subject| !subject.has_wildcard()) {
        Some(subject) => Ok(Some(subject)),
        None => Err(Refused(format!(
            "invalid test subject, must be valid publish subject: {test}"
        ))),
    }
}
