use hitherto::event;

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent<T> {
    Placed { total: T },
}

fn main() {}
