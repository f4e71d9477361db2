use hitherto::Event;

#[derive(Clone, Event)]
#[hitherto(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

fn main() {}
