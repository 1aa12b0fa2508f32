//! The field names that the proxy itself looks at, classified once while a head is parsed, so that
//! no later step compares strings to find them.

/// A field name that the proxy looks at; `Other` is all the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are the field names
pub enum Known {
    #[default]
    Other,
    Accept,
    AcceptEncoding,
    Age,
    Authorization,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Expires,
    Forwarded,
    Host,
    KeepAlive,
    Location,
    Origin,
    Pragma,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Referer,
    Server,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Vary,
    WwwAuthenticate,
    XForwardedFor,
    XForwardedProto,
    XOriginalTo,
}

impl Known {
    /// Classifies a field name, without regard to case.
    pub fn classify(name: &[u8]) -> Known {
        // Length and first letter leave one candidate, so each name is compared once at most.
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let (text, known): (&[u8], Known) = match (name.len(), first) {
            (2, b't') => (b"te", Known::Te),
            (3, b'a') => (b"age", Known::Age),
            (4, b'd') => (b"date", Known::Date),
            (4, b'h') => (b"host", Known::Host),
            (4, b'v') => (b"vary", Known::Vary),
            (6, b'a') => (b"accept", Known::Accept),
            (6, b'c') => (b"cookie", Known::Cookie),
            (6, b'e') => (b"expect", Known::Expect),
            (6, b'o') => (b"origin", Known::Origin),
            (6, b'p') => (b"pragma", Known::Pragma),
            (6, b's') => (b"server", Known::Server),
            (7, b'e') => (b"expires", Known::Expires),
            (7, b'r') => (b"referer", Known::Referer),
            (7, b't') => (b"trailer", Known::Trailer),
            (7, b'u') => (b"upgrade", Known::Upgrade),
            (8, b'l') => (b"location", Known::Location),
            (9, b'f') => (b"forwarded", Known::Forwarded),
            (10, b'c') => (b"connection", Known::Connection),
            (10, b'k') => (b"keep-alive", Known::KeepAlive),
            (10, b's') => (b"set-cookie", Known::SetCookie),
            (10, b'u') => (b"user-agent", Known::UserAgent),
            (12, b'c') => (b"content-type", Known::ContentType),
            (13, b'a') => (b"authorization", Known::Authorization),
            (13, b'c') => (b"cache-control", Known::CacheControl),
            (13, b'x') => (b"x-original-to", Known::XOriginalTo),
            (14, b'c') => (b"content-length", Known::ContentLength),
            (15, b'a') => (b"accept-encoding", Known::AcceptEncoding),
            (15, b'x') => (b"x-forwarded-for", Known::XForwardedFor),
            (16, b'c') => (b"content-encoding", Known::ContentEncoding),
            (16, b'p') => (b"proxy-connection", Known::ProxyConnection),
            (16, b'w') => (b"www-authenticate", Known::WwwAuthenticate),
            (17, b't') => (b"transfer-encoding", Known::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Known::XForwardedProto),
            (18, b'p') => (b"proxy-authenticate", Known::ProxyAuthenticate),
            (19, b'p') => (b"proxy-authorization", Known::ProxyAuthorization),
            _ => return Known::Other,
        };
        if is_in_small_letters(name, text) { known } else { Known::Other }
    }
}

/// Whether `name` is `text` but for its case. The text is as long as the name and of letters, which differ from
/// their capitals by one bit, and of dashes, which have it anyway; what a dash is without it is in no name.
fn is_in_small_letters(name: &[u8], text: &[u8]) -> bool {
    const CASE: u8 = 0x20;
    let small = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes) | u64::from_ne_bytes([CASE; 8]);
    let (words, rest) = name.as_chunks::<8>();
    let (text_words, text_rest) = text.as_chunks::<8>();
    let same = words.iter().zip(text_words).all(|(word, text)| small(word) == u64::from_ne_bytes(*text));
    same && rest.iter().zip(text_rest).all(|(byte, text)| byte | CASE == *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_classified_in_any_case() {
        assert_eq!(Known::classify(b"hOsT"), Known::Host);
        assert_eq!(Known::classify(b"TE"), Known::Te);
        assert_eq!(Known::classify(b"Transfer-Encoding"), Known::TransferEncoding);
        assert_eq!(Known::classify(b"X-Original-To"), Known::XOriginalTo);
        assert_eq!(Known::classify(b"x-original-tp"), Known::Other);
        assert_eq!(Known::classify(b"WWW-Authenticate"), Known::WwwAuthenticate);
        assert_eq!(Known::classify(b"content-lengtH"), Known::ContentLength);
        assert_eq!(Known::classify(b"content_length"), Known::Other);
        assert_eq!(Known::classify(b"content-length\x80"), Known::Other);
        assert_eq!(Known::classify(b"ho\xf3t"), Known::Other);
        assert_eq!(Known::classify(b""), Known::Other);
    }
}
