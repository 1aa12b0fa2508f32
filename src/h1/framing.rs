//! How long a body is, from the length fields of a parsed head (RFC 9112 6.3), and those fields
//! brought into the form in which HAProxy forwards them:
//!
//! - `Transfer-Encoding` wins over `Content-Length`, which is removed; the client's connection then
//!   closes after the exchange. The last coding must be `chunked`, said once. Other codings before it
//!   cannot be undone: a request gets 422, a response makes a 502.
//! - HTTP/1.0 messages may be chunked too, but close on both sides.
//! - `Content-Length` may be repeated, in lists or lines, while all say the same; one stays.
//! - `CONNECT` has no body, its `Content-Length` goes. 1xx and 204 have none either; 304 and answers to HEAD keep theirs.
//! - `TE` keeps only `trailers`. An `Upgrade` that is asked for is taken off a request with
//!   a body.

use super::error::{Fault, ParseError};
use crate::http::{Head, Known, Method, Values, Version};

/// How a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// This many octets.
    Length(u64),
    /// Chunks, the last of size zero, then trailers.
    Chunked,
    /// All until the server closes; only in responses.
    UntilClose,
    /// The connection is a tunnel from here on, in both directions (101, or 2xx after `CONNECT`).
    Tunnel,
}

/// The body of a message and what its framing means for the connection it came on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framing {
    /// How the body ends.
    pub body: Body,
    /// The sender's connection must not be used for another message, whatever `Connection` says.
    pub must_close: bool,
    /// The connection to which the message is forwarded must not be kept either: a receiver may not
    /// know these chunks.
    pub next_must_close: bool,
}

/// Checks the length fields of a message without using them: trailers may not have bad ones.
pub(super) fn check_lengths(head: &mut Head) -> Result<(), ParseError> {
    content_length(head)?;
    transfer_coding(head).map(|_| ())
}

/// What a response must know of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method as sent to the server.
    pub method: Method,
    /// The request as sent to the server asked for an upgrade ([`super::persistence::Asked::upgrade`]).
    pub upgrade: bool,
}

/// The framing of a request; normalises its length fields, `TE` and `Upgrade`.
///
/// # Errors
/// Length fields that HAProxy refuses; [`ParseError::request_status`] is the answer.
pub fn request(head: &mut Head) -> Result<Framing, ParseError> {
    let length = content_length(head)?;
    let coding = transfer_coding(head);
    let old = head.version() == Version::Http10;
    let end = head.raw_bytes();
    match coding {
        Ok(Coding::Empty) => return Err(ParseError::new(Fault::TransferEncoding, end)),
        Err(error) if error.fault == Fault::TransferEncoding => return Err(error),
        _ => {}
    }
    let bodiless = matches!(head.method(), Method::Get | Method::Head | Method::Delete);
    let has_length = length.is_some_and(|length| length > 0);
    if old && bodiless && (has_length || coding != Ok(Coding::Absent)) {
        return Err(ParseError::new(Fault::UnexpectedBody, end));
    }
    let chunked = coding? == Coding::Chunked;
    keep_te_trailers(head);
    if chunked || (head.method() == Method::Connect && length != Some(0)) {
        head.remove_known(Known::ContentLength);
    }
    let body = match length {
        _ if head.method() == Method::Connect => Body::None,
        _ if chunked => Body::Chunked,
        Some(length) => Body::Length(length),
        None => Body::None,
    };
    let has_body = !matches!(body, Body::None | Body::Length(0));
    if has_body && head.has(Known::Upgrade) && says(head, b"connection", b"upgrade") {
        head.remove_known(Known::Upgrade);
    }
    Ok(Framing {
        body,
        must_close: chunked && (old || length.is_some()),
        next_must_close: chunked && (old || head.method() == Method::Connect),
    })
}

/// The framing of a response to `asked`; normalises its length fields and `TE`.
///
/// # Errors
/// Length fields that HAProxy refuses, and a 101 that was not asked for: answer 502.
pub fn response(head: &mut Head, asked: &Asked) -> Result<Framing, ParseError> {
    let length = content_length(head)?;
    let coding = transfer_coding(head)?;
    let chunked = coding == Coding::Chunked;
    keep_te_trailers(head);
    let status = head.status();
    if coding != Coding::Absent {
        head.remove_known(Known::ContentLength);
    }
    if asked.method == Method::Connect && (200..300).contains(&status) {
        return Ok(until_the_end(Body::Tunnel));
    }
    if status < 200 || status == 204 {
        head.remove_known(Known::ContentLength);
        head.remove_known(Known::TransferEncoding);
        return match status {
            101 if !asked.upgrade || !accepts_upgrade(head) => Err(ParseError::new(Fault::Upgrade, head.raw_bytes())),
            101 => Ok(until_the_end(Body::Tunnel)),
            _ => Ok(Framing::default()),
        };
    }
    let old = head.version() == Version::Http10;
    let body = match length {
        _ if asked.method == Method::Head || status == 304 => Body::None,
        _ if chunked => Body::Chunked,
        Some(length) if coding == Coding::Absent => Body::Length(length),
        _ => return Ok(until_the_end(Body::UntilClose)),
    };
    let coded = coding != Coding::Absent;
    Ok(Framing { body, must_close: coded && (old || length.is_some()), next_must_close: coded && old })
}

/// Whether a 101 says that the connection is upgraded; to WebSocket, with the proof (RFC 6455 4.2.2).
fn accepts_upgrade(head: &Head) -> bool {
    says(head, b"connection", b"upgrade")
        && (!says(head, b"upgrade", b"websocket") || head.count(b"sec-websocket-accept") > 0)
}

