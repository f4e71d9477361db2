//! Each answer of the JetStream API has the published shape, on both servers.
//!
//! What our server says in the other tests is held against the schemas as well, by the wiretap of
//! [`Server`]; here is every request once, and the answers of nats-server, which prove the schemas.

use anyhow::{Context, Result, ensure};
use hitherto_integration::raw::RawClient;
use hitherto_integration::{Server, on_both_servers};
use hitherto_schemas::Schemas;
use serde_json::{Value, json};

/// One connection whose answers are all checked.
struct Api {
    client: RawClient,
    schemas: &'static Schemas,
}

impl Api {
    /// Sends a request and checks that the answer is a `<wanted>_response` of the published shape.
    fn call(&mut self, subject: &str, request: &Value, wanted: &str) -> Result<Value> {
        let body = if request.is_null() {
            String::new()
        } else {
            request.to_string()
        };
        let answer = self
            .client
            .request(&format!("$JS.API.{subject}"), body.as_bytes())?;
        let answer: Value = serde_json::from_slice(&answer)
            .with_context(|| format!("{subject}: {}", String::from_utf8_lossy(&answer)))?;
        let name = format!("io.nats.jetstream.api.v1.{wanted}_response");
        ensure!(answer["type"] == name, "{subject}: {answer}");
        let judged = self.schemas.judge(answer.to_string().as_bytes());
        judged.map_err(anyhow::Error::msg)?;
        Ok(answer)
    }

    /// The same for a request that must succeed.
    fn succeed(&mut self, subject: &str, request: &Value, wanted: &str) -> Result<Value> {
        let answer = self.call(subject, request, wanted)?;
        ensure!(answer.get("error").is_none(), "{subject}: {answer}");
        Ok(answer)
    }

    /// The same for a request that must be refused with `err_code`.
    fn refuse(&mut self, subject: &str, request: &Value, wanted: &str, code: u64) -> Result<()> {
        let answer = self.call(subject, request, wanted)?;
        ensure!(answer["error"]["err_code"] == code, "{subject}: {answer}");
        Ok(())
    }

    fn publish(&mut self, subject: &str, payload: &str) -> Result<()> {
        let ack = self.client.request(subject, payload.as_bytes())?;
        let judged = self.schemas.judge_pub_ack(&ack);
        judged.map_err(anyhow::Error::msg)?;
        let ack: Value = serde_json::from_slice(&ack)?;
        ensure!(ack.get("error").is_none(), "{ack}");
        Ok(())
    }
}

async fn answers_have_the_published_shape(server: &mut Server) -> Result<()> {
    let Some(schemas) = hitherto_schemas::schemas() else {
        return Ok(());
    };
    let addr = server.addr();
    tokio::task::spawn_blocking(move || {
        let mut api = Api {
            client: RawClient::connect(addr)?,
            schemas,
        };
        streams(&mut api)?;
        consumers(&mut api)?;
        refusals(&mut api)?;
        removals(&mut api)
    })
    .await?
}

fn streams(api: &mut Api) -> Result<()> {
    let none = Value::Null;
    api.succeed("INFO", &none, "account_info")?;
    api.succeed("STREAM.NAMES", &none, "stream_names")?;
    api.succeed("STREAM.LIST", &none, "stream_list")?;
    let mut config = json!({"name": "ORDERS", "subjects": ["orders.>"], "storage": "file"});
    let created = api.succeed("STREAM.CREATE.ORDERS", &config, "stream_create")?;
    ensure!(
        created["did_create"] == true && created["state"]["first_seq"] == 0,
        "{created}"
    );
    ensure!(
        created["state"]["first_ts"] == "0001-01-01T00:00:00Z",
        "{created}"
    );
    config["max_msgs"] = json!(100);
    api.succeed("STREAM.UPDATE.ORDERS", &config, "stream_update")?;
    for number in 1..=5 {
        api.publish(&format!("orders.{number}"), "body")?;
    }
    api.succeed("STREAM.INFO.ORDERS", &none, "stream_info")?;
    let subjects = json!({"subjects_filter": "orders.*", "deleted_details": true});
    let info = api.succeed("STREAM.INFO.ORDERS", &subjects, "stream_info")?;
    ensure!(info["state"]["subjects"]["orders.3"] == 1, "{info}");
    api.succeed(
        "STREAM.NAMES",
        &json!({"subject": "orders.3"}),
        "stream_names",
    )?;
    api.succeed("STREAM.LIST", &none, "stream_list")?;
    for request in [json!({"seq": 2}), json!({"last_by_subj": "orders.4"})] {
        api.succeed("STREAM.MSG.GET.ORDERS", &request, "stream_msg_get")?;
    }
    api.succeed("INFO", &none, "account_info")?;
    Ok(())
}

fn consumers(api: &mut Api) -> Result<()> {
    let none = Value::Null;
    let request = json!({
        "stream_name": "ORDERS",
        "config": {"durable_name": "worker", "ack_policy": "explicit", "deliver_policy": "all"},
    });
    let subject = "CONSUMER.CREATE.ORDERS.worker";
    let created = api.succeed(subject, &request, "consumer_create")?;
    ensure!(created["num_pending"] == 5, "{created}");
    let again = api.succeed(subject, &request, "consumer_create")?;
    ensure!(
        created["created"] == again["created"],
        "creating is idempotent"
    );
    api.succeed("CONSUMER.INFO.ORDERS.worker", &none, "consumer_info")?;
    api.succeed("CONSUMER.NAMES.ORDERS", &none, "consumer_names")?;
    api.succeed("CONSUMER.LIST.ORDERS", &none, "consumer_list")?;
    Ok(())
}

fn refusals(api: &mut Api) -> Result<()> {
    let none = Value::Null;
    api.refuse("STREAM.INFO.NONE", &none, "stream_info", 10059)?;
    api.refuse("STREAM.DELETE.NONE", &none, "stream_delete", 10059)?;
    let other = json!({"name": "OTHER", "subjects": ["orders.>"]});
    api.refuse("STREAM.CREATE.ORDERS", &other, "stream_create", 10056)?;
    api.refuse("STREAM.CREATE.OTHER", &other, "stream_create", 10065)?;
    api.refuse(
        "STREAM.MSG.GET.ORDERS",
        &json!({"seq": 99}),
        "stream_msg_get",
        10037,
    )?;
    api.refuse("STREAM.MSG.GET.ORDERS", &json!({}), "stream_msg_get", 10003)?;
    api.refuse("CONSUMER.INFO.ORDERS.none", &none, "consumer_info", 10014)?;
    let unknown = json!({"name": "X", "subjects": ["x"], "no_such_field": 1});
    api.refuse("STREAM.CREATE.X", &unknown, "stream_create", 10025)
}

fn removals(api: &mut Api) -> Result<()> {
    let none = Value::Null;
    let purge = json!({"filter": "orders.1"});
    let purged = api.succeed("STREAM.PURGE.ORDERS", &purge, "stream_purge")?;
    ensure!(purged["purged"] == 1, "{purged}");
    api.succeed(
        "STREAM.MSG.DELETE.ORDERS",
        &json!({"seq": 2}),
        "stream_msg_delete",
    )?;
    api.succeed("CONSUMER.DELETE.ORDERS.worker", &none, "consumer_delete")?;
    api.succeed("STREAM.DELETE.ORDERS", &none, "stream_delete")?;
    Ok(())
}

on_both_servers!(answers_have_the_published_shape);
