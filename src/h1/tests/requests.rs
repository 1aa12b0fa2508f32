//! Request heads: what passes, in which form, and what is refused.

use super::*;

#[track_caller]
fn passes(raw: &str, as_this: &str) {
    assert_eq!(forwarded(raw, &Limits::default()).as_deref(), Ok(as_this), "{raw:?}");
}

#[track_caller]
fn refused(raw: &str, status: u16) {
    assert_eq!(forwarded(raw, &Limits::default()), Err(status), "{raw:?}");
}

#[track_caller]
fn passes_when_lenient(raw: &str, as_this: &str) {
    refused(raw, 400);
    assert_eq!(forwarded(raw, &lenient()).as_deref(), Ok(as_this), "{raw:?}");
}

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn line_ends_and_blanks_are_put_in_order() {
    passes(PLAIN, PLAIN);
    passes("GET / HTTP/1.1\nHost: a\n\n", PLAIN);
    passes("\r\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", PLAIN);
    passes("GET \t /  HTTP/1.1\r\nHost:a\r\n\r\n", PLAIN);
    passes("GET\t/\tHTTP/1.1\r\nHost: \t a \t\r\n\r\n", PLAIN);
    passes("GET / HTTP/1.1\r\nX:\r\nY:  \t\r\n\r\n", "GET / HTTP/1.1\r\nX: \r\nY: \r\n\r\n");
}

#[test]
fn folded_lines_become_one() {
    for (folded, value) in [
        ("a\r\n b", "a   b"),
        ("a\r\n\tb", "a  \tb"),
        ("\r\n  b", "b"),
        ("a  \r\n   b  ", "a       b"),
        ("a\r\n   ", "a"),
        ("a\n b", "a  b"),
    ] {
        passes(
            &format!("GET / HTTP/1.1\r\nX: {folded}\r\nY: z\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\nX: {value}\r\nY: z\r\n\r\n"),
        );
    }
}

#[test]
fn values_may_hold_any_byte_but_line_ends() {
    let odd = "GET / HTTP/1.1\r\nX: a\u{0}\u{1}\u{b}\u{7f}b\r\n\r\n";
    passes(odd, odd);
    refused("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nX: a\r\r\nY: b\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nX: a\r\n\r\r\n\r\n", 400);
}

#[test]
fn start_lines_that_are_refused() {
    for raw in [
        "\rGET / HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET \r\n\r\n",
        "POST /\r\n\r\n",
        "G@T / HTTP/1.1\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/1,1\r\n\r\n",
        "GET / HTTP/a.b\r\n\r\n",
        "GET /a\u{1} HTTP/1.1\r\n\r\n",
        "GET /a\u{7f} HTTP/1.1\r\n\r\n",
        "GET /a\rb HTTP/1.1\r\n\r\n",
        "GET /a HTTP/1.1\r\r\n\r\n",
    ] {
        refused(raw, 400);
        assert_eq!(forwarded(raw, &lenient()), Err(400), "{raw:?}");
    }
}

