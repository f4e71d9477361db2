use hitherto::read_model;

#[read_model(table = "orders")]
pub struct OrderRow {
    total: u64,
}

fn main() {}
