//! `source`: the address that connections to servers come from (sections 4.2 and 5.2).

use std::net::SocketAddr;

use super::address::{self, Allowed, Host, Port, PortRule, Target};
use super::draft::{ProxyDraft, ServerDraft};
use super::finding::{Findings, Place, Severity};
use super::scope::{Scope, arg, not_yet};
use super::unit::atoi;
use super::word::Word;
use crate::proxy::Mode;
use crate::proxy::source::{Foreign, Source};
use crate::registry::{Keyword, Sections};

const ALLOWED: Allowed = Allowed { port: PortRule::Optional, resolve: true, ..address::SERVER };
const WITH_RANGE: Allowed = Allowed { port: PortRule::RangeAllowed, ..ALLOWED };

/// The last occurrences of a header that `hdr_ip` can reach.
const OCCURRENCE_MIN: i32 = -10;

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
    let (address, _) = address_of(text, ALLOWED).map_err(|error| format!("'source {text}' : {error}"))?;
    let mut source = Source { address, ports: None, interface: None, foreign: Foreign::No };
    let mut rest = words.get(2..).unwrap_or_default();
    while let [word, ..] = rest {
        match word.text.as_str() {
            "usesrc" if arg(rest, 1).is_empty() => {
                return Err("'usesrc' expects <addr>[:<port>], 'client', or 'clientip' as argument.".into());
            }
            "usesrc" => source.foreign = foreign(arg(rest, 1))?,
            "interface" => source.interface = Some(interface(rest, "source")?),
            _ => return Err("'source' only supports optional keywords 'interface' and 'usesrc'.".into()),
        }
        rest = &rest[2..];
    }
    scope.settings().source = Some(source);
    Ok(())
}

/// How many words the parameter of a server takes, itself included.
pub(super) fn words_of_server(words: &[Word]) -> usize {
    let mut end = 2;
    while matches!(arg(words, end), "usesrc" | "interface") {
        end += 2;
    }
    end.min(words.len())
}

/// The parameter of a server.
///
/// # Errors
/// What is wrong with the address.
pub(super) fn server(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        let form = "<addr>[:<port>[-<port>]], and optionally 'usesrc' <addr>, and 'interface' <name>";
        return Err(format!("'source' expects {form} as argument."));
    }
    let (address, ports) = address_of(text, WITH_RANGE)
        .map_err(|error| format!("'source {text}' : {error}"))
        // HAProxy sets off what ends with a line of its own.
        .map_err(|error| match error.strip_suffix('\n') {
            Some(error) => format!("\n  {error}\n  \n"),
            None => error,
        })?;
    draft.source = Some(Source { address, ports, interface: None, foreign: Foreign::No });
    Ok(())
}

/// What follows the address of a server's `source`; reports what is wrong there, and says whether nothing is.
pub(super) fn of_server(scope: &mut Scope<'_>, draft: &mut ServerDraft, words: &[Word], place: &str) -> bool {
    let mut rest = words.get(2..).unwrap_or_default();
    while let (Some(word), Some(source)) = (rest.first(), &mut draft.source) {
        scope.point_at(word);
        let done = match word.text.as_str() {
            "usesrc" if arg(rest, 1).is_empty() => {
                let form = "<addr>[:<port>], 'client', 'clientip', or 'hdr_ip(name,#)'";
                Err(format!("'usesrc' expects {form} as argument."))
            }
            "usesrc" => foreign(arg(rest, 1)).map(|foreign| source.foreign = foreign),
            _ => interface(rest, "server").map(|interface| source.interface = Some(interface)),
        };
        if let Err(error) = done {
            scope.report(Severity::Alert, format!("{place}{error}"), None);
            let here = std::mem::replace(&mut scope.place, Place::None);
            scope.report(Severity::Alert, format!("error encountered while processing '{}'.", word.text), None);
            scope.place = here;
            return false;
        }
        rest = rest.get(2..).unwrap_or_default();
    }
    true
}

/// Says what is odd about the sources of a proxy and its servers.
pub(super) fn check(proxy: &ProxyDraft, findings: &mut Findings) {
    if !proxy.kind.is_backend() || proxy.settings.mode == Mode::Http {
        return;
    }
    let (noun, name) = (proxy.kind.noun(), &proxy.name);
    if let Some(header) = header_of(proxy.settings.source.as_ref()) {
        findings.warning(format!("{noun} '{name}' : ignoring use of header {header} as source IP in non-HTTP mode."));
    }
    for server in &proxy.servers {
        if let Some(header) = header_of(server.source.as_ref()) {
            findings.warning(format!(
                "{noun} '{name}' : server {} cannot use header {header} as source IP in non-HTTP mode.",
                server.name
            ));
        }
    }
}

fn header_of(source: Option<&Source>) -> Option<&str> {
    match &source?.foreign {
        Foreign::Header { name, .. } => Some(name),
        _ => None,
    }
}

fn foreign(text: &str) -> Result<Foreign, String> {
    match text {
        "client" => return Ok(Foreign::Client),
        "clientip" => return Ok(Foreign::ClientIp),
        _ => {}
    }
    if let Some(header) = text.strip_prefix("hdr_ip(") {
        let end = header.find([',', ')']).unwrap_or(header.len());
        let (name, rest) = header.split_at(end);
        let occurrence = rest.strip_prefix(',').map_or(-1, atoi);
        if occurrence < OCCURRENCE_MIN {
            let most = -OCCURRENCE_MIN;
            let text = "usesrc hdr_ip(name,num) does not support negative occurrences values smaller than";
            return Err(format!("{text} {most}."));
        }
        return Ok(Foreign::Header { name: name.to_owned(), occurrence });
    }
    let (address, _) = address_of(text, ALLOWED).map_err(|error| format!("'usesrc {text}' : {error}"))?;
    Ok(Foreign::Address(address))
}

fn interface(words: &[Word], of: &str) -> Result<String, String> {
    match arg(words, 1) {
        "" => Err(format!("'{of}' : missing interface name.")),
        name => Ok(name.to_owned()),
    }
}

/// An address with the first of its ports, and the range of them if it is one.
fn address_of(text: &str, allowed: Allowed) -> Result<(SocketAddr, Option<(u16, u16)>), String> {
    match address::parse(text, allowed)?.target {
        Target::Inet { host: Host::Ip(ip), port: Port::None } => Ok((SocketAddr::new(ip, 0), None)),
        Target::Inet { host: Host::Ip(ip), port: Port::Fixed(port) } => Ok((SocketAddr::new(ip, port), None)),
        Target::Inet { host: Host::Ip(ip), port: Port::Range(first, last) } => {
            // One port is no range to HAProxy: it is not looked whether it is taken.
            Ok((SocketAddr::new(ip, first), Some((first, last)).filter(|_| first != last)))
        }
        _ => Err(not_yet("source of another kind than an IPv4 or IPv6 address")),
    }
}
