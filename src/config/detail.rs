//! What people and editors are shown beyond HAProxy's words: the line that a finding is about, the word at fault,
//! the nearest name or keyword, and where that name is defined.
//!
//! All of it is found afterwards, and only when somebody looks. The messages are HAProxy's and do not change, so
//! they serve as the key: whoever reports that a name is missing need not know which names there are.

use std::collections::HashMap;
use std::rc::Rc;

use super::finding::{Finding, Findings, Place, says_what_was_meant};
use super::sections;
use super::word::{self, Word};
use super::{env::Env, suggest};
use crate::rules::predefined;
use crate::sample::{convert, fetch};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Acl,
    Backend,
    Frontend,
    Server,
    Userlist,
    User,
    Group,
    Pages,
    Defaults,
    Fetch,
    Converter,
}

/// What stands before the name of something that is not there, in HAProxy's messages; a quote ends the name.
const MISSING: &[(&str, Kind)] = &[
    ("no such ACL : '", Kind::Acl),
    ("unable to find required use_backend: '", Kind::Backend),
    ("unable to find required default_backend: '", Kind::Backend),
    ("unable to find required setbe: '", Kind::Backend),
    ("unable to find backend '", Kind::Backend),
    ("unable to find proxy '", Kind::Backend),
    ("unable to find frontend '", Kind::Frontend),
    ("unable to find server '", Kind::Server),
    ("unable to find userlist '", Kind::Userlist),
    ("no such user '", Kind::User),
    ("no such group '", Kind::Group),
    ("invalid group '", Kind::Group),
    ("unknown http-errors section '", Kind::Pages),
    ("defaults section '", Kind::Defaults),
    ("unknown fetch method '", Kind::Fetch),
    ("unknown converter '", Kind::Converter),
];

/// Messages that name no word of the line that they are about, and its keyword; none where that is the section's.
const TOPICS: &[(&str, &str)] = &[("Layer 7 hash", "balance"), ("missing timeouts", "")];

/// The name that a message misses.
pub(super) fn missing(text: &str) -> Option<(Kind, &str)> {
    MISSING.iter().find_map(|(before, kind)| {
        let name = &text[text.find(before)? + before.len()..];
        Some((*kind, &name[..name.find('\'')?])).filter(|(_, name)| !name.is_empty())
    })
}

/// Adds to each finding what can be said about it, `files` being the configuration's names and texts.
pub(super) fn complete(findings: &mut Findings, files: &[(String, Vec<u8>)], env: &Env) {
    if findings.is_empty() {
        return;
    }
    let lines = Lines::new(files, env);
    for finding in findings.iter_mut() {
        lines.complete(finding);
    }
}

struct Line<'t> {
    file: Rc<str>,
    number: u32,
    raw: &'t [u8],
    words: Vec<Word>,
    /// Index of the section line above, or of this one.
    section: usize,
}

/// All lines that have words, in order.
struct Lines<'t> {
    lines: Vec<Line<'t>>,
    /// Where the sections begin.
    sections: Vec<usize>,
    by_place: HashMap<(Rc<str>, u32), usize>,
}

