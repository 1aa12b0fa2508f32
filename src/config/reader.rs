//! Reads configuration files line by line: words, conditional blocks, sections, and each line's row.

use std::rc::Rc;

use super::condition;
use super::draft::{At, Draft};
use super::finding::{Finding, Findings, Place, Severity, excerpt};
use super::scope::{Prefix, Scope, Section, arg, not_yet};
use super::word::{self, Word, WordError};
use super::{later, sections, suggest};
use crate::registry::{self, Sections};

/// Deepest nesting of `.if` blocks.
const NESTING_MAX: usize = 1000;
/// Said of a conditional block that does not end.
const OPEN_BLOCK: &str = "non-terminated '.if' block.";
/// Keywords that `no` and `default` may precede.
const NEGATABLE: &[&str] = &[
    "option",
    "log",
    "busy-polling",
    "carry-over",
    "set-dumpable",
    "strict-limits",
    "insecure-fork-wanted",
    "numa-cpu-mapping",
];

/// Rows of options that `no option` and `default option` may name; plain options are all such.
const NEGATABLE_OPTIONS: &[&str] = &[
    "option",
    "option start-on-reload",
    "option http-keep-alive",
    "option http-server-close",
    "option httpclose",
    "option forceclose",
    "option http-tunnel",
    "option http_proxy",
    "option redispatch",
    "option tcp-smart-accept",
];

/// A conditional block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// Lines are taken now.
    active: bool,
    /// A branch has been taken, or none may be (the block lies in one that is skipped).
    done: bool,
    /// `.else` was seen.
    last: bool,
}

/// Reads files into a draft.
pub struct Reader<'a> {
    draft: &'a mut Draft,
    findings: &'a mut Findings,
    diagnostics: bool,
    section: Section,
    section_name: String,
    file: Rc<str>,
    blocks: Vec<Block>,
}

