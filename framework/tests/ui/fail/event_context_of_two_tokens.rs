use hitherto::event;

#[event(context = "shop.orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
