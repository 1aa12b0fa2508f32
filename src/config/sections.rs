//! Section lines: `global`, `defaults`, `frontend`, `backend`, `listen` (chapter 4).

use super::draft::{Draft, Kind, ProxyDraft, Settings};
use super::finding::{Finding, Severity};
use super::scope::{Scope, Section, arg, no_more_than, not_yet};
use super::unit::invalid_char;
use super::word::Word;

/// Every section keyword, for suggestions; the ones not built yet included.
pub const NAMES: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "peers",
    "mailers",
    "resolvers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
];

/// Whether a line that begins with `word` opens a section.
#[must_use]
pub fn is_section(word: &str) -> bool {
    NAMES.contains(&word)
}

/// Opens the section of a section line; [`Section::Skipped`] when it cannot be.
pub fn open(scope: &mut Scope<'_>, words: &[Word]) -> Section {
    let result = match arg(words, 0) {
        "global" => no_more_than(words, 1, 0, "global").map(|()| Section::Global),
        "defaults" => proxy(scope, words, Kind::Defaults),
        "frontend" => proxy(scope, words, Kind::Frontend),
        "backend" => proxy(scope, words, Kind::Backend),
        "listen" => proxy(scope, words, Kind::Listen),
        "http-errors" => super::pages::open(scope, words),
        "userlist" => super::userlist::open(scope, words),
        "resolvers" => super::resolvers::open(scope, words),
        "program" => super::program::open(scope, words),
        other => {
            scope.alert(not_yet(other));
            return Section::Skipped;
        }
    };
    result.unwrap_or_else(|text| {
        scope.alert(text);
        Section::Skipped
    })
}

fn proxy(scope: &mut Scope<'_>, words: &[Word], kind: Kind) -> Result<Section, String> {
    let line = Line::parse(scope, words, kind)?;
    let mut settings = inherited(scope, kind, &line)?;
    settings.check.inherit();
    if kind == Kind::Backend {
        settings.forget_client_side();
    }
    if kind != Kind::Defaults {
        unique_name(scope, kind, line.name);
    }
    let draft = ProxyDraft::new(kind, line.name, scope.at.clone(), settings);
    if kind == Kind::Defaults {
        let index = scope.draft.defaults.len();
        scope.draft.defaults.push(draft);
        scope.draft.last_defaults = Some(index);
        return Ok(Section::Defaults(index));
    }
    let section = Section::Proxy(scope.draft.proxies.len());
    scope.draft.proxies.push(draft);
    if let Some(addresses) = line.addresses {
        scope.section = section;
        super::legacy::note(scope, words, "addresses on the section line");
        super::bind::section_addresses(scope, addresses)?;
    }
    Ok(section)
}

/// A section line taken apart.
struct Line<'a> {
    name: &'a str,
    from: Option<&'a str>,
    /// The listening addresses that versions up to 1.6 allowed here.
    addresses: Option<&'a Word>,
}

impl<'a> Line<'a> {
    fn parse(scope: &mut Scope<'_>, words: &'a [Word], kind: Kind) -> Result<Line<'a>, String> {
        let keyword = kind.keyword();
        let anonymous = kind == Kind::Defaults && matches!(arg(words, 1), "" | "from");
        if !anonymous && arg(words, 1).is_empty() {
            scope.findings.give_up();
            return Err(format!("'{keyword}' expects an <id> argument"));
        }
        let name = if anonymous { "" } else { arg(words, 1) };
        if let Some(c) = invalid_char(name).filter(|_| kind != Kind::Defaults) {
            return Err(format!("character '{c}' is not permitted in '{keyword}' name '{name}'."));
        }
        let mut used = if anonymous { 1 } else { 2 };
        let addresses = (kind.is_frontend() && looks_like_addresses(arg(words, used))).then(|| &words[used]);
        if addresses.is_some() {
            used += 1;
        }
        let from = (arg(words, used) == "from").then(|| arg(words, used + 1));
        if from.is_some() {
            used += 2;
        }
        if from == Some("") {
            return Err(format!("'from' expects the name of a 'defaults' section in '{keyword} {name}'."));
        }
        no_more_than(words, used, 0, keyword).map_err(|text| {
            if kind.is_frontend() {
                format!("{text} Please use the 'bind' keyword for listening addresses.")
            } else {
                text
            }
        })?;
        Ok(Line { name, from, addresses })
    }
}

fn looks_like_addresses(text: &str) -> bool {
    text.contains(':') || text.starts_with('/')
}

/// The settings that a new section begins with: those of the `defaults` section that it names, or
/// else of the last one. A `defaults` section without `from` begins afresh.
fn inherited(scope: &mut Scope<'_>, kind: Kind, line: &Line<'_>) -> Result<Settings, String> {
    let defaults = &scope.draft.defaults;
    let Some(from) = line.from else {
        return Ok(match scope.draft.last_defaults {
            Some(index) if kind != Kind::Defaults => defaults[index].settings.heritage(),
            _ => Settings::default(),
        });
    };
    let mut named = defaults.iter().filter(|section| section.name == from);
    let Some(first) = named.next() else {
        scope.findings.give_up();
        return Err(format!("defaults section '{from}' not found for {} '{}'.", kind.keyword(), line.name));
    };
    match named.next() {
        None => Ok(first.settings.heritage()),
        Some(second) => Err(format!(
            "ambiguous defaults section name '{from}' referenced by {} '{}' exists at least at {} and {}.",
            kind.keyword(),
            line.name,
            first.at,
            second.at
        )),
    }
}

/// Frontends must differ in name from frontends, backends from backends; a `listen` is looked at as a frontend
/// when it is the later of two.
fn unique_name(scope: &mut Scope<'_>, kind: Kind, name: &str) {
    let Draft { proxies, first_frontend, first_backend, .. } = &mut *scope.draft;
    let same = if kind == Kind::Backend { first_backend.get(name) } else { first_frontend.get(name) };
    if let Some(other) = same.map(|index| &proxies[*index]) {
        let text = format!(
            "Parsing [{}]: {} '{name}' has the same name as {} '{name}' declared at {}.",
            scope.at,
            kind.noun(),
            other.kind.noun(),
            other.at
        );
        let mut finding = Finding::general(Severity::Alert, text);
        finding.line = scope.at.line;
        scope.findings.push(finding);
    }
    let index = proxies.len();
    if kind.is_frontend() {
        first_frontend.entry(name.to_owned()).or_insert(index);
    }
    if kind.is_backend() {
        first_backend.entry(name.to_owned()).or_insert(index);
    }
}
