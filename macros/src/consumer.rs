//! `#[consumer]`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{FnArg, Ident, ItemFn, LitInt, LitStr, ReturnType, Token, Type};

use crate::options::{self, CratePath, Opt};
use crate::{Errors, Failed, duration, parse_item, types};

const FORM: &str = "write `async fn name(event: Recorded<Event>, context: Context) -> Handled`";
const MISSING_DURABLE: &str = "a consumer needs a durable name: write `durable = \"charge-card\"`";
const MISSING_HEARTBEAT: &str = "a consumer needs a maximum for one handling: write `heartbeat(max = \"15m\")`; no handler may hold a message for ever";
const OPTIONS: &str = "durable, on, ack_wait, heartbeat, concurrency, max_deliver, backoff, crate";
const ACK_WAIT: Duration = Duration::from_secs(30);

/// `#[consumer(..)]` on an async function.
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failed> {
    let item: ItemFn = parse_item(item)?;
    let mut errors = Errors::default();
    let mut options = Options::default();
    let parsed = syn::meta::parser(|meta| options.parse(&meta)).parse2(arguments);
    parsed.map_err(|error| Failed::new(error, &item))?;
    let settings = Settings::read(&item, &options, &mut errors);
    let handler = Handler::read(&item, &options, &mut errors);
    let model = settings.zip(handler);
    let (settings, handler) = errors
        .finish(model)
        .map_err(|error| Failed::new(error, &item))?;
    Ok(expand(&item, &settings, &handler, &options.krate.tokens()))
}

#[derive(Default)]
struct Options {
    durable: Opt<LitStr>,
    on: Opt<Type>,
    ack_wait: Opt<LitStr>,
    /// `heartbeat(..)` was written, with or without its maximum.
    heartbeat: Opt<()>,
    heartbeat_max: Opt<LitStr>,
    heartbeat_spent: Opt<LitStr>,
    concurrency: Opt<LitInt>,
    max_deliver: Opt<LitInt>,
    backoff: Opt<Backoff>,
    krate: CratePath,
}

struct Backoff(Punctuated<LitStr, Token![,]>);

impl syn::parse::Parse for Backoff {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let list;
        syn::bracketed!(list in input);
        list.call(Punctuated::parse_terminated).map(Self)
    }
}

impl Options {
    fn parse(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        match meta.path.get_ident().map(Ident::to_string).as_deref() {
            Some("durable") => self.durable.set(meta),
            Some("on") => self.on.set(meta),
            Some("ack_wait") => self.ack_wait.set(meta),
            Some("heartbeat") => {
                self.heartbeat.put(&meta.path, ())?;
                meta.parse_nested_meta(|meta| self.parse_heartbeat(&meta))
            }
            Some("concurrency") => self.concurrency.set(meta),
            Some("max_deliver") => self.max_deliver.set(meta),
            Some("backoff") => self.backoff.set(meta),
            Some("crate") => self.krate.set(meta),
            _ => Err(options::unknown(meta, OPTIONS)),
        }
    }

    fn parse_heartbeat(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        match meta.path.get_ident().map(Ident::to_string).as_deref() {
            Some("max") => self.heartbeat_max.set(meta),
            Some("spent") => self.heartbeat_spent.set(meta),
            _ => Err(options::unknown(meta, "max, spent")),
        }
    }
}

/// Valid settings.
struct Settings {
    durable: LitStr,
    ack_wait: Duration,
    heartbeat_max: Duration,
    spent: TokenStream,
    concurrency: usize,
    max_deliver: Option<u32>,
    backoff: Vec<Duration>,
}

impl Settings {
    fn read(item: &ItemFn, options: &Options, errors: &mut Errors) -> Option<Self> {
        let at = item.sig.ident.span();
        let durable = errors
            .keep(options.durable.required(at, MISSING_DURABLE))
            .cloned();
        if let Some(durable) = &durable {
            errors.keep(options::check_name(durable, "durable"));
        }
        let heartbeat = errors
            .keep(options.heartbeat_max.required(at, MISSING_HEARTBEAT))
            .cloned();
        let heartbeat_max = heartbeat
            .as_ref()
            .and_then(|max| errors.keep(duration::parse(max)));
        let ack_wait = options.ack_wait.get();
        let ack_wait = ack_wait.map_or(Some(ACK_WAIT), |wait| errors.keep(duration::parse(wait)));
        if let (Some(wait), Some(text)) = (ack_wait, options.ack_wait.get())
            && wait < Duration::from_millis(300)
        {
            errors.at(
                text,
                "`ack_wait` must be at least 300ms: heartbeats go out every third of it",
            );
        }
        let backoff = options
            .backoff
            .get()
            .map(|Backoff(list)| list)
            .into_iter()
            .flatten();
        let backoff = backoff
            .filter_map(|text| errors.keep(duration::parse(text)))
            .collect();
        let spent = errors.keep(budget_spent(options.heartbeat_spent.get()));
        let concurrency = errors.keep(positive("concurrency", options.concurrency.get()));
        let max_deliver = errors.keep(positive("max_deliver", options.max_deliver.get()));
        Some(Self {
            durable: durable?,
            ack_wait: ack_wait?,
            heartbeat_max: heartbeat_max?,
            spent: spent?,
            concurrency: concurrency?.unwrap_or(1),
            max_deliver: max_deliver?,
            backoff,
        })
    }
}

