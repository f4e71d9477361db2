//! Where the published schemas say something else than every nats-server does; asked of 2.15.

use serde_json::{Value, json};

/// A field of a schema that says something untrue, or is missing.
struct Field {
    /// The end of the file's path.
    file: &'static str,
    name: &'static str,
    /// Its true type.
    r#type: &'static str,
}

const FIELDS: &[Field] = &[
    // A number, as in the metric of an ack and in `max_deliver`.
    Field {
        file: "jetstream/advisory/v1/nak.json",
        name: "consumer_seq",
        r#type: "integer",
    },
    Field {
        file: "jetstream/advisory/v1/terminated.json",
        name: "consumer_seq",
        r#type: "integer",
    },
    // Younger than the schema.
    Field {
        file: "server/advisory/v1/account_connections.json",
        name: "num_subscriptions",
        r#type: "integer",
    },
    Field {
        file: "server/advisory/v1/account_connections.json",
        name: "name",
        r#type: "string",
    },
];

/// Corrects the schema of this file.
pub(crate) fn apply(path: &str, schema: &mut Value) {
    for field in FIELDS.iter().filter(|field| path.ends_with(field.file)) {
        schema["properties"][field.name] = json!({"type": field.r#type});
    }
    // An answer is an error or what was asked for. Some errors carry the empty fields of the latter and are
    // both, on every nats-server.
    if let Some(schema) = schema.as_object_mut()
        && let Some(either) = schema.remove("oneOf")
    {
        schema.insert("anyOf".into(), either);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_files_are_corrected() {
        let published = json!({"properties": {"consumer_seq": {"type": "string"}}, "oneOf": [1]});
        let corrected = |path| {
            let mut schema = published.clone();
            apply(path, &mut schema);
            schema
        };
        let nak = corrected("/x/schemas/jetstream/advisory/v1/nak.json");
        assert_eq!(nak["properties"]["consumer_seq"]["type"], "integer");
        let other = corrected("/x/schemas/jetstream/advisory/v1/other.json");
        assert_eq!(other["properties"], published["properties"]);
        assert_eq!((other.get("oneOf"), &other["anyOf"]), (None, &json!([1])));
    }
}
