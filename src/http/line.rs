//! The classified words of a start line: method and version.

/// A request method. HAProxy's own list (`method` in section 7.3.6) and PATCH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`: its response has no body.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `CONNECT`: a 2xx answer opens a tunnel.
    Connect,
    /// `PATCH`
    Patch,
    /// Any other token; the head keeps its text.
    Other,
}

impl Method {
    /// Classifies a method token; methods are case-sensitive (RFC 9110 9.1).
    pub fn classify(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }
}

/// What a version means for framing and persistence. HAProxy takes everything from 1.1 upward as 1.1
/// and writes it so; everything below behaves as 1.0 but keeps its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0 or older: closes unless asked to keep alive, knows no chunks.
    Http10,
    /// HTTP/1.1 or newer.
    #[default]
    Http11,
}

impl Version {
    /// The text written for this version.
    pub fn text(self) -> &'static [u8] {
        match self {
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
        }
    }

    /// Classifies the text of a version as HAProxy does: eight octets whose digits are at least 1.1.
    pub fn classify(text: &[u8]) -> Version {
        match text {
            [_, _, _, _, _, major, _, minor] if *major > b'1' || (*major == b'1' && *minor >= b'1') => Version::Http11,
            _ => Version::Http10,
        }
    }
}
