//! Keeps headers and cookies for logs and fetches (manual 4.2, `capture`).

use super::Turn;
use crate::http::Head;
use crate::persist::captured;
use crate::proxy::HeaderCapture;
use crate::rules::errand::Side;

/// Keeps what the frontend wants of the request.
pub fn request(turn: &mut Turn<'_>) {
    let captures = &turn.frontend().captures;
    if !captures.request.is_empty() {
        let before = std::mem::take(&mut turn.exchange.facts.request_captures);
        let mut kept = headers(&turn.exchange.request, &captures.request);
        // Rules of contents have come before.
        for (slot, text) in before.into_iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            kept[slot] = text;
        }
        turn.exchange.facts.request_captures = kept;
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
        turn.exchange.facts.request_cookie = captured::of_request(&mut turn.exchange.request, wanted);
    }
}

/// Keeps the response's cookie.
pub fn response_cookie(turn: &mut Turn<'_>) {
    if let Some(wanted) = &turn.frontend().captures.cookie {
        turn.exchange.facts.response_cookie = captured::of_response(&mut turn.exchange.response, wanted);
    }
}

/// Keeps what a rule captured in a slot, if the frontend has that.
pub fn keep(turn: &mut Turn<'_>, side: Side, slot: usize, mut text: Vec<u8>) {
    let captures = &turn.frontend().captures;
    let facts = &mut turn.exchange.facts;
    let (slots, kept) = match side {
        Side::Request => (&captures.request, &mut facts.request_captures),
        Side::Response => (&captures.response, &mut facts.response_captures),
    };
    let Some(capture) = slots.get(slot) else { return };
    text.truncate(capture.bytes_max);
    kept.resize(slots.len(), Vec::new());
    kept[slot] = text;
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

/// Texts end at a NUL, as in HAProxy.
fn before_nul(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// The last value of each header, cut to its length.
fn headers(head: &Head, wanted: &[HeaderCapture]) -> Vec<Vec<u8>> {
    let one = |capture: &HeaderCapture| {
        let value = capture.name.as_ref().and_then(|name| head.nth(name.as_bytes(), -1)).unwrap_or_default();
        let value = before_nul(value);
        value[..value.len().min(capture.bytes_max)].to_vec()
    };
    wanted.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture;

    #[test]
    fn the_last_header_is_kept() {
        let head = fixture::head("GET / HTTP/1.1\nX: one\nX: two, three");
        let wanted = |name: &str, bytes_max| HeaderCapture { name: Some(name.into()), bytes_max };
        let kept = headers(&head, &[wanted("x", 5), wanted("y", 5)]);
        assert_eq!(kept, [b"two, ".to_vec(), Vec::new()]);
    }
}
