//! Options in attributes: `name = value` and `name(..)`, each at most once, each known.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::Parse;
use syn::{LitStr, Path};

/// One option, set at most once.
pub(crate) struct Opt<T>(Option<(Path, T)>);

impl<T> Default for Opt<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Opt<T> {
    /// Takes the value of `name = value`.
    pub(crate) fn set(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()>
    where
        T: Parse,
    {
        let value = meta.value()?.parse()?;
        self.put(&meta.path, value)
    }

    pub(crate) fn put(&mut self, path: &Path, value: T) -> syn::Result<()> {
        if self.0.is_some() {
            let text = format!("`{}` is given twice", name(path));
            return Err(syn::Error::new_spanned(path, text));
        }
        self.0 = Some((path.clone(), value));
        Ok(())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }

    pub(crate) fn required(&self, at: Span, missing: &str) -> syn::Result<&T> {
        self.get().ok_or_else(|| syn::Error::new(at, missing))
    }
}

/// The error for an option nobody knows.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &str) -> syn::Error {
    meta.error(format!(
        "unknown option `{}`, expected one of: {known}",
        name(&meta.path)
    ))
}

fn name(path: &Path) -> String {
    path.get_ident()
        .map_or_else(|| path.to_token_stream().to_string(), ToString::to_string)
}

/// Where `hitherto` is.
#[derive(Default)]
pub(crate) struct CratePath(Opt<Path>);

impl CratePath {
    pub(crate) fn set(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let path = meta.value()?.call(Path::parse_mod_style)?;
        self.0.put(&meta.path, path)
    }

    pub(crate) fn tokens(&self) -> TokenStream {
        self.0
            .get()
            .map_or_else(|| quote!(::hitherto), |path| path.to_token_stream())
    }

    /// The path to our serde, as serde's `crate` attribute wants it.
    pub(crate) fn serde(&self) -> LitStr {
        let krate = self.tokens().to_string().replace(' ', "");
        LitStr::new(&format!("{krate}::__private::serde"), Span::call_site())
    }
}

/// Checks that a literal is one subject token in the form names have here.
pub(crate) fn check_name(text: &LitStr, what: &str) -> syn::Result<()> {
    let value = text.value();
    let first = value.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if first && value.chars().all(rest) && value.len() <= 64 {
        return Ok(());
    }
    let rule = "starts with a lower-case letter and goes on with lower-case letters, digits, `_` or `-`, at most 64";
    Err(syn::Error::new_spanned(
        text,
        format!("{what} {value:?} must be one subject token: it {rule}"),
    ))
}

/// Snake case of a type or variant name.
pub(crate) fn snake_case(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    let chars: Vec<char> = text.trim_start_matches("r#").chars().collect();
    let mut snake = String::new();
    for (at, c) in chars.iter().enumerate() {
        let after_lower = at > 0
            && chars
                .get(at - 1)
                .is_some_and(|c| !c.is_uppercase() && *c != '_');
        let before_lower = at > 0 && chars.get(at + 1).is_some_and(|c| c.is_lowercase());
        if c.is_uppercase() && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// An identifier that cannot clash with the user's.
pub(crate) fn hidden(name: &str) -> syn::Ident {
    format_ident!("__hitherto_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_of_names() {
        for (name, snake) in [
            ("Placed", "placed"),
            ("ItemAdded", "item_added"),
            ("HTTPSent", "http_sent"),
            ("V2Paid", "v2_paid"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake_case(&format_ident!("{name}")), snake);
        }
    }

    #[test]
    fn names_are_one_token() {
        let check = |text: &str| check_name(&LitStr::new(text, Span::call_site()), "name").is_ok();
        assert!(check("orders") && check("order-line_2"));
        assert!(!check("") && !check("a.b") && !check("Orders") && !check("2x") && !check("a b"));
    }
}
