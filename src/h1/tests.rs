//! The engine on literal bytes. What is expected here is what HAProxy 2.6 did with the same bytes,
//! but for the case of field names, which it lowers and we keep.

use super::*;
use crate::http::{Head, Version};

mod bodies;
mod properties;
mod requests;
mod responses;

fn lenient() -> Limits {
    Limits { lenient: true, ..Limits::default() }
}

/// A request through parsing, framing and `Connection`, to what a server on a connection that is
/// kept gets; or the status that the client gets.
fn forwarded(raw: &str, limits: &Limits) -> Result<String, u16> {
    let mut head = Head::new();
    let answer = |error: ParseError| error.request_status();
    match parse_request(raw.as_bytes(), &mut head, limits).map_err(answer)? {
        Parsed::Partial => return Ok("partial".into()),
        Parsed::Complete { .. } => {}
    }
    framing::request(&mut head).map_err(answer)?;
    persistence::take(&mut head);
    persistence::to_server(&mut head, true);
    let mut out = Vec::new();
    head.write_request_to(&mut out);
    assert_eq!(out.len(), head.wire_bytes());
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A response through the same, to what a client of version 1.1 gets; `Err` is a 502.
fn answered(raw: &[u8], asked: &framing::Asked, limits: &Limits) -> Result<(Framing, String), Fault> {
    let mut head = Head::new();
    let fault = |error: ParseError| error.fault;
    match parse_response(raw, &mut head, limits).map_err(fault)? {
        Parsed::Partial => return Ok((Framing::default(), "partial".into())),
        Parsed::Complete { .. } => {}
    }
    let framing = framing::response(&mut head, asked).map_err(fault)?;
    persistence::take(&mut head);
    if head.status() >= 200 && framing.body != Body::Tunnel {
        persistence::to_client(&mut head, !framing.next_must_close, Version::Http11);
    }
    let mut out = Vec::new();
    head.write_response_to(&mut out);
    assert_eq!(out.len(), head.wire_bytes());
    Ok((framing, String::from_utf8_lossy(&out).into_owned()))
}
