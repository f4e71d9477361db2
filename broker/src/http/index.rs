//! The page at `/`: links to the others.

use super::page::Page;

/// What is linked, with what it is.
const LINKS: &[(&str, &str)] = &[
    ("varz", "General"),
    ("jsz", "JetStream"),
    ("connz", "Connections"),
    ("accountz", "Accounts"),
    ("accstatz", "Account statistics"),
    ("subsz", "Subscriptions"),
    ("routez", "Routes"),
    ("leafz", "Leaf nodes"),
    ("gatewayz", "Gateways"),
    ("healthz", "Health"),
];

/// Makes it.
pub(super) fn page() -> Page {
    let links = LINKS.iter().map(|(path, name)| {
        format!("    <li><a href=\"./{path}\">{name}</a> <code>/{path}</code></li>\n")
    });
    Page::html(format!(
        "<!doctype html>\n<html lang=\"en\">\n  <head><title>Hitherto</title></head>\n  <body>\n    \
         <h1>Hitherto {}</h1>\n    <ul>\n{}    </ul>\n  </body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        links.collect::<String>(),
    ))
}
