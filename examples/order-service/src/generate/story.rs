//! What happens to one order, from the first click to the parcel, mistakes included.

use std::num::NonZeroU32;
use std::time::Duration;

use super::catalogue::{ARTICLES, Article, CANCEL_REASONS, CARRIERS, CUSTOMERS};
use super::random::Random;
use crate::command::Action;
use crate::moment::Moment;
use crate::money::Cents;
use crate::order::{AddItem, Cancel, CustomerId, OrderId, Pay, PaymentId, Place, Ship, Sku};

/// One command of a story.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) at: Moment,
    pub(super) order: OrderId,
    pub(super) action: Action,
}

/// Tells the story of one order.
pub(super) fn of_order(number: u64, opened: Moment, random: &mut Random) -> Vec<Step> {
    let order = OrderId::new(format!("o-{number}")).expect("the text is a token");
    let mut story = Story {
        order,
        now: opened,
        total: Cents(0),
        steps: Vec::new(),
        random,
    };
    story.place();
    story.fill();
    match story.random.below(100) {
        0..70 => {
            story.pay();
            story.ship();
        }
        70..80 => story.pay(),
        80..87 => {
            story.pay();
            story.cancel();
        }
        87..94 => story.cancel(),
        _ => {}
    }
    story.steps
}

/// Somebody misread an order number.
pub(super) fn for_unknown_order(at: Moment, random: &mut Random) -> Step {
    let order = OrderId::new(format!("o-{}", 90_000 + random.below(9_000)));
    let order = order.expect("the text is a token");
    let mut story = Story {
        order,
        now: at,
        total: Cents(0),
        steps: Vec::new(),
        random,
    };
    match story.random.below(3) {
        0 => story.pay_amount(Cents(4_900)),
        1 => story.hand_over(),
        _ => story.cancel_once(),
    }
    story.steps.remove(0)
}

struct Story<'a> {
    order: OrderId,
    now: Moment,
    total: Cents,
    steps: Vec<Step>,
    random: &'a mut Random,
}

impl Story<'_> {
    fn place(&mut self) {
        let customer = *self.random.pick(CUSTOMERS);
        let customer = CustomerId::new(customer).expect("the text is a token");
        let place = Action::Place(Place {
            customer,
            at: self.now,
        });
        self.then(place.clone(), 30);
        if self.random.chance(2) {
            self.then(place, 30);
        }
    }

    fn fill(&mut self) {
        if self.random.chance(2) {
            self.pay_amount(Cents(1_990));
        }
        for _ in 0..=self.random.below(5) {
            let article = self.random.pick(ARTICLES);
            let quantity = 1 + self.random.below(3);
            self.add(article, quantity);
        }
        if self.random.chance(1) {
            let machine = &ARTICLES[ARTICLES.len() - 1];
            self.add(machine, 9_000);
        }
        if self.random.chance(5) {
            self.hand_over();
        }
    }

    fn add(&mut self, article: &Article, quantity: u64) {
        let quantity = u32::try_from(quantity).ok().and_then(NonZeroU32::new);
        let quantity = quantity.unwrap_or(NonZeroU32::MIN);
        let unit_price = Cents(article.price_cents);
        let line = unit_price.checked_mul(quantity).unwrap_or_default();
        if let Some(total) = self.total.checked_add(line)
            && total <= crate::order::TOTAL_MAX
        {
            self.total = total;
        }
        let sku = Sku::new(article.sku).expect("the text is a token");
        let (name, at) = (article.name.to_owned(), self.now);
        self.then(
            Action::AddItem(AddItem {
                sku,
                name,
                quantity,
                unit_price,
                at,
            }),
            180,
        );
    }

    fn pay(&mut self) {
        if self.random.chance(7) {
            let typo = Cents(self.total.0.saturating_sub(1 + self.random.below(200)));
            self.pay_amount(typo);
        }
        self.pay_amount(self.total);
        if self.random.chance(7) {
            self.pay_amount(self.total);
        }
        if self.random.chance(3) {
            let article = self.random.pick(ARTICLES);
            self.total = Cents(0);
            self.add(article, 1);
        }
    }

    fn pay_amount(&mut self, amount: Cents) {
        let payment = format!("pay-{:010x}", self.random.next() >> 24);
        let payment = PaymentId::new(payment).expect("the text is a token");
        self.then(
            Action::Pay(Pay {
                payment,
                amount,
                at: self.now,
            }),
            3_600,
        );
    }

    fn ship(&mut self) {
        self.hand_over();
        if self.random.chance(3) {
            self.hand_over();
        }
        if self.random.chance(5) {
            self.cancel_once();
        }
    }

    fn hand_over(&mut self) {
        let carrier = (*self.random.pick(CARRIERS)).to_owned();
        let tracking = format!("{:014}", self.random.below(100_000_000_000_000));
        self.then(
            Action::Ship(Ship {
                carrier,
                tracking,
                at: self.now,
            }),
            7_200,
        );
    }

    fn cancel(&mut self) {
        self.cancel_once();
        if self.random.chance(4) {
            self.cancel_once();
        }
    }

    fn cancel_once(&mut self) {
        let reason = (*self.random.pick(CANCEL_REASONS)).to_owned();
        self.then(
            Action::Cancel(Cancel {
                reason,
                at: self.now,
            }),
            600,
        );
    }

    /// Takes the step, then lets up to `pause_secs` go by.
    fn then(&mut self, action: Action, pause_secs: u64) {
        self.steps.push(Step {
            at: self.now,
            order: self.order.clone(),
            action,
        });
        self.now = self
            .now
            .after(Duration::from_secs(1 + self.random.below(pause_secs)));
    }
}
