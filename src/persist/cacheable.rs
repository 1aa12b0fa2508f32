//! Whether caches may keep an answer, as far as HAProxy looks (manual 4.2, `cookie` with `nocache` and `option
//! checkcache`).

use crate::http::{Head, Method};

/// Statuses that are cacheable by themselves.
const STATUSES: &[u16] = &[200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];

/// What a cache may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keepable {
    answer: bool,
    cookie: bool,
}

/// Whether a cache could keep this answer to a request of this method.
pub fn is_cacheable(method: Method, answer: &Head) -> bool {
    keepable(method, answer).answer
}

/// Whether a cache could keep this answer together with its cookies.
pub fn may_keep_cookie(method: Method, answer: &Head) -> bool {
    let keepable = keepable(method, answer);
    keepable.answer && keepable.cookie
}

fn keepable(method: Method, answer: &Head) -> Keepable {
    const NOTHING: Keepable = Keepable { answer: false, cookie: false };
    const ALL: Keepable = Keepable { answer: true, cookie: true };
    let is = |value: &[u8], wanted: &str| value.eq_ignore_ascii_case(wanted.as_bytes());
    let begins = |value: &[u8], wanted: &str| value.get(..wanted.len()).is_some_and(|start| is(start, wanted));
    if answer.fields_named(b"pragma").any(|field| is(field.value, "no-cache")) {
        return NOTHING;
    }
    let safe = matches!(method, Method::Get | Method::Head | Method::Options | Method::Trace);
    // The last word counts.
    let mut keepable = if safe && STATUSES.contains(&answer.status()) { ALL } else { NOTHING };
    let mut dated = [&b"etag"[..], b"last-modified", b"expires"].iter().any(|name| answer.get(name).is_some());
    for value in answer.values(b"cache-control") {
        dated |= begins(value, "max-age") || begins(value, "s-maxage");
        if is(value, "public") {
            keepable = ALL;
        } else if ["private", "no-cache", "no-store", "max-age=0", "s-maxage=0"].iter().any(|no| is(value, no)) {
            keepable = NOTHING;
        } else if begins(value, "no-cache=\"set-cookie\"") || begins(value, "no-cache=\"set-cookie,") {
            keepable.cookie = false;
        }
    }
    // Nothing by which a cache could tell how long to keep it.
    if dated { keepable } else { NOTHING }
}
