//! `#[projection]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::{Expr, FnArg, Ident, ItemFn, LitStr, Pat, ReturnType, Type};

use crate::options::{self, CratePath, Opt, hidden};
use crate::{Errors, Failed, parse_item, types};

const FORM: &str = "write `fn name(row: Option<Row>, event: &Recorded<Event>) -> Option<Row>`";
const ASYNC: &str = "a projection is a pure fold and not async; for effects write a `#[consumer]`";

/// `#[projection(..)]` on a function.
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failed> {
    let item: ItemFn = parse_item(item)?;
    let mut errors = Errors::default();
    let mut options = Options::default();
    let parsed = syn::meta::parser(|meta| options.parse(&meta)).parse2(arguments);
    parsed.map_err(|error| Failed::new(error, &item))?;
    if let Some(asyncness) = &item.sig.asyncness {
        errors.at(asyncness, ASYNC);
    }
    if !item.sig.generics.params.is_empty() {
        errors.at(&item.sig.generics, "a projection cannot be generic");
    }
    if let Some(name) = options.name.get() {
        errors.keep(options::check_name(name, "projection name"));
    }
    let fold = Fold::read(&item, &mut errors);
    if options.key.get().is_some() && fold.as_ref().is_some_and(|fold| fold.event_name.is_none()) {
        errors.at(
            &item.sig.inputs,
            "with `key = ..` the event's parameter needs a plain name",
        );
    }
    let fold = errors
        .finish(fold)
        .map_err(|error| Failed::new(error, &item))?;
    Ok(expand(&item, &fold, &options))
}

#[derive(Default)]
struct Options {
    name: Opt<LitStr>,
    key: Opt<Expr>,
    krate: CratePath,
}

impl Options {
    fn parse(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        match meta.path.get_ident().map(Ident::to_string).as_deref() {
            Some("name") => self.name.set(meta),
            Some("key") => self.key.set(meta),
            Some("crate") => self.krate.set(meta),
            _ => Err(options::unknown(meta, "name, key, crate")),
        }
    }
}

/// The types of a valid fold.
struct Fold {
    row: Type,
    event: Type,
    event_name: Option<Ident>,
}

impl Fold {
    fn read(item: &ItemFn, errors: &mut Errors) -> Option<Self> {
        let signature = &item.sig;
        let mut inputs = signature.inputs.iter();
        let (Some(FnArg::Typed(row)), Some(FnArg::Typed(event)), None) =
            (inputs.next(), inputs.next(), inputs.next())
        else {
            errors.at(
                &signature.ident,
                format!("a projection folds an event into a row: {FORM}"),
            );
            return None;
        };
        let row_ty = types::argument_of(&row.ty, "Option");
        if row_ty.is_none() {
            errors.at(
                &row.ty,
                format!("the first argument must be `Option<Row>`: {FORM}"),
            );
        }
        let event_ty = types::referent(&event.ty).and_then(|ty| types::argument_of(ty, "Recorded"));
        if event_ty.is_none() {
            errors.at(
                &event.ty,
                format!("the second argument must be `&Recorded<Event>`: {FORM}"),
            );
        }
        match &signature.output {
            ReturnType::Type(_, ty) if types::argument_of(ty, "Option").is_some() => {}
            ReturnType::Type(_, ty) => {
                errors.at(ty, format!("the result must be `Option<Row>`: {FORM}"))
            }
            ReturnType::Default => errors.at(
                &signature.ident,
                format!("a projection returns the row: {FORM}"),
            ),
        }
        let event_name = match event.pat.as_ref() {
            Pat::Ident(name) => Some(name.ident.clone()),
            _ => None,
        };
        Some(Self {
            row: row_ty?.clone(),
            event: event_ty?.clone(),
            event_name,
        })
    }
}

fn expand(item: &ItemFn, fold: &Fold, options: &Options) -> TokenStream {
    let Fold {
        row,
        event,
        event_name,
    } = fold;
    let krate = options.krate.tokens();
    let (ident, vis) = (&item.sig.ident, &item.vis);
    let name = options
        .name
        .get()
        .map_or_else(|| options::snake_case(ident), LitStr::value);
    let docs = item
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"));
    let default_doc = format!("The projection `{name}`.");
    let recorded = hidden("event");
    let key = match (options.key.get(), event_name) {
        (Some(key), Some(event_name)) => quote! {
            let #event_name: &#krate::Recorded<#event> = #recorded;
            ::core::convert::Into::into(#key)
        },
        _ => quote!(::core::option::Option::Some(::core::clone::Clone::clone(&#recorded.id))),
    };
    let mut inner = item.clone();
    inner.vis = syn::Visibility::Inherited;
    quote! {
        #[doc = #default_doc]
        #[doc = ""]
        #(#docs)*
        #[allow(non_camel_case_types, reason = "it stands for the function of this name")]
        #[derive(Debug, Clone, Copy)]
        #vis struct #ident;

        impl #krate::Projection for #ident {
            const NAME: &'static str = #name;
            type Event = #event;
            type Row = #row;

            fn key(
                &self,
                #recorded: &#krate::Recorded<#event>,
            ) -> ::core::option::Option<<#row as #krate::ReadModel>::Key> {
                #key
            }

            fn fold(
                &self,
                row: ::core::option::Option<#row>,
                event: &#krate::Recorded<#event>,
            ) -> ::core::option::Option<#row> {
                #inner
                #ident(row, event)
            }
        }
    }
}
