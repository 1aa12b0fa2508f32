//! Requests and answers of HTTP checks (manual 4.2, `option httpchk`, `http-check send`).

use crate::h1::framing::{self, Asked};
use crate::h1::{self, Body, BodyDecoder, Limits, Parsed};
use crate::http::{Head, Method};
use crate::proxy::check::Request;

/// What HAProxy's buffers hold besides the texts of a message: 48 octets of their own, 8 each for the start line, the
/// end of the head, the body and one more, 20 in the start line and 1 at the end of the head.
const BUFFER_OVERHEAD_BYTES: usize = 48 + 4 * FIELD_OVERHEAD_BYTES + Head::START_LINE_FIXED_BYTES + 1;
/// The same for each field.
const FIELD_OVERHEAD_BYTES: usize = 8;

/// Octets that an answer may have behind its head for each of its body that is looked at; chunks of one octet have six.
/// More is framing that never ends (an extension, trailers), which would keep the reader as long as the server likes.
const OCTETS_PER_OCTET: usize = 8;

/// An answer that is arriving.
#[derive(Debug, Default)]
pub struct Answer {
    /// Of the request.
    method: Method,
    /// What came and is not dealt with.
    raw: Vec<u8>,
    head: Option<Box<Head>>,
    /// The last head announces another.
    is_interim: bool,
    decoder: BodyDecoder,
    body: Vec<u8>,
    /// Most octets of the head while it arrives, then of the body.
    room: usize,
    /// Octets of the buffer that all this is about, and octets that came in all.
    bytes_max: usize,
    received: usize,
    /// It is no HTTP, or its chunks are no chunks.
    is_nonsense: bool,
}

impl Answer {
    /// The answer to a request of this method, of which a buffer of `bytes_max` octets is looked at.
    pub fn to(method: &[u8], bytes_max: usize) -> Answer {
        Answer { method: Method::classify(method), room: bytes_max, bytes_max, ..Answer::default() }
    }

    /// Takes what came from the server.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.is_nonsense || self.is_full() {
            return;
        }
        self.raw.extend_from_slice(bytes);
        self.received = self.received.saturating_add(bytes.len());
        self.is_nonsense = self.take_heads().is_err() || self.take_body().is_err() || self.is_endless();
        self.body.truncate(self.room);
    }

    fn is_endless(&self) -> bool {
        self.head.is_some() && !self.is_complete() && self.received > OCTETS_PER_OCTET * self.bytes_max
    }

    /// Its head, once that is complete.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_deref()
    }

    /// What has come of its body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether it is no answer and never will be.
    pub fn is_nonsense(&self) -> bool {
        self.is_nonsense
    }

    /// Whether nothing can follow, or nothing that is looked at. Interim answers are judged like others, by what came
    /// with them.
    pub fn is_complete(&self) -> bool {
        let is_over = |head: &Head| head.status() < 200 || self.decoder.is_done();
        self.head().is_some_and(is_over) || self.is_full()
    }

    /// Whether it has more octets than are looked at.
    fn is_full(&self) -> bool {
        let taken = if self.head.is_some() { &self.body } else { &self.raw };
        taken.len() >= self.room
    }

    /// The head that counts, which is the first; behind an interim one, those that came with it, so that the body is
    /// that of the last.
    fn take_heads(&mut self) -> Result<(), h1::ParseError> {
        while self.head.is_none() || (self.is_interim && !self.raw.is_empty()) {
            let mut head = Box::new(Head::new());
            let Parsed::Complete { head_bytes } = h1::parse_response(&self.raw, &mut head, &Limits::default())? else {
                return Ok(());
            };
            self.raw.drain(..head_bytes);
            let asked = Asked { method: self.method, upgrade: false };
            let body = match head.status() {
                // Nobody asked for it; what follows may be anything.
                101 => Body::UntilClose,
                _ => framing::response(&mut head, &asked)?.body,
            };
            self.is_interim = head.status() < 200 && body == Body::None;
            self.decoder = BodyDecoder::new(body);
            if self.head.is_none() {
                self.room = self.room.saturating_sub(BUFFER_OVERHEAD_BYTES + head.text_bytes(FIELD_OVERHEAD_BYTES));
                self.head = Some(head);
            }
        }
        Ok(())
    }

    /// Moves payload from the raw octets to the body.
    fn take_body(&mut self) -> Result<(), h1::ParseError> {
        let mut at = 0;
        while self.head.is_some() && !self.decoder.is_done() {
            let rest = self.raw.get(at..).unwrap_or_default();
            let piece = self.decoder.next(rest)?;
            self.body.extend_from_slice(&rest[piece.framing..piece.framing + piece.payload]);
            at += piece.consumed();
            if piece.consumed() == 0 {
                break;
            }
        }
        self.raw.drain(..at);
        Ok(())
    }
}

