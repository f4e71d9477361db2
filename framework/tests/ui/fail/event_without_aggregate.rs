use hitherto::event;

#[event(context = "orders")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
