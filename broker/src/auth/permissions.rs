//! Which subjects a user may publish to and subscribe to.

use hitherto_protocol::SubjectFilter;

use super::{ResponseGrants, ResponseRule};
use crate::Error;

/// What a user may do. Without rules for a direction everything is allowed there.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    publish: SubjectRules,
    subscribe: SubjectRules,
    responses: Option<ResponseRule>,
}

/// What is allowed and what is denied; who is denied is not allowed.
#[derive(Debug, Clone, Default)]
pub struct SubjectRules {
    /// `None` allows everything; an empty list nothing.
    allow: Option<Vec<Rule>>,
    deny: Vec<Rule>,
}

/// Subjects, or subjects under a queue group.
#[derive(Debug, Clone)]
struct Rule {
    filter: SubjectFilter,
    /// The rule is about queue subscriptions in groups of this name, which may hold wildcards.
    queue: Option<SubjectFilter>,
}

/// Looks at what is delivered to a connection: keeps back what is denied, and gives the right to answer.
#[derive(Debug)]
pub(crate) struct DeliveryGuard {
    deny: Vec<SubjectFilter>,
    grants: Option<ResponseGrants>,
}

impl Permissions {
    /// Everything is allowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows publishing to these subjects, and to no others that are not allowed too.
    ///
    /// # Errors
    /// [`Error::Config`] when one is no subject filter.
    pub fn allow_publish<I: AsRef<str>>(
        mut self,
        subjects: impl IntoIterator<Item = I>,
    ) -> Result<Self, Error> {
        self.publish.allow(subjects)?;
        Ok(self)
    }

    /// Allows subscribing to these subjects, and to no others that are not allowed too. `subject group`
    /// allows it in that queue group alone.
    ///
    /// # Errors
    /// [`Error::Config`] when one is no subject filter.
    pub fn allow_subscribe<I: AsRef<str>>(
        mut self,
        subjects: impl IntoIterator<Item = I>,
    ) -> Result<Self, Error> {
        self.subscribe.allow(subjects)?;
        Ok(self)
    }

    /// Sets both sets of rules.
    #[must_use]
    pub fn with_rules(mut self, publish: SubjectRules, subscribe: SubjectRules) -> Self {
        self.publish = publish;
        self.subscribe = subscribe;
        self
    }

    /// Lets the user answer the requests it gets. Publishing is then limited to what is allowed, as in
    /// nats-server.
    #[must_use]
    pub fn allow_responses(mut self, rule: ResponseRule) -> Self {
        self.publish.allow.get_or_insert_default();
        self.responses = Some(rule);
        self
    }

    /// What deliveries to a connection of this user must pass; `None` when nothing is kept back or given.
    pub(crate) fn delivery_guard(&self) -> Option<DeliveryGuard> {
        let plain = self
            .subscribe
            .deny
            .iter()
            .filter(|rule| rule.queue.is_none());
        let deny: Vec<_> = plain.map(|rule| rule.filter.clone()).collect();
        let grants = self.responses.map(ResponseGrants::new);
        (!deny.is_empty() || grants.is_some()).then_some(DeliveryGuard { deny, grants })
    }

    /// Tells whether a message may be published, rights to answer aside.
    pub(crate) fn may_publish(&self, subject: &str) -> bool {
        let matches = |rule: &Rule| rule.filter.matches(subject);
        let allow = &self.publish.allow;
        allow.as_ref().is_none_or(|rules| rules.iter().any(matches))
            && !self.publish.deny.iter().any(matches)
    }

    /// Decides about a SUB (`canSubscribe` in nats-server 2.15 `server/client.go`). What is denied within a
    /// wider filter is left to the [`DeliveryGuard`].
    pub(crate) fn may_subscribe(&self, filter: &SubjectFilter, queue: Option<&str>) -> bool {
        let rules = &self.subscribe;
        let is_allowed = match &rules.allow {
            None => true,
            // A rule about a queue group that fits the subject decides alone.
            Some(allow) => match names_queue(allow, filter, queue) {
                Some(is_named) => is_named,
                None => covers(allow, filter),
            },
        };
        let is_denied = match names_queue(&rules.deny, filter, queue) {
            Some(is_named) => is_named,
            None => covers(&rules.deny, filter),
        };
        is_allowed && !is_denied
    }
}

impl SubjectRules {
    /// Everything is allowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows these subjects, and none that are not allowed too.
    ///
    /// # Errors
    /// [`Error::Config`] when one is no subject filter.
    pub fn allow<I: AsRef<str>>(
        &mut self,
        subjects: impl IntoIterator<Item = I>,
    ) -> Result<(), Error> {
        let allow = self.allow.get_or_insert_default();
        for subject in subjects {
            allow.push(Rule::parse(subject.as_ref())?);
        }
        Ok(())
    }

