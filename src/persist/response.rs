//! The server's cookie: taken out, rewritten, or one of ours added.

use super::cacheable::is_cacheable;
use super::crumbs::{Kind, Line, Treatment, edit};
use super::request::PREFIX_DELIMITER;
use super::{Hold, ServerCookie, date};
use crate::http::{Head, Method};
use crate::proxy::{Cookie, CookieMode};

/// Who answered whom.
#[derive(Clone, Copy, Debug)]
pub struct Answerer<'a> {
    /// The persistence cookie.
    pub cookie: &'a Cookie,
    /// The value of the server that answered, if it has one.
    pub value: Option<&'a [u8]>,
    /// The request's method.
    pub method: Method,
    /// The Unix second.
    pub now_s: u64,
}

/// Looks for the cookie in an answer, and adds it where the client needs it.
pub fn on_response(head: &mut Head, answerer: &Answerer<'_>, hold: &mut Hold) {
    if hold.ignored {
        return;
    }
    let cacheable = answerer.cookie.no_cache && is_cacheable(answerer.method, head);
    let found = treat(head, answerer, hold);
    let kept = found && answerer.cookie.preserve;
    if answerer.cookie.mode == CookieMode::Insert && !kept && needs_cookie(answerer, hold) {
        insert(head, answerer, hold);
        if cacheable {
            head.add(b"Cache-Control", b"private");
        }
    }
}

/// Does what is to be done with the server's own cookies; says whether there were any.
fn treat(head: &mut Head, answerer: &Answerer<'_>, hold: &mut Hold) -> bool {
    let Answerer { cookie, value, .. } = *answerer;
    let prefixed = value.map(|value| [value, &[PREFIX_DELIMITER]].concat());
    let direct = hold.wanted.is_some();
    let treatment = match (cookie.mode, value) {
        _ if cookie.preserve => Treatment::Keep,
        (CookieMode::Insert, _) => Treatment::Remove,
        _ if direct && cookie.indirect => Treatment::Remove,
        (CookieMode::Rewrite, Some(value)) => Treatment::Replace(value),
        (CookieMode::Prefix, Some(_)) => Treatment::Prefix(prefixed.as_deref().unwrap_or_default()),
        _ => Treatment::Keep,
    };
    let mut found = false;
    for (header, kind) in [(&b"set-cookie"[..], Kind::SetCookie), (b"set-cookie2", Kind::SetCookie2)] {
        let lines: Vec<usize> = head.fields_named(header).map(|field| field.index).collect();
        for index in lines {
            let mut line = head.value_at(index).to_vec();
            let fate = edit(&mut line, kind, |name, _| {
                if name != cookie.name.as_bytes() {
                    return Treatment::Keep;
                }
                found = true;
                treatment
            });
            match fate {
                Line::Same => {}
                Line::Changed => head.set_value(index, &line),
                Line::Gone => head.remove_at(index),
            }
        }
    }
    if found {
        hold.server = match treatment {
            Treatment::Remove => ServerCookie::Deleted,
            Treatment::Replace(_) | Treatment::Prefix(_) => ServerCookie::Rewritten,
            Treatment::Keep | Treatment::CutFront(_) => ServerCookie::Provided,
        };
    }
    found
}

/// Whether the client has no cookie for this server yet, or one with a date that is to be renewed.
fn needs_cookie(answerer: &Answerer<'_>, hold: &Hold) -> bool {
    let Answerer { cookie, method, now_s, .. } = *answerer;
    let dated = cookie.max_idle_s.is_some() || hold.last_seen_s > 0;
    let stale = dated && (hold.last_seen_s == 0 || hold.last_seen_s < now_s as i64);
    let first = cookie.max_life_s.is_some() != (hold.first_seen_s > 0);
    (hold.wanted.is_none() || stale || first) && (!cookie.post_only || method == Method::Post)
}

fn insert(head: &mut Head, answerer: &Answerer<'_>, hold: &mut Hold) {
    let Answerer { cookie, value, now_s, .. } = *answerer;
    let mut line = Vec::with_capacity(64);
    line.extend_from_slice(cookie.name.as_bytes());
    line.push(b'=');
    match value {
        // Another server's cookie would lead the client away from this one.
        None => line.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT"),
        Some(value) => {
            line.extend_from_slice(value);
            let now = date::rounded(now_s as i64);
            if cookie.is_dated() {
                line.push(b'|');
                date::write(now, &mut line);
            }
            if cookie.max_life_s.is_some() {
                line.push(b'|');
                date::write(if hold.first_seen_s > 0 { hold.first_seen_s } else { now }, &mut line);
            }
        }
    }
    line.extend_from_slice(b"; path=/");
    for domain in &cookie.domains {
        line.extend_from_slice(b"; domain=");
        line.extend_from_slice(domain.as_bytes());
    }
    for (flag, text) in [(cookie.http_only, &b"; HttpOnly"[..]), (cookie.secure, b"; Secure")] {
        line.extend_from_slice(if flag { text } else { b"" });
    }
    for attribute in &cookie.attributes {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(attribute.as_bytes());
    }
    head.add(b"Set-Cookie", &line);
    let same = value.is_some() && hold.wanted.is_some();
    hold.server = if same { ServerCookie::Updated } else { ServerCookie::Inserted };
}
