//! `bind` and `stats socket`: addresses and parameters (sections 4.2 and 5.1).

use std::net::SocketAddr;

use nix::unistd::{Group, User};

use super::address::{self, Address, Host, Port, Target};
use super::connection::cannot_open;
use super::draft::{At, BindDraft};
use super::finding::Severity;
use super::scope::{Scope, arg, not_yet};
use super::suggest;
use super::unit::{TimeUnit, atoi, time_ms};
use super::word::Word;
use super::workers;
use crate::proxy::namespace::Namespace;
use crate::proxy::{BindOptions, CliLevel, ListenAddress};
use crate::registry::{self, BindKeyword, Keyword, Sections};
use crate::time::Millis;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "bind",
        sections: Sections::FRONTEND.union(Sections::LISTEN),
        args_max: None,
        parse: bind,
        help: "addresses to listen on",
    },
    Keyword {
        name: "stats socket",
        sections: Sections::GLOBAL,
        args_max: None,
        parse: stats_socket,
        help: "runtime socket",
    },
];

/// Parameters of both.
pub static PARAMETERS: &[BindKeyword] = &[
    row("backlog", 1, backlog),
    row("defer-accept", 0, |b, _| on(&mut b.options.defer_accept)),
    row("expose-fd", 1, expose_fd),
    row("gid", 1, |b, w| numeric(&mut b.options.gid, w)),
    row("group", 1, group),
    row("id", 1, id),
    row("interface", 1, interface),
    row("level", 1, level),
    row("maxconn", 1, maxconn),
    row("mode", 1, mode),
    row("mss", 1, mss),
    row("name", 1, name),
    row("namespace", 1, namespace),
    row("nice", 1, nice),
    row("process", 1, workers::process),
    row("tcp-ut", 1, tcp_ut),
    row("tfo", 0, |b, _| on(&mut b.options.fast_open)),
    row("thread", 1, workers::thread),
    row("transparent", 0, |b, _| on(&mut b.options.transparent)),
    row("uid", 1, |b, w| numeric(&mut b.options.uid, w)),
    row("user", 1, user),
    row("v4v6", 0, v4v6),
    row("v6only", 0, v6only),
];

/// Parameters of HAProxy 2.6 that are not built yet.
const LATER: &[&str] = &[
    "accept-netscaler-cip",
    "accept-proxy",
    "allow-0rtt",
    "alpn",
    "ca-file",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "crt",
    "crt-list",
    "curves",
    "ecdhe",
    "no-sslv3",
    "npn",
    "proto",
    "severity-output",
    "shards",
    "ssl",
    "ssl-max-ver",
    "ssl-min-ver",
    "strict-sni",
    "verify",
];

const fn row(name: &'static str, args: usize, parse: fn(&mut BindDraft, &[Word]) -> Result<(), String>) -> BindKeyword {
    BindKeyword { name, args, parse, help: "see the manual, 5.1" }
}

/// Most ports that one address may name; each of them is a socket.
const SOCKETS_MAX: usize = 65536;

fn bind(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let Some(addresses) = words.get(1).filter(|word| !word.text.is_empty()) else {
        return Err("'bind' expects {<path>|[addr1]:port1[-end1]}{,[addr]:port[-end]}... as arguments.".into());
    };
    scope.point_at(addresses);
    let mut draft = new_bind(scope.at.clone(), &scope.draft.env.expand(&addresses.text), "'bind'")?;
    let kind = scope.proxy().kind.keyword();
    let place = format!("'bind {}' in section '{kind}'", addresses.text);
    let parsed = parameters(scope, &mut draft, &words[2..], |separator, text| format!("{place}{separator}{text}"));
    for text in std::mem::take(&mut draft.warnings) {
        scope.warn(format!("{place} : {text}"));
    }
    parsed?;
    unique_id(scope, &draft, &place)?;
    scope.proxy().binds.push(draft);
    Ok(())
}

/// The addresses on the line of a `frontend` or `listen` section, as versions up to 1.6 allowed them.
///
/// # Errors
/// As a `bind` line with these addresses.
pub fn section_addresses(scope: &mut Scope<'_>, addresses: &Word) -> Result<(), String> {
    scope.point_at(addresses);
    let keyword = format!("'{}'", scope.proxy().kind.keyword());
    let draft = new_bind(scope.at.clone(), &scope.draft.env.expand(&addresses.text), &keyword)?;
    scope.proxy().binds.push(draft);
    Ok(())
}

fn stats_socket(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let Some(addresses) = words.get(2).filter(|word| !word.text.is_empty()) else {
        return Err("'stats socket' in global section expects an address or a path to a UNIX socket".into());
    };
    scope.point_at(addresses);
    // HAProxy names the place twice here.
    let keyword = format!("parsing [{}] : 'stats socket'", scope.at);
    let mut draft =
        new_bind(scope.at.clone(), &scope.draft.env.expand(&addresses.text), &keyword).map_err(|text| text + "\n")?;
    parameters(scope, &mut draft, &words[3..], |separator, text| {
        let text = text.replace("; did you mean", ". Did you mean");
        if separator == " : " { format!("'stats socket' : '{text}'") } else { format!("'stats socket' : {text}") }
    })?;
    draft.warnings.clear();
    scope.draft.global_extra.cli.push(draft);
    Ok(())
}

