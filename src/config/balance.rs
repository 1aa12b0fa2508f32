//! `balance`, `hash-type` and `hash-balance-factor` (section 4.2).

use super::draft::{ProxyDraft, Settings};
use super::finding::{Finding, Findings, Severity};
use super::scope::{Scope, arg};
use super::word::Word;
use crate::proxy::{Algorithm, HashFunction, HashType, HeaderKey, Key, Mode, ParamKey, UriKey};
use crate::registry::{Keyword, Sections};
use crate::rules::parse;
use crate::sample::arg::Names;
use crate::sample::{self, Expr, Place};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "balance",
        sections: Sections::SERVER_SIDE,
        args_max: None,
        parse: balance,
        help: "how a server is chosen",
    },
    Keyword {
        name: "hash-type",
        sections: Sections::SERVER_SIDE,
        args_max: None,
        parse: hash_type,
        help: "how a hash is turned into a server",
    },
    Keyword {
        name: "hash-balance-factor",
        sections: Sections::SERVER_SIDE,
        args_max: None,
        parse: factor,
        help: "how much more than its share of connections a hash may give a server, in percent",
    },
];

/// The cookie of `balance rdp-cookie` where none is named.
const RDP_COOKIE: &str = "mstshash";

/// How many servers `balance random` draws where it is not told.
const DRAWS: u32 = 2;

/// What was written of it.
#[derive(Clone, Debug, Default)]
pub struct BalanceDraft {
    /// There is a `balance` line.
    pub written: bool,
    /// `balance`.
    pub algorithm: Algorithm,
    /// The expression of `balance hash`, which is parsed for each proxy that has it.
    pub expression: Option<String>,
    /// `hash-type`.
    pub hash_type: HashType,
    /// `hash-balance-factor`.
    pub factor: u32,
}

fn balance(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let mut expression = None;
    let algorithm = match arg(words, 1) {
        "" | "roundrobin" => Algorithm::RoundRobin,
        "static-rr" => Algorithm::StaticRr,
        "first" => Algorithm::First,
        "leastconn" => Algorithm::LeastConn,
        name if name.starts_with("random") => Algorithm::Random { draws: draws(name)? },
        "source" => Algorithm::Hash(Key::Source),
        "uri" => Algorithm::Hash(Key::Uri(uri(words)?)),
        "url_param" => Algorithm::Hash(Key::Param(param(words)?)),
        "hash" => {
            expression = Some(hash(words)?);
            Algorithm::RoundRobin
        }
        name if name.starts_with("hdr(") => Algorithm::Hash(Key::Header(header(words)?)),
        name if name.starts_with("rdp-cookie") => Algorithm::Hash(Key::RdpCookie(rdp_cookie(name)?)),
        _ => {
            return Err("balance only supports 'roundrobin', 'static-rr', 'leastconn', 'source', 'uri', 'url_param', \
                        'hdr(name)' and 'rdp-cookie(name)' options."
                .into());
        }
    };
    let draft = &mut scope.settings().balance;
    draft.written = true;
    (draft.algorithm, draft.expression) = (algorithm, expression);
    Ok(())
}

/// `random`, `random(N)`; anything else that begins with it is taken as well.
fn draws(word: &str) -> Result<u32, String> {
    let Some((_, inside)) = word.split_once('(').filter(|(_, inside)| *inside != ")") else { return Ok(DRAWS) };
    let (number, rest) = leading_number(inside);
    match rest.chars().next() {
        None => Err("balance random : missing closing parenthesis.".into()),
        Some(')') if number >= 1 => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Some(')') => Err("balance random : number of draws must be at least 1.".into()),
        Some(other) => Err(format!("balance random : unexpected character '{other}' after argument.")),
    }
}

fn uri(words: &[Word]) -> Result<UriKey, String> {
    let mut key = UriKey::default();
    let mut at = 2;
    while !arg(words, at).is_empty() {
        let positive = || {
            let word = arg(words, at + 1);
            let number = Some(leading_number(word).0).filter(|&number| number > 0);
            let name = arg(words, at);
            number
                .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
                .ok_or_else(|| format!("balance uri : '{name}' expects a positive integer (got '{word}')."))
        };
        match arg(words, at) {
            "len" => (key.len, at) = (Some(positive()?), at + 1),
            "depth" => (key.depth, at) = (Some(positive()?), at + 1),
            "whole" => key.whole = true,
            "path-only" => key.path_only = true,
            other => {
                return Err(format!(
                    "balance uri only accepts parameters 'len', 'depth', 'path-only', and 'whole' (got '{other}')."
                ));
            }
        }
        at += 1;
    }
    Ok(key)
}

/// What follows `check_post` is ignored: it was the size of the body to wait for.
fn param(words: &[Word]) -> Result<ParamKey, String> {
    let name = match arg(words, 2) {
        "" => return Err("balance url_param requires an URL parameter name.".into()),
        name => name.to_owned(),
    };
    match arg(words, 3) {
        "" => Ok(ParamKey { name, check_post: false }),
        "check_post" => Ok(ParamKey { name, check_post: true }),
        other => Err(format!("balance url_param only accepts 'check_post' modifier (got '{other}').")),
    }
}

fn hash(words: &[Word]) -> Result<String, String> {
    match (arg(words, 2), arg(words, 3)) {
        ("", _) => Err("balance hash requires a sample expression.".into()),
        (expression, "") => Ok(expression.to_owned()),
        (_, other) => Err(format!("balance hash takes no other argument (got '{other}').")),
    }
}

