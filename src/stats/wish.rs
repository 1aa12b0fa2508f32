//! What a visitor of the statistics page asks for by its address.

use std::fmt::Write;

/// What the visitor asked for beside the page: the words behind the prefix of its URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The form.
    pub form: Form,
    /// `;up`: no servers that are down.
    pub only_up: bool,
    /// `;norefresh`: stay as it is.
    pub no_refresh: bool,
    /// `;worker=`: what one worker has, by its number.
    pub worker: Option<usize>,
    /// `scope=`: proxies with this in their names.
    pub scope: String,
    /// `;st=`: what became of an action.
    pub status: String,
}

impl Wish {
    /// What leads back to the page that was wished for, with a word about an action.
    pub fn way_back(&self, code: &str, refreshes: bool) -> String {
        let mut words = format!(";st={code}");
        if let Some(number) = self.worker {
            let _ = write!(words, ";worker={number}");
        }
        if self.only_up {
            words.push_str(";up");
        }
        if self.no_refresh && refreshes {
            words.push_str(";norefresh");
        }
        if !self.scope.is_empty() {
            let _ = write!(words, "?scope={}", self.scope);
        }
        words
    }
}

/// Forms of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Html,
    /// `;csv`
    Csv,
    /// `;json`
    Json,
}

/// Bytes of `scope=` that are looked at.
pub const SCOPE_BYTES_MAX: usize = 20;

impl Wish {
    /// Reads what follows the prefix.
    pub fn parse(rest: &[u8]) -> Wish {
        let rest = String::from_utf8_lossy(rest);
        let has = |word: &str| rest.contains(word);
        let after = |word: &str, ends: &[char]| {
            let value = rest.split_once(word).map_or("", |(_, value)| value);
            value.split(ends).next().unwrap_or_default().to_owned()
        };
        let form = if has(";csv") {
            Form::Csv
        } else if has(";json") {
            Form::Json
        } else {
            Form::Html
        };
        Wish {
            form,
            only_up: has(";up"),
            no_refresh: has(";norefresh"),
            worker: after(";worker=", &[';', '&', '?']).parse().ok(),
            scope: scope(&rest),
            status: after(";st=", &[';', '&', '?']),
        }
    }
}

/// `scope=`, cut to its length. Like HAProxy, one with other characters than names have is no scope at all, nor is
/// one with a single character at the end of the address.
fn scope(rest: &str) -> String {
    let Some(at) = rest.find("scope=").filter(|at| at + "scope=xx".len() <= rest.len()) else { return String::new() };
    let value = rest[at + "scope=".len()..].split(['&', ';', ' ']).next().unwrap_or_default();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let cut: String = value.chars().take(SCOPE_BYTES_MAX).collect();
    if cut.chars().all(named) { cut } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_wherever_they_stand() {
        let wish = Wish::parse(b";up;csv;norefresh?scope=ab.c&x");
        assert_eq!((wish.form, wish.only_up, wish.no_refresh), (Form::Csv, true, true));
        assert_eq!(wish.scope, "ab.c");
        assert_eq!(Wish::parse(b";worker=2;csv").worker, Some(2));
        assert_eq!(Wish::parse(b"/x;st=DENY").status, "DENY");
        assert_eq!(Wish::parse(b""), Wish::default());
        assert_eq!(Wish::parse(b"?scope=12345678901234567890123").scope.len(), SCOPE_BYTES_MAX);
    }

    #[test]
    fn a_scope_that_no_name_has_is_none() {
        for none in [&b"?scope=a<b"[..], b"?scope=%61b", b"?scope=", b"?scope=b", b"?scope=\xff\xff", b"?scope=;csv"] {
            assert_eq!(Wish::parse(none).scope, "");
        }
        assert_eq!(Wish::parse(b"?scope=b&").scope, "b");
    }
}
