//! Money in whole cents: no floats, and no sum that silently wraps.

use std::fmt::{self, Display};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

// ANCHOR: cents
/// An amount of money in cents of a euro.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cents(pub u64);

impl Cents {
    /// Adds; `None` when the sum does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Multiplies; `None` when the product does not fit.
    #[must_use]
    pub fn checked_mul(self, quantity: NonZeroU32) -> Option<Self> {
        self.0.checked_mul(quantity.get().into()).map(Self)
    }
}
// ANCHOR_END: cents

impl Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (euros, cents) = (self.0 / 100, self.0 % 100);
        write!(f, "{}.{cents:02} EUR", Grouped(euros))
    }
}

/// A count with a comma between groups of three digits.
#[derive(Debug, Clone, Copy)]
pub struct Grouped(pub u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        f.pad_integral(true, "", &grouped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_in_euros_with_groups() {
        assert_eq!(Cents(0).to_string(), "0.00 EUR");
        assert_eq!(Cents(1_234_567).to_string(), "12,345.67 EUR");
        assert_eq!(Cents(99_950).to_string(), "999.50 EUR");
        assert_eq!(format!("{:>7}", Grouped(1_000)), "  1,000");
    }

    #[test]
    fn sums_and_products_never_wrap() {
        let two = NonZeroU32::new(2).unwrap();
        assert_eq!(Cents(150).checked_mul(two), Some(Cents(300)));
        assert_eq!(Cents(u64::MAX).checked_mul(two), None);
        assert_eq!(Cents(u64::MAX).checked_add(Cents(1)), None);
    }
}
