//! What is kept of messages for logs and fetches (manual 4.2, `capture`).

/// The `capture` lines of a frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// `capture request header` lines, in the order written.
    pub request: Vec<HeaderCapture>,
    /// `capture response header` lines, in the order written.
    pub response: Vec<HeaderCapture>,
    /// `capture cookie`.
    pub cookie: Option<CookieCapture>,
}

/// One `capture … header` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCapture {
    /// Name of the header.
    pub name: String,
    /// Bytes kept of its value.
    pub bytes_max: usize,
}

/// `capture cookie`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieCapture {
    /// How the cookie's name begins.
    pub prefix: String,
    /// Bytes kept of `name=value`.
    pub bytes_max: usize,
}
