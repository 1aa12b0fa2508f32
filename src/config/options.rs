//! `option …` of proxies (section 4.2), but for checks and log formats.

use std::net::IpAddr;

use super::finding::{Place, Severity};
use super::scope::{Prefix, Scope, arg, no_more_than, not_yet};
use super::unit::atoi;
use super::word::Word;
use super::{legacy, reader, suggest};
use crate::proxy::backend::Redispatch;
use crate::proxy::{AddressHeader, ConnectionMode, HeaderNames};
use crate::registry::{self, Keyword, ProxyOption, Sections, row};

/// Plain options: on, off with `no`, back with `default`.
/// HAProxy's order shows in the warnings about options that need HTTP mode: these five come first.
pub static PLAIN: &[ProxyOption] = &[
    plain("checkcache", SERVERS, true, |s| &mut s.flags.checkcache),
    plain("http-buffer-request", BOTH, true, |s| &mut s.flags.http_buffer_request),
    plain("http-ignore-probes", CLIENTS, true, |s| &mut s.flags.http_ignore_probes),
    plain("idle-close-on-response", CLIENTS, true, |s| &mut s.flags.idle_close_on_response),
    plain("prefer-last-server", SERVERS, true, |s| &mut s.flags.prefer_last_server),
    plain("abortonclose", SERVERS, false, |s| &mut s.flags.abortonclose),
    plain("accept-invalid-http-request", CLIENTS, true, |s| &mut s.flags.accept_invalid_http_request),
    plain("accept-invalid-http-response", SERVERS, true, |s| &mut s.flags.accept_invalid_http_response),
    plain("allbackups", SERVERS, false, |s| &mut s.flags.allbackups),
    plain("clitcpka", CLIENTS, false, |s| &mut s.flags.clitcpka),
    plain("contstats", CLIENTS, false, |s| &mut s.flags.contstats),
    plain("dontlog-normal", CLIENTS, false, |s| &mut s.flags.dontlog_normal),
    plain("dontlognull", CLIENTS, false, |s| &mut s.flags.dontlognull),
    plain("http-use-proxy-header", CLIENTS, true, |s| &mut s.flags.http_use_proxy_header),
    plain("http-pretend-keepalive", SERVERS, true, |s| &mut s.flags.http_pretend_keepalive),
    // Nothing is held back for more to come, with or without it.
    plain("http-no-delay", BOTH, true, |s| &mut s.flags.http_no_delay),
    plain("disable-h2-upgrade", CLIENTS, true, |s| &mut s.flags.disable_h2_upgrade),
    plain("h1-case-adjust-bogus-client", CLIENTS, false, |s| &mut s.flags.h1_case_adjust_bogus_client),
    plain("h1-case-adjust-bogus-server", SERVERS, false, |s| &mut s.flags.h1_case_adjust_bogus_server),
    plain("independent-streams", BOTH, false, |s| &mut s.flags.independent_streams),
    plain("log-health-checks", SERVERS, false, |s| &mut s.flags.log_health_checks),
    plain("log-separate-errors", CLIENTS, false, |s| &mut s.flags.log_separate_errors),
    plain("logasap", CLIENTS, false, |s| &mut s.flags.logasap),
    plain("nolinger", BOTH, false, |s| &mut s.flags.nolinger),
    plain("persist", SERVERS, false, |s| &mut s.flags.persist),
    plain("socket-stats", CLIENTS, false, |s| &mut s.flags.socket_stats),
    plain("splice-auto", BOTH, false, |s| &mut s.flags.splice_auto),
    plain("splice-request", BOTH, false, |s| &mut s.flags.splice_request),
    plain("splice-response", BOTH, false, |s| &mut s.flags.splice_response),
    plain("srvtcpka", SERVERS, false, |s| &mut s.flags.srvtcpka),
    plain("tcp-smart-connect", SERVERS, false, |s| &mut s.flags.tcp_smart_connect),
    plain("transparent", SERVERS, false, |s| &mut s.flags.transparent),
];

const CLIENTS: Sections = Sections::CLIENT_SIDE;
const SERVERS: Sections = Sections::SERVER_SIDE;
const BOTH: Sections = Sections::ANY_PROXY;

