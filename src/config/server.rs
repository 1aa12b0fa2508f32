//! `server` and `default-server` (sections 4.2 and 5.2).

use std::num::NonZeroU64;

use super::address::{self, Host, Target};
use super::agent;
use super::draft::ServerDraft;
use super::finding::{Place, Severity};
use super::naming;
use super::scope::{Scope, arg, not_yet};
use super::source;
use super::suggest;
use super::unit::{TimeUnit, UnitError, atoi, invalid_char, time_ms};
use super::word::Word;
use crate::proxy::Mode;
use crate::proxy::reaction::{Layer, OnError};
use crate::registry::{self, Keyword, Sections, ServerKeyword};
use crate::time::Millis;

/// Largest weight of a server.
pub const WEIGHT_MAX: i32 = 256;

/// Most servers of one `server-template`: a slip of the pen must not eat all memory.
const TEMPLATE_SERVERS_MAX: i32 = 1_000_000;

/// The rows of this module. Their section check is their own: HAProxy refuses them instead of ignoring them.
pub static ROWS: &[Keyword] = &[
    Keyword { name: "server", sections: Sections::ANY_PROXY, args_max: None, parse: server, help: "a server" },
    Keyword {
        name: "server-template",
        sections: Sections::ANY_PROXY,
        args_max: None,
        parse: template,
        help: "several servers of one kind",
    },
    Keyword {
        name: "default-server",
        sections: Sections::ANY_PROXY,
        args_max: None,
        parse: default_server,
        help: "parameters of the servers that follow",
    },
];

/// Parameters of both.
pub static PARAMETERS: &[ServerKeyword] = &[
    row("addr", 1, addr),
    row("agent-addr", 1, agent::addr),
    row("agent-check", 0, |s, _| put(&mut s.agent_check, true)),
    row("agent-inter", 1, |s, w| delay(s, w).map(|ms| s.agent.inter = ms)),
    row("agent-port", 1, agent::port),
    row("agent-send", 1, agent::send),
    row("backup", 0, |s, _| put(&mut s.backup, true)),
    row("check", 0, |s, _| put(&mut s.check, true)),
    row("cookie", 1, cookie),
    row("disabled", 0, |s, _| put(&mut s.disabled, Some(true))),
    row("downinter", 1, |s, w| delay(s, w).map(|ms| s.settings.downinter = Some(ms))),
    row("enabled", 0, |s, _| put(&mut s.disabled, Some(false))),
    row("error-limit", 1, error_limit),
    row("fall", 1, |s, w| put(&mut s.settings.fall, at_least_one(w)?)),
    row("fastinter", 1, |s, w| delay(s, w).map(|ms| s.settings.fastinter = Some(ms))),
    ServerKeyword { in_default: false, ..row("id", 1, id) },
    row("inter", 1, |s, w| delay(s, w).map(|ms| s.settings.inter = ms)),
    row("maxconn", 1, |s, w| put(&mut s.maxconn, limit(w))),
    row("maxqueue", 1, |s, w| put(&mut s.maxqueue, limit(w))),
    row("minconn", 1, |s, w| put(&mut s.minconn, limit(w))),
    row("no-agent-check", 0, |s, _| put(&mut s.agent_check, false)),
    row("no-backup", 0, |s, _| put(&mut s.backup, false)),
    row("no-check", 0, |s, _| put(&mut s.check, false)),
    row("no-check-ssl", 0, |_, _| Ok(())),
    row("no-ssl", 0, |_, _| Ok(())),
    row("observe", 1, observe),
    row("on-error", 1, on_error),
    row("on-marked-down", 1, on_marked_down),
    row("on-marked-up", 1, on_marked_up),
    row("pool-low-conn", 1, pool_low_conn),
    row("pool-max-conn", 1, pool_max_conn),
    row("pool-purge-delay", 1, pool_purge_delay),
    row("port", 1, port),
    row("proto", 1, proto),
    row("redir", 1, redir),
    row("rise", 1, |s, w| put(&mut s.settings.rise, at_least_one(w)?)),
    row("slowstart", 1, slowstart),
    row("source", 1, source::server),
    row("tcp-ut", 1, tcp_ut),
    row("track", 1, track),
    row("usesrc", 1, |_, _| Err("'usesrc' only allowed after a 'source' statement.".into())),
    row("weight", 1, weight),
];

