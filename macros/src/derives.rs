//! Adding derives without repeating those the user wrote.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, LitStr, Path, Token, punctuated::Punctuated};

/// Returns `#[derive(..)]` for those of `Debug, Clone, PartialEq` that are missing.
pub(crate) fn missing_std(attributes: &[Attribute]) -> TokenStream {
    let present = present(attributes);
    let missing = ["Debug", "Clone", "PartialEq"]
        .into_iter()
        .filter(|name| !has(&present, name));
    let missing: Vec<_> = missing.map(|name| format_ident!("{name}")).collect();
    quote!(#[derive(#(#missing),*)])
}

/// Returns `#[derive(..)]` and serde's `crate` for those of `Serialize, Deserialize` that are missing.
pub(crate) fn missing_serde(
    attributes: &[Attribute],
    krate: &TokenStream,
    serde: &LitStr,
) -> TokenStream {
    let present = present(attributes);
    let missing = ["Serialize", "Deserialize"]
        .into_iter()
        .filter(|name| !has(&present, name));
    let missing: Vec<_> = missing.map(|name| format_ident!("{name}")).collect();
    if missing.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #[derive(#(#krate::__private::serde::#missing),*)]
        #[serde(crate = #serde)]
    }
}

fn present(attributes: &[Attribute]) -> Vec<Path> {
    let derives = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("derive"));
    let paths = derives.filter_map(|attribute| {
        attribute
            .parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)
            .ok()
    });
    paths.flatten().collect()
}

fn has(present: &[Path], name: &str) -> bool {
    present
        .iter()
        .any(|path| path.segments.last().is_some_and(|last| last.ident == name))
}
