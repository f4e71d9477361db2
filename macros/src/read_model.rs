//! `#[read_model]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::{Data, DeriveInput, Ident, LitStr, Type};

use crate::options::{self, CratePath, Opt};
use crate::{Errors, Failed, derives, parse_item};

const MISSING_KEY: &str =
    "a read model needs the type its rows are found by: write `key = OrderId`";

/// `#[read_model(..)]` on a struct or enum.
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failed> {
    let item: DeriveInput = parse_item(item)?;
    let mut errors = Errors::default();
    let mut options = Options::default();
    let parsed = syn::meta::parser(|meta| options.parse(&meta)).parse2(arguments);
    parsed.map_err(|error| Failed::new(error, &item))?;
    if matches!(item.data, Data::Union(_)) {
        errors.at(&item.ident, "a read model is a struct or an enum");
    }
    if !item.generics.params.is_empty() {
        errors.at(
            &item.generics,
            "a read model cannot be generic: its rows have one shape",
        );
    }
    let key = errors
        .keep(options.key.required(item.ident.span(), MISSING_KEY))
        .cloned();
    if let Some(table) = options.table.get() {
        errors.keep(options::check_name(table, "table"));
    }
    let key = errors
        .finish(key)
        .map_err(|error| Failed::new(error, &item))?;
    Ok(expand(&item, &key, &options))
}

#[derive(Default)]
struct Options {
    key: Opt<Type>,
    table: Opt<LitStr>,
    krate: CratePath,
}

impl Options {
    fn parse(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        match meta.path.get_ident().map(Ident::to_string).as_deref() {
            Some("key") => self.key.set(meta),
            Some("table") => self.table.set(meta),
            Some("crate") => self.krate.set(meta),
            _ => Err(options::unknown(meta, "key, table, crate")),
        }
    }
}

fn expand(item: &DeriveInput, key: &Type, options: &Options) -> TokenStream {
    let ident = &item.ident;
    let krate = options.krate.tokens();
    let table = options
        .table
        .get()
        .map_or_else(|| options::snake_case(ident), LitStr::value);
    let std = derives::missing_std(&item.attrs);
    let serde = derives::missing_serde(&item.attrs, &krate, &options.krate.serde());
    quote! {
        #std
        #serde
        #item

        impl #krate::ReadModel for #ident {
            const TABLE: &'static str = #table;
            type Key = #key;
        }
    }
}
