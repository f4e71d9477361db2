use hitherto::{aggregate, event};

#[event(context = "orders", aggregate = "order")]
pub enum OrderEvent {
    Placed { total: u64 },
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct No;

pub struct Place;

#[derive(Default, Clone)]
pub struct Order;

#[aggregate(event = OrderEvent, rejection = No)]
impl Drop for Order {
    fn drop(&mut self) {}
}

fn main() {}
