use hitherto::event;

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed(u64),
}

fn main() {}
