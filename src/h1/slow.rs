//! The faithful parser: takes and refuses exactly what HAProxy 2.6 does and knows the position of an
//! error. It runs when httparse does not take a head: an odd one, a bad one or an incomplete one.
//!
//! Line ends may be CRLF or a bare LF; a CR must have its LF. Empty lines before the start line are
//! skipped. Between the words of a start line any run of spaces and tabs is fine. Field values may
//! hold any byte but CR and LF. A folded line becomes one line, its line end turned into spaces.

use super::error::{Fault, ParseError};
use super::grammar::{is_blank, is_line_end, is_target, is_token, is_version};
use super::parse::{Limits, Parsed};
use crate::http::{Head, Span, Version};

/// Why a step could not go on.
enum Stop {
    /// The buffer ended.
    Partial,
    Bad(ParseError),
}

type Step<T> = Result<T, Stop>;

fn syntax<T>(at: usize) -> Step<T> {
    Err(Stop::Bad(ParseError::new(Fault::Syntax, at)))
}

/// A place in the buffer.
struct Cursor<'a> {
    buf: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Step<u8> {
        self.buf.get(self.at).copied().ok_or(Stop::Partial)
    }

    /// Moves over all bytes of a class; the byte after them must be there.
    fn take(&mut self, class: impl Fn(u8) -> bool) -> Step<Span> {
        let start = self.at;
        while class(self.peek()?) {
            self.at += 1;
        }
        Ok(Span::new(start, self.at))
    }

    /// Moves over one line end.
    fn line_end(&mut self) -> Step<()> {
        if self.peek()? == b'\r' {
            self.at += 1;
        }
        if self.peek()? != b'\n' {
            return syntax(self.at);
        }
        self.at += 1;
        Ok(())
    }

    fn leading_empty_lines(&mut self) -> Step<()> {
        while is_line_end(self.peek()?) {
            self.line_end()?;
        }
        Ok(())
    }
}

/// Parses a request head; `head` is empty unless it is complete.
pub(super) fn request(buf: &[u8], head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    let parsed = run(buf, head, |cursor, head| {
        if request_line(cursor, head, limits.lenient)? {
            fields(cursor, head, limits)?;
        }
        Ok(())
    })?;
    if parsed != Parsed::Partial && head.version_text().is_empty() {
        head.set_version(Version::Http10);
    }
    Ok(parsed)
}

/// Parses a response head; `head` is empty unless it is complete.
pub(super) fn response(buf: &[u8], head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    run(buf, head, |cursor, head| {
        status_line(cursor, head, limits.lenient)?;
        fields(cursor, head, limits)
    })
}

/// Parses field lines up to and with the empty line: the trailers of a chunked body.
pub(super) fn trailers(buf: &[u8], head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    run(buf, head, |cursor, head| fields(cursor, head, limits))
}