/// The words of `-S`: an address and its parameters.
///
/// # Errors
/// What is wrong with them, less what was reported to the scope.
pub fn master_socket(scope: &mut Scope<'_>, words: &[Word]) -> Result<BindDraft, String> {
    let text = scope.draft.env.expand(arg(words, 0));
    let mut draft = new_bind(scope.at.clone(), &text, "Cannot create the listener of the master CLI")?;
    // Whoever may start a master may command it.
    draft.level = Some(CliLevel::Admin);
    let parameter = arg(words, 1).to_owned();
    parameters(scope, &mut draft, &words[1.min(words.len())..], |separator, message| match separator {
        " : " => format!("'{text} {parameter}' : '{message}'"),
        _ => format!("'{text} {parameter}' : {message}"),
    })?;
    Ok(draft)
}

fn new_bind(at: At, text: &str, keyword: &str) -> Result<BindDraft, String> {
    let mut addresses = Vec::new();
    // A trailing comma is harmless.
    let list = text.strip_suffix(',').unwrap_or(text);
    for one in list.split(',') {
        let address = address::parse(one, address::BIND).map_err(|e| format!("{keyword} : {}", e.trim_end()))?;
        expand(address, &mut addresses).map_err(|e| format!("{keyword} : {e}"))?;
        if addresses.len() > SOCKETS_MAX {
            return Err(format!("{keyword} : too many listening addresses in '{text}'"));
        }
    }
    Ok(BindDraft {
        text: text.to_owned(),
        at,
        addresses,
        name: None,
        id: None,
        level: None,
        exposes_listeners: false,
        in_thread_group: false,
        processes_max: 1,
        options: BindOptions::default(),
        warnings: Vec::new(),
        troubles: Vec::new(),
    })
}

fn expand(address: Address, into: &mut Vec<ListenAddress>) -> Result<(), String> {
    match address.target {
        Target::Inet { host: Host::Ip(ip), port } => {
            let (low, high) = match port {
                Port::Range(low, high) => (low, high),
                Port::Fixed(port) => (port, port),
                // `bind` demands a port.
                Port::None | Port::Offset(_) => return Err("missing port specification".into()),
            };
            into.extend((low..=high).map(|port| ListenAddress::Ip(SocketAddr::new(ip, port))));
        }
        Target::Inet { host: Host::Name(name, _), .. } => return Err(format!("invalid address: '{name}'")),
        Target::Unix(path) => into.push(ListenAddress::Unix(path)),
        Target::Abstract(name) => into.push(ListenAddress::Abstract(name)),
        Target::Fd(fd) => into.push(ListenAddress::Fd(fd)),
        Target::SocketPair(_) => return Err(not_yet("sockpair@")),
    }
    Ok(())
}

/// Parses the parameters; `wrap` makes a message of a separator (`: ` for an unknown word, ` : ` for a
/// wrong value) and a text.
fn parameters(
    scope: &mut Scope<'_>,
    draft: &mut BindDraft,
    words: &[Word],
    wrap: impl Fn(&str, &str) -> String,
) -> Result<(), String> {
    draft.processes_max = workers::processes_max(scope);
    let mut rest = words;
    while let Some(word) = rest.first() {
        scope.point_at(word);
        let name = word.text.as_str();
        let Some(row) = registry::bind_keyword(name) else {
            if LATER.contains(&name) {
                return Err(wrap(" : ", &not_yet(name)));
            }
            let rows = registry::BIND_KEYWORDS.iter().copied().flatten();
            let suggestion = suggest::nearest(name, rows.map(|row| row.name).chain(LATER.iter().copied()));
            let text = match suggestion {
                Some(meant) => format!("unknown keyword '{name}'; did you mean '{meant}' maybe ?"),
                None => format!("unknown keyword '{name}'."),
            };
            scope.report(Severity::Alert, wrap(": ", &text), suggestion.map(str::to_owned));
            return Ok(());
        };
        let end = (1 + row.args).min(rest.len());
        let parsed = (row.parse)(draft, &rest[..end]).map_err(|text| wrap(" : ", &text));
        for text in draft.troubles.drain(..) {
            scope.findings.alert(text);
        }
        parsed?;
        rest = &rest[end..];
    }
    Ok(())
}

fn unique_id(scope: &mut Scope<'_>, draft: &BindDraft, place: &str) -> Result<(), String> {
    let Some(id) = draft.id else { return Ok(()) };
    match scope.proxy().binds.iter().find(|other| other.id == Some(id)) {
        None => Ok(()),
        Some(other) => {
            Err(format!("{place} : 'id' : custom id {id} already used at {} ('bind {}')", other.at, other.text))
        }
    }
}

