//! The text of labels: short ones in the label itself, longer ones in one long buffer.

/// The text of one label: a token, or several with their dots. 8 bytes.
///
/// Up to [`SHORT_MAX`] bytes lie here and the last byte is their number; of a longer text its
/// place in the buffer, and the last byte is [`LONG`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Label([u8; 8]);

const SHORT_MAX: usize = 7;
const LONG: u8 = u8::MAX;

/// A buffer of texts, each after its length. What is let go stays until the buffer is made anew.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    garbage: usize,
}

/// Let go bytes up to which it is not worth making the buffer anew: 1 KiB.
const GARBAGE_MIN: usize = 1024;

impl Text {
    pub(super) fn store(&mut self, text: &[u8]) -> Label {
        let mut label = [0; 8];
        if text.len() <= SHORT_MAX {
            label[..text.len()].copy_from_slice(text);
            label[SHORT_MAX] = u8::try_from(text.len()).expect("is 7 at most");
            return Label(label);
        }
        label.copy_from_slice(&(self.bytes.len() as u64).to_le_bytes());
        label[SHORT_MAX] = LONG;
        super::grow(&mut self.bytes, text.len() + LEN_BYTES_MAX);
        let mut len = text.len();
        while len >= 0x80 {
            self.bytes.push(low_bits(len) | 0x80);
            len >>= 7;
        }
        self.bytes.push(low_bits(len));
        self.bytes.extend_from_slice(text);
        Label(label)
    }

    pub(super) fn get<'a>(&'a self, label: &'a Label) -> &'a [u8] {
        let short = usize::from(label.0[SHORT_MAX]);
        if short <= SHORT_MAX {
            return &label.0[..short];
        }
        let (start, len) = self.place(label);
        &self.bytes[start..start + len]
    }

    /// Lets go of a text.
    pub(super) fn forget(&mut self, label: &Label) {
        if label.0[SHORT_MAX] == LONG {
            self.garbage += self.place(label).1;
        }
    }

    /// Tells whether most of the buffer is let go, and enough of it to look at so many labels.
    pub(super) fn is_mostly_garbage(&self, labels: usize) -> bool {
        self.garbage > GARBAGE_MIN.max(labels) && self.garbage > self.bytes.len() / 2
    }

    /// What the texts in use take.
    pub(super) fn used_bytes(&self) -> usize {
        self.bytes.len() - self.garbage
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where a long text begins, and its length.
    fn place(&self, label: &Label) -> (usize, usize) {
        let mut offset = label.0;
        offset[SHORT_MAX] = 0;
        let mut at = usize::try_from(u64::from_le_bytes(offset)).expect("came from a usize");
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[at];
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return (at, len);
            }
        }
    }
}

/// Bytes before a text that tell its length.
const LEN_BYTES_MAX: usize = 10;

fn low_bits(len: usize) -> u8 {
    u8::try_from(len & 0x7f).expect("7 bits fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_come_back() {
        let mut text = Text::default();
        let texts: Vec<Vec<u8>> = [0, 1, 7, 8, 127, 128, 129, 4_096, 20_000]
            .map(|len| vec![b'x'; len])
            .to_vec();
        let labels: Vec<Label> = texts.iter().map(|one| text.store(one)).collect();
        for (label, expected) in labels.iter().zip(&texts) {
            assert_eq!(text.get(label), expected);
        }
        assert!(!text.is_mostly_garbage(9));
        for label in &labels[3..] {
            text.forget(label);
        }
        assert!(text.is_mostly_garbage(9));
    }
}
