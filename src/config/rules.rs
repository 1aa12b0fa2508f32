//! Hooks of the rule language: lines are kept as words in the order written, and parsed when all
//! proxies are known.

use super::draft::RuleLine;
use super::scope::{Scope, arg};
use super::unit::atoi;
use super::word::Word;
use crate::proxy::HeaderCapture;
use crate::registry::{Keyword, Sections, row};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("acl", Sections::PROXIES, |s, w| keep(s, w, "acl"), "name a condition"),
    row("http-request", Sections::PROXIES, |s, w| keep(s, w, "http-request"), "act on requests"),
    row("http-response", Sections::PROXIES, |s, w| keep(s, w, "http-response"), "act on responses"),
    row(
        "http-after-response",
        Sections::PROXIES,
        |s, w| keep(s, w, "http-after-response"),
        "act on all answers, one's own included",
    ),
    row("redirect", Sections::PROXIES, |s, w| keep(s, w, "redirect"), "send clients elsewhere"),
    row("monitor", CLIENTS, |s, w| keep(s, w, "monitor"), "when monitor-uri is answered by an error"),
    row("force-persist", SERVERS, |s, w| keep_condition(s, w, "force-persist"), "use servers that are down"),
    row("ignore-persist", SERVERS, |s, w| keep_condition(s, w, "ignore-persist"), "choose servers anew"),
    row("use-server", SERVERS_ONLY, |s, w| keep(s, w, "use-server"), "choose a server"),
    row("use_backend", CLIENTS, |s, w| keep(s, w, "use_backend"), "choose a backend"),
    row("stats http-request", Sections::PROXIES, stats_rule, "guard the statistics"),
];

/// Client side without defaults.
const CLIENTS: Sections = Sections::FRONTEND.union(Sections::LISTEN);

/// Server side without defaults.
const SERVERS_ONLY: Sections = Sections::LISTEN.union(Sections::BACKEND);

/// Server side; `defaults` is refused.
const SERVERS: Sections = Sections::SERVER_SIDE;

fn keep_condition(scope: &mut Scope<'_>, words: &[Word], keyword: &'static str) -> Result<(), String> {
    if scope.sections() == Sections::DEFAULTS {
        return Err(format!("'{keyword}' not allowed in 'defaults' section."));
    }
    keep(scope, words, keyword)
}

/// A guard of the page switches it on, as all of its settings do.
fn stats_rule(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    super::stats::edit(scope, |_| ())?;
    keep(scope, words, "stats http-request")
}

/// Keeps a line for the parser of rules.
pub(super) fn keep(scope: &mut Scope<'_>, words: &[Word], keyword: &'static str) -> Result<(), String> {
    let at = scope.at.clone();
    let capture_slot = captured(keyword, words).map(|bytes_max| {
        let slots = &mut scope.proxy().captures.request;
        slots.push(HeaderCapture { name: None, bytes_max });
        slots.len() - 1
    });
    scope.proxy().rules.push(RuleLine { keyword, words: words.to_vec(), at, capture_slot });
    Ok(())
}

/// How many bytes the line wants a slot for: such slots stand between those of other lines.
fn captured(keyword: &str, words: &[Word]) -> Option<usize> {
    let verb = match keyword {
        "http-request" => 1,
        "tcp-request content" => 2,
        _ => return None,
    };
    let wants = arg(words, verb) == "capture" && arg(words, verb + 2) == "len";
    usize::try_from(atoi(arg(words, verb + 3))).ok().filter(|bytes| wants && *bytes > 0)
}
