//! `tune.*` of the `global` section (section 3.2).

use super::finding::Severity;
use super::scope::{Scope, arg};
use super::word::Word;
use crate::proxy::Tune;
use crate::registry::{Keyword, Sections};

/// Most header fields that `tune.http.maxhdr` takes.
const MAXHDR_MAX: i32 = 32767;

/// Most events that are taken at a time, whatever is asked for: they have to have room.
const EVENTS_MAX: usize = 1 << 16;

/// What `tune.maxpollevents 0` stands for.
const EVENTS_DEFAULT: usize = 200;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("tune.bufsize", |s, w| positive(s, w, |t| &mut t.bufsize), "bytes of a buffer"),
    row("tune.maxrewrite", maxrewrite, "bytes of a buffer kept for added headers"),
    row("tune.http.maxhdr", maxhdr, "header fields of a message"),
    row("tune.http.logurilen", logurilen, "bytes of the URI in a log line"),
    row("tune.http.cookielen", cookielen, "bytes kept of a captured cookie"),
    row("tune.maxpollevents", maxpollevents, "events taken from the kernel at a time"),
    row("tune.maxaccept", maxaccept, "connections accepted in a row"),
    row("tune.pipesize", pipesize, "bytes of a pipe for splicing"),
    row("tune.rcvbuf.client", |s, w| socket(s, w, |t| &mut t.rcvbuf_client), "receive buffer of client sockets"),
    row("tune.rcvbuf.server", |s, w| socket(s, w, |t| &mut t.rcvbuf_server), "receive buffer of server sockets"),
    row("tune.sndbuf.client", |s, w| socket(s, w, |t| &mut t.sndbuf_client), "send buffer of client sockets"),
    row("tune.sndbuf.server", |s, w| socket(s, w, |t| &mut t.sndbuf_server), "send buffer of server sockets"),
];

const fn row(
    name: &'static str,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections: Sections::GLOBAL, args_max: Some(1), parse, help }
}

fn positive(scope: &mut Scope<'_>, words: &[Word], field: fn(&mut Tune) -> &mut usize) -> Result<(), String> {
    let n = super::global::count(words)?;
    match usize::try_from(n) {
        Ok(n) if n > 0 => *field(&mut scope.global().tune) = n,
        _ => return Err(format!("'{}' expects a positive integer argument.", arg(words, 0))),
    }
    Ok(())
}

fn maxrewrite(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    match usize::try_from(n) {
        Ok(n) => scope.draft.global_extra.maxrewrite = Some(n),
        Err(_) => return Err("'tune.maxrewrite' expects a positive integer argument.".into()),
    }
    Ok(())
}

fn maxhdr(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    if !(1..=MAXHDR_MAX).contains(&n) {
        return Err(format!("'tune.http.maxhdr' expects a numeric value between 1 and {MAXHDR_MAX}"));
    }
    // Within the range just checked.
    scope.global().tune.http_maxhdr = n as usize;
    Ok(())
}

fn logurilen(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    scope.global().tune.http_logurilen = usize::try_from(n).unwrap_or(0);
    Ok(())
}

fn cookielen(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    scope.global().tune.cookie_bytes_max = usize::try_from(n).unwrap_or(0);
    Ok(())
}

fn maxpollevents(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    // HAProxy's own number, where none is named.
    scope.global().tune.events_max =
        usize::try_from(n).ok().filter(|n| *n > 0).unwrap_or(EVENTS_DEFAULT).min(EVENTS_MAX);
    Ok(())
}

fn maxaccept(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    // Negative numbers set no limit.
    scope.global().tune.maxaccept = usize::try_from(n).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
    Ok(())
}

fn pipesize(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = super::global::count(words)?;
    scope.global().tune.pipesize = usize::try_from(n).unwrap_or(0);
    Ok(())
}

fn socket(scope: &mut Scope<'_>, words: &[Word], field: fn(&mut Tune) -> &mut u32) -> Result<(), String> {
    let n = super::global::count(words)?;
    if *field(&mut scope.global().tune) != 0 {
        let text = format!("'{}' already specified. Continuing.", arg(words, 0));
        scope.report(Severity::Complaint, text, None);
        return Ok(());
    }
    *field(&mut scope.global().tune) = u32::try_from(n).unwrap_or(0);
    Ok(())
}
