//! Lines of a file, with a limit on their length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The longest line that is read as a command.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Reads lines one by one.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
}

/// One line, without its end.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its length in the file.
    pub(super) bytes: u64,
    pub(super) text: Result<String, FlawedLine>,
}

/// A line that is no text, or too long.
pub(super) struct FlawedLine {
    pub(super) beginning: String,
    pub(super) problem: String,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, number: 0 }
    }

    /// Returns the next line; `None` at the end of the file.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut bytes = self.read(&mut line, limit + 1).await?;
        if line.is_empty() {
            return Ok(None);
        }
        let mut text = decode(&line);
        if !line.ends_with(b"\n") && line.len() > LINE_BYTES_MAX {
            bytes += self.skip_the_rest().await?;
            let problem = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            let beginning = String::from_utf8_lossy(&line).into_owned();
            text = Err(FlawedLine { beginning, problem });
        }
        self.number += 1;
        Ok(Some(Line {
            number: self.number,
            bytes,
            text,
        }))
    }

    async fn skip_the_rest(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let mut part = Vec::new();
            let bytes = self.read(&mut part, 64 * 1024).await?;
            skipped += bytes;
            if bytes == 0 || part.ends_with(b"\n") {
                return Ok(skipped);
            }
        }
    }

    async fn read(&mut self, into: &mut Vec<u8>, limit: u64) -> io::Result<u64> {
        let read = (&mut self.source)
            .take(limit)
            .read_until(b'\n', into)
            .await?;
        Ok(u64::try_from(read).unwrap_or(u64::MAX))
    }
}

fn decode(line: &[u8]) -> Result<String, FlawedLine> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(FlawedLine {
            beginning: String::from_utf8_lossy(line).into_owned(),
            problem: format!("the line is not UTF-8 text: {error}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(file: &[u8]) -> Vec<(u64, u64, Result<String, String>)> {
        let mut lines = Lines::new(file);
        let mut all = Vec::new();
        while let Some(Line {
            number,
            bytes,
            text,
        }) = lines.next().await.unwrap()
        {
            all.push((number, bytes, text.map_err(|flawed| flawed.problem)));
        }
        all
    }

    #[tokio::test]
    async fn lines_are_counted_with_their_ends() {
        let all = read_all(b"one\r\n\nthree").await;
        let expected = [(1, 5, "one"), (2, 1, ""), (3, 5, "three")];
        let expected = expected.map(|(number, bytes, text)| (number, bytes, Ok(text.to_owned())));
        assert_eq!(all, expected);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_or_no_text_does_not_hide_the_next() {
        let mut file = vec![b'x'; 3 * LINE_BYTES_MAX];
        file.extend_from_slice(b"\n\xff\nfine\n");
        let all = read_all(&file).await;
        assert_eq!(all.len(), 3);
        assert!(all[0].2.as_ref().unwrap_err().contains("longer than"));
        assert!(all[1].2.as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(all[2].2.as_deref(), Ok("fine"));
        let bytes: u64 = all.iter().map(|(_, bytes, _)| bytes).sum();
        assert_eq!(bytes, u64::try_from(file.len()).unwrap());
    }
}