/// Whether a word is among the values of a field.
pub(super) fn says(head: &Head, name: &[u8], word: &[u8]) -> bool {
    head.values(name).any(|value| value.eq_ignore_ascii_case(word))
}

fn until_the_end(body: Body) -> Framing {
    Framing { body, must_close: true, next_must_close: true }
}

/// Whether rules made the length fields of a request promise less than `body` is, or the end of chunks elsewhere:
/// HAProxy does not send such a request.
pub fn is_falsified(head: &Head, body: Body) -> bool {
    let mut lengths = head.fields_known(Known::ContentLength);
    match body {
        Body::Length(length) if !head.has(Known::TransferEncoding) => {
            lengths.any(|field| digits(field.value).is_some_and(|promised| promised < length))
        }
        Body::Chunked => lengths.next().is_some(),
        _ => false,
    }
}

/// Makes the length fields say again what `body` is, after rules had a chance to change them: what the
/// receiver reads as the end of the message must be what is sent as its end (RFC 9112 11.2).
pub fn restore(head: &mut Head, body: Body) {
    match body {
        Body::Length(length) => {
            head.remove_known(Known::TransferEncoding);
            let mut text = itoa::Buffer::new();
            let text = text.format(length).as_bytes();
            if head.count(b"content-length") != 1 || head.get_known(Known::ContentLength) != Some(text) {
                head.set(b"content-length", text);
            }
        }
        Body::Chunked => {
            head.remove_known(Known::ContentLength);
            let last = head.fields_known(Known::TransferEncoding).next_back();
            if !last.is_some_and(|field| field.value.to_ascii_lowercase().ends_with(b"chunked")) {
                head.set(b"transfer-encoding", b"chunked");
            }
        }
        // An answer to HEAD, or a 304, may say a length; a request without a body may not.
        Body::None if head.status() == 0 => {
            // That there is nothing may be said.
            if head.get_known(Known::ContentLength) != Some(b"0") || head.count(b"content-length") > 1 {
                head.remove_known(Known::ContentLength);
            }
            head.remove_known(Known::TransferEncoding);
        }
        Body::UntilClose => {
            head.remove_known(Known::ContentLength);
        }
        Body::None | Body::Tunnel => {}
    }
}

/// Reads all `Content-Length` fields and leaves one.
fn content_length(head: &mut Head) -> Result<Option<u64>, ParseError> {
    let mut found: Option<u64> = None;
    let (mut index, mut text, mut lines) = (0, 0..0, 0);
    for field in head.fields_known(Known::ContentLength) {
        lines += 1;
        for value in Values::new(field.value) {
            let at = head.value_offset(field.index);
            let bad = ParseError::new(Fault::ContentLength, at);
            let length = digits(value).ok_or(bad)?;
            match found {
                Some(before) if before != length => return Err(bad),
                _ => found = Some(length),
            }
            if lines == 1 {
                // Of a list, the last one stays (`002,2` becomes `2`).
                let start = value.as_ptr() as usize - field.value.as_ptr() as usize;
                index = field.index;
                text = start..start + value.len();
            }
        }
    }
    if found.is_some() {
        head.shrink_value(index, text);
    }
    if lines > 1 {
        head.keep_only(Known::ContentLength, index);
    }
    Ok(found)
}

/// A decimal number below 2^63; digits only.
fn digits(text: &[u8]) -> Option<u64> {
    let append = |number: i64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    let number = text.iter().try_fold(0, append)?;
    u64::try_from(number).ok().filter(|_| !text.is_empty())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Absent,
    /// Only empty values: an error in a request; a response then lasts until close.
    Empty,
    Chunked,
}

/// Reads all `Transfer-Encoding` fields. Errors point behind the head, as HAProxy's do: only there it
/// is clear which coding is the last.
fn transfer_coding(head: &Head) -> Result<Coding, ParseError> {
    let error = |fault| Err(ParseError::new(fault, head.raw_bytes()));
    let mut seen = Coding::Absent;
    let mut unsupported = false;
    for field in head.fields_known(Known::TransferEncoding) {
        for value in Values::new(field.value) {
            let chunked = value.eq_ignore_ascii_case(b"chunked");
            match seen {
                Coding::Chunked if value.is_empty() => {}
                Coding::Chunked => return error(Fault::TransferEncoding),
                _ if chunked => seen = Coding::Chunked,
                _ if field.value.is_empty() => seen = Coding::Empty,
                // An empty value before another counts as a coding, as in HAProxy.
                _ => unsupported = true,
            }
        }
    }
    match (seen, unsupported) {
        (_, false) => Ok(seen),
        (Coding::Chunked, true) => error(Fault::UnsupportedCoding),
        (_, true) => error(Fault::TransferEncoding),
    }
}

/// `TE` is for the next hop: only `trailers` may pass, since trailers do. HAProxy takes no other
/// spelling of it.
fn keep_te_trailers(head: &mut Head) {
    let mut from = 0;
    while let Some(index) = head.find_known(Known::Te, from) {
        let value = head.value_at(index);
        let (whole, listed) = (value == b"trailers", Values::new(value).any(|value| value == b"trailers"));
        match (whole, listed) {
            (true, _) => {}
            (_, true) => head.set_value(index, b"trailers"),
            _ => head.remove_at(index),
        }
        from = index + 1;
    }
}
