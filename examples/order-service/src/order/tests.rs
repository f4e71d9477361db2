//! The rules of an order, one test each: given what happened, when a command comes, then this.

use hitherto::testing::given;

use super::*;

fn at() -> Moment {
    Moment::parse("2026-03-02T08:15:30Z").unwrap()
}

fn placed() -> OrderEvent {
    Placed {
        customer: CustomerId::new("ines-moreau").unwrap(),
        at: at(),
    }
    .into()
}

fn item(quantity: u32, unit_price: u64) -> AddItem {
    AddItem {
        sku: Sku::new("MUG-3001").unwrap(),
        name: "Stoneware mug, grey".to_owned(),
        quantity: NonZeroU32::new(quantity).unwrap(),
        unit_price: Cents(unit_price),
        at: at(),
    }
}

fn added(quantity: u32, unit_price: u64) -> OrderEvent {
    let AddItem {
        sku,
        name,
        quantity,
        unit_price,
        at,
    } = item(quantity, unit_price);
    ItemAdded {
        sku,
        name,
        quantity,
        unit_price,
        at,
    }
    .into()
}

fn pay(amount: u64) -> Pay {
    Pay {
        payment: PaymentId::new("pay-1").unwrap(),
        amount: Cents(amount),
        at: at(),
    }
}

fn paid(amount: u64) -> OrderEvent {
    let Pay {
        payment,
        amount,
        at,
    } = pay(amount);
    Paid {
        payment,
        amount,
        at,
    }
    .into()
}

fn ship() -> Ship {
    Ship {
        carrier: "DHL".to_owned(),
        tracking: "00340434".to_owned(),
        at: at(),
    }
}

fn shipped() -> OrderEvent {
    let Ship {
        carrier,
        tracking,
        at,
    } = ship();
    Shipped {
        carrier,
        tracking,
        at,
    }
    .into()
}

fn cancel() -> Cancel {
    Cancel {
        reason: "changed my mind".to_owned(),
        at: at(),
    }
}

fn cancelled() -> OrderEvent {
    let Cancel { reason, at } = cancel();
    Cancelled { reason, at }.into()
}

#[test]
fn an_order_is_placed_once() {
    let place = Place {
        customer: CustomerId::new("ines-moreau").unwrap(),
        at: at(),
    };
    given::<Order>([]).when(&place).then([placed()]);
}

// ANCHOR: pay
#[test]
fn the_exact_total_pays_an_order() {
    given::<Order>([placed(), added(2, 1_490), added(1, 890)])
        .when(&pay(3_870))
        .then([paid(3_870)]);
}

#[test]
fn another_amount_does_not() {
    given::<Order>([placed(), added(2, 1_490)])
        .when(&pay(2_979))
        .then_rejected(&OrderRejection::WrongAmount {
            due: Cents(2_980),
            paid: Cents(2_979),
        });
}

#[test]
fn an_order_is_paid_once() {
    given::<Order>([placed(), added(1, 890), paid(890)])
        .when(&pay(890))
        .then_rejected(&OrderRejection::AlreadyPaid);
}
// ANCHOR_END: pay

#[test]
fn a_shipped_order_was_paid_before() {
    given::<Order>([placed(), added(1, 890), paid(890), shipped()])
        .when(&pay(890))
        .then_rejected(&OrderRejection::AlreadyPaid);
}

#[test]
fn an_empty_order_cannot_be_paid() {
    given::<Order>([placed()])
        .when(&pay(0))
        .then_rejected(&OrderRejection::NothingToPay);
}

#[test]
fn nothing_is_added_after_the_payment() {
    given::<Order>([placed(), added(1, 890), paid(890)])
        .when(&item(1, 890))
        .then_rejected(&OrderRejection::AlreadyPaid);
}

#[test]
fn a_total_stays_within_its_limit() {
    let nearly = TOTAL_MAX.0 - 100;
    given::<Order>([placed(), added(1, nearly)])
        .when(&item(1, 100))
        .then([added(1, 100)]);
    given::<Order>([placed(), added(1, nearly)])
        .when(&item(1, 101))
        .then_rejected(&OrderRejection::TotalTooLarge);
}

#[test]
fn a_total_that_would_overflow_is_refused() {
    given::<Order>([placed(), added(1, 890)])
        .when(&item(u32::MAX, u64::MAX))
        .then_rejected(&OrderRejection::TotalTooLarge);
}

#[test]
fn an_order_takes_so_many_lines_and_no_more() {
    let full = [placed()]
        .into_iter()
        .chain((0..LINES_MAX).map(|_| added(1, 1)));
    given::<Order>(full)
        .when(&item(1, 1))
        .then_rejected(&OrderRejection::TooManyLines);
}

#[test]
fn an_order_is_shipped_after_it_is_paid() {
    given::<Order>([placed(), added(1, 890)])
        .when(&ship())
        .then_rejected(&OrderRejection::NotPaid);
    given::<Order>([placed(), added(1, 890), paid(890)])
        .when(&ship())
        .then([shipped()]);
}

#[test]
fn an_order_is_shipped_once() {
    given::<Order>([placed(), added(1, 890), paid(890), shipped()])
        .when(&ship())
        .then_rejected(&OrderRejection::AlreadyShipped);
}

#[test]
fn an_order_can_be_cancelled_until_it_is_shipped() {
    given::<Order>([placed()])
        .when(&cancel())
        .then([cancelled()]);
    given::<Order>([placed(), added(1, 890), paid(890)])
        .when(&cancel())
        .then([cancelled()]);
    given::<Order>([placed(), added(1, 890), paid(890), shipped()])
        .when(&cancel())
        .then_rejected(&OrderRejection::AlreadyShipped);
}

#[test]
fn a_cancelled_order_is_over() {
    let over = || given::<Order>([placed(), added(1, 890), cancelled()]);
    over()
        .when(&item(1, 890))
        .then_rejected(&OrderRejection::AlreadyCancelled);
    over()
        .when(&pay(890))
        .then_rejected(&OrderRejection::AlreadyCancelled);
    over()
        .when(&ship())
        .then_rejected(&OrderRejection::AlreadyCancelled);
    over()
        .when(&cancel())
        .then_rejected(&OrderRejection::AlreadyCancelled);
}
