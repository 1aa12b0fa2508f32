//! Keywords of the `global` section but for `tune.*`, `log` and `stats` (chapter 3).

use nix::unistd::{Group, User};

use super::finding::{Place, Severity};
use super::scope::{Prefix, Scope, arg};
use super::unit::{TimeUnit, UnitError, atoi, atol, os_error};
use super::word::Word;
use crate::proxy::Global;
use crate::proxy::global::CloseSpread;
use crate::registry::{Keyword, Sections};
use crate::time::Millis;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("daemon", Some(0), |s, _| put(&mut s.global().daemon, true), "run in the background"),
    row("maxconn", Some(1), |s, w| limit(s, w, |g| &mut g.maxconn), "connections of the whole service"),
    row("maxconnrate", Some(1), |s, w| limit(s, w, |g| &mut g.maxconnrate), "new connections a second"),
    row("maxsessrate", Some(1), |s, w| limit(s, w, |g| &mut g.maxsessrate), "new sessions a second"),
    row("ulimit-n", Some(1), ulimit_n, "descriptors of the process"),
    row("user", Some(1), user, "user to become after binding"),
    row("uid", Some(1), uid, "user id to become after binding"),
    row("group", Some(1), group, "group to become after binding"),
    row("gid", Some(1), gid, "group id to become after binding"),
    row("chroot", Some(1), chroot, "directory to confine the process to"),
    row("pidfile", Some(1), pidfile, "file for the process ids"),
    row("node", Some(1), node, "name shown by the statistics"),
    row("description", None, description, "text shown by the statistics"),
    row("localpeer", Some(1), localpeer, "name of this node among peers"),
    row("spread-checks", Some(1), spread_checks, "jitter of check intervals in percent"),
    row("max-spread-checks", Some(1), max_spread_checks, "most time over which first checks are spread"),
    row("hard-stop-after", None, hard_stop_after, "longest time that a soft stop may take"),
    row("grace", None, grace, "delay before a soft stop"),
    row("close-spread-time", None, close_spread_time, "time over which a soft stop closes connections"),
    row("nosplice", Some(0), |s, _| put(&mut s.global().nosplice, true), "never use splice"),
    row("maxpipes", Some(1), maxpipes, "pipes for splicing"),
    row("setenv", None, setenv, "set an environment variable"),
    row("presetenv", None, setenv, "set an environment variable unless it is set"),
    row("unsetenv", None, unsetenv, "remove environment variables"),
    row("resetenv", None, resetenv, "keep only some environment variables"),
    row("set-dumpable", Some(0), |s, _| switch(s, |g| &mut g.set_dumpable), "allow core dumps"),
    row(
        "insecure-fork-wanted",
        Some(0),
        |s, _| switch(s, |g| &mut g.insecure_fork_wanted),
        "allow the process to fork",
    ),
    row(
        "insecure-setuid-wanted",
        Some(0),
        |s, _| switch(s, |g| &mut g.insecure_setuid_wanted),
        "allow set-uid programs below",
    ),
    row("quiet", Some(0), |s, _| switch(s, |g| &mut g.quiet), "print no messages at start"),
    row("carry-over", Some(0), carry_over, "counters and states of servers outlive a reload"),
    row("fd-hard-limit", Some(1), fd_hard_limit, "most descriptors of the process"),
    row("zero-warning", Some(0), |s, _| switch(s, |g| &mut g.zero_warning), "do not start after a warning"),
    row("busy-polling", Some(0), |s, _| switch(s, |g| &mut g.busy_polling), "never sleep"),
    row("noepoll", Some(0), |_, _| Err(NO_EPOLL.into()), "do not wait with epoll (refused)"),
    row("nogetaddrinfo", Some(0), |_, _| Err(NO_RESOLVER.into()), "do not resolve with getaddrinfo (refused)"),
    // What these are to do without is never used.
    row("nopoll", Some(0), |_, _| Ok(()), "do not wait with poll"),
    row("nokqueue", Some(0), |_, _| Ok(()), "do not wait with kqueue"),
    row("noevports", Some(0), |_, _| Ok(()), "do not wait with event ports"),
    row("strict-limits", Some(0), strict_limits, "limits that cannot be had are fatal"),
];

/// Words about what cannot be done without.
const NO_EPOLL: &str = "'noepoll' leaves no polling system: epoll is the only one in this version of epoxy.";
const NO_RESOLVER: &str = "'nogetaddrinfo' leaves no resolver: getaddrinfo() is the only one in this version of epoxy.";

const fn row(
    name: &'static str,
    args_max: Option<usize>,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections: Sections::GLOBAL, args_max, parse, help }
}

fn put<T>(field: &mut T, value: T) -> Result<(), String> {
    *field = value;
    Ok(())
}

