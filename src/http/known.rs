//! The field names that the proxy itself looks at, classified once while a head is parsed, so that
//! no later step compares strings to find them.

/// A field name that the proxy looks at; `Other` is all the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are the field names
pub enum Known {
    #[default]
    Other,
    Accept,
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
    AcceptEncoding,
}

impl Known {
    /// Classifies a field name, without regard to case.
    pub fn classify(name: &[u8]) -> Known {
        // By length first: most names are rejected after one or two comparisons.
        let candidates: &[(&[u8], Known)] = match name.len() {
            2 => &[(b"te", Known::Te)],
            3 => &[(b"age", Known::Age)],
            4 => &[(b"host", Known::Host), (b"date", Known::Date), (b"vary", Known::Vary)],
            6 => &[
                (b"cookie", Known::Cookie),
                (b"accept", Known::Accept),
                (b"server", Known::Server),
                (b"expect", Known::Expect),
                (b"origin", Known::Origin),
                (b"pragma", Known::Pragma),
            ],
            7 => &[
                (b"upgrade", Known::Upgrade),
                (b"referer", Known::Referer),
                (b"trailer", Known::Trailer),
                (b"expires", Known::Expires),
            ],
            8 => &[(b"location", Known::Location)],
            9 => &[(b"forwarded", Known::Forwarded)],
            10 => &[
                (b"connection", Known::Connection),
                (b"user-agent", Known::UserAgent),
                (b"set-cookie", Known::SetCookie),
                (b"keep-alive", Known::KeepAlive),
            ],
            12 => &[(b"content-type", Known::ContentType)],
            13 => &[
                (b"cache-control", Known::CacheControl),
                (b"authorization", Known::Authorization),
                (b"x-original-to", Known::XOriginalTo),
            ],
            14 => &[(b"content-length", Known::ContentLength)],
            15 => &[(b"x-forwarded-for", Known::XForwardedFor), (b"accept-encoding", Known::AcceptEncoding)],
            16 => &[
                (b"proxy-connection", Known::ProxyConnection),
                (b"content-encoding", Known::ContentEncoding),
                (b"www-authenticate", Known::WwwAuthenticate),
            ],
            17 => &[(b"transfer-encoding", Known::TransferEncoding), (b"x-forwarded-proto", Known::XForwardedProto)],
            18 => &[(b"proxy-authenticate", Known::ProxyAuthenticate)],
            19 => &[(b"proxy-authorization", Known::ProxyAuthorization)],
            _ => &[],
        };
        for (text, known) in candidates {
            if name.eq_ignore_ascii_case(text) {
                return *known;
            }
        }
        Known::Other
    }
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
        assert_eq!(Known::classify(b""), Known::Other);
    }
}
