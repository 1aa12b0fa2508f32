//! Whether caches may keep an answer, as far as HAProxy looks (manual 4.2, `cookie` with `nocache`).

use crate::http::{Head, Method};

/// Statuses that are cacheable by themselves.
const STATUSES: &[u16] = &[200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];

/// Whether a cache could keep this answer to a request of this method.
pub fn is_cacheable(method: Method, answer: &Head) -> bool {
    let safe = matches!(method, Method::Get | Method::Head | Method::Options | Method::Trace);
    if !safe || !STATUSES.contains(&answer.status()) {
        return false;
    }
    let is = |value: &[u8], wanted: &str| value.eq_ignore_ascii_case(wanted.as_bytes());
    let begins = |value: &[u8], wanted: &str| value.get(..wanted.len()).is_some_and(|start| is(start, wanted));
    if answer.values(b"pragma").any(|value| is(value, "no-cache")) {
        return false;
    }
    // The last word counts.
    let mut allowed = true;
    let mut dated = [&b"etag"[..], b"last-modified", b"expires"].iter().any(|name| answer.get(name).is_some());
    for value in answer.values(b"cache-control") {
        dated |= begins(value, "max-age") || begins(value, "s-maxage");
        if is(value, "public") {
            allowed = true;
        }
        if ["private", "no-cache", "no-store", "max-age=0", "s-maxage=0"].iter().any(|no| is(value, no)) {
            allowed = false;
        }
    }
    // Nothing by which a cache could tell how long to keep it.
    allowed && dated
}
