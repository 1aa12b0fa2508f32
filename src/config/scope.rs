//! What a row's parse function may see and touch: the section it stands in and the findings.

use std::rc::Rc;

use super::draft::{At, Draft, ProxyDraft, Settings};
use super::finding::{Finding, Findings, Place, Severity};
use super::unit::{self, TimeUnit, UnitError};
use super::word::Word;
use crate::proxy::Global;
use crate::registry::Sections;

/// The section that lines belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Before the first section.
    None,
    /// `global`.
    Global,
    /// A `defaults` section, by its index in the draft.
    Defaults(usize),
    /// A proxy, by its index in the draft.
    Proxy(usize),
    /// An `http-errors` section, by its index in the draft.
    HttpErrors(usize),
    /// A `userlist` section, by its index in the draft.
    Userlist(usize),
    /// A `resolvers` section, by its index in the draft.
    Resolvers(usize),
    /// A `program`, by its index in the draft.
    Program(usize),
    /// A section that could not be opened: its lines are not looked at.
    Skipped,
}

/// `no` and `default` in front of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Neither.
    None,
    /// `no`: switch it off.
    No,
    /// `default`: back to what it would be without any `defaults` section.
    Default,
}

/// One line being parsed.
pub struct Scope<'a> {
    /// Everything written so far.
    pub draft: &'a mut Draft,
    /// Where findings go.
    pub findings: &'a mut Findings,
    /// The current section.
    pub section: Section,
    /// The current line.
    pub at: At,
    /// How errors of this line name their place; rows change it where HAProxy's form differs.
    pub place: Place,
    /// Offset of the word that errors of this line point at.
    pub column: u32,
    /// Offset behind it where a row has said which it is; else 0, and the message may know better.
    pub end: u32,
    /// `no` or `default` in front of the keyword.
    pub prefix: Prefix,
    /// The line as read.
    pub source: Rc<[u8]>,
}

impl Scope<'_> {
    /// The current section as a bit.
    #[must_use]
    pub fn sections(&self) -> Sections {
        match self.section {
            Section::None | Section::Skipped => Sections::empty(),
            Section::Global => Sections::GLOBAL,
            Section::Program(_) => Sections::PROGRAM,
            Section::HttpErrors(_) => Sections::HTTP_ERRORS,
            Section::Userlist(_) => Sections::USERLIST,
            Section::Resolvers(_) => Sections::RESOLVERS,
            Section::Defaults(_) => Sections::DEFAULTS,
            Section::Proxy(index) => self.draft.proxies[index].kind.section(),
        }
    }

    /// The `global` section's settings.
    pub fn global(&mut self) -> &mut Global {
        &mut self.draft.global
    }

    /// The current proxy or defaults section. Rows of other sections must not ask.
    pub fn proxy(&mut self) -> &mut ProxyDraft {
        match self.section {
            Section::Defaults(index) => &mut self.draft.defaults[index],
            Section::Proxy(index) => &mut self.draft.proxies[index],
            // Its name servers are written as servers are.
            Section::Resolvers(index) => &mut self.draft.resolvers[index].proxy,
            Section::None
            | Section::Global
            | Section::HttpErrors(_)
            | Section::Userlist(_)
            | Section::Program(_)
            | Section::Skipped => {
                unreachable!("rows are dispatched by section, and this one is of proxies only")
            }
        }
    }

    /// The settings of the current proxy or defaults section.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.proxy().settings
    }

    /// Reports an error and goes on.
    pub fn alert(&mut self, text: impl Into<String>) {
        self.report(Severity::Alert, text.into(), None);
    }

    /// Reports a warning.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.report(Severity::Warning, text.into(), None);
    }

    /// Points the next findings at `word`.
    pub fn point_at(&mut self, word: &Word) {
        self.column = word.column;
        // Quotes that belong to it are found later.
        self.end = word.column.saturating_add(u32::try_from(word.bytes().len()).unwrap_or(u32::MAX)).max(1);
    }

    /// A time in milliseconds; what follows its unit is ignored with HAProxy's warning.
    ///
    /// # Errors
    /// As [`unit::time_ms`].
    pub fn time_ms(&mut self, text: &str, default: TimeUnit) -> Result<u32, UnitError> {
        let ms = unit::time_ms(text, default)?;
        if let Some(c) = unit::after_time(text) {
            let mut finding = Finding::general(
                Severity::Warning,
                format!(
                    "unexpected character '{c}' after the timer value '{text}', only (us=microseconds,ms=milliseconds,\
                 s=seconds,m=minutes,h=hours,d=days) are supported. This will be reported as an error in next versions."
                ),
            );
            finding.line = self.at.line;
            self.findings.push(finding);
        }
        Ok(ms)
    }

    /// Reports anything, with what was probably meant.
    pub fn report(&mut self, severity: Severity, text: String, suggestion: Option<String>) {
        self.findings.push(Finding {
            place: self.place,
            file: Rc::clone(&self.at.file),
            line: self.at.line,
            column: self.column,
            end: self.end,
            suggestion,
            source: Some(Rc::clone(&self.source)),
            ..Finding::general(severity, text)
        });
    }
}

/// The text of word `index`; empty when the line is shorter, as in HAProxy.
#[must_use]
pub fn arg(words: &[Word], index: usize) -> &str {
    words.get(index).map_or("", |word| word.text.as_str())
}

/// HAProxy's complaint about more than `max` words after `keyword`, itself of `used` words.
///
/// # Errors
/// The message about the first word too many.
pub fn no_more_than(words: &[Word], used: usize, max: usize, keyword: &str) -> Result<(), String> {
    // An empty word ends a line, as in HAProxy.
    match words.get(used + max).filter(|word| !word.text.is_empty()) {
        None => Ok(()),
        Some(extra) => Err(format!("'{keyword}' cannot handle unexpected argument '{}'.", extra.text)),
    }
}

/// What a keyword that is known but not built yet says.
#[must_use]
pub fn not_yet(what: &str) -> String {
    format!("'{what}' is not supported by this build of epoxy yet.")
}
