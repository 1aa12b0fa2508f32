//! `source`: the address that connections to servers come from (sections 4.2 and 5.2).

use std::net::SocketAddr;

use super::address::{self, Host, Port, PortRule, Target};
use super::draft::ServerDraft;
use super::scope::{Scope, arg, not_yet};
use super::word::Word;
use crate::registry::{Keyword, Sections};

const ALLOWED: address::Allowed = address::Allowed { port: PortRule::Optional, resolve: true, ..address::SERVER };

/// The row of this module.
pub static ROWS: &[Keyword] = &[Keyword {
    name: "source",
    sections: Sections::SERVER_SIDE,
    args_max: None,
    parse: proxy,
    help: "the address that connections to servers come from",
}];

fn proxy(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        let form = "<addr>[:<port>], and optionally 'usesrc' <addr>, and 'interface' <name>";
        return Err(format!("'source' expects {form}."));
    }
    let source = address_of(text)?;
    match arg(words, 2) {
        "" => scope.settings().source = Some(source),
        word @ ("usesrc" | "interface") => return Err(not_yet(&format!("source with {word}"))),
        _ => return Err("'source' only supports optional keywords 'interface' and 'usesrc'.".into()),
    }
    Ok(())
}

/// The parameter of a server.
pub(super) fn server(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        let form = "<addr>[:<port>[-<port>]], and optionally 'usesrc' <addr>, and 'interface' <name>";
        return Err(format!("'source' expects {form} as argument."));
    }
    let port = text.rsplit_once(':').map_or("", |(_, port)| port);
    if port.split_once('-').is_some_and(|(first, _)| !first.is_empty()) {
        return Err(not_yet("source with a range of ports").trim_end_matches('.').to_owned());
    }
    // HAProxy sets off what ends with a line of its own.
    draft.source = Some(address_of(text).map_err(|error| match error.strip_suffix('\n') {
        Some(error) => format!("\n  {error}\n  \n"),
        None => error,
    })?);
    Ok(())
}

fn address_of(text: &str) -> Result<SocketAddr, String> {
    let parsed = address::parse(text, ALLOWED).map_err(|error| format!("'source {text}' : {error}"))?;
    match parsed.target {
        Target::Inet { host: Host::Ip(ip), port: Port::None } => Ok(SocketAddr::new(ip, 0)),
        Target::Inet { host: Host::Ip(ip), port: Port::Fixed(port) } => Ok(SocketAddr::new(ip, port)),
        _ => Err(not_yet("source of another kind than an IPv4 or IPv6 address with at most a port")),
    }
}
