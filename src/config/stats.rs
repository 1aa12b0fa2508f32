//! `stats …` of proxies and of the `global` section (sections 3.1 and 4.2).

use super::finding::Place;
use super::scope::{Scope, arg};
use super::unit::{TimeUnit, UnitError, atoi};
use super::word::Word;
use crate::proxy::StatsPage;
use crate::registry::{Keyword, Sections};
use crate::time::Millis;

/// The rows of this module. HAProxy does not look at words that follow the arguments of a page's setting.
pub static ROWS: &[Keyword] = &[
    page("stats", unknown, "settings of the statistics page"),
    page("stats enable", |s, _| edit(s, |_| ()), "serve the statistics page"),
    page("stats uri", uri, "where the page is"),
    page("stats realm", realm, "what a browser says when it asks for a password"),
    page("stats auth", auth, "who may see the page"),
    page("stats refresh", refresh, "how often browsers reload the page"),
    page("stats scope", scope_, "which proxies are shown"),
    page("stats hide-version", |s, _| edit(s, |p| p.hide_version = true), "do not show the version"),
    page("stats show-legends", |s, _| edit(s, |p| p.show_legends = true), "show explanations"),
    page("stats show-modules", |s, _| edit(s, |p| p.show_modules = true), "show what protocols count"),
    page("stats show-node", show_node, "show the node's name"),
    page("stats show-desc", show_desc, "show the description"),
    Keyword {
        name: "stats admin",
        sections: Sections::ANY_PROXY,
        args_max: None,
        parse: admin,
        help: "let the page change states",
    },
    global("stats", |_, w| {
        Err(format!("'stats' only supports 'socket', 'maxconn', 'bind-process' and 'timeout' (got '{}')", arg(w, 1)))
    }),
    global("stats timeout", timeout),
    global("stats maxconn", maxconn),
];

const fn page(
    name: &'static str,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections: Sections::ANY_PROXY, args_max: None, parse, help }
}

const fn global(name: &'static str, parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>) -> Keyword {
    Keyword { name, sections: Sections::GLOBAL, args_max: None, parse, help: "settings of the runtime socket" }
}

/// Every setting of the page switches it on, too. A section that says anything about its page has nothing of that
/// of its defaults.
pub(super) fn edit(scope: &mut Scope<'_>, change: impl FnOnce(&mut StatsPage)) -> Result<(), String> {
    let settings = scope.settings();
    if std::mem::take(&mut settings.stats_inherited) {
        settings.stats = None;
    }
    change(settings.stats.get_or_insert_default());
    Ok(())
}

const PARAMETERS: &str = "'admin', 'uri', 'realm', 'auth', 'scope', 'enable', 'hide-version', 'show-node', \
                          'show-desc' or 'show-legends'.";

fn unknown(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.place = Place::Reader;
    match arg(words, 1) {
        "" => Err(format!("missing keyword in 'stats', expects {PARAMETERS}")),
        name => Err(format!("unknown stats parameter '{name}', expects {PARAMETERS}")),
    }
}

fn uri(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let Some(uri) = words.get(2).filter(|word| !word.bytes().is_empty()) else {
        return Err("'uri' needs an URI prefix.".into());
    };
    edit(scope, |page| page.uri = uri.bytes().to_vec())
}

fn realm(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match arg(words, 2) {
        "" => Err("'realm' needs an realm name.".into()),
        realm => edit(scope, |page| page.realm = realm.to_owned()),
    }
}

fn auth(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 2);
    if text.is_empty() {
        return Err("'auth' needs a user:password account.".into());
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    edit(scope, |page| page.auth.push((user.to_owned(), password.to_owned())))
}

fn refresh(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 2);
    let ms = scope.time_ms(text, TimeUnit::S).map_err(|error| {
        scope.place = Place::Reader;
        match error {
            UnitError::Unexpected(_) => error.argument(text, "stats refresh interval", ""),
            _ => format!(
                "timer overflow in argument <{text}> to stats refresh interval, maximum value is 2147483647 s (~68 \
                 years)."
            ),
        }
    })?;
    edit(scope, |page| page.refresh = (ms > 0).then_some(Millis(u64::from(ms))))
}

fn scope_(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match arg(words, 2) {
        "" => Err("'scope' needs a proxy name.".into()),
        name => edit(scope, |page| page.scope.push(name.to_owned())),
    }
}

fn show_node(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = words.get(2).map(|word| word.text.clone());
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.as_ref().is_some_and(|name| !name.chars().all(valid)) {
        scope.place = Place::Reader;
        return Err("'stats show-node' invalid node name - should be a stringwith digits(0-9), letters(A-Z, a-z), \
                    hyphen(-) or underscode(_)."
            .into());
    }
    edit(scope, |page| page.show_node = Some(name))
}

fn show_desc(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = words.get(2..).unwrap_or_default().iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    if text.is_empty() && scope.global().description.is_none() {
        scope.place = Place::Reader;
        scope.warn("'show-desc' requires a parameter or 'desc' to be set in the global section.");
    }
    edit(scope, |page| page.show_desc = Some((!text.is_empty()).then_some(text)))
}

fn admin(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.sections() == Sections::DEFAULTS {
        scope.place = Place::Reader;
        return Err("'stats admin' not allowed in 'defaults' section.".into());
    }
    match arg(words, 2) {
        "if" | "unless" => {
            edit(scope, |_| ())?;
            super::rules::keep(scope, words, "stats admin")
        }
        _ => Err("'stats admin' requires either 'if' or 'unless' followed by a condition.".into()),
    }
}

fn timeout(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 2);
    let ms = scope.time_ms(text, TimeUnit::Ms).map_err(|error| match error {
        UnitError::Unexpected(c) => format!("'stats timeout' : unexpected character '{c}'"),
        other => other.timer(text, "'stats timeout'"),
    })?;
    if ms == 0 {
        return Err("'stats timeout' expects a positive value".into());
    }
    scope.global().cli_timeout = Some(Millis(u64::from(ms)));
    Ok(())
}

fn maxconn(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match u32::try_from(atoi(arg(words, 2))) {
        Ok(n) if n > 0 => scope.global().cli_maxconn = Some(n),
        _ => return Err("'stats maxconn' expects a positive value".into()),
    }
    Ok(())
}