const fn plain(
    name: &'static str,
    sections: Sections,
    http: bool,
    field: fn(&mut super::draft::Settings) -> &mut bool,
) -> ProxyOption {
    ProxyOption { name, sections, http, field, help: "see the manual, 4.2" }
}

/// The rows of this module; `option` alone stands for plain options and for unknown ones.
pub static ROWS: &[Keyword] = &[
    row("option", BOTH, option, "switch a behaviour on or off"),
    row("option http-keep-alive", BOTH, connection_mode, "keep connections of both sides"),
    row("option http-server-close", BOTH, connection_mode, "close the server's connection after a response"),
    row("option httpclose", BOTH, connection_mode, "close both connections after a response"),
    row("option forceclose", BOTH, connection_mode, "older form of option httpclose"),
    row("option http-tunnel", BOTH, connection_mode, "bytes pass unseen after the first exchange"),
    row("option http_proxy", BOTH, http_proxy, "connect to the host that the request names"),
    row("option redispatch", SERVERS, redispatch, "let retries go to another server"),
    row("option forwardfor", BOTH, forwardfor, "tell servers the client's address"),
    row("option originalto", BOTH, originalto, "tell servers the address that the client connected to"),
    row("option http-restrict-req-hdr-names", BOTH, header_names, "what becomes of unusual header names"),
    row("option tcp-smart-accept", CLIENTS, smart_accept, "save an acknowledgement per connection"),
    row("option tcpka", BOTH, tcpka, "TCP keep-alives on both sides"),
];

/// Options of HAProxy 2.6 that are not built yet.
const LATER: &[&str] = &["httpslog"];

/// Whether `no` is allowed before option `name`; when it is not, an error.
fn negatable(scope: &mut Scope<'_>, name: &str) -> Result<(), String> {
    if scope.prefix == Prefix::None {
        return Ok(());
    }
    scope.place = Place::Reader;
    Err(format!("negation/default is not supported for option '{name}'."))
}

fn option(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        scope.place = Place::Reader;
        return Err("'option' expects an option name.".into());
    }
    if let Some(word) = words.get(1) {
        scope.point_at(word);
    }
    let Some(row) = registry::option(name) else {
        return unknown(scope, name);
    };
    no_more_than(words, 2, 0, &format!("option {name}"))?;
    if !row.sections.intersects(scope.sections()) {
        let text = reader::ignored(scope, name) + ".";
        scope.warn(text);
        return Ok(());
    }
    *(row.field)(scope.settings()) = scope.prefix == Prefix::None;
    Ok(())
}

fn unknown(scope: &mut Scope<'_>, name: &str) -> Result<(), String> {
    if LATER.contains(&name) {
        return Err(not_yet(&format!("option {name}")));
    }
    negatable(scope, name)?;
    let suggestion = suggest::nearest(name, names());
    let hint = suggestion.map_or_else(|| ".".to_owned(), |word| format!("; did you mean '{word}' maybe ?"));
    scope.report(Severity::Alert, format!("unknown option '{name}'{hint}"), suggestion.map(str::to_owned));
    Ok(())
}

/// Every option's name, the ones not built yet included.
fn names() -> impl Iterator<Item = &'static str> {
    let plain = registry::OPTIONS.iter().copied().flatten().map(|row| row.name);
    let others = registry::KEYWORDS.iter().copied().flatten().filter_map(|row| row.name.strip_prefix("option "));
    plain.chain(others).chain(LATER.iter().copied())
}

fn connection_mode(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    no_more_than(words, 2, 0, &format!("option {name}"))?;
    let mode = match name {
        "http-keep-alive" => ConnectionMode::KeepAlive,
        "http-server-close" => ConnectionMode::ServerClose,
        "http-tunnel" => ConnectionMode::Tunnel,
        _ => ConnectionMode::Close,
    };
    match name {
        "forceclose" => legacy::note(scope, words, "option forceclose"),
        "http-tunnel" => legacy::note(scope, words, "option http-tunnel"),
        _ => {}
    }
    let prefix = scope.prefix;
    let current = &mut scope.settings().connection_mode;
    match prefix {
        Prefix::None => *current = Some(mode),
        // Taking back what is not set changes nothing.
        Prefix::No if *current == Some(mode) => *current = None,
        Prefix::No => {}
        Prefix::Default => *current = None,
    }
    Ok(())
}