/// A switch that is off unless written, and off again after `no`.
fn switch(scope: &mut Scope<'_>, field: fn(&mut Global) -> &mut bool) -> Result<(), String> {
    let on = scope.prefix == Prefix::None;
    put(field(scope.global()), on)
}

/// On unless `no` stands before it.
fn strict_limits(scope: &mut Scope<'_>, _: &[Word]) -> Result<(), String> {
    let lenient = scope.prefix == Prefix::No;
    put(&mut scope.global().lenient_limits, lenient)
}

/// On unless `no` stands before it. Not in HAProxy, where nothing outlives a reload without a state file.
fn carry_over(scope: &mut Scope<'_>, _: &[Word]) -> Result<(), String> {
    let on = scope.prefix != Prefix::No;
    put(&mut scope.global().carry_over, on)
}

/// The argument of a keyword that counts something.
pub(super) fn count(words: &[Word]) -> Result<i32, String> {
    match arg(words, 1) {
        "" => Err(format!("'{}' expects an integer argument.", arg(words, 0))),
        text => Ok(atoi(text)),
    }
}

/// A limit of the whole service, which counts once; zero leaves it to the limit of descriptors, or takes it away.
fn limit(scope: &mut Scope<'_>, words: &[Word], field: fn(&mut Global) -> &mut Option<u32>) -> Result<(), String> {
    if field(scope.global()).is_some() {
        return already(scope, &format!("'{}' already specified. Continuing.", arg(words, 0)));
    }
    let n = count(words)?;
    put(field(scope.global()), u32::try_from(n).ok().filter(|n| *n > 0))
}

fn ulimit_n(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = count(words)?;
    scope.global().ulimit_n = u64::try_from(n).ok().filter(|n| *n > 0);
    Ok(())
}

fn fd_hard_limit(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.global().fd_hard_limit.is_some() {
        return already(scope, "'fd-hard-limit' already specified. Continuing.");
    }
    let n = count(words)?;
    // Zero is no limit, and one below zero allows more than there ever are.
    scope.global().fd_hard_limit = (n != 0).then(|| u64::try_from(n).unwrap_or(u64::MAX));
    Ok(())
}

/// Root counts as not set, as in HAProxy.
fn is_set(id: Option<u32>) -> bool {
    id.is_some_and(|id| id != 0)
}

fn user(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if is_set(scope.global().uid) {
        return already(scope, "user/uid already specified. Continuing.");
    }
    let name = arg(words, 1);
    match User::from_name(name) {
        Ok(Some(user)) => put(&mut scope.global().uid, Some(user.uid.as_raw())),
        other => Err(format!("cannot find user id for '{name}' ({})", lookup_error(other.err()))),
    }
}

fn group(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if is_set(scope.global().gid) {
        return already(scope, "gid/group was already specified. Continuing.");
    }
    let name = arg(words, 1);
    match Group::from_name(name) {
        Ok(Some(group)) => put(&mut scope.global().gid, Some(group.gid.as_raw())),
        other => Err(format!("cannot find group id for '{name}' ({})", lookup_error(other.err()))),
    }
}

pub(super) fn lookup_error(errno: Option<nix::errno::Errno>) -> String {
    let errno = errno.map_or(0, |errno| errno as i32);
    format!("{errno}:{}", os_error(errno))
}

/// HAProxy reports a repeated setting as an error that does not stop it; here it stops nothing either.
fn already(scope: &mut Scope<'_>, text: &str) -> Result<(), String> {
    scope.report(Severity::Complaint, text.to_owned(), None);
    Ok(())
}

fn uid(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if is_set(scope.global().uid) {
        return already(scope, "user/uid already specified. Continuing.");
    }
    let id = numeric_id(scope, words, "user")?;
    put(&mut scope.global().uid, id)
}

fn gid(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if is_set(scope.global().gid) {
        return already(scope, "group/gid already specified. Continuing.");
    }
    let id = numeric_id(scope, words, "group")?;
    put(&mut scope.global().gid, id)
}

fn numeric_id(scope: &mut Scope<'_>, words: &[Word], named: &str) -> Result<Option<u32>, String> {
    let (keyword, text) = (arg(words, 0), arg(words, 1));
    if text.is_empty() {
        return Err(format!("'{keyword}' expects an integer argument."));
    }
    if text.parse::<u32>().is_err() {
        scope.warn(format!(
            " {keyword}: string '{text}' is not a number.\n   | You might want to use the '{named}' parameter to use \
             a system {named} name."
        ));
        return Ok(None);
    }
    Ok(text.parse().ok())
}

fn chroot(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.global().chroot.is_some() {
        return already(scope, "'chroot' already specified. Continuing.");
    }
    match arg(words, 1) {
        "" => Err("'chroot' expects a directory as an argument.".into()),
        path => put(&mut scope.global().chroot, Some(path.into())),
    }
}

