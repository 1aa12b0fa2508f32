//! `capture cookie`: the first cookie whose name begins as wanted, for the log (manual 4.2).

use super::crumbs::{Kind, Line, Treatment, edit};
use crate::http::Head;
use crate::proxy::CookieCapture;

/// The client's cookie as `name=value`, cut to its length; empty if there is none. Like HAProxy, whoever looks at
/// cookies takes blanks around their `=` away.
pub fn of_request(head: &mut Head, wanted: &CookieCapture) -> Vec<u8> {
    find(head, b"cookie", Kind::Cookie, wanted).unwrap_or_default()
}

/// The server's, likewise.
pub fn of_response(head: &mut Head, wanted: &CookieCapture) -> Vec<u8> {
    let found = find(head, b"set-cookie", Kind::SetCookie, wanted);
    found.or_else(|| find(head, b"set-cookie2", Kind::SetCookie2, wanted)).unwrap_or_default()
}

fn find(head: &mut Head, header: &[u8], kind: Kind, wanted: &CookieCapture) -> Option<Vec<u8>> {
    let indices: Vec<usize> = head.fields_named(header).map(|field| field.index).collect();
    let mut found: Option<Vec<u8>> = None;
    for index in indices {
        let mut line = head.value_at(index).to_vec();
        let fate = edit(&mut line, kind, |name, value| {
            if found.is_none() {
                let mut pair = [name, b"=", value].concat();
                if pair.starts_with(wanted.prefix.as_bytes()) {
                    pair.truncate(wanted.bytes_max);
                    found = Some(pair);
                }
            }
            Treatment::Keep
        });
        if fate == Line::Changed {
            head.set_value(index, &line);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture;

    #[test]
    fn the_first_cookie_that_begins_as_wanted_is_kept() {
        let head = "GET / HTTP/1.1\nCookie: a=1; SES=2; SESSION=3\nCookie: SES=4; Q=\"x;y\"; B = 5";
        let kept = |prefix: &str, bytes_max| {
            of_request(&mut fixture::head(head), &CookieCapture { prefix: prefix.into(), bytes_max })
        };
        assert_eq!(kept("SES", 63), b"SES=2");
        assert_eq!(kept("SESS", 63), b"SESSION=3");
        assert_eq!(kept("SES=4", 63), b"SES=4");
        assert_eq!(kept("SESS", 4), b"SESS");
        assert_eq!(kept("Q=", 63), b"Q=\"x;y\"");
        assert_eq!(kept("B=", 63), b"B=5");
        assert_eq!(kept("none", 9), b"");
    }

    #[test]
    fn of_a_server_the_cookie_counts_and_not_its_attributes() {
        let mut head = fixture::head("GET / HTTP/1.1\nSet-Cookie: a=b; SES=no\nSet-Cookie2: x=1; y, SES=2; z");
        let wanted = CookieCapture { prefix: "SES".into(), bytes_max: 63 };
        assert_eq!(of_response(&mut head, &wanted), b"SES=2");
    }
}
