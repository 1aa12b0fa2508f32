//! Bodies: payload, framing, and what is mended on the way.

use super::*;

/// Payload, and whether the body was complete; the input in parts of `step` octets.
fn decoded(body: Body, raw: &[u8], step: usize) -> Result<(Vec<u8>, bool), Fault> {
    let mut decoder = BodyDecoder::new(body);
    let (mut payload, mut held) = (Vec::new(), Vec::new());
    for part in raw.chunks(step.max(1)) {
        held.extend_from_slice(part);
        loop {
            let piece = decoder.next(&held).map_err(|error| error.fault)?;
            let end = piece.framing + piece.payload;
            payload.extend_from_slice(&held[piece.framing..end]);
            if piece.trailers > 0 {
                let block = &held[end..end + piece.trailers];
                parse_trailers(block, &mut Head::new(), &Limits::default()).map_err(|error| error.fault)?;
            }
            held.drain(..piece.consumed());
            if piece.consumed() == 0 || piece.done {
                break;
            }
        }
    }
    Ok((payload, decoder.is_done()))
}

/// What a receiver of the forwarded body gets.
pub(super) fn relayed(body: Body, raw: &[u8], step: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = BodyDecoder::new(body);
    let (mut out, mut held) = (Vec::new(), Vec::new());
    let mut payload = 0;
    for part in raw.chunks(step.max(1)) {
        held.extend_from_slice(part);
        loop {
            let scan = decoder.scan(&held).map_err(|error| error.fault)?;
            out.extend_from_slice(&held[..scan.forward]);
            out.extend_from_slice(scan.insert);
            payload += scan.payload;
            if scan.trailers > 0 {
                let start = scan.forward + scan.dropped;
                let mut head = Head::new();
                parse_trailers(&held[start..start + scan.trailers], &mut head, &Limits::default())
                    .map_err(|error| error.fault)?;
                head.write_fields_to(&mut out);
            }
            held.drain(..scan.consumed());
            if scan.consumed() == 0 || scan.done {
                break;
            }
        }
    }
    assert!(payload <= out.len());
    Ok(out)
}

#[track_caller]
fn becomes(raw: &str, clean: &str) {
    for step in [1, 2, 3, 7, raw.len()] {
        let out = relayed(Body::Chunked, raw.as_bytes(), step);
        let out = out.map(|out| String::from_utf8_lossy(&out).into_owned());
        assert_eq!(out.as_deref(), Ok(clean), "{raw:?} by {step}");
        assert_eq!(decoded(Body::Chunked, raw.as_bytes(), step), decoded(Body::Chunked, clean.as_bytes(), clean.len()),);
    }
}

#[track_caller]
fn refused(raw: &str, fault: Fault) {
    for step in [1, 3, raw.len()] {
        assert_eq!(relayed(Body::Chunked, raw.as_bytes(), step), Err(fault), "{raw:?}");
        assert_eq!(decoded(Body::Chunked, raw.as_bytes(), step), Err(fault), "{raw:?}");
    }
}

const CLEAN: &str = "2\r\nhi\r\n0\r\n\r\n";

#[test]
fn clean_chunks_pass_as_they_are() {
    becomes(CLEAN, CLEAN);
    let more = "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n";
    becomes(more, more);
    let zeros = "0002\r\nhi\r\n000\r\n\r\n";
    becomes(zeros, zeros);
    assert_eq!(decoded(Body::Chunked, more.as_bytes(), 5), Ok((b"01234567890123456789".to_vec(), true)));
}

#[test]
fn a_clean_body_takes_one_scan() {
    let mut decoder = BodyDecoder::new(Body::Chunked);
    let scan = decoder.scan(CLEAN.as_bytes());
    let whole = Scan { forward: CLEAN.len(), payload: 2, done: true, ..Scan::default() };
    assert_eq!(scan, Ok(whole));
}

