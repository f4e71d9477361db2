//! `#[aggregate]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Meta, ReturnType, Signature, Type,
};

use crate::options::{self, CratePath, Opt};
use crate::{Errors, Failed, parse_item, types};

const MISSING_EVENT: &str = "an aggregate needs its event type: write `event = OrderEvent`";
const MISSING_REJECTION: &str =
    "an aggregate needs its rejection type: write `rejection = OrderRejection`";
const MISSING_EVOLVE: &str = "an aggregate needs `fn evolve(&mut self, event: &Event)`";
const EVOLVE_FORM: &str = "`evolve` must be `fn evolve(&mut self, event: &Event)`";
const DECIDE_SELF: &str = "a decision takes `&self`: it changes nothing, `evolve` does";
const DECIDE_ASYNC: &str = "a decision is not async: it runs again after a conflict, so fetch what it needs before and put it into the command";
const DECIDE_COMMAND: &str =
    "a decision takes `&self` and one command by reference: `fn name(&self, command: &Command)`";
const DECIDE_RESULT: &str = "a decision returns `Result<events, Rejection>`";

/// `#[aggregate(..)]` on an inherent impl.
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failed> {
    let item: ItemImpl = parse_item(item)?;
    let mut errors = Errors::default();
    let mut options = Options::default();
    let parsed = syn::meta::parser(|meta| options.parse(&meta)).parse2(arguments);
    parsed.map_err(|error| Failed::new(error, without_decide(&item)))?;
    let model = Model::read(&item, &options, &mut errors);
    let plain = without_decide(&item);
    let model = errors
        .finish(model)
        .map_err(|error| Failed::new(error, &plain))?;
    let impls = model.impls();
    Ok(quote!(#plain #impls))
}

#[derive(Default)]
struct Options {
    event: Opt<Type>,
    rejection: Opt<Type>,
    krate: CratePath,
}

impl Options {
    fn parse(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        match meta.path.get_ident().map(Ident::to_string).as_deref() {
            Some("event") => self.event.set(meta),
            Some("rejection") => self.rejection.set(meta),
            Some("crate") => self.krate.set(meta),
            _ => Err(options::unknown(meta, "event, rejection, crate")),
        }
    }
}

/// A valid aggregate.
struct Model {
    self_ty: Type,
    event: Type,
    rejection: Type,
    evolve: Ident,
    decisions: Vec<Decision>,
    krate: TokenStream,
}

struct Decision {
    method: Ident,
    command: Type,
    mode: Ident,
    /// Where a wrong type of result is reported.
    output: Span,
}

impl Model {
    fn read(item: &ItemImpl, options: &Options, errors: &mut Errors) -> Option<Self> {
        if let Some((path, _)) = &item.trait_ {
            errors.at(
                path,
                "`#[aggregate]` goes on an inherent block: `impl Order { .. }`",
            );
        }
        if !item.generics.params.is_empty() {
            errors.at(&item.generics, "an aggregate cannot be generic");
        }
        let at = item.self_ty.span();
        let event = errors
            .keep(options.event.required(at, MISSING_EVENT))
            .cloned();
        let rejection = errors
            .keep(options.rejection.required(at, MISSING_REJECTION))
            .cloned();
        let methods = || item.items.iter().filter_map(as_method);
        let evolve = methods().find(|method| method.sig.ident == "evolve");
        match evolve {
            Some(evolve) => check_evolve(&evolve.sig, errors),
            None => errors.at(&item.self_ty, MISSING_EVOLVE),
        }
        let mut decisions: Vec<Decision> = Vec::new();
        for method in methods() {
            let Some(decision) = read_decision(method, errors) else {
                continue;
            };
            if let Some(other) = decisions
                .iter()
                .find(|other| other.command == decision.command)
            {
                let message = format!("`{}` decides this command already", other.method);
                errors.at(&decision.command, message);
            }
            decisions.push(decision);
        }
        Some(Self {
            self_ty: item.self_ty.as_ref().clone(),
            event: event?,
            rejection: rejection?,
            evolve: evolve?.sig.ident.clone(),
            decisions,
            krate: options.krate.tokens(),
        })
    }

    fn impls(&self) -> TokenStream {
        let Self {
            self_ty,
            event,
            rejection,
            evolve,
            krate,
            ..
        } = self;
        // The inherent method is meant: it comes before the trait's of the same name.
        let call = quote_spanned!(evolve.span()=> Self::#evolve(self, event));
        let decisions = self
            .decisions
            .iter()
            .map(|decision| self.decision_impl(decision));
        quote! {
            impl #krate::Aggregate for #self_ty {
                type Event = #event;
                type Rejection = #rejection;

                fn evolve(&mut self, event: &Self::Event) {
                    #call;
                }
            }

            #(#decisions)*
        }
    }

    fn decision_impl(&self, decision: &Decision) -> TokenStream {
        let Self {
            self_ty,
            event,
            krate,
            ..
        } = self;
        let Decision {
            method,
            command,
            mode,
            output,
        } = decision;
        let call = quote_spanned!(method.span()=> Self::#method(self, command)?);
        let events = quote_spanned!(*output=> #krate::IntoEvents::<#event>::into_events(decided));
        quote! {
            impl #krate::Decide<#command> for #self_ty {
                const MODE: #krate::Mode = #krate::Mode::#mode;

                fn decide(
                    &self,
                    command: &#command,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<Self::Event>,
                    <Self as #krate::Aggregate>::Rejection,
                > {
                    let decided = #call;
                    ::core::result::Result::Ok(#events)
                }
            }
        }
    }
}

fn as_method(item: &ImplItem) -> Option<&ImplItemFn> {
    match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    }
}

fn check_evolve(signature: &Signature, errors: &mut Errors) {
    let by_mut = match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) => is_reference(receiver, true),
        _ => false,
    };
    let event = match signature.inputs.get(1) {
        Some(FnArg::Typed(event)) => types::referent(&event.ty).is_some(),
        _ => false,
    };
    let plain = signature.asyncness.is_none() && matches!(signature.output, ReturnType::Default);
    if !by_mut || !event || !plain || signature.inputs.len() != 2 {
        errors.at(signature, EVOLVE_FORM);
    }
}

fn read_decision(method: &ImplItemFn, errors: &mut Errors) -> Option<Decision> {
    let mut decide = method.attrs.iter().filter(|attribute| is_decide(attribute));
    let attribute = decide.next()?;
    if let Some(second) = decide.next() {
        errors.at(second, "`#[decide]` is given twice");
    }
    let signature = &method.sig;
    let mode = errors.keep(read_mode(attribute));
    if let Some(asyncness) = &signature.asyncness {
        errors.at(asyncness, DECIDE_ASYNC);
    }
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if is_reference(receiver, false) => {}
        Some(first) => errors.at(first, DECIDE_SELF),
        None => errors.at(&signature.ident, DECIDE_COMMAND),
    }
    match &signature.output {
        ReturnType::Type(_, ty) if types::is_named(ty, "Result") => {}
        ReturnType::Type(_, ty) => errors.at(ty, DECIDE_RESULT),
        ReturnType::Default => errors.at(&signature.ident, DECIDE_RESULT),
    }
    let command = match (signature.inputs.get(1), signature.inputs.len()) {
        (Some(FnArg::Typed(command)), 2) => {
            let referent = types::referent(&command.ty).cloned();
            if referent.is_none() {
                errors.at(&command.ty, DECIDE_COMMAND);
            }
            referent
        }
        _ => {
            errors.at(&signature.ident, DECIDE_COMMAND);
            None
        }
    };
    let output = match &signature.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => signature.ident.span(),
    };
    Some(Decision {
        method: signature.ident.clone(),
        command: command?,
        mode: mode?,
        output,
    })
}

