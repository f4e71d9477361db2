use hitherto::{Context, Handled, Outcome, Recorded, consumer, event};

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

#[consumer(heartbeat(max = "15m"))]
async fn charge(_: Recorded<Placed>, _: Context) -> Handled {
    Ok(Outcome::Ack)
}

fn main() {}