#[test]
fn extensions_blanks_and_bare_lf_are_mended() {
    for raw in [
        "2;a=b\r\nhi\r\n0\r\n\r\n",
        "2 ; a=\"b\"\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r\n0;x\r\n\r\n",
        "2 \t\r\nhi\r\n0\r\n\r\n",
        "2\nhi\n0\n\n",
        "2\r\nhi\r\n0\r\n\n",
        "2;a\nhi\r\n0 \n\r\n",
        "2;\u{0}\u{1}\r\nhi\r\n0\r\n\r\n",
    ] {
        becomes(raw, CLEAN);
    }
}

#[test]
fn bad_chunks_are_refused() {
    for raw in [
        " 2\r\nhi",
        "x\r\n",
        "0x2\r\n",
        "2x\r\n",
        "2 x\r\n",
        "\r\nhi",
        "-2\r\n",
        ";\r\n",
        "2;a\rb\r\n",
        "2\r\nhi3\r\nabc",
        "2\r\nhi\rx",
        "2\rhi",
        "10000000000000\r\n",
        "7fffffffffffffff\r\n",
    ] {
        refused(raw, Fault::Chunk);
    }
    becomes("fffffffffffff\r\nhi", "fffffffffffff\r\nhi");
}

#[test]
fn trailers_pass() {
    let trailers = "2\r\nhi\r\n0\r\nX-T: y\r\nZ: 1\r\n\r\n";
    becomes(trailers, trailers);
    becomes("2\r\nhi\r\n0\r\nX: a\r\n b\nY:c\n\n", "2\r\nhi\r\n0\r\nX: a   b\r\nY: c\r\n\r\n");
    let odd_name = "2\r\nhi\r\n0\r\nX T: y\r\n\r\n";
    becomes(odd_name, odd_name);
    refused("0\r\nXT\r\n\r\n", Fault::Trailer);
    refused("0\r\nX: a\rb\r\n\r\n", Fault::Trailer);
    refused("0\r\nContent-Length: x\r\n\r\n", Fault::ContentLength);
    refused("0\r\nTransfer-Encoding: x\r\n\r\n", Fault::TransferEncoding);
}

#[test]
fn lengths() {
    assert_eq!(decoded(Body::Length(3), b"abcdef", 2), Ok((b"abc".to_vec(), true)));
    assert_eq!(decoded(Body::Length(9), b"abcdef", 2), Ok((b"abcdef".to_vec(), false)));
    assert_eq!(decoded(Body::None, b"abc", 1), Ok((Vec::new(), true)));
    assert_eq!(decoded(Body::Length(0), b"abc", 1), Ok((Vec::new(), true)));
    assert_eq!(relayed(Body::Length(3), b"abcdef", 6), Ok(b"abc".to_vec()));
}

#[test]
fn a_body_until_close_ends_with_the_connection() {
    let mut decoder = BodyDecoder::new(Body::UntilClose);
    assert_eq!(decoder.next(b"abc").map(|piece| piece.payload), Ok(3));
    assert_eq!(decoder.run_remaining(), u64::MAX);
    assert!(!decoder.is_done());
    assert!(decoder.close());
    assert!(!BodyDecoder::new(Body::Length(1)).close());
    assert!(!BodyDecoder::new(Body::Chunked).close());
}

#[test]
fn a_run_can_be_spliced() {
    let mut decoder = BodyDecoder::new(Body::Chunked);
    let scan = decoder.scan(b"1000\r\nabc");
    assert_eq!(scan.map(|scan| (scan.forward, scan.payload)), Ok((9, 3)));
    assert_eq!(decoder.run_remaining(), 4093);
    decoder.skip(4000);
    assert_eq!(decoder.run_remaining(), 93);
    decoder.skip(93);
    assert_eq!(decoder.run_remaining(), 0);
    assert_eq!(decoder.scan(b"\r\n0\r\n\r\n").map(|scan| scan.done), Ok(true));
    let mut decoder = BodyDecoder::new(Body::Length(10));
    decoder.skip(10);
    assert!(decoder.is_done());
}
