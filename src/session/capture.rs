//! Keeps headers and cookies for logs and fetches (manual 4.2, `capture`).

use super::Turn;
use crate::http::Head;
use crate::proxy::{CookieCapture, HeaderCapture};

/// Keeps what the frontend wants of the request.
pub fn request(turn: &mut Turn<'_>) {
    let captures = &turn.frontend().captures;
    if !captures.request.is_empty() {
        turn.exchange.facts.request_captures = headers(&turn.exchange.request, &captures.request);
    }
}

/// Keeps what the frontend wants of the response.
pub fn response(turn: &mut Turn<'_>) {
    let captures = &turn.frontend().captures;
    if !captures.response.is_empty() {
        turn.exchange.facts.response_captures = headers(&turn.exchange.response, &captures.response);
    }
}

/// Keeps the request's cookie.
pub fn request_cookie(turn: &mut Turn<'_>) {
    if let Some(wanted) = &turn.frontend().captures.cookie {
        turn.exchange.facts.request_cookie = cookie(&turn.exchange.request, b"cookie", wanted);
    }
}

/// Keeps the response's cookie.
pub fn response_cookie(turn: &mut Turn<'_>) {
    if let Some(wanted) = &turn.frontend().captures.cookie {
        turn.exchange.facts.response_cookie = cookie(&turn.exchange.response, b"set-cookie", wanted);
    }
}

/// Places for what was never received: the log shows the braces all the same, unless there was no request.
pub fn fill(turn: &mut Turn<'_>) {
    if turn.exchange.facts.bad_request {
        return;
    }
    let captures = &turn.frontend().captures;
    let facts = &mut turn.exchange.facts;
    facts.request_captures.resize(captures.request.len(), Vec::new());
    facts.response_captures.resize(captures.response.len(), Vec::new());
}

/// The last value of each header, cut to its length.
fn headers(head: &Head, wanted: &[HeaderCapture]) -> Vec<Vec<u8>> {
    let one = |capture: &HeaderCapture| {
        let value = head.nth(capture.name.as_bytes(), -1).unwrap_or_default();
        value[..value.len().min(capture.bytes_max)].to_vec()
    };
    wanted.iter().map(one).collect()
}

/// The first cookie whose name begins as wanted, as `name=value`, cut to the length.
fn cookie(head: &Head, header: &[u8], wanted: &CookieCapture) -> Vec<u8> {
    let pieces = head.fields_named(header).flat_map(|field| field.value.split(|c| *c == b';'));
    let mut pairs = pieces.map(<[u8]>::trim_ascii).filter(|piece| piece.contains(&b'='));
    let found = pairs.find(|pair| pair.starts_with(wanted.prefix.as_bytes())).unwrap_or_default();
    found[..found.len().min(wanted.bytes_max)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture;

    #[test]
    fn the_last_header_and_the_first_cookie_are_kept() {
        let head = fixture::head("GET / HTTP/1.1\nX: one\nX: two, three\nCookie: a=1; SES=2; SESSION=3\nCookie: SES=4");
        let wanted = |name: &str, bytes_max| HeaderCapture { name: name.into(), bytes_max };
        let kept = headers(&head, &[wanted("x", 5), wanted("y", 5)]);
        assert_eq!(kept, [b"two, ".to_vec(), Vec::new()]);
        let kept =
            |prefix: &str, bytes_max| cookie(&head, b"cookie", &CookieCapture { prefix: prefix.into(), bytes_max });
        assert_eq!(kept("SES", 63), b"SES=2");
        assert_eq!(kept("SESS", 63), b"SESSION=3");
        assert_eq!(kept("SESS", 4), b"SESS");
        assert_eq!(kept("none", 9), b"");
    }
}