/// Parameters of HAProxy 2.6 that are not built yet.
const LATER: &[&str] = &[
    "alpn",
    "ca-file",
    "check-alpn",
    "check-sni",
    "check-ssl",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "crt",
    "log-proto",
    "non-stick",
    "npn",
    "sni",
    "ssl",
    "ssl-max-ver",
    "ssl-min-ver",
    "stick",
    "verify",
    "verifyhost",
    "ws",
];

/// Parameters about names that are looked up at the start: servers that come later are too late for that.
const STATIC: &[&str] = &["init-addr", "resolve-net", "resolve-opts", "resolve-prefer", "resolvers"];

pub(super) const fn row(
    name: &'static str,
    args: usize,
    parse: fn(&mut ServerDraft, &[Word]) -> Result<(), String>,
) -> ServerKeyword {
    ServerKeyword { name, args, in_default: true, parse, help: "see the manual, 5.2" }
}

/// Refuses both keywords where there are no servers; `Ok(false)` says that it did.
fn allowed(scope: &mut Scope<'_>, keyword: &str) -> Result<(), String> {
    scope.place = Place::Server;
    let at = scope.at.clone();
    let section = scope.sections();
    if section.intersects(Sections::DEFAULTS) && keyword != "default-server" {
        return Err(format!("'{keyword}' not allowed in 'defaults' section."));
    }
    if section.intersects(Sections::FRONTEND) {
        let name = scope.proxy().name.clone();
        return Err(format!(
            "parsing [{at}] : '{keyword}' not allowed because frontend '{name}' has no backend capability."
        ));
    }
    Ok(())
}

fn server(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    allowed(scope, "server")?;
    let (name, text) = (arg(words, 1), arg(words, 2));
    if name.is_empty() || text.is_empty() {
        return Err("'server' expects <name> and <addr>[:<port>] as arguments.".into());
    }
    scope.point_at(&words[1]);
    if let Some(c) = invalid_char(name) {
        return Err(format!("character '{c}' is not permitted in server name '{name}'."));
    }
    if let Some(draft) = one(scope, name, text, &words[2..])? {
        scope.proxy().servers.push(draft);
    }
    Ok(())
}

/// Servers that differ in the number at the end of their names only. A number of the operator's is the first one's.
fn template(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    allowed(scope, "server-template")?;
    let (prefix, range, text) = (arg(words, 1), arg(words, 2), arg(words, 3));
    if prefix.is_empty() || range.is_empty() || text.is_empty() {
        return Err("'server-template' expects <prefix> <nb | range> <addr>[:<port>] as arguments.".into());
    }
    scope.point_at(&words[1]);
    if let Some(c) = invalid_char(prefix) {
        return Err(format!("character '{c}' is not permitted in server-template prefix '{prefix}'."));
    }
    scope.point_at(&words[2]);
    let (low, high) = match range.split_once('-') {
        Some((low, high)) => (atoi(low), atoi(high)),
        None => (1, atoi(range)),
    };
    if low < 1 || high < low || high - low >= TEMPLATE_SERVERS_MAX {
        return Err(format!("Wrong server-template number or range arg '{range}'."));
    }
    // Errors name a server that has no name yet as HAProxy prints it.
    let Some(mut draft) = one(scope, "(null)", text, &words[3..])? else { return Ok(()) };
    for number in low..=high {
        draft.name = format!("{prefix}{number}");
        scope.proxy().servers.push(draft.clone());
        draft.id = None;
    }
    Ok(())
}

