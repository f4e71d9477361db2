//! Numbers near one another, each in as few bytes as the furthest of them needs.

/// A list of numbers that only grows.
#[derive(Debug, Default)]
pub(super) struct Column {
    /// No number of the column is below.
    base: u64,
    /// No number of the column is above.
    top: u64,
    /// Bytes that each takes, 8 at most; 0 while all are the same.
    width: usize,
    len: usize,
    /// What each is above the base, little endian.
    bytes: Vec<u8>,
}

impl Column {
    pub(super) fn push(&mut self, value: u64) {
        if self.len == 0 {
            (self.base, self.top) = (value, value);
        } else if value < self.base || value > self.top {
            self.widen(value.min(self.base), value.max(self.top));
        }
        self.len += 1;
        let above = (value - self.base).to_le_bytes();
        self.bytes.extend_from_slice(&above[..self.width]);
    }

    /// The number in place `at`; 0 behind the last.
    pub(super) fn get(&self, at: usize) -> u64 {
        let start = at * self.width;
        let Some(stored) = self.bytes.get(start..start + self.width) else {
            return 0;
        };
        let mut above = [0; 8];
        above[..self.width].copy_from_slice(stored);
        self.base + u64::from_le_bytes(above)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many numbers at the front are below `bound`, provided that they ascend.
    pub(super) fn count_below(&self, bound: u64) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) < bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Gives back what was reserved for more numbers.
    pub(super) fn finish(&mut self) {
        self.bytes.shrink_to_fit();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn widen(&mut self, base: u64, top: u64) {
        let width = bytes_for(top - base);
        if width != self.width || base != self.base {
            let mut bytes = Vec::with_capacity((self.len + 1) * width);
            for at in 0..self.len {
                let above = (self.get(at) - base).to_le_bytes();
                bytes.extend_from_slice(&above[..width]);
            }
            self.bytes = bytes;
        }
        (self.base, self.top, self.width) = (base, top, width);
    }
}

fn bytes_for(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()).div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_come_back_as_they_went_in(
            numbers in prop::collection::vec(
                prop_oneof![Just(7_u64), 0..300_u64, any::<u64>(), Just(u64::MAX)],
                0..60,
            ),
        ) {
            let mut column = Column::default();
            for number in &numbers {
                column.push(*number);
            }
            column.finish();
            prop_assert_eq!(column.len(), numbers.len());
            for (at, number) in numbers.iter().enumerate() {
                prop_assert_eq!(column.get(at), *number);
            }
            let mut sorted = numbers;
            sorted.sort_unstable();
            let mut ascending = Column::default();
            for number in &sorted {
                ascending.push(*number);
            }
            for bound in [0, 7, 150, u64::MAX] {
                let below = sorted.partition_point(|number| *number < bound);
                prop_assert_eq!(ascending.count_below(bound), below);
            }
        }
    }

    #[test]
    fn equal_numbers_take_no_room_and_near_ones_little() {
        let mut column = Column::default();
        for _ in 0..100 {
            column.push(5_000_000_000);
        }
        assert_eq!(column.heap_bytes(), 0);
        column.push(5_000_000_255);
        column.finish();
        assert_eq!(column.heap_bytes(), 101);
    }
}
