use hitherto::event;

#[event(context = "orders", aggregate = "order", encoding = "xml")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