fn pidfile(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.global().pidfile.is_some() {
        return already(scope, "'pidfile' already specified. Continuing.");
    }
    match arg(words, 1) {
        "" => Err("'pidfile' expects a file name as an argument.".into()),
        path => put(&mut scope.global().pidfile, Some(path.into())),
    }
}

fn node(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        scope.place = Place::Reader;
        return Err("'node' requires valid node name - non-empty string with digits(0-9), letters(A-Z, a-z), dot(.), \
                    hyphen(-) or underscode(_)."
            .into());
    }
    put(&mut scope.global().node, Some(name.to_owned()))
}

/// The words of a description, joined by single blanks.
pub(super) fn text_of(scope: &mut Scope<'_>, words: &[Word]) -> Result<String, String> {
    if words.len() < 2 {
        scope.place = Place::Reader;
        return Err(format!("'{}' expects a string argument.", arg(words, 0)));
    }
    Ok(words[1..].iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "))
}

fn description(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = text_of(scope, words)?;
    put(&mut scope.global().description, Some(text))
}

fn localpeer(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("'localpeer' expects a name as an argument.".into());
    }
    scope.draft.env.set("HAPROXY_LOCALPEER", name.as_bytes());
    put(&mut scope.global().local_peer, Some(name.to_owned()))
}

fn spread_checks(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.place = Place::Reader;
    if scope.draft.global_extra.spread_checks_given {
        return already(scope, "spread-checks already specified. Continuing.");
    }
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'spread-checks' expects an integer argument (0..50).".into());
    }
    match u32::try_from(atol(text)).ok().filter(|n| *n <= 50) {
        Some(n) => {
            scope.draft.global_extra.spread_checks_given = true;
            put(&mut scope.global().spread_checks, n)
        }
        None => Err("'spread-checks' needs a positive value in range 0..50.".into()),
    }
}

fn max_spread_checks(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.place = Place::Reader;
    let text = arg(words, 1);
    if text.is_empty() {
        // HAProxy gives the range of another keyword.
        return Err("'max-spread-checks' expects an integer argument (0..50).".into());
    }
    let ms = scope.time_ms(text, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(c) => {
            format!("unsupported character '{c}' in 'max-spread-checks' (wants an integer delay).")
        }
        UnitError::Overflow => format!(
            "timer overflow in argument <{text}> to <max-spread-checks>, maximum value is 2147483647 ms (~24.8 days)."
        ),
        UnitError::Underflow => {
            format!("timer underflow in argument <{text}> to <max-spread-checks>, minimum non-null value is 1 ms.")
        }
    })?;
    put(&mut scope.global().max_spread_checks, Some(Millis(u64::from(ms))).filter(|max| max.0 > 0))
}

fn hard_stop_after(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let time = delay(scope, words)?;
    put(&mut scope.global().hard_stop_after, time)
}

fn grace(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let time = delay(scope, words)?;
    put(&mut scope.global().grace, time)
}

fn close_spread_time(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let spread = match arg(words, 1) {
        "infinite" => CloseSpread::Never,
        _ => delay(scope, words)?.map_or(CloseSpread::AtOnce, CloseSpread::Over),
    };
    put(&mut scope.global().close_spread, spread)
}

/// The time that is a keyword's argument; zero stands for none.
fn delay(scope: &mut Scope<'_>, words: &[Word]) -> Result<Option<Millis>, String> {
    time(scope, words).map(|time| Some(time).filter(|time| *time > Millis(0)))
}

/// The time that is a keyword's argument.
pub(super) fn time(scope: &mut Scope<'_>, words: &[Word]) -> Result<Millis, String> {
    let (keyword, text) = (arg(words, 0), arg(words, 1));
    if text.is_empty() {
        return Err(format!("'{keyword}' expects <time> as argument.\n"));
    }
    let ms = scope.time_ms(text, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(_) => error.argument(text, &format!("<{keyword}>"), "") + "\n",
        _ => error.timer(text, &format!("'{keyword}'")),
    })?;
    Ok(Millis(u64::from(ms)))
}

fn maxpipes(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let n = count(words)?;
    put(&mut scope.global().maxpipes, u32::try_from(n).ok())
}

fn setenv(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (keyword, name) = (arg(words, 0), arg(words, 1));
    let Some(value) = words.get(2) else {
        scope.place = Place::Reader;
        return Err(format!("'{keyword}' expects a name and a value."));
    };
    if keyword == "setenv" {
        scope.draft.env.set(name, value.bytes());
    } else {
        scope.draft.env.preset(name, value.bytes());
    }
    Ok(())
}

fn unsetenv(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if words.len() < 2 {
        scope.place = Place::Reader;
        return Err("'unsetenv' expects at least one variable name.".into());
    }
    for word in &words[1..] {
        scope.draft.env.unset(&word.text);
    }
    Ok(())
}

fn resetenv(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let names: Vec<&[u8]> = words[1..].iter().map(Word::bytes).collect();
    scope.draft.env.keep_only(&names);
    Ok(())
}
