//! Durations in attributes: `"30s"`, `"1m 30s"`, `"250ms"`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;

/// Reads a duration longer than zero.
pub(crate) fn parse(text: &LitStr) -> syn::Result<Duration> {
    let value = text.value();
    match parse_text(&value) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        Some(_) => Err(syn::Error::new_spanned(
            text,
            "the duration must be longer than zero",
        )),
        None => {
            let message = format!(
                "{value:?} is not a duration; write for example \"30s\", \"250ms\" or \"1m 30s\""
            );
            Err(syn::Error::new_spanned(text, message))
        }
    }
}

/// Writes a duration as Rust.
pub(crate) fn tokens(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}

fn parse_text(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for part in text.split_whitespace() {
        let unit_at = part.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = part.split_at(unit_at);
        let number: u64 = number.parse().ok()?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
    }
    (!text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(parse_text("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_text("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_text("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "30", "s", "30 s", "1d", "-1s", "99999999999999999999s"] {
            assert_eq!(parse_text(bad), None, "{bad}");
        }
    }
}