#[test]
fn versions() {
    for odd in ["1.2", "1.9", "2.0", "3.0"] {
        let raw = PLAIN.replace("1.1", odd);
        passes(&raw, PLAIN);
    }
    passes("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "GET / HTTP/0.9\r\nHost: a\r\nconnection: keep-alive\r\n\r\n");
    passes_when_lenient("GET / HTTP/1.10\r\n\r\n", "GET / HTTP/1.10\r\nconnection: keep-alive\r\n\r\n");
    passes_when_lenient("GET / RTSP/1.1\r\nHost: a\r\n\r\n", PLAIN);
    passes_when_lenient("GET / RTSP/1.0\r\n\r\n", "GET / RTSP/1.0\r\nconnection: keep-alive\r\n\r\n");
}

#[test]
fn requests_without_version_are_for_the_lenient() {
    let old = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    passes_when_lenient("GET /\r\n\r\n", old);
    passes_when_lenient("GET / \r\n", old);
    passes_when_lenient("GET /\r\nHost: a\r\n\r\n", old);
}

#[test]
fn names_are_tokens_unless_lenient() {
    let odd = "GET / HTTP/1.1\r\n!#$%&'*+-.^_`|~9Az: a\r\n\r\n";
    passes(odd, odd);
    for name in ["X ", "X\t", " X", "X(y)", "X@", "X\u{1}"] {
        let raw = format!("GET / HTTP/1.1\r\n{name}: a\r\n\r\n");
        passes_when_lenient(&raw, &raw);
    }
    for line in ["Xabc", ": a"] {
        let raw = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
        refused(&raw, 400);
        assert_eq!(forwarded(&raw, &lenient()), Err(400));
    }
}

#[test]
fn targets() {
    for fine in ["*", "/a\"<>\\^`{|}[]", "h", "x?y@h", "http://h/x?y", "http:///x", "a+b.c-d://h/"] {
        let raw = format!("GET {fine} HTTP/1.1\r\nHost: h\r\n\r\n");
        passes(&raw, &raw);
    }
    for odd in ["foo", "x:y", "http:/h", "/a#b", "/a\u{e9}", "a_b://h/", "http://h?x"] {
        let raw = format!("GET {odd} HTTP/1.1\r\nHost: h\r\n\r\n");
        passes_when_lenient(&raw, &raw);
    }
    // Without Host there is nothing that the odd ones could contradict.
    for odd in ["foo", "a:80", "?x", "1ttp://a/", "http:/a", "http://a?x"] {
        let raw = format!("GET {odd} HTTP/1.1\r\n\r\n");
        passes(&raw, &raw);
    }
}

#[test]
fn host_must_be_the_authority_of_the_target() {
    let request = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (target, host) in [
        ("http://A/x", "a"),
        ("http://a:81/x", "a:81"),
        ("http://a/x", "a:80"),
        ("http://a/x", "a:"),
        ("https://a/x", "a:443"),
        ("http://u:p@a/x", "a"),
    ] {
        passes(&request(target, host), &request(target, host));
    }
    for (target, host, new_target, new_host) in [
        ("http://a:80/x", "a", "http://a/x", "a"),
        ("http://a:80/x", "a:80", "http://a/x", "a"),
        ("http://u@A:80/x", "a", "http://u@A/x", "A"),
        ("http://a:80/x", "a:", "http://a/x", "a"),
        ("https://a:443/x", "a", "https://a/x", "a"),
        ("http://a:/x", "a", "http://a/x", "a"),
        ("http://u@a:80/x", "a", "http://u@a/x", "a"),
    ] {
        passes(&request(target, host), &request(new_target, new_host));
    }
    for (target, host) in [
        ("http://b/x", "a"),
        ("https://a:80/x", "a"),
        ("http://a:81/x", "a"),
        ("http://a:80/x", "a:443"),
        ("http://u:p@a/x", "u:p@a"),
        ("ftp://a:80/x", "a"),
        ("a:80", "a"),
        ("http://a/x", ""),
    ] {
        refused(&request(target, host), 400);
    }
    passes("GET http://a:80/x HTTP/1.1\r\n\r\n", "GET http://a/x HTTP/1.1\r\n\r\n");
}

#[test]
fn connect_targets() {
    let request = |target: &str, host: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (target, host, new_host) in [
        ("a:443", "a:443", "a"),
        ("a:443", "a", "a"),
        ("a:80", "a", "a"),
        ("a:8080", "a:8080", "a:8080"),
        ("u@a:443", "a", "a"),
        ("A:80", "a:80", "a"),
        ("a:443", "a:", "a:"),
        ("https://a:80/", "a", "a"),
    ] {
        passes(&request(target, host), &request(target, new_host));
    }
    for (target, host) in [
        ("a", "a"),
        ("b:80", "a"),
        ("/", "a"),
        ("*", "a"),
        ("a:", "a"),
        ("a:8080", "a"),
        ("a:443", "a:80"),
        ("http://a/", "a"),
        ("https://a:80/", "b"),
    ] {
        refused(&request(target, host), 400);
    }
}

#[test]
fn equal_hosts_are_merged_and_others_refused() {
    passes(
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nhost: A\r\nY: 2\r\nHOST: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n",
    );
    for hosts in ["Host: a\r\nHost: b", "Host: a\r\nHost:", "Host: a\r\nHost: a:80"] {
        refused(&format!("GET / HTTP/1.1\r\n{hosts}\r\n\r\n"), 400);
    }
    passes("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn limits_hold_for_both_parsers() {
    let with = |count: usize, line: &str| format!("GET / HTTP/1.1\r\n{}\r\n", line.repeat(count));
    let fault = |raw: &str, limits: &Limits| {
        let error = parse_request(raw.as_bytes(), &mut Head::new(), limits);
        error.err().map(|error| error.fault)
    };
    let default = Limits::default();
    assert_eq!(fault(&with(100, "X: a\r\n"), &default), None);
    assert_eq!(fault(&with(101, "X: a\r\n"), &default), Some(Fault::TooManyFields));
    let few = Limits { fields_max: 3, ..default };
    assert_eq!(fault(&with(3, "X: a\r\n"), &few), None);
    assert_eq!(fault(&with(4, "X:a\n"), &few), Some(Fault::TooManyFields));
}

#[test]
fn heads_may_be_as_long_as_in_the_reference() {
    let parsed = |short_fields: usize, bytes: usize| {
        let start = format!("GET / HTTP/1.1\r\nHost: a\r\n{}A: ", "H10: v\r\n".repeat(short_fields));
        let raw = format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4));
        parse_request(raw.as_bytes(), &mut Head::new(), &Limits::default()).map_err(|error| error.fault)
    };
    for (short_fields, head_bytes) in [(0, 15273), (5, 15253), (40, 15113), (90, 14913)] {
        assert_eq!(parsed(short_fields, head_bytes), Ok(Parsed::Complete { head_bytes }));
        assert_eq!(parsed(short_fields, head_bytes + 1), Err(Fault::HeadTooLarge));
    }
    let endless = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'x'; 16000]].concat();
    let fault = |bytes: usize| parse_request(&endless[..bytes], &mut Head::new(), &Limits::default());
    assert_eq!(fault(15359), Ok(Parsed::Partial));
    assert_eq!(fault(15360).map_err(|error| error.fault), Err(Fault::HeadTooLarge));
}

