//! Response heads: what passes, in which form, and what makes a 502.

use super::*;
use crate::http::Method;

fn get() -> framing::Asked {
    framing::Asked::default()
}

#[track_caller]
fn passes(raw: &str, as_this: &str) -> Framing {
    let (framing, out) = answered(raw.as_bytes(), &get(), &Limits::default()).expect(raw);
    assert_eq!(out, as_this, "{raw:?}");
    framing
}

#[track_caller]
fn refused(raw: &str) {
    let answer = answered(raw.as_bytes(), &get(), &Limits::default());
    assert!(answer.is_err(), "{raw:?} gave {answer:?}");
}

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

#[test]
fn status_lines() {
    passes(PLAIN, PLAIN);
    passes("HTTP/1.1 200 OK\nContent-Length: 2\n\n", PLAIN);
    passes("\r\nHTTP/1.1\t200   OK\r\nContent-Length: 2\r\n\r\n", PLAIN);
    for version in ["1.2", "2.0"] {
        passes(&PLAIN.replace("1.1", version), PLAIN);
    }
    let reasonless = PLAIN.replace(" OK", " ");
    passes(&reasonless, &reasonless);
    passes(&PLAIN.replace(" OK", ""), &reasonless);
    for status in ["2000 OK", "600 OK", "999 OK", "200 a\u{0}\u{1}\t\u{7f}b\u{e9}", "200 OK  "] {
        let odd = PLAIN.replace("200 OK", status);
        passes(&odd, &odd);
    }
    for bad in ["2x0 OK", "200x OK", "OK", "", "-200 OK", "200 a\rb", "99999 OK", "99 OK", "000 OK"] {
        refused(&PLAIN.replace("200 OK", bad));
    }
    refused("hello");
    refused("http/1.1 200 OK\r\n\r\n");
}

#[test]
fn odd_versions() {
    let old = "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n";
    let kept = |head: &str| format!("{head}connection: keep-alive\r\n\r\n");
    passes(&format!("{old}\r\n"), &kept(old));
    let rtsp = old.replace("HTTP/0.9", "RTSP/1.0");
    passes(&format!("{rtsp}\r\n"), &kept(&rtsp));
    passes("20TP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n", PLAIN);
    for version in ["HTTP/2", "ICY", "HTTP/1.10"] {
        let head = old.replace("HTTP/0.9", version);
        let raw = format!("{head}\r\n");
        refused(&raw);
        let out = answered(raw.as_bytes(), &get(), &lenient()).map(|(_, out)| out);
        assert_eq!(out, Ok(kept(&head)));
    }
}

#[test]
fn fields() {
    let odd = "HTTP/1.1 200 OK\r\nX: a\u{0}\u{1}\u{7f}b\r\nContent-Length: 2\r\n\r\n";
    passes(odd, odd);
    passes(
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a   b\r\nContent-Length: 2\r\n\r\n",
    );
    for name in ["X ", "X@", "X\u{e9}"] {
        let raw = format!("HTTP/1.1 200 OK\r\n{name}: y\r\nContent-Length: 2\r\n\r\n");
        refused(&raw);
        let out = answered(raw.as_bytes(), &get(), &lenient()).map(|(_, out)| out);
        assert_eq!(out, Ok(raw));
    }
    refused("HTTP/1.1 200 OK\r\nXabc\r\n\r\n");
    refused("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n");
}

#[test]
fn framing_of_responses() {
    let body = |fields: &str| {
        let raw = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        answered(raw.as_bytes(), &get(), &Limits::default()).map(|(framing, _)| framing)
    };
    let framing = |body, must_close| {
        let next_must_close = body == Body::UntilClose;
        Ok(Framing { body, must_close, next_must_close })
    };
    assert_eq!(body("Content-Length: 2\r\n"), framing(Body::Length(2), false));
    assert_eq!(body("Content-Length: 2,2\r\n"), framing(Body::Length(2), false));
    assert_eq!(body(""), framing(Body::UntilClose, true));
    assert_eq!(body("Transfer-Encoding:\r\n"), framing(Body::UntilClose, true));
    assert_eq!(body("Transfer-Encoding: chunked\r\n"), framing(Body::Chunked, false));
    assert_eq!(body("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), framing(Body::Chunked, true));
    for bad in [
        "Content-Length: 3\r\nContent-Length: 2\r\n",
        "Content-Length: x\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert!(body(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_empty_coding_takes_the_length_away() {
    let framing = passes(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\nconnection: close\r\n\r\n",
    );
    assert_eq!(framing.body, Body::UntilClose);
}

#[test]
fn an_answer_that_speaks_of_an_upgrade_is_left_alone() {
    let raw = "HTTP/1.1 200 OK\r\nConnection: upgrade\r\n\r\n";
    passes(raw, raw);
}

#[test]
fn responses_without_body() {
    let none = Framing::default();
    let lengths = "Content-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    for start in ["HTTP/1.1 102 P\r\n", "HTTP/1.1 204 No\r\n"] {
        let framing = passes(&format!("{start}{lengths}"), &format!("{start}\r\n"));
        assert_eq!(framing, none);
    }
    let unchanged = "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(passes(unchanged, unchanged), none);
    let head = framing::Asked { method: Method::Head, upgrade: false };
    for fields in ["Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let raw = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let answer = answered(raw.as_bytes(), &head, &Limits::default());
        assert_eq!(answer, Ok((none, raw)));
    }
}

#[test]
fn tunnels_open_only_when_asked_for() {
    let switched = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    refused(switched);
    let upgrade = framing::Asked { method: Method::Get, upgrade: true };
    let body = |raw: &str, asked: &framing::Asked| {
        answered(raw.as_bytes(), asked, &Limits::default()).map(|(framing, out)| (framing.body, out))
    };
    assert_eq!(body(switched, &upgrade), Ok((Body::Tunnel, switched.into())));
    assert!(body("HTTP/1.1 101 S\r\n\r\n", &upgrade).is_err());
    let unproved = switched.replace("foo", "websocket");
    assert!(body(&unproved, &upgrade).is_err());
    let proved = unproved.replace("\r\n\r\n", "\r\nSec-WebSocket-Accept: x\r\n\r\n");
    assert_eq!(body(&proved, &upgrade), Ok((Body::Tunnel, proved.clone())));
    let connect = framing::Asked { method: Method::Connect, upgrade: false };
    for raw in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n"] {
        assert_eq!(body(raw, &connect), Ok((Body::Tunnel, raw.into())));
    }
    assert_eq!(
        body("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n", &connect).map(|(body, _)| body),
        Ok(Body::Length(2))
    );
}

#[test]
fn connection_to_the_client() {
    let sent = |response: Version, keep: bool, client: Version| {
        let mut head = Head::new();
        head.start_response(response, 200, b"OK");
        persistence::to_client(&mut head, keep, client);
        head.get(b"connection").map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let (old, new) = (Version::Http10, Version::Http11);
    assert_eq!(sent(new, true, new), None);
    assert_eq!(sent(new, false, new).as_deref(), Some("close"));
    assert_eq!(sent(new, true, old).as_deref(), Some("keep-alive"));
    assert_eq!(sent(new, false, old).as_deref(), Some("close"));
    assert_eq!(sent(old, true, new).as_deref(), Some("keep-alive"));
    assert_eq!(sent(old, false, new), None);
    assert_eq!(sent(old, true, old).as_deref(), Some("keep-alive"));
    assert_eq!(sent(old, false, old), None);
}
