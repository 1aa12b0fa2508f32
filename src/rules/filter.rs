//! The line filters of HAProxy up to version 2.0 at work: `reqrep`, `reqdel`, `reqdeny` and their kin, and the
//! `rsp…` family (manual of version 1.5, 4.2).
//!
//! A filter is a regular expression that sees a message as lines: first the start line, then each field as
//! `Name: value`. What it replaces is always the whole line. Filters run in the order written, after
//! `http-request` and before the lines of `reqadd`; one that has decided (`reqallow`) spares the message all
//! later decisions, but no later change.

use regex::bytes::Regex;

use super::{Rule, Rules};
use crate::h1;
use crate::http::Head;
use crate::proxy::BackendId;
use crate::sample::Ctx;
use crate::text;

/// One filter. `B` is how it names a backend: by its name until all are known.
#[derive(Clone, Debug)]
pub struct Filter<B = BackendId> {
    /// The lines that it means.
    pub regex: Regex,
    /// What becomes of them, or of the message.
    pub action: Action<B>,
}

/// What a filter does when a line matches.
#[derive(Clone, Debug)]
pub enum Action<B = BackendId> {
    /// `reqallow`: no later decision counts.
    Allow,
    /// `reqdeny`, `rspdeny`
    Deny,
    /// `reqtarpit`
    Tarpit,
    /// `reqpass`: nothing at all, in every version that had it.
    Pass,
    /// `reqdel`, `rspdel`: fields only, never the start line.
    Delete,
    /// `reqrep`, `rsprep`: the line becomes this, in which `\1` stands for a group.
    Replace(Box<[u8]>),
    /// `reqsetbe`: the backend is chosen.
    Switch(B),
}

/// Fields that `reqadd` or `rspadd` adds: names and values.
#[derive(Clone, Debug)]
pub struct Addition(pub Vec<OwnField>);

/// A field of the configuration: name and value.
pub type OwnField = (Box<[u8]>, Box<[u8]>);

/// What the filters decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message goes on; a request to this backend where one was chosen.
    Continue(Option<BackendId>),
    /// It is refused.
    Deny,
    /// It is refused after `timeout tarpit`.
    Tarpit,
    /// A replacement made a line that may not be sent.
    Invalid,
}

/// A filter replaced a line by what is none.
struct NoLine;

/// What one filter found.
enum Found {
    Nothing,
    /// A line of a filter that decides.
    Match,
}

impl<B> Action<B> {
    /// Whether an earlier `reqallow` makes the filter superfluous.
    fn decides(&self) -> bool {
        matches!(self, Action::Allow | Action::Deny | Action::Tarpit | Action::Pass)
    }
}

