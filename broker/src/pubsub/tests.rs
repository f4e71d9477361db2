//! The router and its publishers, with handlers as receivers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hitherto_platform::SeededEntropy;
use hitherto_protocol::{Subject, SubjectFilter};

use super::{Handler, Message, Origin, Publisher, Router, SubscriptionKey, Target};

/// Writes down what it gets.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Handler for Notes {
    fn handle(&self, _: Origin, message: &Message) {
        self.0.lock().unwrap().push(message.subject.to_string());
    }
}

/// Publishes again what it gets, under another subject.
struct Relay {
    router: Arc<Router>,
    to: Subject,
}

impl Handler for Relay {
    fn handle(&self, _: Origin, message: &Message) {
        let message = Message {
            subject: self.to.clone(),
            ..message.clone()
        };
        self.router.publisher(Origin::Internal).publish(&message);
    }
}

fn router() -> Arc<Router> {
    Router::new(Arc::new(SeededEntropy::new(1)), None)
}

fn message(subject: &str) -> Message {
    Message {
        subject: Subject::new(subject.to_owned()).unwrap(),
        reply: None,
        headers: None,
        payload: Bytes::new(),
    }
}

fn note(router: &Router, filter: &str, queue: Option<&str>) -> (Arc<Notes>, SubscriptionKey) {
    let notes = Arc::new(Notes::default());
    let key = router.subscribe(
        SubjectFilter::new(filter.to_owned()).unwrap(),
        queue.map(Into::into),
        Target::Handler(Arc::<Notes>::clone(&notes)),
    );
    (notes, key)
}

fn receivers(publisher: &mut Publisher, subject: &str) -> usize {
    publisher.publish(&message(subject)).receivers
}

#[test]
fn a_publisher_sees_every_change_of_the_subscriptions_at_once() {
    let router = router();
    let mut publisher = router.publisher(Origin::Internal);
    // Often enough that the subject is remembered.
    for _ in 0..4 {
        assert_eq!(receivers(&mut publisher, "a.b"), 0);
    }
    let (notes, key) = note(&router, "a.*", None);
    for _ in 0..4 {
        assert_eq!(receivers(&mut publisher, "a.b"), 1);
    }
    let (_, second) = note(&router, "a.b", None);
    assert_eq!(receivers(&mut publisher, "a.b"), 2);
    router.unsubscribe(&second);
    router.unsubscribe(&key);
    router.unsubscribe(&key);
    assert_eq!(receivers(&mut publisher, "a.b"), 0);
    assert_eq!(notes.take().len(), 5);
}

#[test]
fn subjects_that_share_a_place_in_the_cache_are_kept_apart() {
    let router = router();
    let mut publisher = router.publisher(Origin::Internal);
    let (notes, _key) = note(&router, "n.7", None);
    for round in 0..3 {
        for n in 0..2000 {
            let wanted = usize::from(n == 7);
            assert_eq!(
                receivers(&mut publisher, &format!("n.{n}")),
                wanted,
                "round {round}"
            );
        }
    }
    assert_eq!(notes.take(), ["n.7"; 3]);
}

#[test]
fn one_queue_group_may_span_filters() {
    let router = router();
    let (one, _key_one) = note(&router, "a.b", Some("q"));
    let (two, _key_two) = note(&router, "a.*", Some("q"));
    let (other, _key_other) = note(&router, "a.>", Some("p"));
    let mut publisher = router.publisher(Origin::Internal);
    for _ in 0..40 {
        assert_eq!(receivers(&mut publisher, "a.b"), 2, "one of each group");
    }
    let (first, second) = (one.take().len(), two.take().len());
    assert_eq!(first + second, 40);
    assert!(first > 5 && second > 5, "{first} and {second}");
    assert_eq!(other.take().len(), 40);
}

#[test]
fn a_handler_may_publish() {
    let router = router();
    let (notes, _key) = note(&router, "out", None);
    let relay = Relay {
        router: Arc::clone(&router),
        to: Subject::new("out").unwrap(),
    };
    let filter = SubjectFilter::new("in").unwrap();
    router.subscribe(filter, None, Target::Handler(Arc::new(relay)));
    router.publisher(Origin::Internal).publish(&message("in"));
    assert_eq!(notes.take(), ["out"]);
}

#[test]
fn a_message_can_be_delivered_under_a_subject_that_is_not_its_own() {
    let router = router();
    let (notes, _key) = note(&router, "inbox", None);
    let mut publisher = router.publisher(Origin::Internal);
    let inbox = Subject::new("inbox").unwrap();
    assert_eq!(
        publisher.publish_to(&inbox, &message("stored")).receivers,
        1
    );
    assert_eq!(notes.take(), ["stored"]);
}

#[test]
fn a_cleared_router_reaches_nobody_and_drops_its_handlers() {
    let router = router();
    let (notes, key) = note(&router, ">", None);
    let subject = Subject::new("a").unwrap();
    assert!(router.has_interest(&subject));
    router.clear();
    drop(key);
    assert!(!router.has_interest(&subject));
    assert!(
        router
            .publisher(Origin::Internal)
            .publish(&message("a"))
            .reached_nobody()
    );
    assert_eq!(Arc::strong_count(&notes), 1);
}

#[test]
fn watchers_are_told_when_interest_comes_and_goes() {
    let router = router();
    let told = Arc::new(Mutex::new(0));
    let count = Arc::clone(&told);
    let notify = move || *count.lock().unwrap() += 1;
    let subject = Subject::new("to.a").unwrap();
    let watch = router.watch_interest(&subject, None, notify);
    assert!(!watch.look());
    // None of these is interest without a group in exactly this subject.
    let others = [("to.*", None), ("to.b", None), ("to.a", Some("group"))];
    let others = others.map(|(filter, queue)| note(&router, filter, queue));
    assert_eq!((*told.lock().unwrap(), watch.look()), (0, false));

    let (_, first) = note(&router, "to.a", None);
    let (_, second) = note(&router, "to.a", None);
    assert_eq!(*told.lock().unwrap(), 1, "not again before it looks");
    assert!(watch.look());
    router.unsubscribe(&first);
    assert!(watch.look());
    router.unsubscribe(&second);
    assert_eq!((*told.lock().unwrap(), watch.look()), (3, false));

    drop(watch);
    let (_, last) = note(&router, "to.a", None);
    assert_eq!(*told.lock().unwrap(), 3);
    for key in others.iter().map(|(_, key)| key).chain([&last]) {
        router.unsubscribe(key);
    }
}
