//! The client's cookie: which server it names, and what the server is to see of it.

use super::crumbs::{Kind, Line, Treatment, edit};
use super::{ClientCookie, Hold, date};
use crate::http::{Head, Known};
use crate::proxy::{Cookie, CookieMode, ServerId};

/// A cookie whose date lies further ahead is ignored. Below, a clock may be wrong.
const FUTURE_MAX_S: i64 = 86_400;

/// What the server's cookie value is followed by: dates, or in prefix mode the application's value.
const DATE_DELIMITER: u8 = b'|';
pub(super) const PREFIX_DELIMITER: u8 = b'~';

/// The servers that have a cookie's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// There is none.
    Nobody,
    /// None of them may be used.
    Down,
    /// This one, which is up or not.
    Server(ServerId, bool),
}

/// What a request is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'c> {
    /// The persistence cookie.
    pub cookie: &'c Cookie,
    /// The Unix second.
    pub now_s: u64,
    /// Another way of choosing has named the server.
    pub assigned: bool,
}

/// Looks for the cookie in a request and takes out of it what the server shall not see. `find` knows the
/// servers by their values.
pub fn on_request(head: &mut Head, asked: &Asked<'_>, hold: &mut Hold, find: impl Fn(&[u8]) -> Match) {
    let hides = asked.cookie.mode == CookieMode::Insert && asked.cookie.indirect;
    let mut from = 0;
    while let Some(index) = head.find_known(Known::Cookie, from) {
        from = index + 1;
        let mut line = head.value_at(index).to_vec();
        let fate = edit(&mut line, Kind::Cookie, |name, value| {
            if name != asked.cookie.name.as_bytes() {
                return Treatment::Keep;
            }
            let (own, rest) = split(value, asked.cookie.mode);
            judge(own, rest, asked, hold, &find);
            match asked.cookie.mode {
                CookieMode::Prefix if own.len() < value.len() => Treatment::CutFront(own.len() + 1),
                _ if hides => Treatment::Remove,
                _ => Treatment::Keep,
            }
        });
        match fate {
            Line::Same => {}
            Line::Changed => head.set_value(index, &line),
            Line::Gone => head.remove_at(index),
        }
    }
}

/// The server's value and what stands behind the delimiter.
fn split(value: &[u8], mode: CookieMode) -> (&[u8], &[u8]) {
    let delimiter = if mode == CookieMode::Prefix { PREFIX_DELIMITER } else { DATE_DELIMITER };
    match memchr::memchr(delimiter, value) {
        Some(at) => (&value[..at], &value[at + 1..]),
        None => (value, b""),
    }
}

/// Decides about one cookie. A later one is looked at even if an earlier one was of no use.
fn judge(own: &[u8], rest: &[u8], asked: &Asked<'_>, hold: &mut Hold, find: impl Fn(&[u8]) -> Match) {
    if asked.cookie.mode != CookieMode::Prefix && !rest.is_empty() {
        read_dates(rest, hold);
    }
    let closed = hold.ignored || asked.assigned || hold.wanted.is_some();
    let mut found = Match::Nobody;
    if let Some(verdict) = outdated(asked, hold) {
        hold.client = verdict;
        (hold.first_seen_s, hold.last_seen_s) = (0, 0);
    } else if !own.is_empty() && !closed {
        found = find(own);
    }
    match found {
        Match::Server(server, up) => {
            hold.client = if up { ClientCookie::Valid } else { ClientCookie::Down };
            hold.wanted = Some(server);
        }
        Match::Down => hold.client = ClientCookie::Down,
        Match::Nobody if matches!(hold.client, ClientCookie::Down | ClientCookie::Expired | ClientCookie::Old) => {}
        // HAProxy keeps the verdict on the cookie that was used.
        Match::Nobody if hold.wanted.is_some() => {}
        Match::Nobody if closed => hold.client = ClientCookie::Unused,
        Match::Nobody => hold.client = ClientCookie::Invalid,
    }
}

/// `LAST|FIRST`: when the cookie was written, and when the first one was.
fn read_dates(rest: &[u8], hold: &mut Hold) {
    let last = date::read(rest);
    if last > 0 {
        hold.last_seen_s = last;
    }
    if let Some(bar) = memchr::memchr(DATE_DELIMITER, rest) {
        let first = date::read(&rest[bar + 1..]);
        if first > 0 {
            hold.first_seen_s = first;
        }
    }
}

/// Whether the cookie is too old, or was not used for too long.
fn outdated(asked: &Asked<'_>, hold: &Hold) -> Option<ClientCookie> {
    let now = asked.now_s as i64;
    let over = |seen: i64, limit: Option<u32>| {
        limit.is_some_and(|limit| seen > 0 && (now - seen > i64::from(limit) || seen - now > FUTURE_MAX_S))
    };
    if over(hold.first_seen_s, asked.cookie.max_life_s) {
        Some(ClientCookie::Old)
    } else if over(hold.last_seen_s, asked.cookie.max_idle_s) {
        Some(ClientCookie::Expired)
    } else {
        None
    }
}
