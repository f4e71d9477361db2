//! What nats-server 2.15 answers to the same configurations; asked on the running server.

use super::super::ConsumerLimits;
use super::*;

fn stream() -> StreamConfig {
    StreamConfig {
        name: "X".into(),
        subjects: vec!["x.>".into()],
        ..StreamConfig::default()
    }
}

fn checked(json: &str) -> Result<ConsumerConfig, ApiError> {
    let config: ConsumerConfig = serde_json::from_str(json).unwrap();
    config.checked(&stream())
}

fn durable(fields: &str) -> Result<ConsumerConfig, ApiError> {
    checked(&format!(
        r#"{{"durable_name":"d","ack_policy":"explicit"{fields}}}"#
    ))
}

#[test]
fn the_default_durable_reads_as_on_the_real_server() {
    assert_eq!(
        serde_json::to_string(&durable("").unwrap()).unwrap(),
        concat!(
            r#"{"durable_name":"d","name":"d","deliver_policy":"all","ack_policy":"explicit","#,
            r#""ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","#,
            r#""max_waiting":512,"max_ack_pending":1000,"num_replicas":0,"#,
            r#""metadata":{"_nats.req.level":"0"}}"#,
        )
    );
}

#[test]
fn the_default_ephemeral_reads_as_on_the_real_server() {
    assert_eq!(
        serde_json::to_string(&checked("{}").unwrap()).unwrap(),
        concat!(
            r#"{"deliver_policy":"all","ack_policy":"none","max_deliver":-1,"#,
            r#""replay_policy":"instant","max_waiting":512,"inactive_threshold":5000000000,"#,
            r#""num_replicas":0,"metadata":{"_nats.req.level":"0"}}"#,
        )
    );
}

#[test]
fn a_full_configuration_reads_as_on_the_real_server() {
    let json = concat!(
        r#"{"durable_name":"d2","name":"d2","deliver_policy":"all","ack_policy":"explicit","#,
        r#""ack_wait":1000000000,"max_deliver":5,"backoff":[1000000000,2000000000],"#,
        r#""filter_subject":"A","replay_policy":"instant","sample_freq":"50%","max_waiting":512,"#,
        r#""max_ack_pending":1000,"headers_only":true,"max_batch":5,"max_expires":1000000000,"#,
        r#""max_bytes":10,"inactive_threshold":10000000000,"num_replicas":1,"mem_storage":true,"#,
        r#""metadata":{"_nats.req.level":"0","a":"b"}}"#,
    );
    let config = checked(json).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), json);
    assert_eq!(
        config.clone().for_reply().checked(&stream()).unwrap(),
        config
    );
}