impl<'a> Reader<'a> {
    /// A reader that fills `draft` and says what is wrong in `findings`.
    pub fn new(draft: &'a mut Draft, findings: &'a mut Findings, diagnostics: bool) -> Reader<'a> {
        Reader {
            draft,
            findings,
            diagnostics,
            section: Section::None,
            section_name: String::new(),
            file: Rc::from(""),
            blocks: Vec::new(),
        }
    }

    /// Reads the text of one file; `false` when it had to be given up. Sections do not go on in the next file.
    pub fn file(&mut self, name: &str, text: &[u8]) -> bool {
        self.file = Rc::from(name);
        self.section = Section::None;
        self.section_name.clear();
        self.blocks.clear();
        let mut number = 0;
        let mut rest = text;
        while !rest.is_empty() {
            number += 1;
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
            let text = match memchr::memchr(0, line) {
                Some(nul) => &line[..nul],
                None => line,
            };
            let going = self.line(number, text);
            if !going {
                self.findings.give_up();
                return false;
            }
            if text.len() < line.len() && !rest.is_empty() {
                let text = format!("Stray NUL character at position {}.", text.len() + 1);
                self.say(number, Severity::Alert, text);
            } else if end.is_none() || text.len() < line.len() {
                let text =
                    format!("Missing LF on last line, file might have been truncated at position {}.", text.len() + 1);
                self.say(number, Severity::Alert, text);
            }
        }
        if !self.blocks.is_empty() {
            self.say(number, Severity::Alert, OPEN_BLOCK.into());
            self.findings.give_up();
            return false;
        }
        true
    }

    /// Reads one line; `false` gives the file up.
    fn line(&mut self, number: u32, line: &[u8]) -> bool {
        let at = number.to_string();
        self.draft.env.set(".FILE", self.file.as_bytes());
        self.draft.env.set(".LINE", at.as_bytes());
        self.draft.env.set(".SECTION", self.section_name.as_bytes());
        let (words, trailing) = match word::cut(line, &self.draft.env) {
            Ok(cut) => cut,
            Err(error) => {
                self.bad_line(number, line, error);
                return true;
            }
        };
        let Some(first) = words.first() else { return true };
        if let Some(going) = self.directive(number, &words, trailing) {
            return going;
        }
        if self.skipping() {
            return true;
        }
        if sections::is_section(&first.text) {
            self.open_section(number, line, &words);
        } else {
            self.keyword(number, line, &words);
        }
        true
    }

    fn bad_line(&mut self, number: u32, line: &[u8], error: WordError) {
        let offset = error.offset();
        let text = match error {
            WordError::TooMany(_) => {
                // The position counts single blanks between words.
                let words = word::split(&line[..offset], &self.draft.env).unwrap_or_default();
                let before: usize = words.iter().rev().skip(1).map(|word| word.bytes().len() + 1).sum();
                let last = words.last().map_or("", |word| word.text.as_str());
                let max = word::WORDS_MAX;
                format!("too many words, truncating after word {max}, position {}: <{last}>.", before + 1)
            }
            _ => {
                let end = line.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |n| n + 1);
                let begin = line.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
                let shown = excerpt(&line[begin..end], offset - begin);
                format!("{} at position {}:\n{shown}", error.what(), offset + 1)
            }
        };
        self.say(number, Severity::Alert, text);
    }

    fn skipping(&self) -> bool {
        self.blocks.last().is_some_and(|block| !block.active)
    }

    /// Acts on a line that begins with a dot; `None` when it is no directive.
    fn directive(&mut self, number: u32, words: &[Word], trailing: bool) -> Option<bool> {
        match arg(words, 0) {
            ".if" => Some(self.open_block(number, words, trailing)),
            ".elif" | ".else" | ".endif" => Some(self.move_block(number, words, trailing)),
            _ if self.skipping() => None,
            name @ (".diag" | ".notice" | ".warning" | ".alert") => {
                let severity = match name {
                    ".diag" => Severity::Diag,
                    ".notice" => Severity::Notice,
                    ".warning" => Severity::Warning,
                    _ => Severity::Alert,
                };
                if !arg(words, 2).is_empty() {
                    let text = format!(
                        "Unexpected argument '{}' for '{name}'. Use quotes if the message should contain spaces.",
                        arg(words, 2)
                    );
                    self.say(number, Severity::Alert, text);
                    return Some(true);
                }
                if severity != Severity::Diag || self.diagnostics {
                    self.say(number, severity, format!("'{}'.", arg(words, 1)));
                }
                // An alert gives the rest of the file up.
                Some(severity != Severity::Alert)
            }
            name if name.starts_with('.') => {
                self.say(number, Severity::Alert, format!("unknown directive '{name}'."));
                Some(true)
            }
            _ => None,
        }
    }

    fn open_block(&mut self, number: u32, words: &[Word], trailing: bool) -> bool {
        if self.blocks.len() >= NESTING_MAX {
            self.say(number, Severity::Alert, "too many nested '.if', giving up.".into());
            return false;
        }
        let (active, done) = if self.skipping() {
            (false, true)
        } else {
            match self.evaluate(number, words, trailing) {
                Some(value) => (value, value),
                None => return false,
            }
        };
        self.blocks.push(Block { active, done, last: false });
        true
    }

    fn move_block(&mut self, number: u32, words: &[Word], trailing: bool) -> bool {
        let name = arg(words, 0);
        if name != ".elif" && words.len() > 1 {
            let text = format!("Unexpected argument '{}' for '{name}'.", arg(words, 1));
            self.say(number, Severity::Alert, text);
            if !self.blocks.is_empty() {
                self.say(number, Severity::Alert, OPEN_BLOCK.into());
            }
            return false;
        }
        let Some(block) = self.blocks.pop() else {
            self.say(number, Severity::Alert, format!("lone '{name}' with no matching '.if'."));
            return false;
        };
        if name == ".endif" {
            return true;
        }
        if block.last {
            self.say(number, Severity::Alert, format!("'{name}' after '.else' is not permitted."));
            return false;
        }
        let active = match (block.done, name) {
            (true, _) => false,
            (false, ".else") => true,
            _ => match self.evaluate(number, words, trailing) {
                Some(value) => value,
                None => return false,
            },
        };
        self.blocks.push(Block { active, done: block.done || active, last: name == ".else" });
        true
    }

    fn evaluate(&mut self, number: u32, words: &[Word], trailing: bool) -> Option<bool> {
        let name = arg(words, 0);
        let condition: Vec<&str> = words[1..].iter().map(|word| word.text.as_str()).collect();
        let mut condition = condition.join(" ");
        if trailing && !condition.is_empty() {
            condition.push(' ');
        }
        match condition::evaluate(&condition, &self.draft.env) {
            Ok(value) => Some(value),
            Err(error) => {
                let shown = excerpt(format!("{name} {condition}").as_bytes(), name.len() + 1 + error.at);
                let text = format!("{} in '{name}' at position {}:\n{shown}", error.text, error.at + 1);
                self.say(number, Severity::Alert, text);
                None
            }
        }
    }

    fn open_section(&mut self, number: u32, line: &[u8], words: &[Word]) {
        let mut scope = self.scope(number, line, &words[0]);
        let section = sections::open(&mut scope, words);
        self.section_name = match section {
            Section::Proxy(index) => self.draft.proxies[index].name.clone(),
            Section::Defaults(index) if !self.draft.defaults[index].name.is_empty() => {
                self.draft.defaults[index].name.clone()
            }
            _ => arg(words, 0).to_owned(),
        };
        self.section = section;
    }

    fn keyword(&mut self, number: u32, line: &[u8], words: &[Word]) {
        if self.section == Section::Skipped {
            return;
        }
        let (prefix, words) = match arg(words, 0) {
            "no" => (Prefix::No, &words[1..]),
            "default" => (Prefix::Default, &words[1..]),
            _ => (Prefix::None, words),
        };
        if prefix != Prefix::None && !NEGATABLE.contains(&arg(words, 0)) {
            let list = "negation/default currently supported only for options, log, busy-polling, set-dumpable, \
                        strict-limits, insecure-fork-wanted and numa-cpu-mapping.";
            self.say(number, Severity::Alert, list.into());
        }
        let empty = Word::default();
        let first = words.first().unwrap_or(&empty);
        if self.section == Section::None {
            let text = format!("unknown keyword '{}' out of section.", first.text);
            self.say(number, Severity::Alert, text);
            return;
        }
        let mut scope = self.scope(number, line, first);
        scope.prefix = prefix;
        dispatch(&mut scope, words);
    }

    fn scope(&mut self, number: u32, line: &[u8], first: &Word) -> Scope<'_> {
        Scope {
            section: self.section,
            at: At { file: Rc::clone(&self.file), line: number },
            place: Place::Keyword,
            column: first.column,
            end: 0,
            prefix: Prefix::None,
            source: Rc::from(line.trim_ascii_end()),
            draft: &mut *self.draft,
            findings: &mut *self.findings,
        }
    }

    fn say(&mut self, line: u32, severity: Severity, text: String) {
        let mut finding = Finding::general(severity, text);
        finding.place = Place::Reader;
        finding.file = Rc::clone(&self.file);
        finding.line = line;
        self.findings.push(finding);
    }
}