/// A server by its name and its address `text`, which `words` begin with; `None` if a parameter was unknown, which
/// has been reported.
pub(super) fn one(
    scope: &mut Scope<'_>,
    name: &str,
    text: &str,
    words: &[Word],
) -> Result<Option<ServerDraft>, String> {
    let place = format!("'server {}/{name}' : ", scope.proxy().name);
    scope.point_at(&words[0]);
    let text = &scope.draft.env.expand(text);
    let parsed = address::parse(text, address::SERVER).map_err(|e| format!("{place}{e}"))?;
    let mut draft = scope.settings().default_server.clone();
    draft.preset = Vec::new();
    draft.name = name.to_owned();
    draft.at = Some(scope.at.clone());
    draft.address = Some(parsed);
    if !parameters(scope, &mut draft, &words[1..], Line::Server(&place))? {
        return Ok(None);
    }
    contradictions(&draft).map_err(|text| format!("{place}{text}"))?;
    naming::check(&draft, &scope.proxy().name).map_err(|text| format!("{place}{text}"))?;
    unique_id(scope, &draft, &place)?;
    Ok(Some(draft))
}

/// What cannot be true of one server.
pub(super) fn contradictions(draft: &ServerDraft) -> Result<(), String> {
    if draft.check && draft.track.is_some() {
        return Err("unable to enable checks and tracking at the same time!".into());
    }
    if draft.agent_check && draft.agent.port.or(draft.settings.port).is_none() {
        return Err(format!("server {} does not have agent port. Agent check has been disabled.", draft.name));
    }
    Ok(())
}

fn default_server(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    allowed(scope, "default-server")?;
    let mut draft = scope.settings().default_server.clone();
    if parameters(scope, &mut draft, &words[1..], Line::Default)? {
        draft.preset.extend_from_slice(&words[1..]);
        scope.settings().default_server = draft;
    }
    Ok(())
}

/// What parameters stand on.
#[derive(Clone, Copy)]
pub(super) enum Line<'a> {
    /// `default-server`
    Default,
    /// `server`, and how messages about it begin.
    Server(&'a str),
    /// `add server`
    Command,
}

/// Parses the parameters that follow an address; `false` when one was unknown, which has been reported.
pub(super) fn parameters(
    scope: &mut Scope<'_>,
    draft: &mut ServerDraft,
    words: &[Word],
    line: Line<'_>,
) -> Result<bool, String> {
    let place = if let Line::Server(place) = line { place } else { "" };
    let mut rest = words;
    while let Some(word) = rest.first() {
        scope.point_at(word);
        let name = word.text.as_str();
        let Some(row) = registry::server_keyword(name) else {
            if LATER.contains(&name) {
                return Err(format!("{place}{}", not_yet(name)));
            }
            unknown(scope, name, line);
            return Ok(false);
        };
        match line {
            Line::Default if !row.in_default => {
                return Err(format!("'{name}' option is not accepted in default-server sections"));
            }
            Line::Command if STATIC.contains(&name) => {
                return Err(format!("'{name}' option is not accepted for dynamic server"));
            }
            _ => {}
        }
        let end = match name {
            "source" => source::words_of_server(rest),
            _ => (1 + row.args).min(rest.len()),
        };
        (row.parse)(draft, &rest[..end]).map_err(|text| format!("{place}{text}."))?;
        if name == "source" && !source::of_server(scope, draft, &rest[..end], place) {
            return Ok(false);
        }
        rest = &rest[end..];
        if name == "observe" && draft.observe == Some(Layer::Seven) && scope.settings().mode != Mode::Http {
            let text = format!("{place}'layer7' can only be used in http proxies..");
            scope.report(Severity::Complaint, text, None);
        }
    }
    Ok(true)
}

fn unknown(scope: &mut Scope<'_>, name: &str, line: Line<'_>) {
    let place = if let Line::Server(place) = line { place } else { "" };
    let rows = registry::SERVER_KEYWORDS.iter().copied().flatten();
    let suggestion = suggest::nearest(name, rows.map(|row| row.name).chain(LATER.iter().copied()));
    let mut text = match suggestion {
        Some(meant) => format!("{place}unknown keyword '{name}'; did you mean '{meant}' maybe ?"),
        None => format!("{place}unknown keyword '{name}'."),
    };
    if let Line::Default = line {
        text.push_str(" Hint: no address was expected for this server.");
    }
    scope.report(Severity::Alert, text, suggestion.map(str::to_owned));
}

