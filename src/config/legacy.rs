//! What older configurations say and HAProxy 2.6 refuses: keywords that are read as versions 1.5 to 2.4 read
//! them, with their deprecation warnings, and what `-c -V` tells about each such line: since when HAProxy
//! refuses it, and its modern form.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::draft::Settings;
use super::finding::{Finding, Place, Severity};
use super::options::parse_network;
use super::rules::keep;
use super::scope::{Scope, arg, no_more_than};
use super::unit::{TimeUnit, UnitError};
use super::word::Word;
use crate::proxy::backend::Redispatch;
use crate::registry::{Keyword, Sections, row};
use crate::time::Millis;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("contimeout", BOTH, old_timeout, "older form of timeout connect"),
    row("clitimeout", BOTH, old_timeout, "older form of timeout client"),
    row("srvtimeout", BOTH, old_timeout, "older form of timeout server"),
    row("redispatch", Sections::SERVER_SIDE, redispatch, "older form of option redispatch"),
    row("grace", BOTH, grace, "how long a soft stop leaves the proxy alone"),
    row("monitor-net", Sections::CLIENT_SIDE, monitor_net, "clients that are answered at once"),
    row("block", PROXIES, |s, w| filter(s, w, "block"), "older form of http-request deny"),
    row("reqadd", PROXIES, |s, w| filter(s, w, "reqadd"), ADD),
    row("reqallow", PROXIES, |s, w| filter(s, w, "reqallow"), DECIDE),
    row("reqdel", PROXIES, |s, w| filter(s, w, "reqdel"), DELETE),
    row("reqdeny", PROXIES, |s, w| filter(s, w, "reqdeny"), DECIDE),
    row("reqiallow", PROXIES, |s, w| filter(s, w, "reqiallow"), DECIDE),
    row("reqidel", PROXIES, |s, w| filter(s, w, "reqidel"), DELETE),
    row("reqideny", PROXIES, |s, w| filter(s, w, "reqideny"), DECIDE),
    row("reqipass", PROXIES, |s, w| filter(s, w, "reqipass"), DECIDE),
    row("reqirep", PROXIES, |s, w| filter(s, w, "reqirep"), REPLACE),
    row("reqisetbe", CLIENTS, |s, w| filter(s, w, "reqisetbe"), SWITCH),
    row("reqitarpit", PROXIES, |s, w| filter(s, w, "reqitarpit"), DECIDE),
    row("reqpass", PROXIES, |s, w| filter(s, w, "reqpass"), DECIDE),
    row("reqrep", PROXIES, |s, w| filter(s, w, "reqrep"), REPLACE),
    row("reqsetbe", CLIENTS, |s, w| filter(s, w, "reqsetbe"), SWITCH),
    row("reqtarpit", PROXIES, |s, w| filter(s, w, "reqtarpit"), DECIDE),
    row("rspadd", PROXIES, |s, w| filter(s, w, "rspadd"), ADD),
    row("rspdel", PROXIES, |s, w| filter(s, w, "rspdel"), DELETE),
    row("rspdeny", PROXIES, |s, w| filter(s, w, "rspdeny"), DECIDE),
    row("rspidel", PROXIES, |s, w| filter(s, w, "rspidel"), DELETE),
    row("rspideny", PROXIES, |s, w| filter(s, w, "rspideny"), DECIDE),
    row("rspirep", PROXIES, |s, w| filter(s, w, "rspirep"), REPLACE),
    row("rsprep", PROXIES, |s, w| filter(s, w, "rsprep"), REPLACE),
    row("debug", Sections::GLOBAL, debug, "stay in the foreground and show each exchange, as -d"),
    row("tune.chksize", Sections::GLOBAL, chksize, "bytes that a check looks at"),
];

const BOTH: Sections = Sections::ANY_PROXY;
const PROXIES: Sections = Sections::PROXIES;
const CLIENTS: Sections = Sections::FRONTEND.union(Sections::LISTEN);

const ADD: &str = "older form of add-header";
const DECIDE: &str = "accept or refuse messages by their lines";
const DELETE: &str = "older form of del-header";
const REPLACE: &str = "rewrite lines of messages";
const SWITCH: &str = "choose a backend by the lines of requests";

