//! `#[event]` and `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Attribute, Fields, Ident, ItemEnum, LitStr, Type, Variant};

use crate::options::{self, CratePath, Opt};
use crate::{Errors, Failed, derives, parse_item};

const MISSING_CONTEXT: &str = "an event needs a context: write `context = \"orders\"`; it names the stream and the first token of the subject";
const MISSING_AGGREGATE: &str = "an event needs an aggregate: write `aggregate = \"order\"`; it is the second token of the subject";
const ENUM_OPTIONS: &str = "context, aggregate, id, encoding, crate";

/// `#[event(..)]`: variants with named fields, rewritten.
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failed> {
    let mut item: ItemEnum = parse_item(item)?;
    let mut options = Options::default();
    let parsed = syn::meta::parser(|meta| options.parse(&meta)).parse2(arguments);
    let mut errors = Errors::default();
    errors.keep(parsed);
    let model = Model::read(&item, &options, "event", &mut errors);
    for variant in &item.variants {
        if let Fields::Unnamed(fields) = &variant.fields {
            errors.at(fields, "a variant of `#[event]` has named fields or none; for a struct of your own use `#[derive(Event)]`");
        }
    }
    let model = errors.finish(model);
    for variant in &mut item.variants {
        variant
            .attrs
            .retain(|attribute| !attribute.path().is_ident("event"));
    }
    let model = model.map_err(|error| Failed::new(error, &item))?;
    let structs = item
        .variants
        .iter()
        .map(|variant| model.variant_struct(&item, variant));
    let structs: TokenStream = structs.collect();
    let enum_ = model.rewritten_enum(&item);
    let impls = model.impls();
    Ok(quote!(#structs #enum_ #impls))
}

/// `#[derive(Event)]`: variants that hold one struct, left as they are.
pub(crate) fn derive(item: TokenStream) -> syn::Result<TokenStream> {
    let item: ItemEnum = syn::parse2(item)?;
    let mut options = Options::default();
    let mut errors = Errors::default();
    for attribute in own(&item.attrs, "hitherto") {
        errors.keep(attribute.parse_nested_meta(|meta| options.parse(&meta)));
    }
    let model = Model::read(&item, &options, "hitherto", &mut errors);
    for variant in &item.variants {
        if !matches!(&variant.fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1) {
            errors.at(&variant.ident, "a variant of `#[derive(Event)]` holds one struct, as in `Placed(Placed)`; `#[event]` makes the structs for you");
        }
    }
    errors.finish(model).map(|model| model.impls())
}

#[derive(Default)]
struct Options {
    context: Opt<LitStr>,
    aggregate: Opt<LitStr>,
    id: Opt<Type>,
    encoding: Opt<LitStr>,
    krate: CratePath,
}

impl Options {
    fn parse(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        match meta.path.get_ident().map(Ident::to_string).as_deref() {
            Some("context") => self.context.set(meta),
            Some("aggregate") => self.aggregate.set(meta),
            Some("id") => self.id.set(meta),
            Some("encoding") => self.encoding.set(meta),
            Some("crate") => self.krate.set(meta),
            _ => Err(options::unknown(meta, ENUM_OPTIONS)),
        }
    }
}

/// A valid event enum.
struct Model {
    ident: Ident,
    context: LitStr,
    aggregate: LitStr,
    id: TokenStream,
    encoding: TokenStream,
    variants: Vec<EventVariant>,
    krate: TokenStream,
    serde: LitStr,
}

struct EventVariant {
    ident: Ident,
    /// The struct inside.
    payload: TokenStream,
    name: LitStr,
}

impl Model {
    fn read(item: &ItemEnum, options: &Options, own: &str, errors: &mut Errors) -> Option<Self> {
        if !item.generics.params.is_empty() {
            errors.at(
                &item.generics,
                "an event type cannot be generic: what is stored has one shape",
            );
        }
        if item.variants.is_empty() {
            errors.at(&item.ident, "an event enum needs at least one variant");
        }
        let at = item.ident.span();
        let context = errors
            .keep(options.context.required(at, MISSING_CONTEXT))
            .cloned();
        let aggregate = errors
            .keep(options.aggregate.required(at, MISSING_AGGREGATE))
            .cloned();
        for (name, what) in [(&context, "context"), (&aggregate, "aggregate")] {
            if let Some(name) = name {
                errors.keep(options::check_name(name, what));
            }
        }
        let krate = options.krate.tokens();
        let encoding = errors.keep(encoding(options.encoding.get(), &krate));
        let variants = read_variants(item, own, errors);
        let id = options
            .id
            .get()
            .map_or_else(|| quote!(#krate::Id), ToTokens::to_token_stream);
        Some(Self {
            ident: item.ident.clone(),
            context: context?,
            aggregate: aggregate?,
            id,
            encoding: encoding?,
            variants,
            serde: options.krate.serde(),
            krate,
        })
    }

    fn variant_struct(&self, item: &ItemEnum, variant: &Variant) -> TokenStream {
        let ItemEnum { vis, .. } = item;
        let Variant {
            ident,
            attrs,
            fields,
            ..
        } = variant;
        let attrs: Vec<_> = attrs
            .iter()
            .filter(|attr| !attr.path().is_ident("event"))
            .collect();
        let doc = default_doc(
            &variant.attrs,
            &format!("The event [`{}::{ident}`].", self.ident),
        );
        let std = derives::missing_std(&variant.attrs);
        let serde = derives::missing_serde(&variant.attrs, &self.krate, &self.serde);
        let fields = fields.iter().map(|field| {
            let (attrs, ident, ty) = (&field.attrs, &field.ident, &field.ty);
            quote!(#(#attrs)* #vis #ident: #ty)
        });
        quote! {
            #doc
            #std
            #serde
            #(#attrs)*
            #[allow(missing_docs, reason = "the fields of an event enum carry their docs if they have any")]
            #vis struct #ident { #(#fields),* }
        }
    }

    fn rewritten_enum(&self, item: &ItemEnum) -> TokenStream {
        let ItemEnum {
            attrs,
            vis,
            ident,
            variants,
            ..
        } = item;
        let std = derives::missing_std(attrs);
        let variants = variants.iter().map(|variant| {
            let ident = &variant.ident;
            let docs = variant
                .attrs
                .iter()
                .filter(|attr| attr.path().is_ident("doc"));
            let doc = default_doc(&variant.attrs, &format!("See [`struct@{ident}`]."));
            quote!(#doc #(#docs)* #ident(#ident))
        });
        quote! {
            #std
            #(#attrs)*
            #vis enum #ident { #(#variants),* }
        }
    }

    /// The traits of the enum and of each struct.
    fn impls(&self) -> TokenStream {
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

fn read_variants(item: &ItemEnum, own: &str, errors: &mut Errors) -> Vec<EventVariant> {
    let mut variants: Vec<EventVariant> = Vec::new();
    for variant in &item.variants {
        let Some(name) = errors.keep(event_name(variant, own)) else {
            continue;
        };
        if let Some(other) = variants
            .iter()
            .find(|other| other.name.value() == name.value())
        {
            let message = format!(
                "{:?} is the name of `{}` already",
                name.value(),
                other.ident
            );
            errors.at(&name, message);
        }
        let payload = match &variant.fields {
            Fields::Unnamed(fields) => {
                let types = fields.unnamed.iter().map(|field| &field.ty);
                quote!(#(#types)*)
            }
            Fields::Named(_) | Fields::Unit => variant.ident.to_token_stream(),
        };
        variants.push(EventVariant {
            ident: variant.ident.clone(),
            payload,
            name,
        });
    }
    variants
}

fn event_name(variant: &Variant, own_attribute: &str) -> syn::Result<LitStr> {
    let mut name = Opt::<LitStr>::default();
    for attribute in own(&variant.attrs, own_attribute) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name.set(&meta)
            } else {
                Err(options::unknown(&meta, "name"))
            }
        })?;
    }
    let name = name.get().cloned();
    let name = name.unwrap_or_else(|| {
        LitStr::new(
            &options::snake_case(&variant.ident.unraw()),
            variant.ident.span(),
        )
    });
    options::check_name(&name, "event name")?;
    Ok(name)
}

fn own<'a>(attributes: &'a [Attribute], name: &str) -> impl Iterator<Item = &'a Attribute> {
    attributes
        .iter()
        .filter(move |attribute| attribute.path().is_ident(name))
}

fn encoding(text: Option<&LitStr>, krate: &TokenStream) -> syn::Result<TokenStream> {
    match text.map(|text| (text, text.value())) {
        None => Ok(quote!(#krate::Encoding::MessagePack)),
        Some((_, value)) if value == "msgpack" => Ok(quote!(#krate::Encoding::MessagePack)),
        Some((_, value)) if value == "json" => Ok(quote!(#krate::Encoding::Json)),
        Some((text, value)) => {
            let message = format!("unknown encoding {value:?}, expected \"msgpack\" or \"json\"");
            Err(syn::Error::new_spanned(text, message))
        }
    }
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
