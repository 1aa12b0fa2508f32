//! What is wrong with a configuration: findings with their place, and their printed form.

use std::rc::Rc;

/// Columns of a line that are shown around a mistake.
const SHOWN_BYTES: usize = 80;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Printed in diagnostic mode only (`-dD`).
    Diag,
    /// Only said.
    Notice,
    /// The configuration can be used; fatal in zero-warning mode (`-dW`).
    Warning,
    /// Printed as an alert, and yet the configuration can be used: HAProxy has such for repeated settings.
    Complaint,
    /// The configuration cannot be used.
    Alert,
}

/// How the place is written: HAProxy's reader and its keyword parsers differ by one blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// No place: the finding concerns a whole proxy or the whole configuration.
    None,
    /// `parsing [file:line]: `, as for words and conditions.
    Reader,
    /// `parsing [file:line] : `, as for keywords.
    Keyword,
    /// `[file:line] : `, as for `server` lines.
    Server,
}

/// One remark about the configuration.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// How file and line are announced.
    pub place: Place,
    /// The file as it was named on the command line; empty without a place.
    pub file: Rc<str>,
    /// Line number from 1; 0 where none belongs to the finding.
    pub line: u32,
    /// Offset in bytes of the word concerned, from 0.
    pub column: u32,
    /// The message in HAProxy's words, without the place.
    pub text: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// The line as it was read, for [`Finding::explain`].
    pub source: Option<Rc<str>>,
}

impl Finding {
    /// A finding without a place.
    #[must_use]
    pub fn general(severity: Severity, text: String) -> Finding {
        Finding {
            severity,
            place: Place::None,
            file: Rc::from(""),
            line: 0,
            column: 0,
            text,
            suggestion: None,
            source: None,
        }
    }

    /// The message as HAProxy prints it after `[ALERT]    (pid) : `, without the final line feed.
    #[must_use]
    pub fn message(&self) -> String {
        match self.place {
            Place::None => format!("config : {}", self.text),
            Place::Reader => {
                format!("config : parsing [{}:{}]: {}", self.file, self.line, self.text)
            }
            Place::Keyword => {
                format!("config : parsing [{}:{}] : {}", self.file, self.line, self.text)
            }
            Place::Server => format!("config : [{}:{}] : {}", self.file, self.line, self.text),
        }
    }

    /// For people at a terminal: the line, a caret below the word and the suggestion. `None` when
    /// the message already shows all there is.
    #[must_use]
    pub fn explain(&self) -> Option<String> {
        let shown = matches!(self.place, Place::Keyword | Place::Server);
        let source = self.source.as_ref().filter(|_| shown);
        let excerpt = source.map(|source| excerpt(source.as_bytes(), self.column as usize));
        // Where there is a source line, HAProxy's message has the suggestion already.
        let hint = self.suggestion.as_ref().filter(|_| source.is_none());
        let hint = hint.map(|suggestion| format!("   = did you mean '{suggestion}'?"));
        match (excerpt, hint) {
            (None, None) => None,
            (Some(text), None) | (None, Some(text)) => Some(text),
            (Some(excerpt), Some(hint)) => Some(format!("{excerpt}\n{hint}")),
        }
    }
}

/// Two lines: at most 80 bytes of `line` around `offset`, and a caret below it. Dots stand for what is cut
/// off, but for the end of a line that is shown from its beginning.
#[must_use]
pub fn excerpt(line: &[u8], offset: usize) -> String {
    let from = if offset < SHOWN_BYTES { 0 } else { offset - SHOWN_BYTES / 2 };
    let printable = |byte: &u8| match byte {
        b'\t' | b'\n' | b'\r' => ' ',
        0x20..=0x7e => char::from(*byte),
        _ => '?',
    };
    let shown = line.get(from..).unwrap_or_default().iter().map(printable);
    let text: String = if from == 0 {
        shown.take(SHOWN_BYTES).collect()
    } else {
        let dots = "...";
        let middle: String = shown.take(SHOWN_BYTES - dots.len()).skip(dots.len()).collect();
        format!("{dots}{middle}{dots}")
    };
    format!("  {text}\n  {:>1$}", "^", offset - from + 1)
}

/// The findings of one configuration, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    gave_up: bool,
}

impl Findings {
    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// Adds an error without a place.
    pub fn alert(&mut self, text: impl Into<String>) {
        self.push(Finding::general(Severity::Alert, text.into()));
    }

    /// Adds a warning without a place.
    pub fn warning(&mut self, text: impl Into<String>) {
        self.push(Finding::general(Severity::Warning, text.into()));
    }

    /// Whether the configuration cannot be used.
    #[must_use]
    pub fn fatal(&self) -> bool {
        self.list.iter().any(|f| f.severity == Severity::Alert)
    }

    /// How many errors there are.
    #[must_use]
    pub fn alerts(&self) -> usize {
        self.list.iter().filter(|f| f.severity == Severity::Alert).count()
    }

    /// Whether there was a warning (`Warnings were found.`).
    #[must_use]
    pub fn warned(&self) -> bool {
        self.list.iter().any(|f| f.severity == Severity::Warning)
    }

    /// Notes that HAProxy would have given up here, which it does without its last line.
    pub fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// Whether HAProxy would have given up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Findings) {
        self.list.extend(other.list);
        self.gave_up |= other.gave_up;
    }

    /// Takes out the findings of one file; the note of having given up goes along.
    pub fn take_file(&mut self, file: &str) -> Findings {
        let (taken, left) = std::mem::take(&mut self.list).into_iter().partition(|f| &*f.file == file);
        self.list = left;
        Findings { list: taken, gave_up: self.gave_up }
    }

    /// Puts findings of one file in the order of its lines.
    pub fn sort_by_line(&mut self) {
        self.list.sort_by_key(|finding| finding.line);
    }

    /// How many findings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The findings in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.list.iter()
    }

    /// Hands each message to `emit`, which adds HAProxy's prefix; on a terminal with the line, a
    /// caret and a suggestion below.
    pub fn print(&self, terminal: bool, emit: &mut dyn FnMut(Severity, &str)) {
        for finding in &self.list {
            let message = finding.message();
            match finding.explain().filter(|_| terminal) {
                Some(details) => emit(finding.severity, &format!("{message}\n{details}")),
                None => emit(finding.severity, &message),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_haproxy_does() {
        let mut finding = Finding::general(Severity::Alert, "x".into());
        assert_eq!(finding.message(), "config : x");
        finding.file = Rc::from("a.cfg");
        finding.line = 3;
        finding.place = Place::Reader;
        assert_eq!(finding.message(), "config : parsing [a.cfg:3]: x");
        finding.place = Place::Keyword;
        assert_eq!(finding.message(), "config : parsing [a.cfg:3] : x");
    }

    #[test]
    fn long_lines_are_shown_around_the_mistake() {
        assert_eq!(excerpt(b" ab\tc", 2), "   ab c\n    ^");
        let line = format!(" {} \"abc {}", "a".repeat(105), "b".repeat(66));
        assert_eq!(
            excerpt(line.as_bytes(), 107),
            format!("  ...{} \"abc {}...\n  {}^", "a".repeat(36), "b".repeat(32), " ".repeat(40))
        );
        let _ = excerpt(&[b'a'; 81], 81);
        let _ = excerpt(&[b'a'; 300], 300);
    }
}
