//! What of a request is hashed (manual 4, `balance`): parts of URIs, parameters, host names, RDP cookies.

use std::task::Poll;

use crate::proxy::UriKey;

/// The part of a request's URI that counts.
pub fn uri(uri: &[u8], key: UriKey) -> Option<&[u8]> {
    let uri = if key.path_only { path(uri)? } else { uri };
    let longest = key.len.map_or(uri.len(), |len| uri.len().min(len as usize));
    let mut slashes = 0;
    let ends = |&byte: &u8| {
        slashes += u32::from(byte == b'/');
        byte == b'/' && key.depth.is_some_and(|depth| slashes == depth.saturating_add(1)) || byte == b'?' && !key.whole
    };
    let end = uri[..longest].iter().position(ends).unwrap_or(longest);
    Some(&uri[..end])
}

/// The URI from its first slash that belongs to the path.
fn path(uri: &[u8]) -> Option<&[u8]> {
    if uri.first() == Some(&b'/') {
        return Some(uri);
    }
    let authority = uri.windows(3).position(|three| three == b"://")? + 3;
    let slash = memchr::memchr(b'/', &uri[authority..])?;
    Some(&uri[authority + slash..])
}

/// The value of a parameter in a URI's query string.
pub fn uri_param<'a>(uri: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let query = &uri[memchr::memchr(b'?', uri)? + 1..];
    param(query, name)
}

/// The value of a parameter in a body of type `application/x-www-form-urlencoded`. One that does not begin
/// like a token is not taken, as in HAProxy.
pub fn body_param<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = param(body, name)?;
    match value.first() {
        Some(b' ' | b'\t' | b'\r' | b'\n') => Some(&[]),
        Some(&byte) if !is_token(byte) => None,
        _ => Some(value),
    }
}

fn param<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = list.split(|&byte| byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// `use_domain_only`: of a host name the label before the last dot; all of it where no dot is inside.
pub fn domain(host: &[u8]) -> &[u8] {
    let Some(end) = memchr::memrchr(b'.', host).filter(|&end| end > 0) else { return host };
    let start = memchr::memrchr(b'.', &host[..end - 1]).map_or(0, |dot| dot + 1);
    &host[start..end]
}

/// The value of a cookie in what an RDP client sends first: a header of 11 octets, then `Cookie: name=value`
/// and the end of the line (MS-RDPBCGR 2.2.1.1). Any cookie will do without a name. Pending while more octets may
/// complete it.
pub fn rdp_cookie<'a>(bytes: &'a [u8], name: &[u8]) -> Poll<Option<&'a [u8]>> {
    let Some((label, rest)) = bytes.get(11..).and_then(|rest| rest.split_at_checked(7)) else { return Poll::Pending };
    if !label.eq_ignore_ascii_case(b"Cookie:") {
        return Poll::Ready(None);
    }
    let rest = &rest[rest.iter().take_while(|&&byte| byte == b' ').count()..];
    let name_end = match name.len() {
        0 => memchr::memchr3(b'=', b'\r', b'\n', rest),
        length => Some(length).filter(|length| *length < rest.len()),
    };
    let Some(name_end) = name_end else { return Poll::Pending };
    if rest[name_end] != b'=' || !(name.is_empty() || rest[..name_end].eq_ignore_ascii_case(name)) {
        return Poll::Ready(None);
    }
    let rest = &rest[name_end + 1..];
    let Some(end) = memchr::memchr(b'\r', rest).filter(|end| end + 1 < rest.len()) else { return Poll::Pending };
    Poll::Ready((rest[end + 1] == b'\n').then(|| &rest[..end]))
}

/// The same of all the octets that there are.
pub fn whole_rdp_cookie<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match rdp_cookie(bytes, name) {
        Poll::Ready(cookie) => cookie,
        Poll::Pending => None,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, key: UriKey) -> Option<String> {
        uri(text.as_bytes(), key).map(|part| String::from_utf8_lossy(part).into_owned())
    }

    #[test]
    fn a_uri_counts_up_to_its_query_its_length_or_its_depth() {
        let all = UriKey::default();
        assert_eq!(cut("/a/b/c?d/e", all).unwrap(), "/a/b/c");
        assert_eq!(cut("/a/b/c?d/e", UriKey { whole: true, ..all }).unwrap(), "/a/b/c?d/e");
        assert_eq!(cut("/a/b/c?d/e", UriKey { len: Some(3), ..all }).unwrap(), "/a/");
        assert_eq!(cut("/a/b/c?d/e", UriKey { depth: Some(2), ..all }).unwrap(), "/a/b");
        assert_eq!(cut("http://h/a/b", UriKey { path_only: true, ..all }).unwrap(), "/a/b");
        assert_eq!(cut("*", UriKey { path_only: true, ..all }), None);
    }

    #[test]
    fn parameters_are_whole_names() {
        assert_eq!(uri_param(b"/x?aid=1&id=2&id=3", b"id"), Some(&b"2"[..]));
        assert_eq!(uri_param(b"/x?id=", b"id"), Some(&b""[..]));
        assert_eq!(uri_param(b"/id=3", b"id"), None);
        assert_eq!(body_param(b"a=b&id=x/y", b"id"), Some(&b"x/y"[..]));
        assert_eq!(body_param(b"id=/y", b"id"), None);
    }

    #[test]
    fn a_domain_is_the_label_before_the_last_dot() {
        for (host, label) in [("www.example.com", "example"), ("a.b", "a"), ("host", "host"), (".b", ".b"), ("a.", "a")]
        {
            assert_eq!(domain(host.as_bytes()), label.as_bytes(), "{host}");
        }
    }

    #[test]
    fn an_rdp_cookie_stands_in_the_first_line() {
        let hello = b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0Cookie: MSTSHASH=user\r\n\x01\0";
        assert_eq!(rdp_cookie(hello, b"mstshash"), Poll::Ready(Some(&b"user"[..])));
        assert_eq!(rdp_cookie(hello, b""), Poll::Ready(Some(&b"user"[..])));
        for end in 0..34 {
            assert_eq!(rdp_cookie(&hello[..end], b"mstshash"), Poll::Pending, "{end}");
        }
        assert_eq!(rdp_cookie(hello, b"msts"), Poll::Ready(None));
        assert_eq!(rdp_cookie(b"GET / HTTP/1.1\r\nHost: x\r\n", b""), Poll::Ready(None));
        assert_eq!(whole_rdp_cookie(b"", b"msts"), None);
    }
}