fn run(
    buf: &[u8],
    head: &mut Head,
    parse: impl FnOnce(&mut Cursor<'_>, &mut Head) -> Step<()>,
) -> Result<Parsed, ParseError> {
    head.load(buf);
    let mut cursor = Cursor { buf, at: 0 };
    match parse(&mut cursor, head) {
        Ok(()) => {
            head.truncate(cursor.at);
            Ok(Parsed::Complete { head_bytes: cursor.at })
        }
        Err(stop) => {
            head.clear();
            match stop {
                Stop::Partial => Ok(Parsed::Partial),
                Stop::Bad(error) => Err(error),
            }
        }
    }
}

/// The request line and its end. False for a request without version, after which nothing follows.
fn request_line(cursor: &mut Cursor<'_>, head: &mut Head, lenient: bool) -> Step<bool> {
    cursor.leading_empty_lines()?;
    let method = cursor.take(is_token)?;
    if method.len == 0 || !is_blank(cursor.peek()?) {
        return syntax(cursor.at);
    }
    cursor.take(is_blank)?;
    let uri = cursor.take(|byte| is_target(byte, lenient))?;
    let after = cursor.peek()?;
    if uri.len == 0 || !(is_blank(after) || is_line_end(after)) {
        return syntax(cursor.at);
    }
    cursor.take(is_blank)?;
    let version = cursor.take(is_version)?;
    if version.len == 0 {
        return old_request(cursor, head, method, uri, lenient);
    }
    if !is_line_end(cursor.peek()?) {
        return syntax(cursor.at);
    }
    if !lenient && !is_http_version(cursor.buf, version) {
        return syntax(version.start as usize);
    }
    cursor.line_end()?;
    head.set_request_spans(method, uri, version);
    Ok(true)
}

/// A request without version (HTTP/0.9): only `GET`, only when lenient, and it becomes one of 1.0.
fn old_request(cursor: &mut Cursor<'_>, head: &mut Head, method: Span, uri: Span, lenient: bool) -> Step<bool> {
    let is_get = cursor.buf.get(method.start as usize..method.end()) == Some(b"GET");
    if !is_line_end(cursor.peek()?) || !lenient || !is_get {
        return syntax(cursor.at);
    }
    cursor.line_end()?;
    head.set_request_spans(method, uri, Span::default());
    Ok(false)
}

fn status_line(cursor: &mut Cursor<'_>, head: &mut Head, lenient: bool) -> Step<()> {
    cursor.leading_empty_lines()?;
    let version = cursor.take(is_version)?;
    if version.len == 0 || !is_blank(cursor.peek()?) {
        return syntax(cursor.at);
    }
    // HAProxy looks at the numbers only; that is how RTSP answers pass.
    let numbered = matches!(
        cursor.buf.get(version.start as usize..version.end()),
        Some([_, _, _, _, b'/', major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit()
    );
    if !lenient && !numbered {
        return syntax(version.start as usize);
    }
    cursor.take(is_blank)?;
    let digits = cursor.take(|byte| byte.is_ascii_digit())?;
    let status = number(cursor.buf, digits).filter(|status| *status >= 100);
    let after = cursor.peek()?;
    let (Some(status), true) = (status, is_blank(after) || is_line_end(after)) else {
        return syntax(cursor.at);
    };
    cursor.take(is_blank)?;
    let reason = cursor.take(|byte| !is_line_end(byte))?;
    cursor.line_end()?;
    head.set_response_spans(version, status, digits, reason);
    Ok(())
}

/// `HTTP/` digit dot digit.
fn is_http_version(buf: &[u8], version: Span) -> bool {
    match buf.get(version.start as usize..version.end()) {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

fn number(buf: &[u8], digits: Span) -> Option<u16> {
    let digits = buf.get(digits.start as usize..digits.end())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Field lines up to and with the empty line.
fn fields(cursor: &mut Cursor<'_>, head: &mut Head, limits: &Limits) -> Step<()> {
    let mut count = 0;
    while !is_line_end(cursor.peek()?) {
        let line = cursor.at;
        let name = field_name(cursor, limits.lenient)?;
        cursor.at += 1; // the colon
        let value = field_value(cursor, head)?;
        count += 1;
        if count > limits.fields_max {
            let error = ParseError::new(Fault::TooManyFields, line);
            return Err(Stop::Bad(error));
        }
        head.push_span(name, value);
    }
    cursor.line_end()
}

fn field_name(cursor: &mut Cursor<'_>, lenient: bool) -> Step<Span> {
    let name = if lenient { cursor.take(|byte| byte != b':' && !is_line_end(byte))? } else { cursor.take(is_token)? };
    if name.len == 0 || cursor.peek()? != b':' {
        return syntax(cursor.at);
    }
    Ok(name)
}

/// The value and the end of its line; folded lines are joined in the head's copy.
fn field_value(cursor: &mut Cursor<'_>, head: &mut Head) -> Step<Span> {
    cursor.take(is_blank)?;
    let mut start = cursor.at;
    let mut end = start;
    loop {
        let part = cursor.take(|byte| !is_line_end(byte))?;
        let text = cursor.buf.get(part.start as usize..part.end());
        let text = text.unwrap_or_default();
        if let Some(last) = text.iter().rposition(|byte| !is_blank(*byte)) {
            if end == start {
                // Blank lines before the first text are no part of the value.
                let first = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(0);
                start = part.start as usize + first;
            }
            end = part.start as usize + last + 1;
        }
        let line_end = cursor.at;
        cursor.line_end()?;
        // A byte of the next line must be there to tell whether it continues this one.
        if !is_blank(cursor.peek()?) {
            return Ok(Span::new(start, end.max(start)));
        }
        head.blank(line_end..cursor.at);
    }
}