/// What is known of something that HAProxy refuses today.
struct Dated {
    /// The keyword, or what stands for a form of line.
    name: &'static str,
    /// The first version that refuses it.
    since: &'static str,
    /// How it is written now: `$1` is the line's first argument, `$*` all of them. Empty where it never had an
    /// effect.
    modern: &'static str,
    /// What versions before that one warned with; `None` where none did.
    warning: Warning,
}

/// How a keyword was deprecated.
enum Warning {
    /// In these words.
    Said(&'static str),
    /// These, too, but in the form of messages about words.
    SaidOfWords(&'static str),
    /// No version said a word that is known: epoxy's own, in HAProxy's form.
    Ours,
    /// Another part of the program speaks, or nothing is said.
    None,
}

const fn dated(name: &'static str, since: &'static str, modern: &'static str) -> Dated {
    Dated { name, since, modern, warning: Warning::Ours }
}

const fn said(name: &'static str, since: &'static str, modern: &'static str, text: &'static str) -> Dated {
    Dated { name, since, modern, warning: Warning::Said(text) }
}

const fn silent(name: &'static str, since: &'static str, modern: &'static str) -> Dated {
    Dated { name, since, modern, warning: Warning::None }
}

const REQ_REPLACE: &str = "http-request replace-path', 'http-request replace-uri' or 'http-request replace-header";
const SETBE: &str = "The 'reqsetbe' directive is now deprecated in favor of the more efficient 'use_backend' which uses a \
                     different but more powerful syntax. Future versions will not support 'reqsetbe' anymore, you should \
                     convert it now!";
const ISETBE: &str = "The 'reqisetbe' directive is now deprecated in favor of the more efficient 'use_backend' which uses a \
                     different but more powerful syntax. Future versions will not support 'reqisetbe' anymore, you should \
                     convert it now!";

/// All of it.
static DATED: &[Dated] = &[
    said(
        "contimeout",
        "2.1",
        "timeout connect $1",
        "the 'contimeout' directive is now deprecated in favor of 'timeout connect', and will not be supported in future \
         versions.",
    ),
    said(
        "clitimeout",
        "2.1",
        "timeout client $1",
        "the 'clitimeout' directive is now deprecated in favor of 'timeout client', and will not be supported in future \
         versions.",
    ),
    said(
        "srvtimeout",
        "2.1",
        "timeout server $1",
        "the 'srvtimeout' directive is now deprecated in favor of 'timeout server', and will not be supported in future \
         versions.",
    ),
    Dated {
        name: "redispatch",
        since: "2.1",
        modern: "option redispatch",
        warning: Warning::SaidOfWords(
            "keyword 'redispatch' is deprecated in favor of 'option redispatch', and will not be supported by future \
             versions.",
        ),
    },
    said(
        "block",
        "2.1",
        "http-request deny $*",
        "The 'block' directive is now deprecated in favor of 'http-request deny' which uses the exact same syntax. The \
         rules are translated but support might disappear in a future version.",
    ),
    dated("grace", "2.5", "grace $1' in the 'global"),
    dated("monitor-net", "2.4", "http-request return status 200 if { src $1 }"),
    dated("mode health", "2.4", "http-request return status 200"),
    dated("debug", "2.4", "the command line's '-d"),
    dated("tune.chksize", "2.6", "tune.bufsize $1"),
    dated("option forceclose", "2.0", "option httpclose"),
    dated("option http-tunnel", "2.1", "option http-keep-alive"),
    dated("option http_proxy", "2.5", "http-request do-resolve', 'http-request set-dst' and 'http-request set-uri"),
    dated("reqadd", "2.1", "http-request add-header"),
    dated("reqallow", "2.1", "http-request allow"),
    dated("reqdel", "2.1", "http-request del-header"),
    dated("reqdeny", "2.1", "http-request deny"),
    dated("reqiallow", "2.1", "http-request allow"),
    dated("reqidel", "2.1", "http-request del-header"),
    dated("reqideny", "2.1", "http-request deny"),
    dated("reqipass", "2.1", ""),
    dated("reqirep", "2.1", "http-request replace-header"),
    dated("reqitarpit", "2.1", "http-request tarpit"),
    dated("reqpass", "2.1", ""),
    dated("reqrep", "2.1", REQ_REPLACE),
    dated("reqtarpit", "2.1", "http-request tarpit"),
    said("reqsetbe", "1.6", "use_backend $2", SETBE),
    said("reqisetbe", "1.6", "use_backend $2", ISETBE),
    dated("rspadd", "2.1", "http-response add-header"),
    dated("rspdel", "2.1", "http-response del-header"),
    dated("rspdeny", "2.1", "http-response deny"),
    dated("rspidel", "2.1", "http-response del-header"),
    dated("rspideny", "2.1", "http-response deny"),
    dated("rspirep", "2.1", "http-response replace-header"),
    dated("rsprep", "2.1", "http-response replace-header"),
    silent("appsession", "1.6", "cookie' or 'stick on"),
    silent("nbproc", "2.5", "nbthread $1"),
    silent("addresses on the section line", "1.7", "bind $2"),
];

/// Notes that HAProxy refuses the present line, which is a case of `name`; warns of the first line of each name.
pub fn note(scope: &mut Scope<'_>, words: &[Word], name: &'static str) {
    let Some(dated) = DATED.iter().find(|dated| dated.name == name) else { return };
    let line: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let modern = match dated.modern {
        "" => "it never had an effect and can be removed".to_owned(),
        form => format!("the modern form is '{}'", filled(form, words)),
    };
    let text = format!("'{}' is refused by HAProxy since version {}; {modern}.", line.join(" "), dated.since);
    scope.draft.dated.push(Finding {
        place: Place::Keyword,
        file: Rc::clone(&scope.at.file),
        line: scope.at.line,
        column: words.first().map_or(0, |word| word.column),
        suggestion: (!dated.modern.is_empty()).then(|| filled(&unquoted(dated.modern), words)),
        refused_since: Some(dated.since),
        source: Some(Rc::clone(&scope.source)),
        ..Finding::general(Severity::Notice, text)
    });
    if matches!(dated.warning, Warning::None) || !scope.draft.warned_of.insert(name) {
        return;
    }
    let pointed = (scope.column, scope.end);
    if let Some(keyword) = words.first() {
        scope.point_at(keyword);
    }
    match dated.warning {
        Warning::Said(text) => scope.warn(text),
        Warning::SaidOfWords(text) => {
            let place = std::mem::replace(&mut scope.place, Place::Reader);
            scope.warn(text);
            scope.place = place;
        }
        _ => {
            let favor = dated.modern.split(" $").next().unwrap_or_default();
            let favor = favor.split(" if ").next().unwrap_or_default();
            let favor = if favor.is_empty() { String::new() } else { format!(" in favor of '{favor}'") };
            scope.warn(format!(
                "The '{name}' directive is deprecated{favor}, and HAProxy does not support it anymore since version {}.",
                dated.since
            ));
        }
    }
    (scope.column, scope.end) = pointed;
}

/// A modern form without the quotes that end one word of a sentence and begin the next.
fn unquoted(form: &str) -> String {
    form.replace("',", ",").replace("' ", " ").replace(" '", " ")
}

/// A modern form with the line's own arguments.
fn filled(form: &str, words: &[Word]) -> String {
    let quoted = |word: &Word| match word.text.contains([' ', '"', '\'', '\\', '#']) {
        true => word.text.replace('\\', "\\\\").replace(' ', "\\ ").replace('#', "\\#"),
        false => word.text.clone(),
    };
    let arguments: Vec<String> = words.iter().skip(1).map(quoted).collect();
    let nth = |index: usize| arguments.get(index).map_or("", String::as_str);
    form.replace("$*", &arguments.join(" ")).replace("$1", nth(0)).replace("$2", nth(1))
}

/// The names of timeouts before version 1.3.14: alone on a line, or after `timeout`.
pub(super) fn old_timeout(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (name, field): (&'static str, fn(&mut Settings) -> &mut Option<Millis>) = match arg(words, 0) {
        "contimeout" => ("contimeout", |s| &mut s.server_timeouts.connect),
        "clitimeout" => ("clitimeout", |s| &mut s.client_timeouts.client),
        _ => ("srvtimeout", |s| &mut s.server_timeouts.server),
    };
    let value = arg(words, 1);
    if value.is_empty() {
        return Err(format!("'{name}' expects an integer value (in milliseconds)"));
    }
    let ms = scope.time_ms(value, TimeUnit::Ms).map_err(|error| error.timer(value, &format!("'{name}'")))?;
    no_more_than(words, 2, 0, name)?;
    note(scope, words, name);
    *field(scope.settings()) = (ms > 0).then_some(Millis(u64::from(ms)));
    Ok(())
}

fn redispatch(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 1, 0, "redispatch")?;
    note(scope, words, "redispatch");
    scope.settings().redispatch = Redispatch::Last;
    Ok(())
}

fn grace(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let value = arg(words, 1);
    if value.is_empty() {
        return Err("'grace' expects a time in milliseconds.".into());
    }
    no_more_than(words, 2, 0, "grace")?;
    let ms = scope.time_ms(value, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(c) => format!("unexpected character '{c}' in grace time."),
        other => other.timer(value, "grace time"),
    })?;
    note(scope, words, "grace");
    scope.settings().grace = (ms > 0).then_some(Millis(u64::from(ms)));
    Ok(())
}

