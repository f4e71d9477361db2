use hitherto::event;

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    #[event(name = "order placed")]
    Placed { total: u64 },
}

fn main() {}