fn unique_id(scope: &mut Scope<'_>, draft: &ServerDraft, place: &str) -> Result<(), String> {
    let Some(id) = draft.id else { return Ok(()) };
    let other = scope.proxy().servers.iter().find(|other| other.id == Some(id));
    match other.and_then(|other| Some((other, other.at.as_ref()?))) {
        None => Ok(()),
        Some((other, at)) => {
            Err(format!("{place}'id' : custom id {id} already used at {at} ('server {}').", other.name))
        }
    }
}

fn put<T>(field: &mut T, value: T) -> Result<(), String> {
    *field = value;
    Ok(())
}

/// How messages name the server: `server s1`, or `server default-server`.
fn subject(draft: &ServerDraft) -> String {
    format!("server {}", if draft.name.is_empty() { "default-server" } else { &draft.name })
}

fn delay(draft: &ServerDraft, words: &[Word]) -> Result<Millis, String> {
    let (keyword, text) = (arg(words, 0), arg(words, 1));
    if text.is_empty() {
        return Err(format!("'{keyword}' expects a delay as argument."));
    }
    let of = subject(draft);
    let ms = time_ms(text, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(c) => {
            // HAProxy names the agent's interval here, whichever it is.
            format!("unexpected character '{c}' in 'agent-inter' argument of {of}.")
        }
        _ => format!(
            "timer overflow in argument <{text}> to <{keyword}> of {of}, maximum value is 2147483647 ms (~24.8 days)."
        ),
    })?;
    if ms == 0 {
        return Err(format!("invalid value 0 for argument '{keyword}' of {of}."));
    }
    Ok(Millis(u64::from(ms)))
}

fn at_least_one(words: &[Word]) -> Result<u32, String> {
    let (keyword, text) = (arg(words, 0), arg(words, 1));
    if text.is_empty() {
        return Err(format!("'{keyword}' expects an integer argument."));
    }
    match u32::try_from(atoi(text)) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("'{keyword}' has to be > 0.")),
    }
}

/// A limit; none when it is zero or not written.
fn limit(words: &[Word]) -> Option<u32> {
    u32::try_from(atoi(arg(words, 1))).ok().filter(|n| *n > 0)
}

fn addr(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'addr' expects <ipv4|ipv6> as argument.".into());
    }
    let allowed = address::Allowed { resolve: true, ..address::SERVER };
    let parsed = address::parse(text, allowed).map_err(|e| format!("'addr' : {}", e.trim_end()))?;
    let Target::Inet { host: Host::Ip(ip), port } = parsed.target else {
        return Err(not_yet("addr of another kind than IPv4 or IPv6"));
    };
    draft.settings.addr = Some(ip);
    if let address::Port::Fixed(port) = port {
        draft.settings.port = Some(port).filter(|port| *port > 0).or(draft.settings.port);
    }
    Ok(())
}

fn cookie(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'cookie' expects <value> as argument.".into()),
        value => put(&mut draft.cookie, Some(value.to_owned())),
    }
}

fn id(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'id' : expects an integer argument".into());
    }
    match u32::try_from(atoi(text)) {
        Ok(id) if id > 0 => put(&mut draft.id, Some(id)),
        _ => Err("'id' : custom id has to be > 0".into()),
    }
}

fn error_limit(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'error-limit' expects an integer argument.".into());
    }
    match u64::try_from(atoi(text)).ok().and_then(NonZeroU64::new) {
        Some(limit) => put(&mut draft.error_limit, Some(limit)),
        None => Err("error-limit has to be > 0.".into()),
    }
}

fn observe(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'observe' expects <mode> as argument.".into()),
        "none" => put(&mut draft.observe, None),
        "layer4" => put(&mut draft.observe, Some(Layer::Four)),
        "layer7" => put(&mut draft.observe, Some(Layer::Seven)),
        other => Err(format!("'observe' expects one of 'none', 'layer4', 'layer7' but got '{other}'")),
    }
}

fn on_error(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let chosen = match arg(words, 1) {
        "fastinter" => OnError::Fastinter,
        "fail-check" => OnError::FailCheck,
        "sudden-death" => OnError::SuddenDeath,
        "mark-down" => OnError::MarkDown,
        other => {
            return Err(format!(
                "'on-error' expects one of 'fastinter', 'fail-check', 'sudden-death' or 'mark-down' but got '{other}'"
            ));
        }
    };
    put(&mut draft.on_error, chosen)
}