/// Finds a line's row and lets it act, where the section allows it.
fn dispatch(scope: &mut Scope<'_>, words: &[Word]) {
    let section = scope.sections();
    let first = arg(words, 0).to_owned();
    let Some(row) = registry::keyword(words, section) else {
        if later::knows(&first, section) {
            later::refuse(scope, words);
            return;
        }
        let later = later::NAMES.iter().filter(|(_, sections)| sections.intersects(section)).map(|(name, _)| *name);
        let candidates = registry::first_words(section).chain(later).chain(sections::NAMES.iter().copied());
        let suggestion = suggest::nearest(&first, candidates);
        // Of these sections, HAProxy's message has no suggestion.
        let short =
            section.intersects(Sections::USERLIST | Sections::HTTP_ERRORS | Sections::PROGRAM | Sections::RESOLVERS);
        let hint = suggestion.filter(|_| !short);
        let hint = hint.map_or_else(String::new, |word| format!("; did you mean '{word}' maybe ?"));
        let kind = section_keyword(section);
        if section.intersects(Sections::USERLIST) {
            scope.place = Place::Reader;
        }
        let text = format!("unknown keyword '{first}' in '{kind}' section{hint}");
        scope.report(Severity::Alert, text, suggestion.map(str::to_owned));
        return;
    };
    if scope.prefix != Prefix::None && first == "option" && !NEGATABLE_OPTIONS.contains(&row.name) {
        scope.place = Place::Reader;
        scope.alert(format!("negation/default is not supported for option '{}'.", arg(words, 1)));
        return;
    }
    let misplaced = !row.sections.intersects(section);
    if misplaced && section.intersects(Sections::DEFAULTS) {
        not_in_defaults(scope, row);
        return;
    }
    // Some complain about their value first; all others are warned about, and then parsed all the same.
    let late = looks_at_its_value_first(row.name);
    if misplaced && !late {
        warn_ignored(scope, row);
    }
    let used = row.name.split(' ').count();
    if let Some(extra) = row.args_max.and_then(|max| words.get(used + max)).filter(|word| !word.text.is_empty()) {
        scope.point_at(extra);
        let text = format!("'{}' cannot handle unexpected argument '{}'.", row.name, extra.text);
        scope.alert(text);
        return;
    }
    // Rows that do not say which word is wrong mean their first argument, or what their message names.
    if let Some(word) = words.get(used) {
        scope.column = word.column;
    }
    match (row.parse)(scope, words) {
        Err(text) => scope.alert(text),
        Ok(()) if misplaced && late => warn_ignored(scope, row),
        Ok(()) => {}
    }
}

