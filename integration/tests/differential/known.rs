//! The differences that are known, each with its line in the book's page of compatibility.
//!
//! A difference that is not here is a fault. Each entry is as narrow as what it stands for, and a test
//! holds its phrase against the page.

use serde_json::{Value, json};

use crate::normal;
use crate::op::Op;

/// One known difference.
pub(crate) struct Known {
    /// A part of its line on the page.
    pub(crate) phrase: &'static str,
    /// Whether the two answers, ours first, differ in this way and no other.
    holds: fn(&Op, &Value, &Value) -> bool,
}

/// The page's text.
#[cfg(test)]
const PAGE: &str = include_str!("../../../book/src/reference/nats-compatibility.md");

const ALL: &[Known] = &[
    Known {
        phrase: "ends in \"is not supported by this version of Hitherto\"",
        holds: |_, ours, _| {
            let text = ours["error"]["description"].as_str().unwrap_or_default();
            text.ends_with("is not supported by this version of Hitherto")
        },
    },
    Known {
        phrase: "The duplicate window is asked before conditions",
        holds: |op, ours, theirs| {
            is_publish(op) && ours["duplicate"] == true && code(theirs).is_some()
        },
    },
    Known {
        phrase: "The status 503 that answers an ack nobody takes does not name its subject",
        holds: |op, ours, theirs| {
            let is_named = theirs[0]["headers"]["Nats-Subject"].is_array();
            is_ack(op) && status(ours) == Some("503") && status(theirs) == Some("503") && is_named
        },
    },
    Known {
        phrase: "it is answered with a status 409 `Lease Lost` instead of an empty message",
        holds: |op, ours, theirs| {
            let is_progress = matches!(op, Op::Ack { kind, .. } if kind == "+WPI");
            is_progress
                && status(ours) == Some("409 Lease Lost")
                && theirs[0]["headers"] == json!({})
        },
    },
    Known {
        phrase: "`CONSUMER.RESET` in a stream that does not exist",
        holds: |op, ours, theirs| {
            called(op, "CONSUMER.RESET") && code(ours).is_some() && theirs == "no answer"
        },
    },
    Known {
        phrase: "does not list sequence 0 as deleted in a new stream",
        holds: |_, ours, theirs| {
            let is_new = ours["state"]["messages"] == 0 && ours["state"]["last_seq"] == 0;
            is_new && theirs["state"]["deleted"] == json!([0])
        },
    },
    Known {
        phrase: "A purge whose filter is no valid subject is refused",
        holds: |op, ours, theirs| {
            called(op, "STREAM.PURGE") && code(ours) == Some(10003) && code(theirs) != Some(10003)
        },
    },
    Known {
        phrase: "with a `subjects_filter` that matches nothing answers an empty page",
        holds: |op, ours, theirs| {
            let is_empty = ours["state"]["subjects"] == json!({});
            let page = ["/limit", "/offset", "/state/subjects", "/state/first_seq"];
            called(op, "STREAM.INFO") && is_empty && differ_in(ours, theirs, &page)
        },
    },
    Known {
        phrase: "`num_pending` does not count messages that were deleted before they were delivered",
        holds: |op, ours, theirs| {
            let counts = called(op, "CONSUMER.") || matches!(op, Op::Pull { .. } | Op::Ack { .. });
            counts && counts_fewer(ours, theirs)
        },
    },
    Known {
        phrase: "Of several faults with one number another one may be named",
        holds: |_, ours, theirs| {
            let is_text = matches!(code(ours), Some(10012 | 10052 | 10057 | 10069));
            is_text && differ_in(ours, theirs, &["/error/description"])
        },
    },
    Known {
        phrase: "A stream that never had a message says 0 for its first sequence, or 1",
        holds: |op, ours, theirs| {
            let mut holds = op.only_reads() || called(op, "STREAM.UPDATE");
            normal::differences("", ours, theirs, &mut |path, ours, theirs| {
                let firsts = [ours.as_u64(), theirs.as_u64()];
                let is_new = firsts == [Some(0), Some(1)] || firsts == [Some(1), Some(0)];
                holds &= path.ends_with("/state/first_seq") && is_new;
            });
            holds
        },
    },
    Known {
        phrase: "`did_create` is true for the request that created a stream",
        holds: |op, ours, theirs| {
            called(op, "STREAM.CREATE") && differ_in(ours, theirs, &["/did_create"])
        },
    },
    Known {
        phrase: "do not move over messages that were removed before they were delivered",
        holds: |op, ours, theirs| {
            let places = ["/ack_floor/stream_seq", "/delivered/stream_seq"];
            called(op, "CONSUMER.") && differ_in(ours, theirs, &places)
        },
    },
    Known {
        phrase: "`STREAM.MSG.DELETE` of a message that is gone is refused with 10057",
        holds: |op, ours, theirs| {
            let is_delete = called(op, "STREAM.MSG.DELETE");
            is_delete && code(ours) == Some(10057) && code(theirs) == Some(10043)
        },
    },
    Known {
        phrase: "`mirror_direct` is refused without a mirror also in an update",
        holds: |op, ours, theirs| {
            let asks =
                matches!(op, Op::Api { body, .. } if body.contains("\"mirror_direct\":true"));
            let is_update = called(op, "STREAM.UPDATE") && code(ours) == Some(10052);
            asks && is_update && code(theirs).is_none()
        },
    },
    Known {
        phrase: "An update of a stream that does not exist may be refused for its configuration",
        holds: |op, ours, theirs| {
            let is_ours = matches!(code(ours), Some(10052 | 10074));
            called(op, "STREAM.UPDATE") && is_ours && code(theirs) == Some(10059)
        },
    },
    Known {
        phrase: "is answered with 404 also while `max_ack_pending` messages wait",
        holds: |op, ours, theirs| {
            let (Value::Array(ours), Value::Array(theirs)) = (ours, theirs) else {
                return false;
            };
            let Some((end, messages)) = ours.split_last() else {
                return false;
            };
            let ends_early = end["headers"]["status"] == "404 No Messages";
            matches!(op, Op::Pull { .. }) && ends_early && messages == theirs
        },
    },
    Known {
        phrase: "A pull with a negative duration is refused with 400",
        holds: |op, ours, _| {
            let is_negative = matches!(op, Op::Pull { body, .. } if body.contains(":-"));
            is_negative && ours[0]["headers"]["status"] == "400 Bad Request"
        },
    },
    Known {
        phrase: "a negative duration is refused with it",
        holds: |op, ours, _| {
            let is_negative =
                matches!(op, Op::Api { body, .. } if body.contains(":-") || body.contains(":[-"));
            is_negative && code(ours) == Some(10025)
        },
    },
];

