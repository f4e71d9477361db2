//! Which schema a type names.

/// What stands in front of each name, and the folder of its schemas.
const FOLDERS: &[(&str, &str)] = &[
    ("io.nats.jetstream.api.v1.", "schemas/jetstream/api/v1"),
    (
        "io.nats.jetstream.advisory.v1.",
        "schemas/jetstream/advisory/v1",
    ),
    (
        "io.nats.jetstream.metric.v1.",
        "schemas/jetstream/metric/v1",
    ),
    ("io.nats.server.advisory.v1.", "schemas/server/advisory/v1"),
];

/// Types that nats-server 2.15 has and nobody has published a schema of.
const UNPUBLISHED: &[&str] = &[
    "io.nats.jetstream.api.v1.consumer_evacuate_peer_response",
    "io.nats.jetstream.api.v1.consumer_remove_peer_response",
    "io.nats.jetstream.api.v1.stream_cancel_move_response",
    "io.nats.jetstream.api.v1.stream_evacuate_peer_response",
];

/// The type of something a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has no schema.
    Unpublished,
    /// The schema is this file, from the folder of all schemas.
    Published(String),
}

impl Kind {
    /// The kind of this `type`; `None` when it is not one of NATS.
    pub(crate) fn of(r#type: &str) -> Option<Self> {
        if UNPUBLISHED.contains(&r#type) {
            return Some(Self::Unpublished);
        }
        let (prefix, folder) = FOLDERS
            .iter()
            .find(|(prefix, _)| r#type.starts_with(prefix))?;
        let name = &r#type[prefix.len()..];
        Some(Self::Published(format!("{folder}/{name}.json")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_names_its_file() {
        let path = |kind: Option<Kind>| match kind {
            Some(Kind::Published(path)) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            path(Kind::of("io.nats.jetstream.advisory.v1.api_audit")),
            "schemas/jetstream/advisory/v1/api_audit.json"
        );
        assert_eq!(
            Kind::of("io.hitherto.jetstream.advisory.v1.stream_damaged"),
            None
        );
        assert_eq!(Kind::of("io.nats.micro.v1.ping_response"), None);
        assert_eq!(Kind::of(UNPUBLISHED[0]), Some(Kind::Unpublished));
    }
}
