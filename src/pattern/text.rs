//! Text patterns: whole, prefix, suffix, substring, and between delimiters (manual 7.1.3).

use std::cmp::Ordering;

use memchr::memmem::Finder;

use super::Method;

/// Octets of text that are folded without allocating.
const FOLD_BYTES: usize = 256;

/// The text patterns of one method: those that regard case, and those that do not, in lower case.
#[derive(Clone, Debug)]
pub struct Texts {
    exact: Group,
    folded: Group,
}

#[derive(Clone, Debug)]
enum Group {
    /// Sorted, the short ones first: a text has few lengths to be compared with, and most lists are short themselves.
    Whole(Vec<Box<[u8]>>),
    /// Sorted; none begins with another, so that only the nearest below a text can be its prefix.
    Prefix(Vec<Box<[u8]>>),
    /// As `Prefix`, each reversed.
    Suffix(Vec<Box<[u8]>>),
    Inside(Vec<Finder<'static>>),
    /// Between any of the delimiters.
    Between(&'static [u8], Vec<Box<[u8]>>),
}

impl Texts {
    /// No patterns yet; for methods that compare text.
    pub(super) fn new(method: Method) -> Texts {
        let group = match method {
            Method::Beg => Group::Prefix(Vec::new()),
            Method::End => Group::Suffix(Vec::new()),
            Method::Sub => Group::Inside(Vec::new()),
            Method::Dir => Group::Between(b"/?", Vec::new()),
            Method::Dom => Group::Between(b"/?.:", Vec::new()),
            _ => Group::Whole(Vec::new()),
        };
        Texts { exact: group.clone(), folded: group }
    }

    pub(super) fn add(&mut self, pattern: &[u8], ignore_case: bool) {
        if ignore_case {
            self.folded.add(&pattern.to_ascii_lowercase());
        } else {
            self.exact.add(pattern);
        }
    }

    pub(super) fn finish(&mut self) {
        self.exact.finish();
        self.folded.finish();
    }

    /// Whether one of the patterns matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.exact.matches(text) || (!self.folded.is_empty() && with_folded(text, |text| self.folded.matches(text)))
    }
}

impl Group {
    fn add(&mut self, pattern: &[u8]) {
        match self {
            Group::Whole(list) | Group::Prefix(list) => list.push(pattern.into()),
            Group::Suffix(list) => list.push(pattern.iter().rev().copied().collect()),
            Group::Inside(list) => list.push(Finder::new(pattern).into_owned()),
            Group::Between(delimiters, list) => list.push(trim(pattern, delimiters).into()),
        }
    }

    fn finish(&mut self) {
        match self {
            Group::Whole(list) => {
                list.sort_unstable_by(|a, b| short_first(a, b));
                list.dedup();
            }
            Group::Prefix(list) | Group::Suffix(list) => {
                list.sort_unstable();
                list.dedup_by(|later, earlier| later.starts_with(earlier));
            }
            Group::Inside(_) | Group::Between(..) => {}
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Group::Whole(list) | Group::Prefix(list) | Group::Suffix(list) | Group::Between(_, list) => list.is_empty(),
            Group::Inside(list) => list.is_empty(),
        }
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Group::Whole(list) => list.binary_search_by(|pattern| short_first(pattern, text)).is_ok(),
            Group::Prefix(list) => {
                let next = list.partition_point(|pattern| **pattern <= *text);
                next.checked_sub(1).is_some_and(|index| text.starts_with(&list[index]))
            }
            Group::Suffix(list) => {
                let next = list.partition_point(|pattern| pattern.iter().le(text.iter().rev()));
                next.checked_sub(1).is_some_and(|index| {
                    let pattern = &list[index];
                    pattern.len() <= text.len() && pattern.iter().eq(text.iter().rev().take(pattern.len()))
                })
            }
            Group::Inside(list) => list.iter().any(|finder| finder.find(text).is_some()),
            Group::Between(delimiters, list) => list.iter().any(|pattern| between(text, pattern, delimiters)),
        }
    }
}

fn short_first(a: &[u8], b: &[u8]) -> Ordering {
    (a.len(), a).cmp(&(b.len(), b))
}

/// Calls `f` with the text in lower case.
fn with_folded<R>(text: &[u8], f: impl FnOnce(&[u8]) -> R) -> R {
    let mut buffer = [0; FOLD_BYTES];
    match buffer.get_mut(..text.len()) {
        Some(folded) => {
            folded.copy_from_slice(text);
            folded.make_ascii_lowercase();
            f(folded)
        }
        None => f(&text.to_ascii_lowercase()),
    }
}

fn trim<'a>(mut pattern: &'a [u8], delimiters: &[u8]) -> &'a [u8] {
    while let [first, rest @ ..] = pattern
        && delimiters.contains(first)
    {
        pattern = rest;
    }
    while let [rest @ .., last] = pattern
        && delimiters.contains(last)
    {
        pattern = rest;
    }
    pattern
}

/// Whether `pattern` stands in `text` with a delimiter or an end of the text on both sides.
fn between(text: &[u8], pattern: &[u8], delimiters: &[u8]) -> bool {
    let Some(last) = text.len().checked_sub(pattern.len()) else { return false };
    let mut starts_here = true;
    for at in 0..=last {
        let is_delimiter = text.get(at).is_some_and(|c| delimiters.contains(c));
        if !is_delimiter && starts_here && text[at..].starts_with(pattern) {
            let after = text.get(at + pattern.len());
            if after.is_none_or(|c| delimiters.contains(c)) {
                return true;
            }
        }
        starts_here = is_delimiter;
    }
    false
}
