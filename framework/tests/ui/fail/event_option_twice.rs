use hitherto::event;

#[event(context = "orders", context = "shop", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
