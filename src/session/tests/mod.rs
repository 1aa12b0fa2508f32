//! Conversations on virtual time.

mod added;
mod answers;
mod codes;
mod content;
mod dated;
mod hostile;
mod limits;
mod lookups;
mod naming;
mod random;
mod reactions;
mod shared;
mod soft_stop;
mod stale;
mod storm;
mod timeouts;
mod tunnels;
mod workers;

use super::sim::{Far, Sim};
use crate::transport::net::SimConnect;

/// A request without a body.
const GET: &str = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

/// A request whose body does not come to its end.
const POST: &str = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc";

/// An answer.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The head of an answer's page that HAProxy makes for `status`, as far as its first line.
fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}