/// The types of a valid handler.
struct Handler {
    event: Type,
    /// Types of the arguments after the event.
    arguments: Vec<Type>,
}

impl Handler {
    fn read(item: &ItemFn, options: &Options, errors: &mut Errors) -> Option<Self> {
        let signature = &item.sig;
        if signature.asyncness.is_none() {
            errors.at(signature.fn_token, format!("a consumer is async: {FORM}"));
        }
        if !signature.generics.params.is_empty() {
            errors.at(&signature.generics, "a consumer cannot be generic");
        }
        if matches!(signature.output, ReturnType::Default) {
            errors.at(
                &signature.ident,
                format!("a consumer returns `Handled`: {FORM}"),
            );
        }
        let mut inputs = signature.inputs.iter();
        let Some(FnArg::Typed(event)) = inputs.next() else {
            errors.at(
                &signature.ident,
                format!("a consumer takes an event first: {FORM}"),
            );
            return None;
        };
        let event_ty = types::argument_of(&event.ty, "Recorded");
        if event_ty.is_none() {
            errors.at(
                &event.ty,
                format!("the first argument must be `Recorded<Event>`: {FORM}"),
            );
        }
        let arguments = inputs.filter_map(|input| match input {
            FnArg::Typed(input) => Some(input.ty.as_ref().clone()),
            FnArg::Receiver(_) => None,
        });
        let event = options.on.get().or(event_ty)?.clone();
        Some(Self {
            event,
            arguments: arguments.collect(),
        })
    }
}

fn expand(
    item: &ItemFn,
    settings: &Settings,
    handler: &Handler,
    krate: &TokenStream,
) -> TokenStream {
    let Handler { event, arguments } = handler;
    let (ident, vis) = (&item.sig.ident, &item.vis);
    let settings_tokens = settings.tokens(krate);
    let docs = item
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"));
    let default_doc = format!("The consumer `{}`.", settings.durable.value());
    let mut inner = item.clone();
    inner.vis = syn::Visibility::Inherited;
    quote! {
        #[doc = #default_doc]
        #[doc = ""]
        #(#docs)*
        #[allow(non_camel_case_types, reason = "it stands for the function of this name")]
        #[derive(Debug, Clone, Copy)]
        #vis struct #ident;

        impl #krate::Consumer for #ident {
            type Event = #event;

            fn settings(&self) -> #krate::ConsumerSettings {
                #settings_tokens
            }

            fn check(
                &self,
                dependencies: &#krate::Dependencies,
            ) -> ::core::result::Result<(), #krate::MissingDependency> {
                let _ = dependencies;
                #(<#arguments as #krate::FromContext>::check(dependencies)?;)*
                ::core::result::Result::Ok(())
            }

            async fn handle(
                &self,
                event: #krate::Recorded<#event>,
                context: #krate::Context,
            ) -> #krate::Handled {
                #inner
                #ident(event, #(<#arguments as #krate::FromContext>::from_context(&context)?),*).await
            }
        }
    }
}

impl Settings {
    fn tokens(&self, krate: &TokenStream) -> TokenStream {
        let Self {
            durable,
            spent,
            concurrency,
            ..
        } = self;
        let ack_wait = duration::tokens(self.ack_wait);
        let heartbeat_max = duration::tokens(self.heartbeat_max);
        let backoff = self.backoff.iter().map(|step| duration::tokens(*step));
        let max_deliver = match self.max_deliver {
            Some(max) => quote!(::core::option::Option::Some(#max)),
            None => quote!(::core::option::Option::None),
        };
        quote! {
            const BACKOFF: &[::core::time::Duration] = &[#(#backoff),*];
            #krate::ConsumerSettings {
                durable: #durable,
                ack_wait: #ack_wait,
                heartbeat_max: #heartbeat_max,
                on_budget_spent: #krate::BudgetSpent::#spent,
                concurrency: #concurrency,
                max_deliver: #max_deliver,
                backoff: BACKOFF,
            }
        }
    }
}

fn budget_spent(text: Option<&LitStr>) -> syn::Result<TokenStream> {
    match text.map(|text| (text, text.value())) {
        None => Ok(quote!(Retry)),
        Some((_, value)) if value == "retry" => Ok(quote!(Retry)),
        Some((_, value)) if value == "term" => Ok(quote!(Term)),
        Some((text, value)) => {
            let message = format!("unknown `spent` {value:?}, expected \"retry\" or \"term\"");
            Err(syn::Error::new_spanned(text, message))
        }
    }
}

fn positive<T>(name: &str, number: Option<&LitInt>) -> syn::Result<Option<T>>
where
    T: std::str::FromStr + PartialEq + From<u8>,
    T::Err: std::fmt::Display,
{
    let Some(literal) = number else {
        return Ok(None);
    };
    let number: T = literal.base10_parse()?;
    if number == T::from(0) {
        return Err(syn::Error::new_spanned(
            literal,
            format!("`{name}` must be at least 1"),
        ));
    }
    Ok(Some(number))
}
