use hitherto::{Handled, Outcome, Recorded, consumer, event};

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

#[consumer(durable = "charge", heartbeat(max = "15m"))]
async fn charge(_: Recorded<Placed>, _: String) -> Handled {
    Ok(Outcome::Ack)
}

fn main() {}