#[test]
fn the_first_backoff_is_the_ack_wait() {
    let config = durable(r#","ack_wait":5,"backoff":[1000000000,2000000000]"#).unwrap();
    assert_eq!(config.ack_wait, Duration::from_secs(1));
    assert!(durable(r#","backoff":[1000000000,1],"max_deliver":2"#).is_ok());
}

#[test]
fn numbers_below_their_range_become_the_default() {
    let config = durable(r#","max_deliver":-5,"max_waiting":-5,"max_batch":-1,"max_bytes":-5"#);
    assert_eq!(config.unwrap(), durable("").unwrap());
    assert_eq!(
        durable(r#","max_ack_pending":-5"#).unwrap().max_ack_pending,
        -1
    );
}

#[test]
fn filters_stand_in_either_field() {
    let one = durable(r#","filter_subject":"x.a""#).unwrap();
    let many = durable(r#","filter_subjects":["x.a","x.b"]"#).unwrap();
    assert_eq!(one.filters(), ["x.a"]);
    assert_eq!(many.filters(), ["x.a", "x.b"]);
    assert!(
        durable(r#","filter_subject":"""#)
            .unwrap()
            .filters()
            .is_empty()
    );
    assert_eq!(one.consumer_name(), Some("d"));
}

#[test]
fn the_limits_of_the_stream_are_defaults_and_bounds() {
    let limits = ConsumerLimits {
        inactive_threshold: Duration::from_secs(60),
        max_ack_pending: 50,
    };
    let stream = StreamConfig {
        consumer_limits: limits,
        ..stream()
    };
    let check = |fields: &str| {
        let json = format!(r#"{{"durable_name":"d","ack_policy":"explicit"{fields}}}"#);
        serde_json::from_str::<ConsumerConfig>(&json)
            .unwrap()
            .checked(&stream)
    };
    let config = check("").unwrap();
    assert_eq!(config.max_ack_pending, 50);
    assert_eq!(config.inactive_threshold, Duration::from_secs(60));
    assert_eq!(
        check(r#","max_ack_pending":51"#).unwrap_err().err_code,
        10121
    );
    assert_eq!(
        check(r#","inactive_threshold":61000000000"#)
            .unwrap_err()
            .err_code,
        10153
    );
}

#[test]
fn wrong_values_are_refused_in_the_words_of_the_real_server() {
    let start = "consumer delivery policy is deliver";
    let cases = [
        (r#","name":"e""#, "Consumer Durable and Name have to be equal if both are provided (10132)".into()),
        (r#","backoff":[0]"#, "consumer backoff needs to be positive (10184)".into()),
        (r#","backoff":[1,1],"max_deliver":1"#, "max deliver is required to be > length of backoff values (10116)".into()),
        (r#","filter_subject":"a","filter_subjects":["b"]"#, "consumer cannot have both FilterSubject and FilterSubjects specified (10136)".into()),
        (r#","filter_subjects":[""]"#, "consumer filter in FilterSubjects cannot be empty (10139)".into()),
        (r#","filter_subjects":["x.*","x.a"]"#, "consumer subject filters cannot overlap (10138)".into()),
        (r#","filter_subject":"a b""#, "invalid subject (10052)".into()),
        (r#","max_expires":5"#, "consumer max request expires needs to be >= 1ms (10115)".into()),
        (r#","sample_freq":"x""#, r#"failed to parse consumer sampling configuration: strconv.Atoi: parsing "x": invalid syntax (10095)"#.into()),
        (r#","num_replicas":3"#, "consumer config replica count exceeds parent stream (10126)".into()),
        (r#","rate_limit_bps":5"#, "consumer in pull mode can not have rate limit set (10086)".into()),
        (r#","flow_control":true"#, "consumer flow control requires a push based consumer (10089)".into()),
        (r#","idle_heartbeat":5"#, "consumer idle heartbeat requires a push based consumer (10088)".into()),
        (r#","sample_freq":"x%""#, r#"failed to parse consumer sampling configuration: strconv.Atoi: parsing "x": invalid syntax (10095)"#.into()),
        (r#","sample_freq":"-3""#, "failed to parse consumer sampling configuration: <nil> (10095)".into()),
        (r#","deliver_subject":"a.*""#, "consumer deliver subject has wildcards (10079)".into()),
        (r#","deliver_subject":"a b""#, "invalid push consumer deliver subject (10112)".into()),
        (r#","deliver_subject":"x.a""#, "consumer deliver subject forms a cycle (10081)".into()),
        (r#","deliver_subject":"a","max_waiting":5"#, "consumer in push mode can not set max waiting (10080)".into()),
        (r#","deliver_subject":"a","idle_heartbeat":50000000"#, "consumer idle heartbeat needs to be >= 100ms (10083)".into()),
        (r#","deliver_subject":"a","flow_control":true"#, "consumer with flow control also needs heartbeats (10108)".into()),
        (r#","deliver_policy":"last_per_subject""#, format!("{start} last per subject, but optional filter subject is not set (10094)")),
        (r#","deliver_policy":"by_start_sequence""#, format!("{start} by start sequence, but optional start sequence is not set (10094)")),
        (r#","deliver_policy":"by_start_sequence","opt_start_seq":0"#, format!("{start} by start sequence, but optional start sequence is not set (10094)")),
        (r#","deliver_policy":"by_start_time""#, format!("{start} by start time, but optional start time is not set (10094)")),
        (r#","deliver_policy":"by_start_time","opt_start_seq":1"#, format!("{start} by start time, but optional start start sequence is also set (10094)")),
        (r#","opt_start_seq":5"#, format!("{start} all, but optional start sequence is also set (10094)")),
        (r#","deliver_policy":"new","opt_start_time":"2024-01-01T00:00:00Z""#, format!("{start} new, but optional start time is also set (10094)")),
    ];
    for (fields, text) in cases {
        assert_eq!(durable(fields).unwrap_err().to_string(), text, "{fields}");
    }
}

#[test]
fn names_are_refused_with_three_different_errors() {
    let named = |name: &str| {
        checked(&format!(r#"{{"name":{name:?}}}"#))
            .unwrap_err()
            .err_code
    };
    assert_eq!(named("a*"), 10052);
    assert_eq!(named("a/b"), 10127);
    assert_eq!(named(&"x".repeat(256)), 10102);
}

#[test]
fn what_is_not_supported_is_refused_and_named() {
    for (fields, what) in [
        (
            r#","deliver_subject":"a","direct":true"#,
            "a direct consumer",
        ),
        (
            r#","priority_groups":["a"],"priority_policy":"overflow""#,
            "a priority group",
        ),
    ] {
        let text = format!("{what} is not supported by this version of Hitherto (10012)");
        assert_eq!(durable(fields).unwrap_err().to_string(), text);
    }
}

#[test]
fn an_update_keeps_what_progress_depends_on() {
    let old = durable("").unwrap();
    for (fields, what) in [
        (r#","deliver_policy":"new""#, "deliver policy"),
        (r#","max_waiting":7"#, "max waiting"),
        (r#","mem_storage":true"#, "storage type"),
    ] {
        let refusal = old.can_update_to(&durable(fields).unwrap()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            format!("{what} can not be updated (10012)")
        );
    }
    let push = durable(r#","deliver_subject":"a","idle_heartbeat":1000000000"#).unwrap();
    for (new, text) in [
        (old.clone(), "heart beats can not be updated (10012)"),
        (
            durable(r#","deliver_subject":"a""#).unwrap(),
            "heart beats can not be updated (10012)",
        ),
    ] {
        assert_eq!(push.can_update_to(&new).unwrap_err().to_string(), text);
    }
    let text = "can not update pull consumer to push based (10012)";
    assert_eq!(old.can_update_to(&push).unwrap_err().to_string(), text);
    let moved = durable(r#","deliver_subject":"b","idle_heartbeat":1000000000"#).unwrap();
    assert!(push.can_update_to(&moved).is_ok());
    let new = durable(r#","filter_subject":"x.a","max_deliver":5,"headers_only":true"#).unwrap();
    assert!(old.can_update_to(&new).is_ok());
}

#[test]
fn a_consumer_has_no_more_replicas_than_its_stream_and_as_many_where_it_decides_what_stays() {
    let code = |retention, of_stream, num_replicas| {
        let stream = StreamConfig {
            retention,
            num_replicas: of_stream,
            ..stream()
        };
        let config = ConsumerConfig {
            durable_name: Some("c".into()),
            ack_policy: AckPolicy::Explicit,
            num_replicas,
            ..ConsumerConfig::default()
        };
        let checked = config.checked(&stream);
        checked
            .map(|config| config.num_replicas)
            .map_err(|error| error.err_code)
    };
    for fewer in 0..=3 {
        assert_eq!(code(Retention::Limits, 3, fewer), Ok(fewer));
    }
    assert_eq!(code(Retention::Limits, 3, 4), Err(10126));
    assert_eq!(code(Retention::Limits, 3, -1), Err(10133));
    for retention in [Retention::Interest, Retention::WorkQueue] {
        assert_eq!(code(retention, 3, 0), Ok(0));
        assert_eq!(code(retention, 3, 3), Ok(3));
        assert_eq!(code(retention, 3, 1), Err(10134));
        assert_eq!(code(retention, 3, 4), Err(10126));
        assert_eq!(code(retention, 1, 1), Ok(1));
    }
}