fn http_proxy(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option http_proxy")?;
    legacy::note(scope, words, "option http_proxy");
    scope.settings().flags.http_proxy = scope.prefix == Prefix::None;
    Ok(())
}

fn redispatch(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().redispatch = match (scope.prefix, arg(words, 2)) {
        (Prefix::No | Prefix::Default, _) => Redispatch::Never,
        (Prefix::None, "") => Redispatch::Last,
        (Prefix::None, text) => match atoi(text) {
            0 => Redispatch::Never,
            -1 => Redispatch::Last,
            n if n > 0 => Redispatch::Every(n.unsigned_abs()),
            n => Redispatch::BeforeLast(n.unsigned_abs()),
        },
    };
    Ok(())
}

fn forwardfor(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let mut header = AddressHeader { name: "X-Forwarded-For".into(), except: None, if_none: false };
    let mut at = 2;
    while at < words.len() {
        scope.point_at(&words[at]);
        match arg(words, at) {
            "except" => header.except = Some(network("forwardfor", arg(words, at + 1))?),
            "header" => header.name = header_name("forwardfor", arg(words, at + 1))?,
            "if-none" => {
                header.if_none = true;
                at += 1;
                continue;
            }
            _ => {
                return Err(
                    "'option forwardfor' only supports optional values: 'except', 'header' and 'if-none'.".into()
                );
            }
        }
        at += 2;
    }
    scope.settings().forwarded_for = Some(header);
    Ok(())
}

fn originalto(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let mut header = AddressHeader { name: "X-Original-To".into(), except: None, if_none: false };
    let mut at = 2;
    while at < words.len() {
        scope.point_at(&words[at]);
        match arg(words, at) {
            "except" => header.except = Some(network("originalto", arg(words, at + 1))?),
            "header" => header.name = header_name("originalto", arg(words, at + 1))?,
            _ => return Err("'option originalto' only supports optional values: 'except' and 'header'.".into()),
        }
        at += 2;
    }
    scope.settings().original_to = Some(header);
    Ok(())
}

fn header_name(option: &str, name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err(format!("'option {option} header' expects <header_name> as argument."));
    }
    Ok(name.to_owned())
}

/// An address with an optional mask, in bits or (IPv4) as an address.
fn network(option: &str, text: &str) -> Result<(IpAddr, u8), String> {
    parse_network(text).ok_or_else(|| format!("'option {option} except' expects <address>[/mask] as argument."))
}

/// `address`, `address/bits` or `address/mask`.
#[must_use]
pub fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let widest: u8 = if address.is_ipv4() { 32 } else { 128 };
    let bits = match mask {
        None => widest,
        Some(mask) => match mask.parse::<u8>() {
            Ok(bits) => bits,
            Err(_) => {
                let mask = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
                // A mask must be ones and then zeroes.
                if mask.leading_ones() + mask.trailing_zeros() < 32 {
                    return None;
                }
                mask.leading_ones() as u8
            }
        },
    };
    (bits <= widest).then_some((address, bits))
}

/// `option tcpka` is `clitcpka` and `srvtcpka`, as far as the section has the sides.
fn tcpka(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option tcpka")?;
    let section = scope.sections();
    let flags = &mut scope.settings().flags;
    flags.clitcpka |= section.intersects(CLIENTS);
    flags.srvtcpka |= section.intersects(SERVERS);
    Ok(())
}

fn smart_accept(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option tcp-smart-accept")?;
    scope.settings().smart_accept = match scope.prefix {
        Prefix::None => Some(true),
        Prefix::No => Some(false),
        Prefix::Default => None,
    };
    Ok(())
}

fn header_names(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 1, "option")?;
    let wanted = "option 'http-restrict-req-hdr-names' expects 'preserve', 'reject' or 'delete' option.";
    scope.settings().header_names = match arg(words, 2) {
        "preserve" => HeaderNames::Preserve,
        "delete" => HeaderNames::Delete,
        "reject" => HeaderNames::Reject,
        "" => return Err(format!("missing parameter. {wanted}")),
        other => return Err(format!("invalid parameter '{other}'. {wanted}")),
    };
    Ok(())
}
