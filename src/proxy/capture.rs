//! What is kept of messages for logs and fetches (manual 4.2, `capture`).

/// The `capture` lines of a frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// Slots of `capture request header`, `declare capture request` and `http-request capture` lines, in the order
    /// written.
    pub request: Vec<HeaderCapture>,
    /// Likewise of responses, in the order written.
    pub response: Vec<HeaderCapture>,
    /// `capture cookie`.
    pub cookie: Option<CookieCapture>,
}

/// A slot for a text that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCapture {
    /// Name of the header that it holds from the start; none waits for a rule.
    pub name: Option<String>,
    /// Bytes kept.
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