#[test]
fn errors_have_their_place() {
    for (raw, at) in [
        ("GET /a\u{7f}b HTTP/1.1\r\n\r\n", 6),
        ("G@T / HTTP/1.1\r\n\r\n", 1),
        ("\r\n\r\nGET / HTTP/1.1\r\nHo st: a\r\n\r\n", 22),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 31),
        ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", 21),
        ("GET http://b/ HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", 36),
        ("GET / HTTP/1.1\r\nX\r\n\r\n", 17),
        ("GET / HTTP/1.1 \r\n\r\n", 14),
        ("GET /\r\n\r\n", 5),
    ] {
        let error = parse_request(raw.as_bytes(), &mut Head::new(), &Limits::default());
        assert_eq!(error.err().map(|error| error.at), Some(at), "{raw:?}");
    }
}

fn posted(fields: &str) -> Result<String, u16> {
    let raw = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let out = forwarded(&raw, &Limits::default())?;
    let fields = out.trim_start_matches("POST / HTTP/1.1\r\n");
    Ok(fields.trim_end_matches("\r\n").into())
}

#[test]
fn content_lengths() {
    for (written, kept) in [
        ("2", "2"),
        ("002", "002"),
        ("2,2", "2"),
        ("2 , 2", "2"),
        ("002,2", "2"),
        ("  2  ", "2"),
        ("2\r\nContent-Length: 002", "2"),
        ("9223372036854775807", "9223372036854775807"),
        ("00000000000000000000000000002", "00000000000000000000000000002"),
    ] {
        let fields = posted(&format!("Content-Length: {written}"));
        assert_eq!(fields, Ok(format!("Content-Length: {kept}")));
    }
    for bad in [
        "2,",
        ",2",
        "2,,2",
        "2,3",
        "2;3",
        "+2",
        "-2",
        "2x",
        "0x2",
        "2 2",
        "",
        "2\r\nContent-Length: 3",
        "9223372036854775808",
        "18446744073709551616",
    ] {
        let fields = posted(&format!("Content-Length: {bad}"));
        assert_eq!(fields, Err(400), "{bad:?}");
    }
}

#[test]
fn transfer_codings() {
    for fine in ["chunked", "CHUNKED", "chunked,"] {
        let fields = format!("Transfer-Encoding: {fine}");
        assert_eq!(posted(&fields), Ok(fields));
    }
    for (odd, status) in [
        ("gzip, chunked", 422),
        ("gzip\r\nTransfer-Encoding: chunked", 422),
        ("identity, chunked", 422),
        (",chunked", 422),
        ("chunked, gzip", 400),
        ("chunked, chunked", 400),
        ("chunked\r\nTransfer-Encoding: chunked", 400),
        ("gzip", 400),
        ("identity", 400),
        ("chunked;q=1", 400),
        ("", 400),
        ("xchunked", 400),
        ("\u{b}chunked", 400),
        ("gzip\r\nContent-Length: 2", 400),
    ] {
        let fields = posted(&format!("Transfer-Encoding: {odd}"));
        assert_eq!(fields, Err(status), "{odd:?}");
    }
}

fn framed(raw: &str) -> Result<Framing, Fault> {
    let mut head = Head::new();
    parse_request(raw.as_bytes(), &mut head, &Limits::default()).map_err(|error| error.fault)?;
    framing::request(&mut head).map_err(|error| error.fault)
}

#[test]
fn the_coding_wins_over_the_length() {
    let framing = framed("POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n");
    let closing = |next_must_close| Framing { body: Body::Chunked, must_close: true, next_must_close };
    assert_eq!(framing, Ok(closing(false)));
    assert_eq!(posted("Content-Length: 2\r\nTransfer-Encoding: chunked"), Ok("Transfer-Encoding: chunked".into()));
    assert_eq!(posted("Content-Length: 2x\r\nTransfer-Encoding: chunked"), Err(400));
    let old = framed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old, Ok(closing(true)));
}