impl Rules {
    /// Runs the `req…` filters, then adds the fields of `reqadd`. `base` shows the exchange without the
    /// request, which is `head`; `scratch` is space for lines.
    pub fn filter_request(&self, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Outcome {
        let (filters, additions) = (&self.request_filters, &self.request_additions);
        self.filter(filters, additions, base, head, scratch)
    }

    /// Runs the `rsp…` filters, then adds the fields of `rspadd`.
    pub fn filter_response(&self, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Outcome {
        let (filters, additions) = (&self.response_filters, &self.response_additions);
        self.filter(filters, additions, base, head, scratch)
    }

    fn filter(
        &self,
        filters: &[Rule<Filter>],
        additions: &[Rule<Addition>],
        base: &Ctx<'_>,
        head: &mut Head,
        scratch: &mut Vec<u8>,
    ) -> Outcome {
        let (mut allowed, mut chosen) = (false, None);
        for rule in filters {
            let filter = &rule.action;
            if allowed && filter.action.decides() || !rule.applies(&self.acls, &view(base, head)) {
                continue;
            }
            match filter.run(head, scratch) {
                Err(NoLine) => return Outcome::Invalid,
                Ok(Found::Nothing) => {}
                Ok(Found::Match) => match filter.action {
                    Action::Allow => allowed = true,
                    Action::Deny => return Outcome::Deny,
                    Action::Tarpit => return Outcome::Tarpit,
                    // The first choice stays.
                    Action::Switch(backend) => chosen = chosen.or(Some(backend)),
                    Action::Pass | Action::Delete | Action::Replace(_) => {}
                },
            }
        }
        for rule in additions {
            if rule.applies(&self.acls, &view(base, head)) {
                rule.action.0.iter().for_each(|(name, value)| head.add(name, value));
            }
        }
        Outcome::Continue(chosen)
    }
}

/// The exchange with its message as it is now.
fn view<'h>(base: &Ctx<'h>, head: &'h Head) -> Ctx<'h> {
    match head.status() {
        0 => Ctx { request: Some(head), ..*base },
        _ => Ctx { response: Some(head), ..*base },
    }
}

impl Filter {
    /// Looks at all lines, and changes them if that is the filter's purpose. A match in the start line spares
    /// the fields, except for `reqpass`, which does not count.
    fn run(&self, head: &mut Head, line: &mut Vec<u8>) -> Result<Found, NoLine> {
        if !matches!(self.action, Action::Delete | Action::Pass) {
            line.clear();
            write_start_line(head, line);
            if let Some(groups) = self.regex.captures(line) {
                let Action::Replace(format) = &self.action else { return Ok(Found::Match) };
                let mut new = Vec::with_capacity(line.len());
                text::regex::expand(format, &groups, &mut new);
                return set_start_line(head, &new).map(|()| Found::Nothing).ok_or(NoLine);
            }
        }
        for index in 0..head.field_places() {
            line.clear();
            if !head.write_line_at(index, line) {
                continue;
            }
            match &self.action {
                Action::Pass => return Ok(Found::Nothing),
                Action::Delete if self.regex.is_match(line) => head.remove_at(index),
                Action::Delete => {}
                Action::Replace(format) => {
                    let Some(groups) = self.regex.captures(line) else { continue };
                    let mut new = Vec::with_capacity(line.len());
                    text::regex::expand(format, &groups, &mut new);
                    replace_line(head, index, &new).ok_or(NoLine)?;
                }
                _ if self.regex.is_match(line) => return Ok(Found::Match),
                _ => {}
            }
        }
        Ok(Found::Nothing)
    }
}

fn write_start_line(head: &Head, out: &mut Vec<u8>) {
    let blank = &b" "[..];
    let status = itoa::Buffer::new().format(head.status()).to_owned();
    let parts: [&[u8]; 5] = match head.status() {
        0 => [head.method_token(), blank, head.uri(), blank, head.version_text()],
        _ => [head.version_text(), blank, status.as_bytes(), blank, head.reason()],
    };
    out.extend_from_slice(&parts.concat());
}

/// Takes a start line apart again; `None` if it is none.
fn set_start_line(head: &mut Head, line: &[u8]) -> Option<()> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    if head.status() > 0 {
        let status = std::str::from_utf8(second).ok()?.parse().ok().filter(|code| (100..=999).contains(code))?;
        let plain = third.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
        // What the code means for the body was settled when it came, and 101 opens a tunnel.
        let of_a_kind = |code: u16| matches!(code, 101 | 204 | 304);
        if !plain || !is_version(first) || (status != head.status() && (of_a_kind(status) || of_a_kind(head.status())))
        {
            return None;
        }
        head.set_status(status);
        head.set_reason(third);
        return Some(());
    }
    let method = !first.is_empty() && first.iter().all(|byte| h1::is_token(*byte));
    let target = !second.is_empty() && second.iter().all(|byte| (0x21..0x7f).contains(byte) || *byte >= 0x80);
    if !method || !target || !is_version(third) {
        return None;
    }
    head.set_method(first);
    head.set_uri(second);
    Some(())
}

/// The version is ours, whatever the line says (RFC 9110 2.5): it must only be one.
fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Puts a line in the place of a field. Line ends in it, which can only come from the configuration, begin
/// further fields.
fn replace_line(head: &mut Head, index: usize, line: &[u8]) -> Option<()> {
    let fields = fields(line)?;
    let mut fields = fields.iter();
    let (name, value) = fields.next()?;
    head.set_field(index, name, value);
    fields.for_each(|(name, value)| head.add(name, value));
    Some(())
}

/// The names and values of a text that is one field line or several; `None` if a line is none.
pub fn fields(text: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let fields: Option<Vec<_>> = lines.filter(|line| !line.is_empty()).map(field).collect();
    fields.filter(|fields| !fields.is_empty())
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let sound = !name.is_empty() && name.iter().all(|byte| h1::is_token(*byte));
    (sound && !value.iter().any(|byte| matches!(byte, 0 | b'\r'))).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart_into_fields() {
        assert_eq!(fields(b"X-A: b c "), Some(vec![(&b"X-A"[..], &b"b c"[..])]));
        assert_eq!(fields(b"A:1\r\nB:\n"), Some(vec![(&b"A"[..], &b"1"[..]), (b"B", b"")]));
        for wrong in [&b""[..], b"abc", b": x", b"A B: c", b"A: b\0", b"A: b\r\nno"] {
            assert_eq!(fields(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
