//! Scenario: creating consumers on a stream of many messages, one after another.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use hitherto_integration::raw::RawClient;

use crate::api;
use crate::loaded::Loaded;
use crate::measure::{Figure, Latencies, Sample, Unit};

/// Consumers of each kind.
const COUNT: usize = 100;

/// Measures the server at `addr`: durable consumers, of everything and of one subject.
pub(crate) fn run(addr: SocketAddr) -> Result<Sample> {
    let mut client = RawClient::connect(addr)?;
    let everything = create(&mut client, "")?;
    let filtered = create(&mut client, r#","filter_subject":"event.7""#)?;
    let figure = |name, latencies: &Latencies| Figure {
        name,
        value: latencies.quantile_us(0.5),
        unit: Unit::Micros,
    };
    Ok(Sample::of([
        figure("p50", &everything),
        figure("p50, filtered", &filtered),
    ]))
}

fn create(client: &mut RawClient, filter: &str) -> Result<Latencies> {
    let stream = Loaded::EVENTS;
    let mut latencies = Latencies::new()?;
    for number in 0..COUNT {
        let config = format!(
            r#"{{"stream_name":"{stream}","config":{{"durable_name":"c{number}","ack_policy":"explicit"{filter}}}}}"#
        );
        let before = Instant::now();
        api::call(
            client,
            &format!("CONSUMER.CREATE.{stream}.c{number}"),
            &config,
        )?;
        latencies.add(before.elapsed());
        api::call(client, &format!("CONSUMER.DELETE.{stream}.c{number}"), "")?;
    }
    Ok(latencies)
}