impl<'t> Lines<'t> {
    fn new(files: &'t [(String, Vec<u8>)], env: &Env) -> Lines<'t> {
        let mut all = Lines { lines: Vec::new(), sections: Vec::new(), by_place: HashMap::new() };
        for (name, text) in files {
            let file: Rc<str> = Rc::from(name.as_str());
            for (raw, number) in text.split(|byte| *byte == b'\n').zip(1..) {
                // A line that cannot be cut has its words as the blanks part them.
                let bare = || raw.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                let offset = |word: &[u8]| word.as_ptr() as usize - raw.as_ptr() as usize;
                let words = word::split(raw, env)
                    .unwrap_or_else(|_| bare().map(|word| Word::new(word.to_vec(), offset(word))).collect());
                let Some(first) = words.first() else { continue };
                let index = all.lines.len();
                if sections::is_section(&first.text) {
                    all.sections.push(index);
                }
                let section = all.sections.last().copied().unwrap_or(index);
                all.by_place.insert((file.clone(), number), index);
                all.lines.push(Line { file: file.clone(), number, raw: raw.trim_ascii_end(), words, section });
            }
        }
        all
    }

    fn complete(&self, finding: &mut Finding) {
        let missing = missing(&finding.text).map(|(kind, name)| (kind, name.to_owned()));
        let named = missing.as_ref().map(|(_, name)| name.as_str());
        if finding.line == 0
            && let Some(line) = self.locate(&finding.text, named)
        {
            (finding.file, finding.line) = (line.file.clone(), line.number);
            finding.column = line.words.first().map_or(0, |word| word.column);
        }
        let at = self.by_place.get(&(finding.file.clone(), finding.line));
        let line = at.map(|index| &self.lines[*index]);
        if let Some(line) = line {
            finding.source = Some(Rc::from(line.raw));
            if finding.place != Place::Reader || !finding.text.contains('\n') {
                (finding.column, finding.end) = culprit(line, finding, named);
            }
        }
        if finding.suggestion.is_some() {
            return;
        }
        match (missing, line) {
            (Some((kind, name)), _) => self.suggest_name(finding, kind, &name, line),
            (None, Some(line)) => suggest_word(finding, line),
            (None, None) => {}
        }
    }

    /// The line that a message without a place speaks of: of the section that it names, the one that has most of the
    /// words it names, or else the section's own; or the line whose place it tells.
    fn locate(&self, text: &str, named: Option<&str>) -> Option<&Line<'t>> {
        let told = self.named_place(text);
        let has = |line: &Line<'_>, name: &str| line.words.iter().any(|word| is_within(&word.text, name));
        if told.is_some_and(|line| named.is_some_and(|name| has(line, name))) {
            return told;
        }
        let Some(section) = self.named_section(text) else {
            // A setting of a `defaults` section may be found wrong where it is used, without a word on its place.
            let keyword = |line: &&Line<'_>| line.words.len() > 1 && is_within(text, &line.words[0].text);
            return told.or_else(|| self.global(text)).or_else(|| self.lines.iter().find(keyword));
        };
        let own = self.lines[section].words.get(1).map(|word| word.text.as_str());
        let topic = TOPICS.iter().find(|(part, _)| text.contains(part)).map(|(_, keyword)| *keyword);
        let names: Vec<&str> = quoted(text).into_iter().filter(|name| Some(*name) != own).collect();
        let score = |line: &Line<'_>| {
            let first = line.words.first().map_or("", |word| word.text.as_str());
            let has = |name: &str| has(line, name);
            match topic {
                Some(keyword) => usize::from(first == keyword),
                None if named.is_some_and(|name| !has(name)) => 0,
                None => 2 * names.iter().filter(|name| has(name)).count() + usize::from(is_within(text, first)),
            }
        };
        let inside = self.lines[section + 1..].iter().take_while(|line| line.section == section);
        let scores = inside.map(|line| (score(line), line)).filter(|(score, _)| *score > 0);
        // Of several, the first.
        let best = scores.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, line)| line).or_else(|| self.lines.get(section))
    }

    /// The line of a `global` section whose keyword a message has.
    fn global(&self, text: &str) -> Option<&Line<'t>> {
        let is_global = |line: &&Line<'_>| self.lines[line.section].words[0].text == "global";
        let first = |line: &Line<'_>| line.words.first().map_or(0, |word| word.text.len());
        let has = |line: &&Line<'_>| line.words.first().is_some_and(|word| text.contains(&word.text));
        self.lines.iter().filter(is_global).filter(has).max_by_key(|line| first(line))
    }

    /// Where the section begins that a message names first.
    fn named_section(&self, text: &str) -> Option<usize> {
        let unquoted = text.strip_prefix("proxy ").and_then(|rest| rest.split_once(": ")).map(|(name, _)| name);
        let bears = |index: &&usize, name: &str| self.lines[**index].words.get(1).is_some_and(|word| word.text == name);
        if let Some(index) = unquoted.and_then(|name| self.sections.iter().find(|index| bears(index, name))) {
            return Some(*index);
        }
        quoted(text).into_iter().find_map(|name| {
            let before = &text[..(name.as_ptr() as usize - text.as_ptr() as usize).saturating_sub(1)];
            let noun = before.split_whitespace().next_back().unwrap_or_default();
            let is_it = |index: &&usize| {
                let keyword = self.lines[**index].words[0].text.as_str();
                let fits = match noun {
                    "backend" | "frontend" | "userlist" => keyword == noun,
                    "proxy" => keyword == "listen",
                    _ => true,
                };
                fits && bears(index, name)
            };
            self.sections.iter().find(is_it).copied()
        })
    }

    /// The line behind the first `FILE:LINE` of a message.
    fn named_place(&self, text: &str) -> Option<&Line<'t>> {
        let mut files: Vec<&Rc<str>> = self.lines.iter().map(|line| &line.file).collect();
        files.dedup();
        files.into_iter().find_map(|file| {
            let behind = &text[text.find(&format!("{file}:"))? + file.len() + 1..];
            let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
            let at = self.by_place.get(&(file.clone(), digits.parse().ok()?))?;
            Some(&self.lines[*at])
        })
    }

    /// The known name that looks most like the one that is missing.
    fn suggest_name(&self, finding: &mut Finding, kind: Kind, name: &str, line: Option<&Line<'_>>) {
        let section = self.section_of(finding, kind, line);
        // Access lists ask for groups without naming the list again.
        let of_list = finding.text.contains("userlist '");
        let defined = self.lines.iter().filter_map(|line| {
            let first = line.words.first()?.text.as_str();
            let name = line.words.get(1)?.text.as_str();
            let (defines, is_local) = match kind {
                Kind::Acl => (first == "acl", true),
                Kind::Backend => (matches!(first, "backend" | "listen"), false),
                Kind::Frontend => (matches!(first, "frontend" | "listen"), false),
                Kind::Server => (first == "server", true),
                Kind::Userlist => (first == "userlist", false),
                Kind::User => (first == "user", of_list),
                Kind::Group => (first == "group", of_list),
                Kind::Pages => (first == "http-errors", false),
                Kind::Defaults => (first == "defaults", false),
                Kind::Fetch | Kind::Converter => (false, false),
            };
            (defines && (!is_local || Some(line.section) == section)).then_some((name, line))
        });
        let defined: Vec<(&str, &Line<'_>)> = defined.collect();
        let built_in: Vec<&str> = match kind {
            Kind::Acl => predefined::names().collect(),
            Kind::Fetch => fetch::all().map(|row| row.name).collect(),
            Kind::Converter => convert::all().map(|row| row.name).collect(),
            _ => Vec::new(),
        };
        let candidates = defined.iter().map(|(name, _)| *name).chain(built_in).filter(|known| *known != name);
        let Some(nearest) = suggest::nearest(name, candidates) else { return };
        finding.suggestion = Some(nearest.to_owned());
        let place = defined.iter().find(|(name, _)| *name == nearest).map(|(_, line)| line);
        finding.defined = place.map(|line| (line.file.clone(), line.number));
    }

    /// The section whose names count: the one that the message names, or else that of the line.
    fn section_of(&self, finding: &Finding, kind: Kind, line: Option<&Line<'_>>) -> Option<usize> {
        let named = |before: &str| {
            let name = finding.text.split_once(before)?.1.split('\'').next()?;
            let is_it = |index: &&usize| self.lines[**index].words.get(1).is_some_and(|word| word.text == name);
            self.sections.iter().find(is_it).copied()
        };
        let by_name = match kind {
            Kind::Server => named(" in proxy '"),
            Kind::User | Kind::Group => named("userlist '"),
            _ => None,
        };
        by_name.or(line.map(|line| line.section))
    }
}