fn header(words: &[Word]) -> Result<HeaderKey, String> {
    let word = arg(words, 1);
    let inside = word.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let name = match inside {
        "" => return Err("balance hdr requires an http header field name.".into()),
        name => name.to_owned(),
    };
    match arg(words, 2) {
        "" => Ok(HeaderKey { name, domain_only: false }),
        "use_domain_only" => Ok(HeaderKey { name, domain_only: true }),
        other => Err(format!("balance {word} only accepts 'use_domain_only' modifier (got '{other}').")),
    }
}

fn rdp_cookie(word: &str) -> Result<String, String> {
    let rest = word.strip_prefix("rdp-cookie").unwrap_or_default();
    if rest.is_empty() {
        return Ok(RDP_COOKIE.to_owned());
    }
    let inside = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(inside, _)| inside);
    if inside.is_empty() { Err("balance rdp-cookie : missing cookie name.".into()) } else { Ok(inside.to_owned()) }
}

fn hash_type(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let consistent = match arg(words, 1) {
        "consistent" => true,
        "map-based" => false,
        "avalanche" => {
            return Err("experimental feature 'hash-type avalanche' is not supported anymore, please use 'hash-type \
                        map-based sdbm avalanche' instead."
                .into());
        }
        _ => return Err("'hash-type' only supports 'consistent' and 'map-based'.".into()),
    };
    if let Some(word) = words.get(2..).and_then(|rest| rest.iter().take(2).next_back()) {
        scope.point_at(word);
    }
    let function = match arg(words, 2) {
        "" | "sdbm" => HashFunction::Sdbm,
        "djb2" => HashFunction::Djb2,
        "wt6" => HashFunction::Wt6,
        "crc32" => HashFunction::Crc32,
        _ => {
            scope.point_at(&words[2]);
            return Err("'hash-type' only supports 'sdbm', 'djb2', 'crc32', or 'wt6' hash functions.".into());
        }
    };
    let avalanche = match arg(words, 3) {
        // A ring without a function named gets the better mix.
        "" => consistent && arg(words, 2).is_empty(),
        "avalanche" => true,
        _ => return Err("'hash-type' only supports 'avalanche' as a modifier for hash functions.".into()),
    };
    scope.settings().balance.hash_type = HashType { consistent, function, avalanche };
    Ok(())
}

fn factor(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let word = arg(words, 1);
    if word.is_empty() {
        return Err("'hash-balance-factor' expects an integer argument.".into());
    }
    let factor = leading_number(word).0;
    if factor != 0 && factor <= 100 {
        return Err("'hash-balance-factor' must be 0 or greater than 100.".into());
    }
    scope.settings().balance.factor = u32::try_from(factor).unwrap_or(u32::MAX);
    Ok(())
}

/// The number that a text begins with, 0 where there is none, and what follows it: C's atol.
fn leading_number(text: &str) -> (i64, &str) {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &text[..text.len() - rest.len()];
    let limit = if number.starts_with('-') { i64::MIN } else { i64::MAX };
    let has_digits = number.ends_with(|c: char| c.is_ascii_digit());
    (number.trim_start_matches('+').parse().unwrap_or(if has_digits { limit } else { 0 }), rest)
}

/// Whether the algorithm needs HTTP and the proxy does not have it: its backend takes turns instead.
fn lacks_http(settings: &Settings) -> bool {
    let needs_http =
        matches!(settings.balance.algorithm, Algorithm::Hash(Key::Uri(_) | Key::Param(_) | Key::Header(_)));
    needs_http && settings.mode != Mode::Http
}

/// Says which backend cannot do what it is asked.
pub(super) fn check(proxy: &ProxyDraft, findings: &mut Findings) {
    if proxy.kind.is_backend() && lacks_http(&proxy.settings) {
        let noun = proxy.kind.noun();
        let text = format!(
            "Layer 7 hash not possible for {noun} '{}' (needs 'mode http'). Falling back to round robin.",
            proxy.name
        );
        findings.push(Finding::general(Severity::Warning, text));
    }
}

/// The algorithm of a backend.
pub(super) fn resolve(proxy: &ProxyDraft, names: &Names, findings: &mut Findings) -> Algorithm {
    let balance = &proxy.settings.balance;
    if lacks_http(&proxy.settings) {
        return Algorithm::RoundRobin;
    }
    let Some(text) = &balance.expression else { return balance.algorithm.clone() };
    let mut scope = sample::Scope::new(Place::BackServer.only(), proxy.at.file.clone(), proxy.at.line);
    scope.purpose = "use-server or balance expression";
    let wrong = match Expr::parse_prefix(text, &mut scope) {
        Err(error) => format!("failed to parse 'balance hash' expression '{text}' in : {error}."),
        Ok((expr, _)) if !expr.needs().places().contains(Place::BackServer) => format!(
            "error detected while parsing 'balance hash' expression '{text}' which requires information from {}, \
             which is not available here.",
            expr.needs().name()
        ),
        Ok((expr, _)) => {
            parse::resolve(&scope.references, names, &proxy.name, findings);
            return Algorithm::Hash(Key::Expr(expr));
        }
    };
    let place = format!("{} '{}' [{}]: ", proxy.kind.noun(), proxy.name, proxy.at);
    findings.push(Finding::general(Severity::Alert, place + &wrong));
    Algorithm::RoundRobin
}