#[test]
fn old_requests_without_body_may_have_none() {
    for method in ["GET", "HEAD", "DELETE"] {
        let raw = format!("{method} / HTTP/1.0\r\nContent-Length: 2\r\n\r\n");
        refused(&raw, 413);
        assert_eq!(framed(&raw.replace("1.0", "1.1")).map(|f| f.body), Ok(Body::Length(2)));
        assert_eq!(framed(&raw.replace("2", "0")).map(|f| f.body), Ok(Body::Length(0)));
    }
    assert_eq!(framed("OPTIONS / HTTP/1.0\r\nContent-Length: 2\r\n\r\n").map(|f| f.body), Ok(Body::Length(2)));
}

#[test]
fn connect_has_no_body() {
    passes("CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn te_keeps_only_trailers() {
    let kept = "TE: trailers\r\nContent-Length: 2";
    assert_eq!(posted("TE: gzip, trailers\r\nContent-Length: 2").as_deref(), Ok(kept));
    assert_eq!(posted("TE: gzip\r\nTE: trailers\r\nX: y"), Ok("TE: trailers\r\nX: y".into()));
    assert_eq!(posted("TE: gzip\r\nX: y"), Ok("X: y".into()));
}

#[test]
fn connection_tokens_for_us_are_cut_out() {
    let request = |value: &str| format!("GET / HTTP/1.1\r\nConnection: {value}\r\nX: y\r\n\r\n");
    for (value, kept) in [
        ("Keep-Alive, X-Foo", "X-Foo"),
        ("x,keep-alive,y", "x,y"),
        ("x , y, close, z  w", "x , y,z  w"),
        ("close, x , y,  \"a,close,b\" , z  w", "x,y,\"a,close,b\",z  w"),
        ("x,,close,y,", "x,,y"),
        (", x ,, CLOSE ;,y", ", x ,, CLOSE ;,y"),
        ("x, y, ,", "x, y"),
    ] {
        passes(&request(value), &request(kept));
    }
    for gone in ["close", "close, keep-alive", "", ",", ",close,"] {
        passes(&request(gone), "GET / HTTP/1.1\r\nX: y\r\n\r\n");
    }
}

#[test]
fn what_a_client_asks_of_its_connection() {
    let asked = |version: &str, fields: &str| {
        let mut head = Head::new();
        let raw = format!("GET / HTTP/{version}\r\n{fields}\r\n");
        parse_request(raw.as_bytes(), &mut head, &Limits::default()).unwrap();
        persistence::take(&mut head).keeps(head.version())
    };
    assert!(asked("1.1", ""));
    assert!(!asked("1.1", "Connection: x\r\nConnection: close, keep-alive\r\n"));
    assert!(asked("1.1", "Proxy-Connection: close\r\n"));
    assert!(!asked("1.0", ""));
    assert!(asked("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!asked("1.0", "Connection: keep-alive, close\r\n"));
    assert!(!asked("1.0", "Proxy-Connection: keep-alive\r\n"));
}

#[test]
fn upgrades() {
    let upgrade = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    passes(upgrade, upgrade);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let handshake = upgrade.replace("foo", "websocket").replace("\r\n\r\n", &format!("\r\n{key}\r\n"));
    passes(&handshake, &handshake);
    refused(&handshake.replace(key, ""), 400);
    refused(&handshake.replace("dGh", ""), 400);
    // A body and an upgrade exclude each other; the body wins.
    passes(
        "POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n",
    );
}

#[test]
fn connection_to_the_server() {
    let sent = |version: Version, keep: bool| {
        let mut head = Head::new();
        head.start_request(b"GET", b"/", version);
        persistence::to_server(&mut head, keep);
        head.get(b"connection").map(<[u8]>::to_vec)
    };
    assert_eq!(sent(Version::Http11, true), None);
    assert_eq!(sent(Version::Http11, false).as_deref(), Some(&b"close"[..]));
    assert_eq!(sent(Version::Http10, true).as_deref(), Some(&b"keep-alive"[..]));
    assert_eq!(sent(Version::Http10, false), None);
}

#[test]
fn a_head_that_is_kept_allocates_no_more() {
    let raw = "GET http://a:80/ HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nTE: gzip, trailers\r\n\r\n";
    let (mut head, mut out) = (Head::new(), Vec::new());
    let mut exchange = || {
        out.clear();
        parse_request(raw.as_bytes(), &mut head, &Limits::default()).unwrap();
        framing::request(&mut head).unwrap();
        persistence::take(&mut head);
        head.set(b"X-Forwarded-For", b"192.0.2.1");
        persistence::to_server(&mut head, false);
        head.write_request_to(&mut out);
        (head.capacity(), out.capacity())
    };
    let first = exchange();
    assert_eq!(exchange(), first);
}
