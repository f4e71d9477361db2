//! Looking into types: `Option<T>`, `&Recorded<T>`, `Result<..>`.

use syn::{GenericArgument, PathArguments, PathSegment, Type};

/// Returns `T` of `Name<T>`, by the last segment of the path.
pub(crate) fn argument_of<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let PathArguments::AngleBracketed(arguments) = &last_segment(ty, name)?.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(ty) if arguments.args.len() == 1 => Some(ty),
        _ => None,
    }
}

/// Whether the type is `Name` or `Name<..>`.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    last_segment(ty, name).is_some()
}

/// Returns `T` of `&T`; not of `&mut T`.
pub(crate) fn referent(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_none() => Some(&reference.elem),
        _ => None,
    }
}

fn last_segment<'a>(ty: &'a Type, name: &str) -> Option<&'a PathSegment> {
    let Type::Path(path) = ty else { return None };
    path.path
        .segments
        .last()
        .filter(|segment| segment.ident == name)
}
