//! HTTP messages: the head of a request or a response as a proxy holds it while it inspects, edits
//! and forwards it. Pure data; the engines (`h1`) fill and write it.
//!
//! - [`Head`]: one arena of bytes with a list of field slots. Reading costs nothing, an edit appends
//!   to the arena and moves a slot, the whole is written once. `clear()` keeps the capacity, so a
//!   connection that keeps its heads allocates nothing per message.
//! - [`Method`], [`Version`], [`Known`]: what was classified while parsing.
//! - [`status`]: reason phrases and the built-in answers of HAProxy.
//! - [`uri`]: the parts of a request target, as `path`, `query`, `url_ip` need them.
//!
//! ```
//! use epoxy::http::{Head, Known, Version};
//! let mut head = Head::new();
//! head.start_request(b"GET", b"/a?b", Version::Http11);
//! head.add(b"Host", b"example.org");
//! head.set(b"X-Forwarded-For", b"192.0.2.1");
//! assert_eq!(head.get_known(Known::Host), Some(&b"example.org"[..]));
//! let mut out = Vec::new();
//! head.write_request_to(&mut out);
//! assert_eq!(out, b"GET /a?b HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
//! ```
//!
//! Names keep the case in which they came, as HAProxy 1.x did; 2.x writes them in lower case, which
//! no reader may depend on (RFC 9110 5.1).

mod edit;
mod head;
mod known;
mod line;
pub mod status;
pub mod uri;
mod values;

#[cfg(test)]
mod tests;

pub use head::{Field, Head};
pub use known::Known;
pub use line::{Method, Version};
pub use values::{Values, pick};

pub(crate) use head::Span;