/// The request as it goes to the server; `text` gives the bytes of its parts.
pub fn request(
    request: &Request,
    state: Option<&str>,
    text: impl Fn(&crate::proxy::check::Data) -> Vec<u8>,
) -> Vec<u8> {
    let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    // The length of the body is the checker's to say.
    let framing = |name: &[u8]| is(name, "content-length") || is(name, "transfer-encoding");
    let fields: Vec<_> = request.fields.iter().filter(|(name, _)| !framing(name)).collect();
    let host = fields.iter().rev().find(|(name, _)| is(name, "host")).map(|(_, value)| text(value));
    let uri = Some(text(&request.uri)).filter(|uri| !uri.is_empty()).unwrap_or_else(|| b"/".to_vec());
    let uri = host.map_or(uri.clone(), |host| with_authority(&uri, &host));
    let body = text(&request.body);
    let is_old = &*request.version == b"HTTP/1.0";
    let mut out = [&request.method[..], b" ", &uri, b" ", &request.version, b"\r\n"].concat();
    let mut line = |name: &[u8], value: &[u8]| {
        out.extend([&name.to_ascii_lowercase()[..], b": ", value, b"\r\n"].concat());
    };
    // That the connection stays is what goes without saying in HTTP/1.1.
    let goes_without_saying = |name: &[u8], value: &[u8]| is(name, "connection") && is(value, "keep-alive") && !is_old;
    for (name, value) in &fields {
        let value = text(value);
        if !goes_without_saying(name, &value) {
            line(name, &value);
        }
    }
    if let Some(state) = state {
        line(b"x-haproxy-server-state", state.as_bytes());
    }
    let lengthless = matches!(&*request.method, b"GET" | b"HEAD" | b"OPTIONS" | b"DELETE");
    if !body.is_empty() || !(is_old || lengthless) {
        line(b"content-length", body.len().to_string().as_bytes());
    }
    if !is_old && !fields.iter().any(|(name, _)| is(name, "connection")) {
        line(b"connection", b"close");
    }
    out.extend(b"\r\n");
    out.extend(body);
    out
}

