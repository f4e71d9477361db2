//! The memory frames are encoded in. It starts at an address from which drives take bytes directly.

use hitherto_platform::DURABLE_WRITE_ALIGN;

/// Bytes kept between appends: 4 MiB.
const BYTES_KEPT: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    room: Vec<u8>,
}

impl FrameBuffer {
    /// Gives `len` bytes with whatever they held before.
    pub(super) fn take(&mut self, len: usize) -> &mut [u8] {
        let needed = len + DURABLE_WRITE_ALIGN;
        let is_too_large = self.room.len() > BYTES_KEPT && self.room.len() / 2 >= needed;
        if self.room.len() < needed || is_too_large {
            self.room = vec![0; needed.next_power_of_two()];
        }
        // At most the alignment less one; more only where no address can be aligned.
        let start = self.room.as_ptr().align_offset(DURABLE_WRITE_ALIGN);
        let start = start.min(DURABLE_WRITE_ALIGN);
        &mut self.room[start..start + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_gives_is_aligned_and_a_large_frame_is_not_kept_for_ever() {
        let mut buffer = FrameBuffer::default();
        for len in [1, 512, 100_000, BYTES_KEPT * 2, 3] {
            let bytes = buffer.take(len);
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr().align_offset(DURABLE_WRITE_ALIGN), 0);
        }
        assert!(buffer.room.len() <= BYTES_KEPT);
    }
}
