use hitherto::event;

#[event(aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