fn section_keyword(section: Sections) -> &'static str {
    if section.intersects(Sections::GLOBAL) {
        "global"
    } else if section.intersects(Sections::RESOLVERS) {
        "resolvers"
    } else if section.intersects(Sections::PROGRAM) {
        "program"
    } else if section.intersects(Sections::HTTP_ERRORS) {
        "http-errors"
    } else if section.intersects(Sections::USERLIST) {
        // So HAProxy calls them.
        "users"
    } else if section.intersects(Sections::DEFAULTS) {
        "defaults"
    } else if section.intersects(Sections::FRONTEND) {
        "frontend"
    } else if section.intersects(Sections::LISTEN) {
        "listen"
    } else {
        "backend"
    }
}

/// The name under which HAProxy speaks of a row.
fn short_name(row: &registry::Keyword) -> &'static str {
    match row.name.split_once(' ') {
        Some(("option", option)) => option,
        Some(("timeout", _)) | None => row.name,
        Some((first, _)) => first,
    }
}

/// Refuses a keyword that `defaults` cannot preset.
fn not_in_defaults(scope: &mut Scope<'_>, row: &registry::Keyword) {
    let name = short_name(row);
    let anonymous = scope.proxy().name.is_empty();
    let text = match name {
        "acl" | "http-request" | "http-response" | "http-after-response" if anonymous => {
            format!("'{name}' not allowed in anonymous 'defaults' section.")
        }
        "acl" | "http-request" | "http-response" | "http-after-response" => {
            not_yet(&format!("{name} in a 'defaults' section"))
        }
        _ => format!("'{name}' not allowed in 'defaults' section."),
    };
    if matches!(name, "id" | "description" | "stats") {
        scope.place = Place::Reader;
    }
    scope.alert(text);
}

/// Whether the keyword complains about its value before it is told to be of no use.
fn looks_at_its_value_first(name: &str) -> bool {
    name.starts_with("timeout ") || name.contains("tcpka-") || name == "max-keep-alive-queue"
}

/// Warns of a keyword that has no effect in this kind of proxy.
fn warn_ignored(scope: &mut Scope<'_>, row: &registry::Keyword) {
    let name = short_name(row);
    let text = ignored(scope, name);
    scope.warn(match name {
        "maxconn" => format!("{text}. Maybe you want 'fullconn' instead ?"),
        "fullconn" => format!("{text}. Maybe you want 'maxconn' instead ?"),
        "rate-limit" => text.replace("'rate-limit' ignored", "rate-limit sessions will be ignored"),
        _ if name.starts_with("timeout ") => text.replace(" ignored", " will be ignored"),
        _ if looks_at_its_value_first(name) => {
            text.replace(&format!("'{name}' ignored"), &format!("{name} will be ignored"))
        }
        _ => format!("{text}."),
    });
}

/// `'NAME' ignored because frontend 'F' has no backend capability`, without the full stop.
pub(super) fn ignored(scope: &mut Scope<'_>, name: &str) -> String {
    let proxy = scope.proxy();
    let lacks = if proxy.kind.is_backend() { "frontend" } else { "backend" };
    format!("'{name}' ignored because {} '{}' has no {lacks} capability", proxy.kind.noun(), proxy.name)
}
