//! One `tcp-check` or `http-check` line: its words, and what all of its steps have in common.

use super::StepDraft;
use crate::config::scope::{Scope as Config, arg};
use crate::config::word::Word;
use crate::log::Format;
use crate::log::format::Purpose;
use crate::proxy::Mode;
use crate::proxy::check::{Action, Data, Speech, Step};
use crate::rules::parse::variable;
use crate::sample::expr::Scope;
use crate::sample::{Expr, Place};

/// The line and a place in it.
pub(super) struct Line<'w> {
    pub(super) words: &'w [Word],
    pub(super) speech: Speech,
    /// Index of the next word.
    pub(super) at: usize,
    /// What expressions may look at, and what they leave for later.
    pub(super) scope: Scope,
}

impl<'w> Line<'w> {
    pub(super) fn new(scope: &Config<'_>, words: &'w [Word], speech: Speech) -> Line<'w> {
        let purpose = if speech == Speech::Http { "http-check expression" } else { "tcp-check expression" };
        let expressions = Scope { purpose, ..Scope::new(Place::Check.only(), scope.at.file.clone(), scope.at.line) };
        Line { words, speech, at: 2, scope: expressions }
    }

    /// HAProxy's error about the line.
    pub(super) fn error(&self, text: &str) -> String {
        format!("'{} {}' : {text}", arg(self.words, 0), arg(self.words, 1))
    }

    /// A word that is not empty.
    pub(super) fn word(&self, index: usize) -> Option<&'w Word> {
        self.words.get(index).filter(|word| !word.text.is_empty())
    }

    /// The same as text.
    pub(super) fn text(&self, index: usize) -> Option<&'w str> {
        self.word(index).map(|word| word.text.as_str())
    }

    /// The next word, if there is one.
    pub(super) fn next(&mut self) -> Option<&'w Word> {
        let word = self.words.get(self.at).filter(|word| !word.text.is_empty())?;
        self.at += 1;
        Some(word)
    }

    /// The argument of the parameter `name`; `what` HAProxy expects there.
    pub(super) fn argument(&mut self, name: &str, what: &str) -> Result<&'w Word, String> {
        self.next().ok_or_else(|| self.error(&format!("'{name}' expects {what} as argument.")))
    }

    /// A log format.
    pub(super) fn format(&mut self, text: &str) -> Result<Box<Format>, String> {
        self.try_format(text).map_err(|e| self.error(&format!("'{text}' invalid log-format string ({e}).\n.")))
    }

    /// The same, with the error of the format only.
    pub(super) fn try_format(&mut self, text: &str) -> Result<Box<Format>, String> {
        let undotted = |e: String| e.strip_suffix('.').map(str::to_owned).unwrap_or(e);
        Format::parse(text, Purpose::Plain, self.mode(), &mut self.scope).map(Box::new).map_err(undotted)
    }

    /// A log format, or its text alone where it says nothing but that.
    pub(super) fn data(&mut self, word: &Word) -> Result<Data, String> {
        match word.text.contains('%') {
            true => self.try_format(&word.text).map(Data::Format),
            false => Ok(Data::Bytes(word.bytes().into())),
        }
    }

    /// An expression, as the value of the parameter `name`.
    pub(super) fn expression(&mut self, name: &str, text: &str) -> Result<Box<Expr>, String> {
        let wrong = |e: String| format!("error detected while parsing {name} expression : {e}.");
        let expr = Expr::parse(text, &mut self.scope).map_err(|e| self.error(&wrong(e)))?;
        if expr.needs().places().contains(Place::Check) {
            return Ok(Box::new(expr));
        }
        let source = expr.needs().name();
        Err(self.error(&wrong(format!(
            " fetch method '{text}' extracts information from '{source}', none of which is available here.\n"
        ))))
    }

    /// `set-var(…)` and its kin.
    pub(super) fn assignment(&mut self) -> Result<StepDraft, String> {
        let word = arg(self.words, 1);
        let name = word.split('(').next().unwrap_or_default();
        let mode = self.mode();
        let parsed = variable::parse(word, arg(self.words, 2), Purpose::Plain, mode, &mut self.scope);
        let assignment = parsed.map_err(|e| self.error(&format!("'{name}' : {e}.")))?;
        Ok(ready(Action::Assign(Box::new(assignment)), None))
    }

    fn mode(&self) -> Mode {
        if self.speech == Speech::Http { Mode::Http } else { Mode::Tcp }
    }
}

/// A step whose number is not known yet.
pub(super) fn ready(action: Action, comment: Option<Box<[u8]>>) -> StepDraft {
    StepDraft::Ready(Step { number: 0, comment, action })
}

/// Some of HAProxy's sentences end twice.
pub(super) fn dotted<T>(parsed: Result<T, String>) -> Result<T, String> {
    parsed.map_err(|e| format!("{e}."))
}