fn on(flag: &mut bool) -> Result<(), String> {
    *flag = true;
    Ok(())
}

fn value<'a>(words: &'a [Word], what: &str) -> Result<&'a str, String> {
    match arg(words, 1) {
        "" => Err(format!("'{}' : missing {what}", arg(words, 0))),
        text => Ok(text),
    }
}

fn numeric(field: &mut Option<u32>, words: &[Word]) -> Result<(), String> {
    let text = value(words, "value")?;
    *field = u32::try_from(atoi(text)).ok();
    Ok(())
}

fn not_negative(words: &[Word]) -> Result<u32, String> {
    let n = atoi(value(words, "value")?);
    u32::try_from(n).map_err(|_| format!("'{}' : invalid value {n}, must be >= 0", arg(words, 0)))
}

fn backlog(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let n = not_negative(words).map_err(|text| text.replace(">= 0", "> 0"))?;
    draft.options.backlog = Some(n).filter(|n| *n > 0);
    Ok(())
}

fn maxconn(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    draft.options.maxconn = Some(not_negative(words)?).filter(|n| *n > 0);
    Ok(())
}

fn user(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let name = value(words, "user name")?;
    match User::from_name(name) {
        Ok(Some(user)) => draft.options.uid = Some(user.uid.as_raw()),
        _ => return Err(format!("'user' : unknown user name '{name}'")),
    }
    Ok(())
}

fn group(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let name = value(words, "group name")?;
    match Group::from_name(name) {
        Ok(Some(group)) => draft.options.gid = Some(group.gid.as_raw()),
        _ => return Err(format!("'group' : unknown group name '{name}'")),
    }
    Ok(())
}

fn id(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'id' : expects an integer argument".into());
    }
    let n: i64 = text.parse().map_err(|_| format!("'id' : expects an integer argument, found '{text}'"))?;
    match u32::try_from(n) {
        Ok(n) if n > 0 => {
            if draft.id.replace(n).is_some() {
                let (at, text) = (&draft.at, &draft.text);
                return Err(format!("'id' : custom id {n} already used at {at} ('bind {text}')"));
            }
        }
        _ => return Err("'id' : custom id has to be > 0".into()),
    }
    Ok(())
}

fn interface(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    draft.options.interface = Some(value(words, "interface name")?.to_owned());
    Ok(())
}

fn level(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    draft.level = Some(match arg(words, 1) {
        "user" => CliLevel::User,
        "operator" => CliLevel::Operator,
        "admin" => CliLevel::Admin,
        "" => return Err("'level' : missing level".into()),
        other => return Err(format!("'level' only supports 'user', 'operator', and 'admin' (got '{other}')")),
    });
    Ok(())
}

/// Means something to a `stats socket`, and is accepted for any.
fn expose_fd(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'expose-fd' : missing fd type".into()),
        "listeners" => on(&mut draft.exposes_listeners),
        other => Err(format!("'expose-fd' only supports 'listeners' (got '{other}')")),
    }
}

fn mode(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    match u32::from_str_radix(text, 8) {
        Ok(mode) => draft.options.mode = Some(mode),
        Err(_) => return Err(format!("'mode' : missing or invalid mode '{text}' (octal integer expected)")),
    }
    Ok(())
}

fn mss(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let mss = atoi(value(words, "MSS value")?);
    if mss == 0 || mss.unsigned_abs() > 65535 {
        return Err("'mss' : expects an MSS with and absolute value between 1 and 65535".into());
    }
    draft.options.mss = Some(mss);
    Ok(())
}

fn name(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    draft.name = Some(value(words, "name")?.to_owned());
    Ok(())
}

fn namespace(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let name = value(words, "namespace id")?;
    match Namespace::open(name) {
        Ok(namespace) => draft.options.namespace = Some(namespace),
        Err(_) => {
            draft.troubles.push(format!("{}.", cannot_open(name)));
            return Err("error encountered while processing 'namespace'.".into());
        }
    }
    Ok(())
}

fn nice(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let nice = atoi(value(words, "value")?);
    if !(-1024..=1024).contains(&nice) {
        return Err(format!("'nice' : invalid value {nice}, allowed range is -1024..1024"));
    }
    draft.options.nice = i16::try_from(nice).unwrap_or(0);
    Ok(())
}

fn tcp_ut(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let text = value(words, "TCP User Timeout value")?;
    let ms = time_ms(text, TimeUnit::Ms).map_err(|_| "'tcp-ut' : expects a positive delay in milliseconds")?;
    draft.options.tcp_user_timeout = Some(Millis(u64::from(ms)));
    Ok(())
}

fn v4v6(draft: &mut BindDraft, _: &[Word]) -> Result<(), String> {
    draft.options.v4v6 = true;
    draft.options.v6only = false;
    Ok(())
}

fn v6only(draft: &mut BindDraft, _: &[Word]) -> Result<(), String> {
    draft.options.v6only = true;
    draft.options.v4v6 = false;
    Ok(())
}
