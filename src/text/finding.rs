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
    /// Offset in bytes behind that word; not above `column` where it is not known.
    pub end: u32,
    /// The message in HAProxy's words, without the place.
    pub text: String,
    /// What was probably meant, or the modern form of a line that HAProxy refuses today.
    pub suggestion: Option<String>,
    /// Where the name that was probably meant is defined: file and line.
    pub defined: Option<(Rc<str>, u32)>,
    /// The first version of HAProxy that refuses the line, where versions before it took it.
    pub refused_since: Option<&'static str>,
    /// The line as it was read, for [`Finding::explain`].
    pub source: Option<Rc<[u8]>>,
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
            end: 0,
            text,
            suggestion: None,
            defined: None,
            refused_since: None,
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

    /// For people at a terminal: the line, marks below the word, and the suggestion with the place where it is
    /// defined. `None` when the message already shows all there is.
    #[must_use]
    pub fn explain(&self, coloured: bool) -> Option<String> {
        let paint = |colour: &str, text: &str| match coloured {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let mut lines = Vec::new();
        // Where words could not be cut, the message has its own excerpt.
        if let Some(source) = self.source.as_ref().filter(|_| !self.text.contains('\n')) {
            if self.place == Place::None {
                lines.push(format!("  [{}:{}]", self.file, self.line));
            }
            let excerpt = excerpt(source, self.column as usize);
            let (shown, caret) = excerpt.rsplit_once('\n').unwrap_or((&excerpt, ""));
            let room = (shown.len() + 1).saturating_sub(caret.len());
            let length = (self.end.saturating_sub(self.column) as usize).clamp(1, room.max(1));
            let colour = if self.severity >= Severity::Complaint { RED } else { YELLOW };
            let blanks = &caret[..caret.len() - 1];
            let marks = format!("^{}", "~".repeat(length - 1));
            lines.push(format!("{shown}\n{blanks}{}", paint(colour, &marks)));
        }
        // Of keywords, HAProxy's message has the suggestion already.
        if let Some(meant) = self.suggestion.as_ref().filter(|_| !says_what_was_meant(&self.text)) {
            let place = self.defined.as_ref().map_or_else(String::new, |(file, line)| format!(" [{file}:{line}]"));
            lines.push(format!("   = did you mean '{}'{place}?", paint(GREEN, meant)));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Colours of terminals, bold.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";

/// Whether a message ends with HAProxy's own suggestion.
#[must_use]
pub fn says_what_was_meant(text: &str) -> bool {
    text.contains("did you mean '") || text.contains("Did you mean '")
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The messages alone, as HAProxy prints them: tools match them.
    Plain,
    /// With the line, marks and a suggestion.
    Detailed,
    /// The same in colours.
    Coloured,
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

    /// The findings in order, to add to them.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Finding> {
        self.list.iter_mut()
    }

    /// Hands each message to `emit`, which adds HAProxy's prefix.
    pub fn print(&self, style: Style, emit: &mut dyn FnMut(Severity, &str)) {
        for finding in &self.list {
            let message = finding.message();
            let details = (style != Style::Plain).then(|| finding.explain(style == Style::Coloured));
            match details.flatten() {
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
    fn details_show_line_word_and_suggestion() {
        let mut finding = Finding::general(Severity::Alert, "no such ACL : 'locla'".into());
        assert_eq!(finding.explain(false), None);
        finding.source = Some(Rc::from(&b" http-request deny if locla"[..]));
        finding.place = Place::Keyword;
        (finding.column, finding.end) = (22, 27);
        let shown = "   http-request deny if locla\n                        ^~~~~";
        assert_eq!(finding.explain(false).as_deref(), Some(shown));
        finding.suggestion = Some("local".into());
        finding.defined = Some((Rc::from("a.cfg"), 7));
        assert_eq!(finding.explain(false), Some(format!("{shown}\n   = did you mean 'local' [a.cfg:7]?")));
        assert!(finding.explain(true).is_some_and(|text| text.contains("\x1b[1;31m^~~~~\x1b[0m\n")));
        // Marks end where a long line is cut.
        finding.source = Some(Rc::from(&[b'a'; 300][..]));
        (finding.column, finding.end) = (0, 300);
        assert!(finding.explain(false).is_some_and(|text| text.lines().all(|line| line.len() <= 82)));
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
