//! Changes to header fields, the same for requests and responses (manual 4.2).

use regex::bytes::Regex;

use crate::http::{Head, Values, uri};
use crate::log::format::Format;
use crate::sample::Ctx;
use crate::text;

/// A change to header fields.
#[derive(Clone, Debug)]
pub enum Edit {
    /// `set-header`: all fields of the name become one.
    Set(Box<[u8]>, Format),
    /// `add-header`
    Add(Box<[u8]>, Format),
    /// `del-header`
    Delete(Names),
    /// `replace-header`: on whole lines.
    ReplaceLines(Box<[u8]>, Regex, Format),
    /// `replace-value`: on comma-separated values.
    ReplaceValues(Box<[u8]>, Regex, Format),
}

/// Which names `del-header` means.
#[derive(Clone, Debug)]
pub enum Names {
    /// This one, whatever its case.
    Whole(Box<[u8]>),
    /// Those that begin so.
    Prefix(Box<[u8]>),
    /// Those that end so.
    Suffix(Box<[u8]>),
    /// Those that contain it.
    Part(Box<[u8]>),
    /// Those that a regular expression matches.
    Regex(Regex),
}

impl Names {
    fn contain(&self, name: &[u8]) -> bool {
        let part = |range: Option<&[u8]>, wanted: &[u8]| range.is_some_and(|p| p.eq_ignore_ascii_case(wanted));
        match self {
            Names::Whole(wanted) => part(Some(name), wanted),
            Names::Prefix(wanted) => part(name.get(..wanted.len()), wanted),
            Names::Suffix(wanted) => part(name.len().checked_sub(wanted.len()).and_then(|at| name.get(at..)), wanted),
            Names::Part(wanted) => {
                wanted.is_empty() || name.windows(wanted.len()).any(|window| part(Some(window), wanted))
            }
            Names::Regex(regex) => regex.is_match(&name.to_ascii_lowercase()),
        }
    }
}

impl Edit {
    /// What the change needs from the exchange as it is before the change, such as the new value; written to
    /// `text`.
    pub(super) fn prepare(&self, ctx: &Ctx<'_>, text: &mut Vec<u8>) {
        text.clear();
        match self {
            Edit::Set(_, format)
            | Edit::Add(_, format)
            | Edit::ReplaceLines(_, _, format)
            | Edit::ReplaceValues(_, _, format) => format.write(ctx, text),
            Edit::Delete(_) => {}
        }
    }

    /// Changes the head, with what [`Edit::prepare`] wrote.
    pub(super) fn apply(&self, head: &mut Head, text: &[u8]) {
        self.change(head, text);
        if head.status() == 0 && self.writes_host() {
            follow_host(head);
        }
    }

    /// Whether it may give `Host` another value.
    fn writes_host(&self) -> bool {
        match self {
            Edit::Set(name, _) | Edit::Add(name, _) => name.eq_ignore_ascii_case(b"host"),
            Edit::ReplaceLines(name, ..) | Edit::ReplaceValues(name, ..) => name.eq_ignore_ascii_case(b"host"),
            Edit::Delete(_) => false,
        }
    }

    fn change(&self, head: &mut Head, text: &[u8]) {
        match self {
            Edit::Set(name, _) => head.set(name, text),
            Edit::Add(name, _) => head.add(name, text),
            Edit::Delete(Names::Whole(name)) => drop(head.remove(name)),
            Edit::Delete(names) => drop(head.remove_if(|_, name, _| names.contain(name))),
            Edit::ReplaceLines(name, regex, _) => replace(head, name, |value| rewritten(value, regex, text)),
            Edit::ReplaceValues(name, regex, _) => replace(head, name, |line| replaced_values(line, regex, text)),
        }
    }
}

/// The host of an absolute target is the one that the last `Host` names, as in HAProxy.
fn follow_host(head: &mut Head) {
    let target = head.uri();
    let Some(authority) = uri::authority(target) else { return };
    let Some(host) = head.fields_named(b"host").next_back() else { return };
    if host.value == authority {
        return;
    }
    let scheme = uri::scheme(target).unwrap_or_default();
    let rest = &target[scheme.len() + b"://".len() + authority.len()..];
    let target = [scheme, b"://", host.value, rest].concat();
    head.set_uri(&target);
}

/// The line with its matching values replaced, the blanks around them included; `None` when none matches.
fn replaced_values(line: &[u8], regex: &Regex, format: &[u8]) -> Option<Vec<u8>> {
    let mut changed = false;
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    for value in Values::new(line) {
        if !out.is_empty() || rest.len() < line.len() {
            out.push(b',');
        }
        let lead = rest.iter().take_while(|c| c.is_ascii_whitespace()).count();
        let after = rest.get(lead + value.len()..).unwrap_or_default();
        let end = rest.len() - memchr::memchr(b',', after).map_or(0, |comma| after.len() - comma);
        match rewritten(value, regex, format) {
            Some(new) => {
                out.extend_from_slice(&new);
                changed = true;
            }
            None => out.extend_from_slice(rest.get(..end).unwrap_or_default()),
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    changed.then_some(out)
}

fn rewritten(value: &[u8], regex: &Regex, format: &[u8]) -> Option<Vec<u8>> {
    let groups = regex.captures(value)?;
    let mut out = Vec::new();
    text::regex::expand(format, &groups, &mut out);
    Some(out)
}

fn replace(head: &mut Head, name: &[u8], mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let changes: Vec<(usize, Vec<u8>)> =
        head.fields_named(name).filter_map(|field| change(field.value).map(|new| (field.index, new))).collect();
    for (index, value) in changes {
        head.set_value(index, &value);
    }
}