/// Suggests one of the words that a message lists, for the word at fault.
fn suggest_word(finding: &mut Finding, line: &Line<'_>) {
    let Some(wrong) = line.words.iter().skip(1).find(|word| word.column == finding.column) else { return };
    if says_what_was_meant(&finding.text) {
        let behind = finding.text.split("id you mean '").nth(1).and_then(|rest| rest.split('\'').next());
        finding.suggestion = behind.map(str::to_owned);
        return;
    }
    let in_line = |text: &str| line.words.iter().any(|word| word.text == text);
    let is_new = |text: &&str| !in_line(text) && !text.contains(' ') && !wrong.text.contains(text);
    let listed = quoted(&finding.text).into_iter().filter(|text| is_new(text));
    finding.suggestion = suggest::nearest(&wrong.text, listed).map(str::to_owned);
}

/// What stands before the word at fault in messages that quote others, too.
const AT_FAULT: &[&str] =
    &["unexpected argument '", "extra argument '", "but got '", ", got '", "(got '", "found '", "nexpected value '"];

/// Begin and end of the word that a finding is about: the one that its message quotes, or the one that the parser
/// has pointed at.
fn culprit(line: &Line<'_>, finding: &Finding, named: Option<&str>) -> (u32, u32) {
    let text = finding.text.as_str();
    let text = text.split_once(" rule : ").map_or(text, |(_, cause)| cause);
    // The name of an access list only says which one it is.
    let skipped = match line.words[0].text.as_str() {
        "acl" if line.words.len() > 2 && !text.starts_with("character") && !text.contains("acl name") => 2,
        _ => 1,
    };
    let arguments = || line.words.iter().skip(skipped);
    let quoted: Vec<&str> = quoted(text).into_iter().rev().collect();
    let same = |name: &str| arguments().rev().find(|word| word.text == name);
    let within = |name: &str| arguments().find(|word| name.len() > 1 && is_within(&word.text, name));
    let pointed = line.words.iter().find(|word| word.column == finding.column);
    let at_fault = AT_FAULT.iter().find_map(|before| text.split_once(before)?.1.split('\'').next());
    let word = named.or(at_fault).and_then(|name| same(name).or_else(|| within(name)));
    let word = word.or(pointed.filter(|_| finding.end > finding.column));
    let is_quoted = |word: &&Word| word.column != line.words[0].column && quoted.contains(&word.text.as_str());
    let word = word.or_else(|| pointed.filter(is_quoted));
    let word = word.or_else(|| quoted.iter().find_map(|name| same(name)));
    let word = word.or_else(|| quoted.iter().find_map(|name| within(name)));
    match word.or(pointed).or(line.words.first()) {
        Some(word) => (word.column, end_of_word(line.raw, word.column as usize)),
        None => (finding.column, finding.column),
    }
}

