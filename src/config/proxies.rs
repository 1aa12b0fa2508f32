//! Keywords of proxies that have no module of their own (section 4.2).

use super::global::{count, text_of};
use super::scope::{Scope, Section, arg, no_more_than};
use super::unit::atoi;
use super::word::Word;
use super::{address, legacy};
use crate::proxy::Mode;
use crate::proxy::backend::{RetryOn, Reuse};
use crate::registry::{Keyword, Sections, sized_row as row};

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
    row("retry-on", Sections::ANY_PROXY, None, retry_on, "what is a reason for another attempt"),
    row("dispatch", Sections::LISTEN.union(Sections::BACKEND), Some(1), dispatch, "where requests go without a server"),
    row("transparent", Sections::ANY_PROXY, Some(0), transparent, "older form of option transparent"),
    row("monitor-uri", Sections::CLIENT_SIDE, Some(1), monitor_uri, "the URI that is answered at once"),
    row("http-send-name-header", Sections::SERVER_SIDE, None, name_header, "header that tells a server its name"),
    row(
        "max-keep-alive-queue",
        Sections::SERVER_SIDE,
        None,
        keep_alive_queue,
        "queue of a client's last server at which another is chosen",
    ),
    row("http-reuse", Sections::SERVER_SIDE, None, http_reuse, "whose idle server connections are used"),
    row("description", Sections::PROXIES, None, description, "text shown by the statistics"),
    row("id", Sections::PROXIES, Some(1), id, "number of the proxy"),
    row("disabled", Sections::ANY_PROXY, Some(0), |s, _| enable(s, true), "do not start this proxy"),
    row("enabled", Sections::ANY_PROXY, Some(0), |s, _| enable(s, false), "start this proxy"),
];

fn mode(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().health = false;
    let mode = match arg(words, 1) {
        "health" => {
            legacy::note(scope, words, "mode health");
            scope.settings().health = true;
            Mode::Tcp
        }
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
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

fn transparent(scope: &mut Scope<'_>, _words: &[Word]) -> Result<(), String> {
    scope.settings().flags.transparent = true;
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

fn retry_on(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.sections().intersects(Sections::FRONTEND) {
        return Err("'retry-on' only available in backend or listen section".into());
    }
    if words.len() < 2 {
        return Err("'retry-on' needs at least one keyword to specify when to retry".into());
    }
    let mut reasons = RetryOn::empty();
    for word in &words[1..] {
        scope.point_at(word);
        reasons |= match word.text.as_str() {
            "none" if words.len() > 2 => return Err("'retry-on' 'none' keyworld only usable alone".into()),
            "none" => RetryOn::empty(),
            other => RetryOn::named(other).ok_or_else(|| format!("'retry-on': unknown keyword '{other}'"))?,
        };
    }
    scope.settings().retry_on = reasons;
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
    no_more_than(words, 2, 0, &format!("http-reuse {}", arg(words, 1)))?;
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

fn monitor_uri(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let uri = words.get(1).map_or(&[][..], Word::bytes);
    if uri.is_empty() {
        return Err("'monitor-uri' expects an URI.".into());
    }
    scope.settings().monitor_uri = Some(uri.into());
    Ok(())
}

fn dispatch(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    // HAProxy ends this one message with a line of its own.
    let end = if text.is_empty() { "\n" } else { "" };
    let address = address::dispatch(text).map_err(|e| format!("'dispatch' : {e}{end}"))?;
    scope.proxy().dispatch = Some(address);
    Ok(())
}

/// An integer as HAProxy reads those that may be followed by nothing else.
pub(super) fn integer(name: &str, text: &str) -> Result<i32, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    match digits.chars().find(|c| !c.is_ascii_digit()) {
        Some(other) => Err(format!("'{name}' : unexpected character '{other}' in integer value '{text}'")),
        None => Ok(atoi(text)),
    }
}

fn name_header(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("'http-send-name-header' requires a header string.".into());
    }
    scope.settings().name_header = Some(name.to_owned());
    Ok(())
}

fn keep_alive_queue(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'max-keep-alive-queue' expects expects an integer value (or -1 to disable)".into());
    }
    // Less than zero is no limit.
    scope.settings().keep_alive_queue_max = u32::try_from(integer("max-keep-alive-queue", text)?).ok();
    Ok(())
}
