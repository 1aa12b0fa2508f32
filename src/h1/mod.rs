//! HTTP/1 as HAProxy 2.6 reads and writes it, for both sides of a proxy. Pure: bytes in, a
//! [`Head`](crate::http::Head) and decisions out; no socket, no clock, no allocation per message.
//!
//! How a proxy uses it, for one exchange:
//!
//! 1. Bytes came from the client: [`parse_request`]`(buf, &mut head, &limits)`. [`Parsed::Partial`]:
//!    read more. [`Parsed::Complete`]: the head holds a copy, drop `head_bytes` from the buffer. An
//!    error: answer [`ParseError::request_status`] and close.
//! 2. [`framing::request`]`(&mut head)` says how long the body is and normalises the length fields;
//!    [`persistence::take`]`(&mut head)` reads `Connection`, strips what was for us alone, and
//!    `Asked::keeps` says whether the client lets its connection live.
//! 3. Rules edit the head. [`persistence::to_server`]`(&mut head, keep)` adds `Connection` where it is
//!    needed; `head.write_request_to(&mut out)`. To the server `keep` is: the mode keeps server
//!    connections, and not `framing.next_must_close`.
//! 4. The body: `BodyDecoder::new(framing.body)`, then [`BodyDecoder::scan`] to forward it as it is, or
//!    [`BodyDecoder::next`] to get at the payload; `run_remaining` and `skip` for splicing.
//! 5. The answer: [`parse_response`], [`framing::response`]`(&mut head, &asked)` with what the request
//!    was, [`persistence::take`]. A status below 200 other than 101 is written as it is and the next head
//!    follows. [`Body::Tunnel`]: write it and relay both ways from here on. Else
//!    [`persistence::to_client`]`(&mut head, keep, client_version)`; `head.write_response_to(&mut out)`.
//!    To the client `keep` is: the mode keeps client connections, the request's `Asked::keeps`, not the
//!    request's `must_close`, not the response's `next_must_close`.
//! 6. The server's connection may be used again if `to_server` had `keep`, the response's `Asked::keeps`
//!    its version, its framing has not `must_close`, and both bodies ended.
//!
//! ```
//! use epoxy::h1::{self, Body, BodyDecoder, Parsed};
//! let raw = b"POST /x HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
//! let mut head = epoxy::http::Head::new();
//! let Ok(Parsed::Complete { head_bytes }) = h1::parse_request(raw, &mut head, &h1::Limits::default()) else {
//!     panic!("this one is complete");
//! };
//! let framing = h1::framing::request(&mut head).unwrap();
//! assert_eq!(framing.body, Body::Length(2));
//! assert!(!h1::persistence::take(&mut head).keeps(head.version()));
//! h1::persistence::to_server(&mut head, true);
//! let mut out = Vec::new();
//! head.write_request_to(&mut out);
//! let scan = BodyDecoder::new(framing.body).scan(&raw[head_bytes..]).unwrap();
//! assert!(scan.done);
//! out.extend_from_slice(&raw[head_bytes..][..scan.forward]);
//! assert_eq!(out, b"POST /x HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\nconnection: keep-alive\r\n\r\nhi");
//! ```
//!
//! Rules, all compared with HAProxy 2.6 by many random messages: a message version from 1.1 upward is
//! 1.1 and is written so, a response keeps its server's version. Duplicates of `Host` and
//! `Content-Length` that agree are merged. Chunks are forwarded to old clients as they are, and a body
//! that lasts until close is not chunked. `lenient` is `option accept-invalid-http-request` / `-response`.
//!
//! Where we refuse and HAProxy does not: a `Content-Length` from 2^63 upward, of which it lets some
//! overflow; a CR in a field name, which it lets pass when lenient; a status below 100 or above 65535.

mod body;
mod error;
pub mod framing;
mod grammar;
mod parse;
pub mod persistence;
mod slow;
mod target;

#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Piece, Scan, arrived, parse_trailers};
pub use error::{Fault, ParseError};
pub use framing::{Body, Framing};
pub use grammar::is_token;
pub use parse::{Limits, Parsed, parse_request, parse_response};