/// The known difference these answers to `op` show; `None` when they should not differ.
pub(crate) fn difference(op: &Op, ours: &Value, theirs: &Value) -> Option<&'static Known> {
    ALL.iter().find(|known| (known.holds)(op, ours, theirs))
}

/// Whether both servers hold the same after a known difference, so that a round can go on.
pub(crate) fn leaves_both_alike(op: &Op, ours: &Value, theirs: &Value) -> bool {
    let both_refuse = code(ours).is_some() && code(theirs).is_some();
    // A pull that differs in a known way has delivered the same messages.
    let is_pull = matches!(op, Op::Pull { .. });
    both_refuse || is_ack(op) || is_pull || op.only_reads()
}

fn is_publish(op: &Op) -> bool {
    matches!(op, Op::Publish { .. })
}

fn is_ack(op: &Op) -> bool {
    matches!(op, Op::Ack { .. })
}

fn called(op: &Op, prefix: &str) -> bool {
    matches!(op, Op::Api { call, .. } if call.starts_with(prefix))
}

/// Whether they differ in these places alone, in the answer itself or in the items of its list.
fn differ_in(ours: &Value, theirs: &Value, places: &[&str]) -> bool {
    let paths = normal::different_paths(ours, theirs);
    paths.iter().all(|path| {
        let path = path.strip_prefix("/consumers").unwrap_or(path);
        let item = path.trim_start_matches(|c: char| c == '/' || c.is_ascii_digit());
        places
            .iter()
            .any(|place| place.trim_start_matches('/') == item)
    })
}

/// Whether all that differs is how many messages are pending, of which ours says fewer.
fn counts_fewer(ours: &Value, theirs: &Value) -> bool {
    let mut fewer = true;
    normal::differences("", ours, theirs, &mut |path, ours, theirs| {
        // The last token of an ack subject.
        let is_count = path.ends_with("/num_pending") || path.ends_with("/reply/5");
        let [ours, theirs] = [ours, theirs].map(|count| match count {
            Value::String(text) => text.parse().ok(),
            count => count.as_u64(),
        });
        fewer &= is_count && ours.is_some() && ours < theirs;
    });
    fewer
}

fn code(answer: &Value) -> Option<u64> {
    answer["error"]["err_code"].as_u64()
}

fn status(answer: &Value) -> Option<&str> {
    answer[0]["headers"]["status"].as_str()
}

#[test]
fn every_known_difference_stands_on_the_page() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = words(PAGE);
    for known in ALL {
        assert!(page.contains(&words(known.phrase)), "{}", known.phrase);
    }
}
