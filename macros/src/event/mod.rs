//! `#[event]` and `#[derive(Event)]`: reading and checking the enum.

mod impls;
mod rewrite;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Attribute, Fields, Ident, ItemEnum, LitStr, Type, Variant};

use crate::options::{self, CratePath, Opt};
use crate::{Errors, Failed, parse_item};

const MISSING_CONTEXT: &str = "an event needs a context: write `context = \"orders\"`; it names the stream and the first token of the subject";
const MISSING_AGGREGATE: &str = "an event needs an aggregate: write `aggregate = \"order\"`; it is the second token of the subject";
const TUPLE_VARIANT: &str = "a variant of `#[event]` has named fields or none; for a struct of your own use `#[derive(Event)]`";
const DERIVE_VARIANT: &str = "a variant of `#[derive(Event)]` holds one struct, as in `Placed(Placed)`; `#[event]` makes the structs for you";
const ENUM_OPTIONS: &str = "context, aggregate, id, encoding, crate";

/// `#[event(..)]`: variants with named fields, rewritten.
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failed> {
    let item: ItemEnum = parse_item(item)?;
    let mut options = Options::default();
    let parsed = syn::meta::parser(|meta| options.parse(&meta)).parse2(arguments);
    // The structs are made even after a mistake: the rest of the program names them.
    let rewritten = rewrite::rewrite(&item, &options.krate);
    parsed.map_err(|error| Failed::new(error, &rewritten))?;
    let mut errors = Errors::default();
    let model = Model::read(&item, &options, "event", &mut errors);
    for variant in &item.variants {
        if let Fields::Unnamed(fields) = &variant.fields {
            errors.at(fields, TUPLE_VARIANT);
        }
    }
    let model = errors
        .finish(model)
        .map_err(|error| Failed::new(error, &rewritten))?;
    let impls = model.impls();
    Ok(quote!(#rewritten #impls))
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
            errors.at(&variant.ident, DERIVE_VARIANT);
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
            krate,
        })
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
