//! The suite, on every broker: in memory, and on server processes where a variable names the binary:
//! `HITHERTO_NATS_SERVER` (nats-server 2.12 or later), `HITHERTO_SERVER` (hitherto).

#![cfg(any(feature = "embedded", feature = "remote"))]

mod suite;

macro_rules! conformance {
    ($start:path => $($module:ident::$rule:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            let Some(broker) = $start().await else { return };
            crate::suite::$module::$rule(&broker.broker).await;
        }
    )+};
}

macro_rules! on {
    ($broker:ident) => {
        mod $broker {
            conformance! { crate::suite::brokers::$broker =>
                streams::a_stream_is_made_once_and_found_again,
                execute::events_are_stored_and_folded,
                execute::an_aggregate_is_not_confused_with_its_neighbours,
                execute::modes_are_enforced,
                execute::a_refusal_is_confirmed_by_the_log,
                execute::a_rejection_writes_nothing,
                execute::the_same_command_takes_effect_once,
                execute::several_events_are_appended_together,
                execute::a_long_history_is_read_in_pages,
                execute::concurrent_executors_lose_no_command,
                execute::of_concurrent_creations_one_wins,
                execute::a_command_sent_from_everywhere_takes_effect_once,
                execute::one_process_does_not_conflict_with_itself,
                execute::an_unregistered_aggregate_is_named,
                execute::every_event_type_survives_the_log,
                projections::rows_follow_the_log,
                projections::a_projection_of_one_event_type_with_its_own_key,
                projections::a_restarted_projection_counts_every_event_once,
                projections::a_failing_commit_is_repeated_without_counting_twice,
                projections::two_runners_do_not_count_twice,
                projections::a_rebuild_equals_what_it_replaces,
                projections::a_rebuild_while_events_come_loses_none,
                projections::a_rebuild_tells_when_rows_differ,
                projections::rows_of_another_stream_are_refused_until_rebuilt,
                projections::a_panicking_fold_stops_and_says_so,
                consumers::an_event_is_handled_once_and_its_writes_are_kept,
                consumers::heartbeats_hold_a_slow_handlers_message,
                consumers::a_handler_past_its_maximum_is_dropped_and_retried,
                consumers::failures_and_panics_are_retried_and_leave_no_writes,
                consumers::a_terminated_message_does_not_come_again,
                consumers::a_redelivered_event_finds_that_it_was_handled,
                consumers::a_command_of_a_repeated_handler_takes_effect_once,
                consumers::a_shutdown_waits_for_handlers_at_work,
                consumers::missing_pieces_are_named_at_start,
            }
        }
    };
}

#[cfg(feature = "embedded")]
on!(in_memory);
#[cfg(feature = "remote")]
on!(nats_server);
#[cfg(feature = "remote")]
on!(hitherto_server);