/// Whether a word has `name` as a part that stands alone: an argument of a fetch, a server behind its backend.
fn is_within(word: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    word.match_indices(name).any(|(at, _)| {
        let before = word[..at].chars().next_back();
        let behind = word[at + name.len()..].chars().next();
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })
}

/// What stands between quotes in a message, in order.
fn quoted(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (open, close) in [('\'', '\''), ('"', '"'), ('<', '>')] {
        let mut rest = text;
        while let Some((_, behind)) = rest.split_once(open) {
            let Some((word, behind)) = behind.split_once(close) else { break };
            // What lies between two quoted words is no word.
            found.push((word.as_ptr() as usize, word));
            rest = behind;
        }
    }
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, word)| word).filter(|word| !word.is_empty()).collect()
}

/// Offset behind the word that begins at `at`, as it is written.
fn end_of_word(raw: &[u8], at: usize) -> u32 {
    let (mut end, mut quote) = (at, None);
    while let Some(byte) = raw.get(end) {
        match (byte, quote) {
            (b'\\', open) if open != Some(b'\'') => end += 1,
            (b'"' | b'\'', None) => quote = Some(*byte),
            (byte, Some(open)) if *byte == open => quote = None,
            (byte, None) if byte.is_ascii_whitespace() => break,
            _ => {}
        }
        end += 1;
    }
    u32::try_from(end.min(raw.len())).unwrap_or(u32::MAX)
}
