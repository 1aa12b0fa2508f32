//! Heads: the fast way with httparse, which takes nearly all real messages, and the choice of the
//! slow parser for the rest. What httparse accepts and HAProxy does not is checked afterwards.

use super::error::{Fault, ParseError};
use super::{grammar, slow, target};
use crate::http::{Head, Span};
use std::mem::MaybeUninit;

/// What bounds a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `tune.bufsize` less `tune.maxrewrite`. With the defaults (15360) the texts of a head, eight octets
    /// for each field added, may be 15275 octets; HAProxy draws the line at the same octet.
    pub head_bytes_max: usize,
    /// Field lines: one less than `tune.http.maxhdr`, which counts the end of the list too.
    pub fields_max: usize,
    /// `option accept-invalid-http-request` or `-response`.
    pub lenient: bool,
    /// An absolute target replaces `Host`, as it does for a forward proxy (RFC 9112 3.2.2).
    pub target_is_host: bool,
}

impl Default for Limits {
    /// HAProxy's defaults: bufsize 16384, maxrewrite 1024, maxhdr 101.
    fn default() -> Limits {
        Limits { head_bytes_max: 15360, fields_max: 100, lenient: false, target_is_host: false }
    }
}

/// How far parsing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed; the head is empty. Parsing starts anew with the next call, so a caller may
    /// wait until a line feed is among the new bytes.
    Partial,
    /// The head is complete.
    Complete {
        /// Octets of the buffer that it took, leading empty lines and the final one included.
        head_bytes: usize,
    },
}

/// Fields for which the fast way has room; more go the slow way.
const FAST_FIELDS: usize = 64;

/// Parses a request head at the start of `buf` into `head`, which is cleared first.
///
/// # Errors
/// What HAProxy refuses with 400: see [`Fault`]. The head then holds nothing of use.
pub fn parse_request(buf: &[u8], head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    let parsed = match fast_request(buf, head, limits) {
        Some(head_bytes) => Parsed::Complete { head_bytes },
        None => slow::request(buf, head, limits)?,
    };
    if let Parsed::Complete { .. } = within(parsed, head, buf, limits)? {
        if limits.target_is_host {
            target::replace_host(head);
        }
        target::check(head, limits.lenient)?;
    }
    Ok(parsed)
}

/// Parses a response head at the start of `buf` into `head`, which is cleared first.
///
/// # Errors
/// What makes HAProxy answer 502 for the server: see [`Fault`].
pub fn parse_response(buf: &[u8], head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    let parsed = match fast_response(buf, head, limits) {
        Some(head_bytes) => Parsed::Complete { head_bytes },
        None => slow::response(buf, head, limits)?,
    };
    within(parsed, head, buf, limits)
}

/// What HAProxy's own form of a head takes beyond its texts: the form itself, its start line and its
/// end; and for each field. So a head of many short fields may be a little shorter than one of few
/// long ones, and what is refused is the same to the octet.
const STORED_HEAD_BYTES: usize = 85;
const STORED_FIELD_BYTES: usize = 8;

/// Refuses a head that is, or already must become, longer than allowed.
fn within(parsed: Parsed, head: &Head, buf: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let max = limits.head_bytes_max;
    let fits = match parsed {
        Parsed::Complete { .. } => STORED_HEAD_BYTES + head.text_bytes(STORED_FIELD_BYTES) <= max,
        Parsed::Partial => buf.len() < max,
    };
    match fits {
        true => Ok(parsed),
        false => Err(ParseError::new(Fault::HeadTooLarge, buf.len().min(max))),
    }
}

/// The octets of a complete and unsuspicious request; `None` leaves the verdict to the slow parser.
fn fast_request(buf: &[u8], head: &mut Head, limits: &Limits) -> Option<usize> {
    let mut fields = [const { MaybeUninit::uninit() }; FAST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(buf, &mut fields);
    let Ok(httparse::Status::Complete(head_bytes)) = parsed else {
        return None;
    };
    let (method, uri) = (request.method?, request.path?);
    let plain = |byte: u8| grammar::is_target(byte, limits.lenient);
    if request.headers.len() > limits.fields_max || !uri.bytes().all(plain) {
        return None;
    }
    head.load(buf.get(..head_bytes)?);
    let (method, uri) = (span(buf, method.as_bytes())?, span(buf, uri.as_bytes())?);
    // One space, then the eight octets of a version that httparse takes only in its exact form.
    let version = Span::new(uri.end() + 1, uri.end() + 9);
    head.set_request_spans(method, uri, version);
    push_fields(buf, head, request.headers)?;
    Some(head_bytes)
}

/// The same for a response.
fn fast_response(buf: &[u8], head: &mut Head, limits: &Limits) -> Option<usize> {
    let mut fields = [const { MaybeUninit::uninit() }; FAST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, buf, &mut fields);
    let Ok(httparse::Status::Complete(head_bytes)) = parsed else {
        return None;
    };
    if response.headers.len() > limits.fields_max || response.code? < 100 {
        return None;
    }
    // A reason that is empty does not point into the buffer, one that begins with blanks is shorter for
    // HAProxy: both go the slow way.
    let reason = response.reason?.as_bytes();
    if grammar::is_blank(*reason.first()?) {
        return None;
    }
    let reason = span(buf, reason)?;
    let status_start = (reason.start as usize).checked_sub(4)?;
    let status = Span::new(status_start, status_start + 3);
    let version = Span::new(status_start.checked_sub(9)?, status_start - 1);
    head.load(buf.get(..head_bytes)?);
    head.set_response_spans(version, response.code?, status, reason);
    push_fields(buf, head, response.headers)?;
    Some(head_bytes)
}

fn push_fields(buf: &[u8], head: &mut Head, fields: &[httparse::Header<'_>]) -> Option<()> {
    for field in fields {
        let name = span(buf, field.name.as_bytes())?;
        let value = match field.value {
            [] => Span::new(name.end() + 1, name.end() + 1),
            value => span(buf, value)?,
        };
        head.push_span(name, value);
    }
    Some(())
}

/// Where `part`, a slice of `buf`, stands in it; `None` if it is empty or from elsewhere.
fn span(buf: &[u8], part: &[u8]) -> Option<Span> {
    let start = (part.as_ptr() as usize).checked_sub(buf.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (!part.is_empty() && end <= buf.len()).then(|| Span::new(start, end))
}