fn monitor_net(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "monitor-net")?;
    let Some((address, bits)) = ipv4_network(arg(words, 1)) else {
        return Err("'monitor-net' expects address[/mask].".into());
    };
    note(scope, words, "monitor-net");
    // 1.5 took the last one, without a word about the others: who names several means all of them.
    scope.settings().monitor_nets.push((address, bits));
    Ok(())
}

fn ipv4_network(text: &str) -> Option<(Ipv4Addr, u8)> {
    match parse_network(text)? {
        (IpAddr::V4(address), bits) => Some((address, bits)),
        (IpAddr::V6(_), _) => None,
    }
}

fn filter(scope: &mut Scope<'_>, words: &[Word], name: &'static str) -> Result<(), String> {
    note(scope, words, name);
    keep(scope, words, name)
}

fn debug(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 1, 0, "debug")?;
    note(scope, words, "debug");
    scope.global().debug = true;
    Ok(())
}

fn chksize(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    no_more_than(words, 2, 0, "tune.chksize")?;
    let bytes = usize::try_from(n).ok().filter(|bytes| *bytes > 0);
    scope.global().tune.check_bytes = Some(bytes.ok_or("'tune.chksize' expects a positive integer argument.")?);
    note(scope, words, "tune.chksize");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn modern_forms_take_the_arguments_over() {
        let words: Vec<Word> = ["block", "if", "a b", "c"].into_iter().map(Word::from).collect();
        assert_eq!(filled("http-request deny $*", &words), "http-request deny if a\\ b c");
        assert_eq!(filled("x $1 $2", &words[..2]), "x if ");
    }

    #[test]
    fn each_keyword_is_warned_of_once_and_noted_each_time() {
        let text = "defaults\n contimeout 5\n contimeout 6\n timeout contimeout 7\nbackend b\n redispatch\n";
        let loaded = load_text("a.cfg", text);
        let warnings = loaded.findings.iter().filter(|f| f.text.contains("deprecated")).count();
        let notes: Vec<String> = loaded.dated.iter().map(Finding::message).collect();
        assert_eq!((warnings, notes.len()), (2, 4), "{notes:?}");
        assert_eq!(
            notes[2],
            "config : parsing [a.cfg:4] : 'contimeout 7' is refused by HAProxy since version 2.1; the modern form is \
             'timeout connect 7'."
        );
    }

    #[test]
    fn every_row_has_its_dates() {
        for row in ROWS {
            assert!(DATED.iter().any(|dated| dated.name == row.name), "{}", row.name);
        }
    }
}
