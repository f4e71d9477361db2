//! The published tests that are not expected to pass, each with its reason.

use std::collections::BTreeMap;
use std::fmt;

use hitherto_integration::Kind;

/// Why a test is not expected to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It talks to a server or fetches a file on the internet.
    Internet,
    /// It starts a program of another project.
    Program,
    /// It starts several servers with routes between them.
    Cluster,
    /// It logs in with an nkey or a JWT.
    Keys,
    /// It publishes a fast batch.
    FastBatch,
    /// It makes a stream that mirrors or sources another.
    Mirrors,
    /// It pulls as a member of a priority group.
    PriorityGroups,
    /// It connects by WebSocket.
    WebSocket,
}

use Reason::{Cluster, FastBatch, Internet, Keys, Mirrors, PriorityGroups, Program, WebSocket};

/// What fails against any server here.
const ANYWHERE: &[Group] = &[
    Group {
        reason: Internet,
        module: "client_tests::client",
        tests: &["connect_domain"],
    },
    Group {
        reason: Internet,
        module: "service_tests::service",
        tests: &["schemas"],
    },
    Group {
        reason: Internet,
        module: "tls_tests::client",
        tests: &["custom_tls_client", "tls_with_native_certs"],
    },
    Group {
        reason: Program,
        module: "service_tests::service",
        tests: &["cross_clients_tests"],
    },
];

/// What fails against our broker.
const HITHERTO: &[Group] = &[
    Group {
        reason: Cluster,
        module: "jetstream_tests::jetstream",
        tests: &["create_stream_with_replicas"],
    },
    Group {
        reason: FastBatch,
        module: "jetstream_tests::jetstream",
        tests: &["allow_batch_publish_round_trip"],
    },
    Group {
        reason: Keys,
        module: "client_tests::client",
        tests: &["custom_auth_callback_jwt", "multiple_auth_methods"],
    },
    Group {
        reason: Keys,
        module: "jwt_tests::client",
        tests: &["jwt_auth", "jwt_auth_builder", "jwt_reconnect"],
    },
    Group {
        reason: Keys,
        module: "nkey_tests::client",
        tests: &["nkey_auth", "nkey_auth_builder", "nkey_reconnect"],
    },
    Group {
        reason: Mirrors,
        module: "jetstream_tests::jetstream",
        tests: &[
            "mirrors",
            "mirrors_remove",
            "source_consumer_round_trip",
            "sources",
            "stream_subject_transforms",
            "subject_transform",
        ],
    },
    Group {
        reason: PriorityGroups,
        module: "jetstream_tests::jetstream",
        tests: &[
            "consumer_overflow",
            "consumer_overflow_stream",
            "consumer_priority_timeout",
            "prioritized_fetch",
            "prioritized_pull_consumer",
        ],
    },
    Group {
        reason: PriorityGroups,
        module: "pinned_client_test",
        tests: &[
            "batch_rejects_pinned_client_consumer",
            "fetch_rejects_pinned_client_consumer",
            "info_reports_the_pin_id_of_the_pinned_client",
            "pinned_stream_keeps_its_pin_id_past_priority_timeout",
            "pinned_stream_receives_again_soon_after_unpin",
            "pinned_stream_sends_its_new_pin_after_unpin",
            "pinned_stream_sends_its_pin_with_later_pulls",
            "pinned_stream_sends_the_server_pin_over_a_stored_one",
            "sequence_rejects_pinned_client_consumer",
            "standby_stream_receives_nothing_while_pinned_stream_pulls",
            "standby_stream_takes_over_after_unpin",
            "standby_stream_takes_over_when_pinned_stream_is_dropped",
            "stream_of_unpinned_consumer_ignores_stored_pin_id",
            "unpin_consumer_fails_for_a_missing_consumer",
            "unpin_consumer_rejects_an_invalid_consumer_name",
            "unpin_consumer_releases_the_pinned_client",
        ],
    },
    Group {
        reason: WebSocket,
        module: "websocket_test::websockets",
        tests: &["core", "tls"],
    },
];

/// Tests of one module that are excluded for one reason.
struct Group {
    reason: Reason,
    module: &'static str,
    tests: &'static [&'static str],
}

/// The tests that are not expected to pass against `kind`, by their full names.
pub(crate) fn for_server(kind: Kind) -> BTreeMap<String, Reason> {
    let ours = if kind == Kind::Hitherto {
        HITHERTO
    } else {
        &[]
    };
    let mut excluded = BTreeMap::new();
    for group in ANYWHERE.iter().chain(ours) {
        for test in group.tests {
            excluded.insert(format!("{}::{test}", group.module), group.reason);
        }
    }
    excluded
}

impl Reason {
    /// Whether such a test may also pass, depending on where it runs.
    pub(crate) fn depends_on_the_place(self) -> bool {
        matches!(self, Internet | Program)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Internet => "it needs the internet",
            Program => "it needs Deno",
            Cluster => "it needs a cluster",
            Keys => "it logs in with an nkey or a JWT",
            FastBatch => "it publishes a fast batch",
            Mirrors => "it needs a mirror or a source",
            PriorityGroups => "it needs priority groups",
            WebSocket => "it needs WebSocket",
        })
    }
}
