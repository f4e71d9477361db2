use hitherto::{Id, Recorded, event, projection, read_model};

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

#[read_model(key = Id)]
pub struct OrderRow {
    total: u64,
}

#[projection]
fn orders(_: &Recorded<OrderEvent>) -> Option<OrderRow> {
    None
}

fn main() {}