fn on_marked_down(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    put(&mut draft.ends_sessions_when_down, the_only(words, "shutdown-sessions")?)
}

fn on_marked_up(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    put(&mut draft.ends_backup_sessions_when_up, the_only(words, "shutdown-backup-sessions")?)
}

/// A keyword that knows one word.
fn the_only(words: &[Word], word: &str) -> Result<bool, String> {
    match arg(words, 1) {
        written if written == word => Ok(true),
        other => Err(format!("'{}' expects '{word}' but got '{other}'", arg(words, 0))),
    }
}

fn pool_low_conn(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'pool-low-conn' expects <value> as argument.".into());
    }
    match u32::try_from(atoi(text)) {
        Ok(n) => put(&mut draft.pool_low_conn, n),
        // Negative numbers stand for none.
        Err(_) => put(&mut draft.pool_low_conn, 0),
    }
}

fn pool_max_conn(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'pool-max-conn' expects <value> as argument.".into());
    }
    match atoi(text) {
        -1 => put(&mut draft.pool_max_conn, None),
        n => match u32::try_from(n) {
            Ok(n) => put(&mut draft.pool_max_conn, Some(n)),
            Err(_) => Err("'pool-max-conn' must be >= -1".into()),
        },
    }
}

fn pool_purge_delay(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'pool-purge-delay' expects <value> as argument.".into());
    }
    let ms = time_ms(text, TimeUnit::Ms)
        .map_err(|error| error.argument(text, "<pool-purge-delay>", "<pool-purge-delay>"))?;
    put(&mut draft.pool_purge_delay, Some(Millis(u64::from(ms))))
}

fn port(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'port' expects a port number as argument.".into());
    }
    // As in HAProxy, only the low sixteen bits count.
    draft.settings.port = Some(atoi(text) as u16).filter(|port| *port > 0);
    Ok(())
}

fn redir(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'redir' expects <prefix> as argument.".into()),
        prefix => put(&mut draft.redirect, Some(prefix.to_owned())),
    }
}

fn tcp_ut(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'tcp-ut' : missing TCP User Timeout value".into());
    }
    let ms = time_ms(text, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(_) => "'tcp-ut' : expects a positive delay in milliseconds".to_owned(),
        _ => error.timer(text, "'tcp-ut'"),
    })?;
    put(&mut draft.user_timeout, (ms > 0).then_some(Millis(u64::from(ms))))
}

fn proto(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'proto' : missing value".into()),
        name @ ("h1" | "none") => put(&mut draft.proto, Some(name.to_owned())),
        name @ ("h2" | "fcgi") => Err(not_yet(&format!("proto {name}"))),
        name => Err(format!("'proto' :  unknown MUX protocol '{name}'")),
    }
}

fn slowstart(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    let of = subject(draft);
    let ms = time_ms(text, TimeUnit::Ms).map_err(|error| match error {
        // HAProxy's message ends where the word does.
        UnitError::Unexpected(_) if text.is_empty() => "unexpected character '".to_owned(),
        UnitError::Unexpected(c) => format!("unexpected character '{c}' in 'slowstart' argument of {of}."),
        UnitError::Overflow => format!(
            "overflow in argument <{text}> to <slowstart> of {of}, maximum value is 2147483647 ms (~24.8 days)."
        ),
        UnitError::Underflow => {
            format!("underflow in argument <{text}> to <slowstart> of {of}, minimum non-null value is 1 ms.")
        }
    })?;
    put(&mut draft.slowstart_s, u64::from(ms.div_ceil(1000)))
}

fn track(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'track' expects [<proxy>/]<server> as argument.".into()),
        name => put(&mut draft.track, Some(name.to_owned())),
    }
}

fn weight(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let n = atoi(arg(words, 1));
    if !(0..=WEIGHT_MAX).contains(&n) {
        let of = subject(draft);
        return Err(format!("weight of {of} is not within 0 and {WEIGHT_MAX} ({n})."));
    }
    // Within the range just checked.
    draft.weight = Some(n as u32);
    Ok(())
}
