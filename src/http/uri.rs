//! The parts of a request target (RFC 9112 3.2), as HAProxy's `path`, `query`, `base` and `url_ip`
//! see them (section 7.3.6). All functions take the target as written and borrow from it.

/// The authority of an absolute target (`http://AUTHORITY/path`), user information included; `None`
/// for the other forms. It ends at the first slash only: HAProxy takes `?` as a part of it.
pub fn authority(uri: &[u8]) -> Option<&[u8]> {
    let rest = after_scheme(uri)?;
    let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The scheme of an absolute target, without the colon.
pub fn scheme(uri: &[u8]) -> Option<&[u8]> {
    let rest = after_scheme(uri)?;
    uri.get(..uri.len() - rest.len() - 3)
}

/// What follows `scheme://`.
fn after_scheme(uri: &[u8]) -> Option<&[u8]> {
    if !uri.first()?.is_ascii_alphabetic() {
        return None;
    }
    let is_scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let end = uri.iter().position(|b| !is_scheme(b))?;
    uri[end..].strip_prefix(b"://")
}

/// Path and query together (`pathq`); empty for `*`, an authority, or an absolute target without path.
pub fn path_and_query(uri: &[u8]) -> &[u8] {
    if uri.first() == Some(&b'/') {
        return uri;
    }
    match after_scheme(uri) {
        Some(rest) => match memchr::memchr(b'/', rest) {
            Some(at) => &rest[at..],
            None => b"",
        },
        None => b"",
    }
}

/// The path without the query (`path`).
pub fn path(uri: &[u8]) -> &[u8] {
    let both = path_and_query(uri);
    &both[..memchr::memchr(b'?', both).unwrap_or(both.len())]
}

/// The query without its question mark (`query`); empty if there is none.
pub fn query(uri: &[u8]) -> &[u8] {
    let both = path_and_query(uri);
    match memchr::memchr(b'?', both) {
        Some(at) => &both[at + 1..],
        None => b"",
    }
}

/// A value of a form: `+` is a blank, `%` with two hexadecimal digits an octet; what is no such escape stays.
pub fn decode_form(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        out.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    at += 2;
                    (high * 16 + low) as u8
                }
                _ => b'%',
            },
            byte => byte,
        });
    }
    out
}

/// Splits an authority into host and port, dropping user information. The port is `None` without a
/// colon and empty after a bare one. An IPv6 host keeps its brackets.
pub fn host_and_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let host = match memchr::memrchr(b'@', authority) {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    split_port(host)
}

/// Splits a host, such as the value of `Host`, from its port: the digits after the last colon.
pub fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let digits = host.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let port_at = host.len() - digits;
    match host[..port_at].strip_suffix(b":") {
        Some(name) => (name, Some(&host[port_at..])),
        None => (host, None),
    }
}

/// Whether a port is what the scheme has by default; an empty one is (RFC 9110 4.2.1). Without a
/// scheme, as after CONNECT, both 80 and 443 are.
pub fn is_default_port(scheme: Option<&[u8]>, port: &[u8]) -> bool {
    match scheme {
        _ if port.is_empty() => true,
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => port == b"80",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => port == b"443",
        Some(_) => false,
        None => port == b"80" || port == b"443",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_form() {
        assert_eq!(path(b"/a?b=c?d"), b"/a");
        assert_eq!(query(b"/a?b=c?d"), b"b=c?d");
        assert_eq!(path(b"//h/x"), b"//h/x");
        assert_eq!(authority(b"/http://a/"), None);
        assert_eq!(path(b"*"), b"");
    }

    #[test]
    fn absolute_form() {
        assert_eq!(authority(b"http://u:p@a:80/x?y"), Some(&b"u:p@a:80"[..]));
        assert_eq!(scheme(b"http://a/"), Some(&b"http"[..]));
        assert_eq!(path(b"http://a/x?y"), b"/x");
        assert_eq!(query(b"http://a/x?y"), b"y");
        assert_eq!(path(b"http://a"), b"");
        assert_eq!(path(b"x:y"), b"");
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_and_port(b"u:p@a:80"), (&b"a"[..], Some(&b"80"[..])));
        assert_eq!(host_and_port(b"a:"), (&b"a"[..], Some(&b""[..])));
        assert_eq!(host_and_port(b"[::1]:8"), (&b"[::1]"[..], Some(&b"8"[..])));
        assert_eq!(host_and_port(b"[::1]"), (&b"[::1]"[..], None));
        assert!(is_default_port(Some(b"https"), b"443"));
        assert!(!is_default_port(Some(b"https"), b"80"));
        assert!(is_default_port(None, b"80"));
    }
}