    /// Denies these subjects.
    ///
    /// # Errors
    /// [`Error::Config`] when one is no subject filter.
    pub fn deny<I: AsRef<str>>(
        &mut self,
        subjects: impl IntoIterator<Item = I>,
    ) -> Result<(), Error> {
        for subject in subjects {
            self.deny.push(Rule::parse(subject.as_ref())?);
        }
        Ok(())
    }
}

impl Rule {
    /// `subject`, or `subject group`.
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Config {
            setting: "permissions",
            problem: format!("subject {text:?} is not a valid subject"),
        };
        let mut words = text.split_whitespace();
        let (filter, queue) = (words.next(), words.next());
        if words.next().is_some() {
            return Err(wrong());
        }
        let filter = SubjectFilter::new(filter.unwrap_or_default().to_owned());
        let queue = queue.map(|queue| SubjectFilter::new(queue.to_owned()));
        Ok(Self {
            filter: filter.map_err(|_| wrong())?,
            queue: queue.transpose().map_err(|_| wrong())?,
        })
    }
}

/// A plain rule selects everything the filter selects.
fn covers(rules: &[Rule], filter: &SubjectFilter) -> bool {
    rules
        .iter()
        .any(|rule| rule.queue.is_none() && filter.is_subset_of(&rule.filter))
}

/// Whether the rules for queue groups name this one; `None` when no such rule fits the subject.
fn names_queue(rules: &[Rule], filter: &SubjectFilter, queue: Option<&str>) -> Option<bool> {
    let queue = queue?;
    let mut named = None;
    for rule in rules {
        if let Some(pattern) = &rule.queue
            && filter.is_subset_of(&rule.filter)
        {
            let is_named = pattern.matches(queue);
            named = Some(named.unwrap_or(false) || is_named);
        }
    }
    named
}

impl DeliveryGuard {
    /// Tells whether a message may be delivered, and remembers the right to answer it.
    pub(crate) fn lets_pass(&self, subject: &str, reply: Option<&str>) -> bool {
        if self.deny.iter().any(|filter| filter.matches(subject)) {
            return false;
        }
        if let (Some(grants), Some(reply)) = (&self.grants, reply) {
            grants.give(reply);
        }
        true
    }

    /// Uses the right to answer on `subject` once; `false` when there is none.
    pub(crate) fn may_answer(&self, subject: &str) -> bool {
        let grants = self.grants.as_ref();
        grants.is_some_and(|grants| grants.take(subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> SubjectRules {
        let mut rules = SubjectRules::new();
        if !allow.is_empty() {
            rules.allow(allow).unwrap();
        }
        rules.deny(deny).unwrap();
        rules
    }

    fn subscribing(allow: &[&str], deny: &[&str]) -> impl Fn(&str, Option<&str>) -> bool {
        let permissions = Permissions::new().with_rules(rules(&[], &[]), rules(allow, deny));
        move |filter, queue| {
            let filter = SubjectFilter::new(filter.to_owned()).unwrap();
            permissions.may_subscribe(&filter, queue)
        }
    }

    #[test]
    fn what_is_denied_is_not_allowed() {
        let publish = rules(&["a.>", "b"], &["a.secret"]);
        let permissions = Permissions::new().with_rules(publish, rules(&[], &[]));
        for (subject, allowed) in [
            ("a.x", true),
            ("b", true),
            ("a.secret", false),
            ("c", false),
        ] {
            assert_eq!(permissions.may_publish(subject), allowed, "{subject}");
        }
        assert!(Permissions::new().may_publish("anything"));
    }

    #[test]
    fn a_subscription_must_lie_within_what_is_allowed() {
        let may = subscribing(&["a.*", "b.>"], &["b.secret.>"]);
        for (filter, allowed) in [
            ("a.x", true),
            ("a.*", true),
            ("a.>", false),
            ("b.>", true),
            ("b.secret.x", false),
            ("b.secret.*", false),
            (">", false),
        ] {
            assert_eq!(may(filter, None), allowed, "{filter}");
        }
    }

    #[test]
    fn queue_groups_are_allowed_and_denied_by_name() {
        let may = subscribing(&["a", "b v1", "b v2.*"], &["a old"]);
        assert!(may("a", None) && may("a", Some("new")) && !may("a", Some("old")));
        assert!(may("b", Some("v1")) && may("b", Some("v2.x")));
        assert!(!may("b", None) && !may("b", Some("v3")));
    }

    #[test]
    fn what_is_denied_within_a_wider_subscription_is_kept_back() {
        let permissions = Permissions::new().with_rules(rules(&[], &[]), rules(&[], &["a.secret"]));
        let filter = SubjectFilter::new("a.*").unwrap();
        assert!(permissions.may_subscribe(&filter, None));
        let guard = permissions.delivery_guard().unwrap();
        assert!(guard.lets_pass("a.open", None) && !guard.lets_pass("a.secret", None));
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for wrong in ["", "a..b", "a b c", "a.>.b"] {
            assert!(Rule::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