fn read_mode(attribute: &Attribute) -> syn::Result<Ident> {
    let named = |name: &str, at: &dyn Spanned| Ident::new(name, at.span());
    if matches!(attribute.meta, Meta::Path(_)) {
        return Ok(Ident::new("Update", Span::call_site()));
    }
    let mode: Ident = attribute.parse_args()?;
    match mode.to_string().as_str() {
        "create" => Ok(named("Create", &mode)),
        "update" => Ok(named("Update", &mode)),
        "upsert" => Ok(named("Upsert", &mode)),
        _ => {
            let message = format!("unknown mode `{mode}`, expected `create`, `update` or `upsert`");
            Err(syn::Error::new_spanned(&mode, message))
        }
    }
}

fn is_reference(receiver: &syn::Receiver, mutable: bool) -> bool {
    let text = quote!(#receiver).to_string();
    let expected = if mutable { "& mut self" } else { "& self" };
    text == expected
}

fn is_decide(attribute: &Attribute) -> bool {
    attribute.path().is_ident("decide")
}

/// The block as plain Rust.
fn without_decide(item: &ItemImpl) -> ItemImpl {
    let mut item = item.clone();
    for item in &mut item.items {
        if let ImplItem::Fn(method) = item {
            method.attrs.retain(|attribute| !is_decide(attribute));
        }
    }
    item
}
