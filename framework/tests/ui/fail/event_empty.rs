use hitherto::event;

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {}

fn main() {}