/// The URI with `host` in the place of its authority, if it has one.
fn with_authority(uri: &[u8], host: &[u8]) -> Vec<u8> {
    let Some(begin) = memchr::memmem::find(uri, b"://").map(|at| at + 3).filter(|_| !uri.starts_with(b"/")) else {
        return uri.to_vec();
    };
    let end = memchr::memchr(b'/', &uri[begin..]).map_or(uri.len(), |at| begin + at);
    [&uri[..begin], host, &uri[end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::check::Data;

    fn arrived(text: &str) -> Answer {
        let mut answer = Answer::to(b"OPTIONS", 16_384);
        text.as_bytes().chunks(1).for_each(|octet| answer.receive(octet));
        answer
    }

    #[test]
    fn framing_without_end_is_nonsense() {
        for (begin, more) in [("1;", "a"), ("0", "0"), ("0\r\n", "x: y\r\n"), ("", "1;aaaaaaaaaaaaaaaa\r\na\r\n")] {
            let mut answer = Answer::to(b"GET", 16_384);
            answer.receive(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{begin}").as_bytes());
            let more = more.repeat(1 << 20);
            let taken = more.as_bytes().chunks(4096).take_while(|piece| {
                answer.receive(piece);
                !answer.is_nonsense()
            });
            assert!(taken.count() <= OCTETS_PER_OCTET * 16_384 / 4096, "{begin}");
        }
        let mut answer = Answer::to(b"GET", 16_384);
        answer.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        b"1\r\na\r\n".repeat(1 << 15).chunks(4096).for_each(|piece| answer.receive(piece));
        assert!(answer.is_complete() && !answer.is_nonsense(), "the smallest chunks fill the buffer");
    }

    #[test]
    fn answers_arrive_in_pieces() {
        let answer = arrived("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
        assert_eq!((answer.body(), answer.is_complete()), (&b"hello"[..], true));
        let answer = arrived("HTTP/1.0 200 OK\r\n\r\nhel");
        assert_eq!((answer.body(), answer.is_complete()), (&b"hel"[..], false));
        assert_eq!(arrived("HTTP/1.1 101 Switching\r\n\r\n").head().map(Head::status), Some(101));
        assert!(arrived("HTTP/1.1 200").head().is_none());
    }

    #[test]
    fn interim_answers_are_judged_with_what_came_with_them() {
        let mut answer = Answer::to(b"GET", 16_384);
        answer.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!((answer.head().map(Head::status), answer.body()), (Some(100), &b"hello"[..]));
        let mut answer = Answer::to(b"HEAD", 16_384);
        answer.receive(b"HTTP/1.1 103 Hints\r\n\r\n");
        assert!(answer.is_complete());
        answer.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert!(!answer.is_nonsense() && answer.body().is_empty());
        let mut answer = Answer::to(b"GET", 16_384);
        answer.receive(b"HTTP/1.1 101 Switching\r\n\r\n\x00\xff");
        assert_eq!((answer.is_complete(), answer.body()), (true, &b"\x00\xff"[..]));
    }

    #[test]
    fn no_more_is_kept_than_a_buffer_holds() {
        let body = |fields: &str| {
            let mut answer = Answer::to(b"GET", 16_384);
            answer.receive(format!("HTTP/1.0 200 OK\r\n{fields}\r\n").as_bytes());
            (0..5).for_each(|_| answer.receive(&[b'x'; 4096]));
            assert!(answer.is_complete());
            answer.body().len()
        };
        assert_eq!((body(""), body("X-Abc: defgh\r\n")), (16_270, 16_252));
        let mut endless = Answer::to(b"GET", 200);
        endless.receive(b"HTTP/1.1 200 OK\r\n");
        (0..300).for_each(|_| endless.receive(b"X: y\r\n"));
        assert!(endless.is_complete() && endless.raw.len() < 210);
    }

    #[test]
    fn what_is_not_http_is_nonsense() {
        for text in ["garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab"] {
            assert!(arrived(text).is_nonsense(), "{text:?}");
        }
    }

    #[test]
    fn lengths_and_connections_are_said_where_they_must_be() {
        let ask = |method: &str, version: &str, fields: &[(&str, &str)], body: &str| {
            let data = |text: &str| Data::Bytes(text.as_bytes().into());
            let fields = fields.iter().map(|(name, value)| (name.as_bytes().into(), data(value))).collect();
            let (method, version) = (method.as_bytes().into(), version.as_bytes().into());
            let one = Request { method, version, uri: data("http://a/x"), fields, body: data(body) };
            let text = request(&one, None, |data| match data {
                Data::Bytes(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            });
            String::from_utf8(text).unwrap()
        };
        assert_eq!(ask("OPTIONS", "HTTP/1.0", &[], ""), "OPTIONS http://a/x HTTP/1.0\r\n\r\n");
        assert_eq!(
            ask("GET", "HTTP/1.1", &[("Host", "b"), ("Content-Length", "9")], "xy"),
            "GET http://b/x HTTP/1.1\r\nhost: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\nxy"
        );
        assert_eq!(
            ask("get", "HTTP/1.1", &[("Connection", "keep-alive")], ""),
            "get http://a/x HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
        );
    }
}
