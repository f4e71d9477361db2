use hitherto::event;

#[event(context = "orders", aggregate = "order")]
pub struct OrderEvent {
    total: u64,
}

fn main() {}
