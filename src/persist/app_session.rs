//! The application's own session, in a cookie or in the URL (manual of 1.5, `appsession`).

use super::crumbs::{Kind, each};
use crate::http::Head;
use crate::proxy::{AppSession, ParameterMode};

/// The session that a request belongs to: its cookie's, or else its URL's.
pub fn of_request<'h>(head: &'h Head, settings: &AppSession) -> Option<&'h [u8]> {
    let mut lines = head.fields_named(b"cookie");
    let found = lines.find_map(|field| in_line(field.value, Kind::Cookie, settings));
    found.or_else(|| in_url(head.uri(), settings)).map(|session| cut(session, settings))
}

/// The session that an answer begins.
pub fn of_response<'h>(head: &'h Head, settings: &AppSession) -> Option<&'h [u8]> {
    let mut lines = head.fields_named(b"set-cookie");
    let found = lines.find_map(|field| in_line(field.value, Kind::SetCookie, settings));
    let mut old = head.fields_named(b"set-cookie2");
    let found = found.or_else(|| old.find_map(|field| in_line(field.value, Kind::SetCookie2, settings)));
    found.map(|session| cut(session, settings))
}

fn cut<'h>(session: &'h [u8], settings: &AppSession) -> &'h [u8] {
    &session[..session.len().min(settings.bytes_max)]
}

fn in_line<'h>(line: &'h [u8], kind: Kind, settings: &AppSession) -> Option<&'h [u8]> {
    let wanted = settings.name.as_bytes();
    let mut found = None;
    each(line, kind, |name, value| {
        let session = if settings.is_prefix {
            line[name.clone()].strip_prefix(wanted).map(|_| &line[name.start + wanted.len()..value.end])
        } else {
            (&line[name] == wanted).then_some(&line[value])
        };
        found = found.or(session.filter(|session| !session.is_empty()));
    });
    found
}

/// `NAME=value` among the parameters of the path, or of the query; with `prefix` what follows the name counts.
fn in_url<'h>(uri: &'h [u8], settings: &AppSession) -> Option<&'h [u8]> {
    let (begin, between): (u8, fn(&u8) -> bool) = match settings.mode {
        ParameterMode::PathParameters => (b';', |c| *c == b';'),
        ParameterMode::QueryString => (b'?', |c| *c == b'&' || *c == b';'),
    };
    let query = memchr::memchr(b'?', uri).unwrap_or(uri.len());
    let part = match settings.mode {
        ParameterMode::PathParameters => &uri[..query],
        ParameterMode::QueryString => uri,
    };
    let parameters = &part[memchr::memchr(begin, part)? + 1..];
    let one = |parameter: &'h [u8]| {
        let rest = parameter.strip_prefix(settings.name.as_bytes())?;
        let session = if settings.is_prefix { Some(rest) } else { rest.strip_prefix(b"=") };
        session.filter(|session| !session.is_empty())
    };
    let end = memchr::memchr(b'#', parameters).unwrap_or(parameters.len());
    parameters[..end].split(between).find_map(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture;
    use crate::time::Millis;

    fn settings(name: &str, bytes_max: usize) -> AppSession {
        AppSession {
            name: name.into(),
            bytes_max,
            timeout: Millis(1),
            learns_requests: true,
            is_prefix: false,
            mode: ParameterMode::PathParameters,
        }
    }

    #[test]
    fn the_session_is_found_in_cookies_and_in_the_url() {
        let found = |text: &str, settings: &AppSession| {
            of_request(&fixture::head(text), settings).map(|session| String::from_utf8_lossy(session).into_owned())
        };
        let path = settings("JS", 5);
        for (request, session) in [
            ("GET / HTTP/1.1\nCookie: x=1; JS = abc ; y=2", Some("abc")),
            ("GET / HTTP/1.1\nCookie: x=1\nCookie: JS=abcdefg", Some("abcde")),
            ("GET /a;JS=u1 HTTP/1.1\nCookie: JS=c1", Some("c1")),
            ("GET /a;x=1;JS=u1;y?JS=q HTTP/1.1", Some("u1")),
            ("GET /a?b;JS=u1 HTTP/1.1", None),
            ("GET /a;JS= HTTP/1.1\nCookie: JS=", None),
            ("GET /a;JSX=1 HTTP/1.1\nCookie: js=1", None),
        ] {
            assert_eq!(found(request, &path).as_deref(), session, "{request}");
        }
        let query = AppSession { mode: ParameterMode::QueryString, ..settings("JS", 9) };
        assert_eq!(found("GET /a;JS=p?x=1&JS=q1&JS=q2 HTTP/1.1", &query).as_deref(), Some("q1"));
        let prefix = AppSession { is_prefix: true, ..settings("ASP", 6) };
        assert_eq!(found("GET / HTTP/1.1\nCookie: ASPXYZ=abcd111", &prefix).as_deref(), Some("XYZ=ab"));
    }
}
