//! What `#[event]` makes of the enum itself: a struct per variant, and the enum that holds them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Fields, ItemEnum, Variant};

use crate::derives;
use crate::options::CratePath;

/// Rewrites the enum. A tuple variant, which is an error, stays as it is.
pub(super) fn rewrite(item: &ItemEnum, krate: &CratePath) -> TokenStream {
    let ItemEnum {
        attrs,
        vis,
        ident,
        generics,
        variants,
        ..
    } = item;
    let is_rewritten = |variant: &&Variant| !matches!(variant.fields, Fields::Unnamed(_));
    // A generic enum is an error too; its fields name parameters a struct would not have.
    let structs = variants
        .iter()
        .filter(is_rewritten)
        .filter(|_| generics.params.is_empty());
    let structs = structs.map(|variant| variant_struct(item, variant, krate));
    let std = derives::missing_std(attrs);
    let variants = variants.iter().map(|variant| {
        if is_rewritten(&variant) && generics.params.is_empty() {
            held_variant(variant)
        } else {
            plain_variant(variant)
        }
    });
    quote! {
        #(#structs)*

        #std
        #(#attrs)*
        #vis enum #ident #generics { #(#variants),* }
    }
}

fn variant_struct(item: &ItemEnum, variant: &Variant, krate: &CratePath) -> TokenStream {
    let vis = &item.vis;
    let Variant { ident, fields, .. } = variant;
    let attrs = variant
        .attrs
        .iter()
        .filter(|attribute| !is_event(attribute));
    let doc = default_doc(
        &variant.attrs,
        &format!("The event [`{}::{ident}`].", item.ident),
    );
    let std = derives::missing_std(&variant.attrs);
    let serde = derives::missing_serde(&variant.attrs, &krate.tokens(), &krate.serde());
    let fields = fields.iter().map(|field| {
        let (attrs, ident, ty) = (&field.attrs, &field.ident, &field.ty);
        quote!(#(#attrs)* #vis #ident: #ty)
    });
    quote! {
        #doc
        #std
        #serde
        #(#attrs)*
        #[allow(missing_docs, reason = "the fields of an event enum carry docs if they have any")]
        #vis struct #ident { #(#fields),* }
    }
}

/// `Placed(Placed)`.
fn held_variant(variant: &Variant) -> TokenStream {
    let ident = &variant.ident;
    let docs = variant
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"));
    let doc = default_doc(&variant.attrs, &format!("See [`struct@{ident}`]."));
    quote!(#doc #(#docs)* #ident(#ident))
}

fn plain_variant(variant: &Variant) -> TokenStream {
    let mut variant = variant.clone();
    variant.attrs.retain(|attribute| !is_event(attribute));
    quote!(#variant)
}

fn is_event(attribute: &Attribute) -> bool {
    attribute.path().is_ident("event")
}

fn default_doc(attributes: &[Attribute], text: &str) -> TokenStream {
    let has_doc = attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("doc"));
    if has_doc {
        TokenStream::new()
    } else {
        quote!(#[doc = #text])
    }
}
