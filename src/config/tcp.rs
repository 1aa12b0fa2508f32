//! `tcp-request` and `tcp-response` (section 4.2): delays are settings, and the rest are rules.

use super::scope::{Scope, Section, arg};
use super::unit::{TimeUnit, UnitError};
use super::word::Word;
use crate::registry::{Keyword, Sections};
use crate::time::Millis;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("tcp-request", |s, w| line(s, w, "tcp-request"), "act on connections, and on what comes from clients"),
    row("tcp-response", |s, w| line(s, w, "tcp-response"), "act on what comes from servers"),
];

const fn row(
    name: &'static str,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections: Sections::ANY_PROXY, args_max: None, parse, help }
}

fn line(scope: &mut Scope<'_>, words: &[Word], keyword: &'static str) -> Result<(), String> {
    let is_request = keyword == "tcp-request";
    let in_defaults = scope.sections() == Sections::DEFAULTS;
    let place = place(scope);
    let section = if in_defaults { "defaults section" } else { &place };
    let what = arg(words, 1);
    if what.is_empty() {
        return Err(format!("missing argument for '{keyword}' in {section}"));
    }
    let is_known =
        matches!(what, "inspect-delay" | "content") || is_request && matches!(what, "connection" | "session");
    if is_known && in_defaults && scope.proxy().name.is_empty() {
        return Err(format!("{keyword} {what} is not allowed in anonymous 'defaults' sections"));
    }
    let on_server_side = Sections::SERVER_SIDE.contains(scope.sections());
    match what {
        "inspect-delay" | "content" if !is_request && !on_server_side => {
            Err(format!("{keyword} {what} is only allowed in 'backend' sections or 'defaults' section with a name"))
        }
        "inspect-delay" => delay(scope, words, keyword, &place),
        "connection" | "session" if is_request && !Sections::CLIENT_SIDE.contains(scope.sections()) => {
            let name = &scope.proxy().name;
            Err(format!("tcp-request {what} is not allowed because backend {name} is not a frontend"))
        }
        "content" => rule(scope, words, if is_request { "tcp-request content" } else { "tcp-response content" }),
        "connection" if is_request => rule(scope, words, "tcp-request connection"),
        "session" if is_request => rule(scope, words, "tcp-request session"),
        other if is_request => Err(format!(
            "'tcp-request' expects 'inspect-delay', 'connection', or 'content' in {section} (got '{other}')"
        )),
        other => Err(format!("'tcp-response' expects 'inspect-delay' or 'content' in {section} (got '{other}')")),
    }
}

fn rule(scope: &mut Scope<'_>, words: &[Word], keyword: &'static str) -> Result<(), String> {
    if scope.sections() == Sections::DEFAULTS {
        return Err(format!("'{keyword}' in 'defaults' is not supported by this build of epoxy yet."));
    }
    super::rules::keep(scope, words, keyword)
}

/// The kind and the name of the section, as errors tell them.
fn place(scope: &mut Scope<'_>) -> String {
    let noun = match scope.section {
        Section::Proxy(index) => scope.draft.proxies[index].kind.noun(),
        _ => "defaults",
    };
    format!("{noun} '{}'", scope.proxy().name)
}

/// The first delay of a section counts; that of its `defaults` does not.
fn delay(scope: &mut Scope<'_>, words: &[Word], keyword: &str, place: &str) -> Result<(), String> {
    let name = format!("'{keyword} inspect-delay' expects a positive delay in milliseconds, in {place}");
    let value = arg(words, 2);
    if value.is_empty() {
        return Err(name);
    }
    let ms = scope.time_ms(value, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(c) => format!("{name} (unexpected character '{c}')"),
        UnitError::Overflow => {
            format!("{name} (timer overflow in '{value}', maximum value is 2147483647 ms or ~24.8 days)")
        }
        UnitError::Underflow => format!("{name} (timer underflow in '{value}', minimum non-null value is 1 ms)"),
    })?;
    let delays = &mut scope.settings().inspect_delays;
    let delay = if keyword == "tcp-request" { &mut delays.request } else { &mut delays.response };
    if delay.is_some() {
        scope.warn(format!("ignoring {keyword} inspect-delay (was already defined) in {place}"));
    } else {
        *delay = (ms > 0).then_some(Millis(u64::from(ms)));
    }
    Ok(())
}
