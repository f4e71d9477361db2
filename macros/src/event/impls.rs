//! The traits of an event enum and of its structs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, LitStr};

use super::{EventVariant, Model};

impl Model {
    /// The traits of the enum and of each struct.
    pub(super) fn impls(&self) -> TokenStream {
        let Self { ident, krate, .. } = self;
        let (idents, payloads, names) = self.columns();
        let types = self.types(&names);
        let constants = self.constants();
        let structs = self
            .variants
            .iter()
            .map(|variant| self.struct_impls(variant));
        quote! {
            impl #krate::Event for #ident {
                #constants
                const TYPES: &'static [#krate::EventType] = &[#(#types),*];

                fn event_type(&self) -> #krate::EventType {
                    match self { #(Self::#idents(_) => #types),* }
                }

                fn encode(
                    &self,
                    encoding: #krate::Encoding,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, #krate::CodecError> {
                    match self { #(Self::#idents(event) => encoding.to_vec(event)),* }
                }

                fn decode(
                    stored: #krate::EventType<&str>,
                    encoding: #krate::Encoding,
                    payload: &[u8],
                ) -> ::core::result::Result<Self, #krate::CodecError> {
                    match (stored.name, stored.version) {
                        #((#names, 1) => encoding.from_slice::<#payloads>(payload).map(Self::#idents),)*
                        _ => ::core::result::Result::Err(#krate::CodecError::unknown(stored)),
                    }
                }
            }

            impl #krate::IntoEvents<#ident> for #ident {
                fn into_events(self) -> ::std::vec::Vec<#ident> {
                    ::std::vec![self]
                }
            }

            #(#structs)*
        }
    }

    fn struct_impls(&self, variant: &EventVariant) -> TokenStream {
        let Self {
            ident: enum_,
            krate,
            ..
        } = self;
        let EventVariant {
            ident,
            payload,
            name,
        } = variant;
        let constants = self.constants();
        let ty = quote!(#krate::EventType { name: #name, version: 1 });
        quote! {
            impl #krate::Event for #payload {
                #constants
                const TYPES: &'static [#krate::EventType] = &[#ty];

                fn event_type(&self) -> #krate::EventType {
                    #ty
                }

                fn encode(
                    &self,
                    encoding: #krate::Encoding,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, #krate::CodecError> {
                    encoding.to_vec(self)
                }

                fn decode(
                    stored: #krate::EventType<&str>,
                    encoding: #krate::Encoding,
                    payload: &[u8],
                ) -> ::core::result::Result<Self, #krate::CodecError> {
                    match (stored.name, stored.version) {
                        (#name, 1) => encoding.from_slice(payload),
                        _ => ::core::result::Result::Err(#krate::CodecError::unknown(stored)),
                    }
                }
            }

            impl ::core::convert::From<#payload> for #enum_ {
                fn from(event: #payload) -> Self {
                    Self::#ident(event)
                }
            }

            impl #krate::IntoEvents<#enum_> for #payload {
                fn into_events(self) -> ::std::vec::Vec<#enum_> {
                    ::std::vec![#enum_::#ident(self)]
                }
            }
        }
    }

    /// What the enum and its structs have in common.
    fn constants(&self) -> TokenStream {
        let Self {
            context,
            aggregate,
            id,
            encoding,
            krate,
            ..
        } = self;
        quote! {
            const CONTEXT: &'static str = #context;
            const AGGREGATE: &'static str = #aggregate;
            const ENCODING: #krate::Encoding = #encoding;
            type Id = #id;
        }
    }

    fn types(&self, names: &[&LitStr]) -> Vec<TokenStream> {
        let krate = &self.krate;
        names
            .iter()
            .map(|name| quote!(#krate::EventType { name: #name, version: 1 }))
            .collect()
    }

    fn columns(&self) -> (Vec<&Ident>, Vec<&TokenStream>, Vec<&LitStr>) {
        let idents = self.variants.iter().map(|variant| &variant.ident).collect();
        let payloads = self
            .variants
            .iter()
            .map(|variant| &variant.payload)
            .collect();
        (
            idents,
            payloads,
            self.variants.iter().map(|variant| &variant.name).collect(),
        )
    }
}
