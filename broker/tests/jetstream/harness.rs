//! A node on a disk in memory, and the requests tests make.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hitherto_broker::{
    Error, Headers, HeadersBuilder, LocalClient, LocalMessage, LocalSubscription, Node, NodeConfig,
    Subject, SubjectFilter,
};
use hitherto_platform::FaultyDisk;
use serde_json::{Value, json};

/// Longer than anything takes; only a failing test waits for it.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) struct JetStream {
    pub(crate) node: Node,
    pub(crate) client: LocalClient,
    /// Hears everything the node tells, where there are schemas to hold it against.
    told: Option<LocalSubscription>,
}

pub(crate) fn subject(subject: &str) -> Subject {
    Subject::new(subject.to_owned()).unwrap()
}

pub(crate) fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut builder = HeadersBuilder::new();
    for (name, value) in fields {
        builder.insert(name, value).unwrap();
    }
    builder.build()
}

pub(crate) fn header<'a>(message: &'a LocalMessage, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name)
}

pub(crate) fn status(message: &LocalMessage) -> Option<(u16, &str)> {
    message.headers.as_ref()?.status()
}

impl JetStream {
    pub(crate) async fn start() -> Self {
        Self::on(&FaultyDisk::new()).await
    }

    pub(crate) async fn on(disk: &FaultyDisk) -> Self {
        Self::with(NodeConfig::in_memory().disk(Arc::new(disk.clone()))).await
    }

    pub(crate) async fn with(config: NodeConfig) -> Self {
        Self::of(Node::start(config).await.unwrap())
    }

    /// A node that runs.
    pub(crate) fn of(node: Node) -> Self {
        let client = node.client();
        let told = hitherto_schemas::schemas().map(|_| {
            let filter = SubjectFilter::new("$JS.EVENT.>").unwrap();
            client.subscribe(filter, None).unwrap()
        });
        Self { node, client, told }
    }

    /// A clean end. What the node has told by advisories, its answers to all requests among them, is held
    /// against the schemas.
    pub(crate) async fn stop(mut self) {
        while let Some(message) = self.told.as_mut().and_then(LocalSubscription::try_next) {
            hitherto_schemas::check(&message.payload);
        }
        self.node.shutdown().await.unwrap();
    }

    pub(crate) async fn request(
        &self,
        to: &str,
        headers: Option<Headers>,
        payload: &str,
    ) -> Result<LocalMessage, Error> {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let answer = self
            .client
            .request(subject(to), headers, payload, WAIT_MAX)
            .await?;
        hitherto_schemas::check(&answer.payload);
        Ok(answer)
    }

