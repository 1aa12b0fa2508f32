//! Keywords of proxies that have no module of their own (section 4.2).

use super::global::{count, text_of};
use super::scope::{Scope, Section, arg, no_more_than};
use super::unit::{TimeUnit, atoi};
use super::word::Word;
use crate::proxy::Mode;
use crate::proxy::backend::{Redispatch, Reuse};
use crate::registry::{Keyword, Sections};
use crate::time::Millis;

/// `retries` when it is not written.
pub const RETRIES_DEFAULT: u32 = 3;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("mode", Sections::ANY_PROXY, Some(1), mode, "what is relayed: bytes or HTTP"),
    row("maxconn", Sections::CLIENT_SIDE, Some(1), maxconn, "connections of a frontend"),
    row("backlog", Sections::CLIENT_SIDE, Some(1), backlog, "pending connections of the listening sockets"),
    row("rate-limit", Sections::CLIENT_SIDE, None, rate_limit, "new sessions of a frontend a second"),
    row("fullconn", Sections::SERVER_SIDE, Some(1), fullconn, "connections at which servers reach their maxconn"),
    row("default_backend", Sections::CLIENT_SIDE, None, default_backend, "backend when no rule chose one"),
    row("retries", Sections::SERVER_SIDE, Some(1), retries, "connection attempts after a failed one"),
    row("redispatch", Sections::SERVER_SIDE, Some(0), redispatch, "older form of option redispatch"),
    row("http-reuse", Sections::SERVER_SIDE, None, http_reuse, "whose idle server connections are used"),
    row("description", Sections::PROXIES, None, description, "text shown by the statistics"),
    row("id", Sections::PROXIES, Some(1), id, "number of the proxy"),
    row("disabled", Sections::ANY_PROXY, Some(0), |s, _| enable(s, true), "do not start this proxy"),
    row("enabled", Sections::ANY_PROXY, Some(0), |s, _| enable(s, false), "start this proxy"),
    row("contimeout", Sections::ANY_PROXY, None, old_timeout, "older form of timeout connect"),
    row("clitimeout", Sections::ANY_PROXY, None, old_timeout, "older form of timeout client"),
    row("srvtimeout", Sections::ANY_PROXY, None, old_timeout, "older form of timeout server"),
];

const fn row(
    name: &'static str,
    sections: Sections,
    args_max: Option<usize>,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections, args_max, parse, help }
}

fn mode(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let mode = match arg(words, 1) {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "health" => {
            return Err(
                "'mode health' doesn't exist anymore. Please use 'http-request return status 200' instead.".into()
            );
        }
        other => return Err(format!("unknown proxy mode '{other}'.")),
    };
    scope.settings().mode = mode;
    Ok(())
}

fn maxconn(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = count(words)?;
    scope.settings().maxconn = u32::try_from(n).ok().filter(|n| *n > 0);
    Ok(())
}

fn rate_limit(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if arg(words, 1) != "sessions" {
        return Err(format!("'rate-limit' only supports 'sessions' (got '{}')", arg(words, 1)));
    }
    let text = arg(words, 2);
    if text.is_empty() {
        return Err("'rate-limit sessions' expects expects an integer value (in sessions/second)".into());
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(other) = digits.chars().find(|c| !c.is_ascii_digit()) {
        return Err(format!("'rate-limit sessions' : unexpected character '{other}' in integer value '{text}'"));
    }
    // Zero is no limit; one below zero wraps around to more than ever comes.
    scope.settings().rate_limit = text.parse().ok().filter(|limit| *limit > 0);
    Ok(())
}

fn backlog(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = count(words)?;
    scope.settings().backlog = u32::try_from(n).ok().filter(|n| *n > 0);
    Ok(())
}

fn fullconn(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = count(words)?;
    scope.settings().fullconn = u32::try_from(n).ok().filter(|n| *n > 0);
    Ok(())
}

fn default_backend(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("'default_backend' expects a backend name.".into());
    }
    no_more_than(words, 2, 0, "default_backend")?;
    scope.settings().default_backend = Some((name.to_owned(), scope.at.clone()));
    Ok(())
}

fn retries(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'retries' expects an integer argument (dispatch counts for one).".into());
    }
    scope.settings().retries = u32::try_from(atoi(text)).unwrap_or(0);
    Ok(())
}

fn redispatch(scope: &mut Scope<'_>, _: &[Word]) -> Result<(), String> {
    scope.warn(
        "keyword 'redispatch' is deprecated in favor of 'option redispatch', and will not be supported by future \
         versions.",
    );
    scope.settings().redispatch = Redispatch::Last;
    Ok(())
}

fn http_reuse(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let reuse = match arg(words, 1) {
        "never" => Reuse::Never,
        "safe" => Reuse::Safe,
        "aggressive" => Reuse::Aggressive,
        "always" => Reuse::Always,
        _ => return Err("'http-reuse' only supports 'never', 'safe', 'aggressive', 'always'.".into()),
    };
    no_more_than(words, 2, 0, "http-reuse")?;
    scope.settings().reuse = reuse;
    Ok(())
}

fn description(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = text_of(scope, words)?;
    scope.proxy().description = Some(text);
    Ok(())
}

fn id(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        scope.place = super::finding::Place::Reader;
        return Err("'id' expects an integer argument.".into());
    }
    let Some(id) = u32::try_from(atoi(text)).ok().filter(|id| *id > 0) else {
        scope.place = super::finding::Place::Reader;
        return Err("custom id has to be > 0.".into());
    };
    let Section::Proxy(own) = scope.section else { return Ok(()) };
    let proxies = &scope.draft.proxies;
    let other = proxies.iter().find(|proxy| proxy.id == Some(id));
    if let Some(other) = other {
        let this = &proxies[own];
        let text = format!(
            "{} {} reuses same custom id as {} {} (declared at {}).",
            this.kind.noun(),
            this.name,
            other.kind.noun(),
            other.name,
            other.at
        );
        scope.place = super::finding::Place::Reader;
        return Err(text);
    }
    scope.proxy().id = Some(id);
    Ok(())
}

fn enable(scope: &mut Scope<'_>, disabled: bool) -> Result<(), String> {
    scope.settings().disabled = disabled;
    Ok(())
}

/// The names of timeouts before version 1.3.14, which version 2.1 dropped.
fn old_timeout(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let keyword = arg(words, 0).to_owned();
    let modern = match keyword.as_str() {
        "contimeout" => "timeout connect",
        "clitimeout" => "timeout client",
        _ => "timeout server",
    };
    let value = arg(words, 1);
    if value.is_empty() {
        return Err(format!("'{keyword}' expects an integer value (in milliseconds)"));
    }
    let ms = scope.time_ms(value, TimeUnit::Ms).map_err(|error| error.timer(value, &format!("'{keyword}'")))?;
    no_more_than(words, 2, 0, &keyword)?;
    scope.warn(format!(
        "the '{keyword}' directive is now deprecated in favor of '{modern}', and will not be supported in future \
         versions."
    ));
    let value = (ms > 0).then_some(Millis(u64::from(ms)));
    let settings = scope.settings();
    match keyword.as_str() {
        "contimeout" => settings.server_timeouts.connect = value,
        "clitimeout" => settings.client_timeouts.client = value,
        _ => settings.server_timeouts.server = value,
    }
    Ok(())
}
