use hitherto::event;

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
    #[event(name = "placed")]
    Ordered { total: u64 },
}

fn main() {}
