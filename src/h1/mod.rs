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
//! 3. Rules edit the head. [`persistence::to_server`] adds `Connection` as needed, and
//!    `head.write_request_to(&mut out)` writes it.
//! 4. The body: `BodyDecoder::new(framing.body)`, then [`BodyDecoder::scan`] to forward it as it is, or
//!    [`BodyDecoder::next`] to get at the payload.
//! 5. The answer: [`parse_response`], [`framing::response`]`(&mut head, &request)`,
//!    [`persistence::take`]. A status below 200 other than 101 is forwarded and the next head follows.
//!    [`Body::UntilClose`] makes the client's connection close too: nothing is re-chunked.
//!    [`persistence::to_client`] adds `Connection`; `head.write_response_to(&mut out)`.
//!
//! Rules, all compared with HAProxy 2.6: a message version from 1.1 upward is 1.1 and is written so, a
//! response keeps its server's version. Duplicates of `Host` and `Content-Length` that agree are
//! merged. `lenient` is `option accept-invalid-http-request` / `-response`.

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

pub use body::{BodyDecoder, Piece, Scan, parse_trailers};
pub use error::{Fault, ParseError};
pub use framing::{Body, Framing};
pub use parse::{Limits, Parsed, parse_request, parse_response};
