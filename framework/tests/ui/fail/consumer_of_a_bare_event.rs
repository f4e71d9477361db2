use hitherto::{Context, Handled, Outcome, consumer, event};

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

#[consumer(durable = "charge", heartbeat(max = "15m"))]
async fn charge(_: Placed, _: Context) -> Handled {
    Ok(Outcome::Ack)
}

fn main() {}