    /// An API request with a JSON body; `null` sends an empty one.
    pub(crate) async fn api(&self, operation: &str, body: Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self
            .request(&format!("$JS.API.{operation}"), None, &body)
            .await
            .unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// An API request that must succeed.
    pub(crate) async fn api_ok(&self, operation: &str, body: Value) -> Value {
        let answer = self.api(operation, body).await;
        assert!(answer.get("error").is_none(), "{operation}: {answer}");
        answer
    }

    /// The error code of an API request that must fail.
    pub(crate) async fn api_error(&self, operation: &str, body: Value) -> u64 {
        let answer = self.api(operation, body).await;
        answer["error"]["err_code"]
            .as_u64()
            .unwrap_or_else(|| panic!("{operation}: {answer}"))
    }

    /// Creates a stream; `more` adds to its configuration.
    pub(crate) async fn stream(&self, name: &str, subjects: &[&str], more: Value) -> Value {
        let mut config = json!({ "name": name, "subjects": subjects });
        merge(&mut config, more);
        self.api_ok(&format!("STREAM.CREATE.{name}"), config).await
    }

    /// Creates a durable pull consumer with explicit acks; `more` adds to its configuration.
    pub(crate) async fn consumer(&self, stream: &str, name: &str, more: Value) -> Value {
        let mut config = json!({ "durable_name": name, "ack_policy": "explicit" });
        merge(&mut config, more);
        let body = json!({ "stream_name": stream, "config": config });
        self.api_ok(&format!("CONSUMER.CREATE.{stream}.{name}"), body)
            .await
    }

    /// Publishes and returns the PubAck, or the error in its place.
    pub(crate) async fn publish_with(
        &self,
        to: &str,
        fields: &[(&str, &str)],
        payload: &str,
    ) -> Value {
        let headers = (!fields.is_empty()).then(|| headers(fields));
        let answer = self.request(to, headers, payload).await.unwrap();
        hitherto_schemas::check_pub_ack(&answer.payload);
        serde_json::from_slice(&answer.payload)
            .unwrap_or_else(|error| panic!("{to}: {error}: {answer:?}"))
    }

    /// Publishes and returns the sequence.
    pub(crate) async fn publish(&self, to: &str, payload: &str) -> u64 {
        let ack = self.publish_with(to, &[], payload).await;
        ack["seq"]
            .as_u64()
            .filter(|seq| *seq > 0)
            .unwrap_or_else(|| panic!("{to}: {ack}"))
    }

    pub(crate) async fn state(&self, stream: &str) -> Value {
        self.api_ok(&format!("STREAM.INFO.{stream}"), Value::Null)
            .await["state"]
            .clone()
    }

    pub(crate) async fn consumer_info(&self, stream: &str, consumer: &str) -> Value {
        self.api_ok(&format!("CONSUMER.INFO.{stream}.{consumer}"), Value::Null)
            .await
    }

    /// Sends a pull request and returns where its messages arrive.
    pub(crate) async fn pull(
        &self,
        stream: &str,
        consumer: &str,
        body: Value,
    ) -> LocalSubscription {
        let to = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.ask(&to, &body.to_string()).await
    }

    /// Sends a request that is answered with several messages.
    pub(crate) async fn ask(&self, to: &str, body: &str) -> LocalSubscription {
        let inbox = self.client.new_inbox();
        let filter = SubjectFilter::new(inbox.as_str().to_owned()).unwrap();
        let subscription = self.client.subscribe(filter, None).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.client
            .publish(subject(to), Some(inbox), None, body)
            .await
            .unwrap();
        subscription
    }

    /// Listens on a subject.
    pub(crate) fn listen(&self, filter: &str) -> LocalSubscription {
        let filter = SubjectFilter::new(filter.to_owned()).unwrap();
        self.client.subscribe(filter, None).unwrap()
    }

    /// Fetches what is there, up to `batch` messages.
    pub(crate) async fn fetch(
        &self,
        stream: &str,
        consumer: &str,
        batch: usize,
    ) -> Vec<LocalMessage> {
        let body = json!({ "batch": batch, "no_wait": true });
        let mut subscription = self.pull(stream, consumer, body).await;
        let mut messages = Vec::new();
        while messages.len() < batch {
            let message = next(&mut subscription).await;
            if let Some((code, _)) = status(&message) {
                assert!(code == 404 || code == 408, "{message:?}");
                break;
            }
            messages.push(message);
        }
        messages
    }

    /// Acks with this payload and waits until it has been processed.
    pub(crate) async fn ack_sync(&self, message: &LocalMessage, payload: &str) {
        let to = message.reply.as_ref().unwrap().as_str();
        let answer = self.request(to, None, payload).await.unwrap();
        assert!(
            answer.payload.is_empty() && status(&answer).is_none(),
            "{answer:?}"
        );
    }
}

/// The next message, which must come.
pub(crate) async fn next(subscription: &mut LocalSubscription) -> LocalMessage {
    let message = tokio::time::timeout(WAIT_MAX, subscription.next())
        .await
        .expect("a message comes in time")
        .expect("the subscription goes on");
    hitherto_schemas::check(&message.payload);
    message
}

pub(crate) fn text(message: &LocalMessage) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

pub(crate) fn texts(messages: &[LocalMessage]) -> Vec<&str> {
    messages.iter().map(text).collect()
}

fn merge(config: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        config.as_object_mut().unwrap().extend(more);
    }
}
