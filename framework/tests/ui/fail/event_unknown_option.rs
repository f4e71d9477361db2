use hitherto::event;

#[event(context = "orders", aggregates = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
