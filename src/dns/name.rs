//! Names of hosts and services, as they stand in questions and answers.

use std::fmt;

/// Most octets of a name on the wire, lengths of labels and the root's included (RFC 1035 2.3.4).
const WIRE_BYTES_MAX: usize = 255;
/// Most octets of a label.
const LABEL_BYTES_MAX: usize = 63;

/// A name in lower case, without a dot at its end: labels of letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Reads a name; `None` where it is empty or too long, or a label is or has other characters.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Name> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        // Each label but the last has its dot where the wire has the length of the next; two more are for
        // the first length and the root.
        if text.len() + 2 > WIRE_BYTES_MAX {
            return None;
        }
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &[u8]| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.iter().all(is_part);
        if !text.split(|byte| *byte == b'.').all(is_label) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(Name(text.to_ascii_lowercase().into()))
    }

    /// Whether it names a service, whose SRV records are asked for (manual 5.3.1): it begins with `_`.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The name with dots between its labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its labels, each behind its length, without the root's.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.0.len() + 2);
        for label in self.labels() {
            // Labels are short: see `parse`.
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire
    }

    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Name::parse(text.as_bytes()).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn names_are_in_lower_case_and_end_without_a_dot() {
        assert_eq!(read("WWW.Example.com."), Some("www.example.com".into()));
        assert_eq!(read("_http._tcp.web"), Some("_http._tcp.web".into()));
        assert!(Name::parse(b"_http._tcp.web").is_some_and(|name| name.is_service()));
        assert!(!Name::parse(b"a_b").unwrap().is_service());
    }

    #[test]
    fn what_no_host_is_called_is_no_name() {
        let long = "a".repeat(64);
        for bad in ["", ".", "a..b", ".a", "a b", "a\u{e4}", "a/b", &long, &"abc.".repeat(64)] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(read(&"a".repeat(63)).is_some());
        // 253 octets of text are 255 on the wire.
        let longest = format!("{}{}", "abc.".repeat(63), "a");
        assert_eq!(longest.len(), 253);
        assert!(read(&longest).is_some());
        assert!(read(&format!("{longest}b")).is_none());
    }
}
