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
fn orders(row: OrderRow, _: &Recorded<OrderEvent>) -> OrderRow {
    row
}

fn main() {}
