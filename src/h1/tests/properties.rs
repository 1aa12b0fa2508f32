//! Properties: nothing depends on how bytes are cut, nothing panics, what is written reads the same.

use super::bodies::relayed;
use super::*;
use proptest::prelude::*;

/// Texts near to heads: made of the pieces that parsers stumble over.
fn near_http() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "GET ",
        "CONNECT ",
        "/",
        "*",
        "http://a:80",
        "a:443",
        " HTTP/1.1",
        " HTTP/1.0",
        "HTTP/1.1 ",
        "200 OK",
        "101 S",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "Host: a",
        "Host",
        ":",
        ": ",
        "Content-Length: ",
        "2",
        ",",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Upgrade",
        "TE: trailers",
        "\u{0}",
        "\u{7f}",
        "é",
        "X: y",
        ";",
        "0",
        "fffffffffffff",
        "\"",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

fn value() -> impl Strategy<Value = String> {
    "([!-~é]([ -~é\t]{0,20}[!-~é])?)?"
}

/// Anything that a peer may send, through every step that could panic.
fn digest(raw: &[u8], limits: &Limits) -> (Result<Parsed, ParseError>, Vec<u8>) {
    let mut head = Head::new();
    let mut out = Vec::new();
    let parsed = parse_request(raw, &mut head, limits);
    if let Ok(Parsed::Complete { .. }) = parsed {
        let _ = (head.path(), head.query());
        let framing = framing::request(&mut head);
        let asked = persistence::take(&mut head);
        let keep = asked.keeps(head.version());
        persistence::to_server(&mut head, keep);
        head.write_request_to(&mut out);
        out.extend_from_slice(format!("{framing:?}").as_bytes());
    }
    (parsed, out)
}

fn digest_response(raw: &[u8], limits: &Limits) -> (Result<Parsed, ParseError>, Vec<u8>) {
    let mut head = Head::new();
    let mut out = Vec::new();
    let parsed = parse_response(raw, &mut head, limits);
    if let Ok(Parsed::Complete { .. }) = parsed {
        let framing = framing::response(&mut head, &framing::Asked::default());
        let asked = persistence::take(&mut head);
        let keep = asked.keeps(head.version());
        persistence::to_client(&mut head, keep, Version::Http10);
        head.write_response_to(&mut out);
        out.extend_from_slice(format!("{framing:?}").as_bytes());
    }
    (parsed, out)
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        for limits in [Limits::default(), lenient()] {
            let _ = digest(&raw, &limits);
            let _ = digest_response(&raw, &limits);
        }
        let _ = relayed(Body::Chunked, &raw, 7);
    }

    #[test]
    fn a_head_cut_anywhere_is_partial_or_wrong_already(raw in near_http()) {
        for limits in [Limits::default(), lenient()] {
            let (whole, _) = digest(&raw, &limits);
            let (whole_response, _) = digest_response(&raw, &limits);
            for end in 0..raw.len() {
                let part = parse_request(&raw[..end], &mut Head::new(), &limits);
                prop_assert!(part == Ok(Parsed::Partial) || part == whole, "{part:?} {whole:?}");
                let part = parse_response(&raw[..end], &mut Head::new(), &limits);
                prop_assert!(part == Ok(Parsed::Partial) || part == whole_response);
            }
        }
    }

    #[test]
    fn both_parsers_agree(raw in near_http(), fields in prop::collection::vec((token(), value()), 0..5)) {
        let mut proper = b"GET /x HTTP/1.1\r\n".to_vec();
        for (name, value) in &fields {
            proper.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        proper.extend_from_slice(b"\r\n");
        for raw in [raw, proper] {
            let mut fast = Head::new();
            let mut slow = Head::new();
            if parse_request(&raw, &mut fast, &Limits::default()).is_err() {
                continue;
            }
            let verdict = super::super::slow::request(&raw, &mut slow, &Limits::default());
            prop_assert!(verdict.is_ok());
            let checked = super::super::target::check(&mut slow, false);
            prop_assert!(slow.is_empty() || checked.is_ok());
            let (mut one, mut other) = (Vec::new(), Vec::new());
            fast.write_request_to(&mut one);
            slow.write_request_to(&mut other);
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn both_response_parsers_agree(
        reason in "[ -~\té]{0,8}",
        status in 90u16..700,
        fields in prop::collection::vec((token(), value()), 0..5),
    ) {
        let mut raw = format!("HTTP/1.1 {status:03} {reason}\r\n");
        for (name, value) in &fields {
            raw += &format!("{name}:{value}\r\n");
        }
        raw += "\r\n";
        let (mut fast, mut slow) = (Head::new(), Head::new());
        let verdict = parse_response(raw.as_bytes(), &mut fast, &Limits::default());
        let faithful = super::super::slow::response(raw.as_bytes(), &mut slow, &Limits::default());
        prop_assert_eq!(verdict, faithful);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        if verdict.is_ok() {
            fast.write_response_to(&mut one);
            slow.write_response_to(&mut other);
        }
        prop_assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&other));
    }

    #[test]
    fn a_head_written_reads_the_same(
        method in token(),
        path in "/[!-\"$-~]{0,20}",
        fields in prop::collection::vec((token(), value()), 0..8),
    ) {
        let mut head = Head::new();
        head.start_request(method.as_bytes(), path.as_bytes(), Version::Http11);
        for (name, value) in &fields {
            head.add(name.as_bytes(), value.as_bytes());
        }
        let mut written = Vec::new();
        head.write_request_to(&mut written);
        let mut read = Head::new();
        let parsed = parse_request(&written, &mut read, &Limits::default());
        // Random fields may be a bad Host or Upgrade; all others must read back.
        prop_assume!(!fields.iter().any(|(name, _)| ["host", "upgrade"].contains(&name.to_ascii_lowercase().as_str())));
        prop_assume!(method != "CONNECT");
        prop_assert_eq!(parsed, Ok(Parsed::Complete { head_bytes: written.len() }));
        let mut again = Vec::new();
        read.write_request_to(&mut again);
        prop_assert_eq!(again, written);
        let back: Vec<_> = read.fields().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
        let sent: Vec<_> = fields.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect();
        prop_assert_eq!(back, sent);
    }

    #[test]
    fn a_body_cut_anywhere_is_forwarded_the_same(
        chunks in prop::collection::vec(("[a-z\r\n;0]{1,20}", "(;[a-z]{0,3}| )?", "\r?\n"), 0..5),
        trailers in prop::collection::vec((token(), value()), 0..3),
        step in 1usize..9,
    ) {
        let (mut raw, mut clean) = (Vec::new(), Vec::new());
        for (data, extension, line_end) in &chunks {
            let size = data.len();
            raw.extend_from_slice(format!("{size:X}{extension}{line_end}{data}{line_end}").as_bytes());
            clean.extend_from_slice(format!("{size:X}\r\n{data}\r\n").as_bytes());
        }
        let mut end = String::from("0\r\n");
        for (name, value) in &trailers {
            prop_assume!(!["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()));
            end += &format!("{name}: {value}\r\n");
        }
        end += "\r\n";
        raw.extend_from_slice(end.as_bytes());
        clean.extend_from_slice(end.as_bytes());
        raw.extend_from_slice(b"next");
        prop_assert_eq!(relayed(Body::Chunked, &raw, step), Ok(clean.clone()));
        prop_assert_eq!(relayed(Body::Chunked, &raw, raw.len()), Ok(clean));
    }
}
