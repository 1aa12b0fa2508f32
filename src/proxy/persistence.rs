//! How a backend keeps a client on its server (manual 4.2, `cookie`, `persist`; 1.5's `appsession`).

use crate::time::Millis;

/// `cookie`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Who writes it.
    pub mode: CookieMode,
    /// Not sent to clients that have the right one already; with [`CookieMode::Insert`] not shown to servers.
    pub indirect: bool,
    /// Cacheable answers with an inserted cookie become private.
    pub no_cache: bool,
    /// Inserted into answers to POST only.
    pub post_only: bool,
    /// The server's own cookie passes as it is.
    pub preserve: bool,
    /// `HttpOnly` stands in inserted cookies.
    pub http_only: bool,
    /// `Secure` stands in inserted cookies.
    pub secure: bool,
    /// Domains of inserted cookies, in their order.
    pub domains: Vec<String>,
    /// Other attributes of inserted cookies, in their order.
    pub attributes: Vec<String>,
    /// A cookie that was not seen for longer counts no more; seconds.
    pub max_idle_s: Option<u32>,
    /// One that was made longer ago counts no more; seconds.
    pub max_life_s: Option<u32>,
    /// Servers without a value get one that is made of their address and `dynamic-cookie-key`.
    pub dynamic: bool,
}

/// Who writes the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// The server does, and its value names it.
    #[default]
    Passive,
    /// The server does, and its value is replaced.
    Rewrite,
    /// The proxy adds it.
    Insert,
    /// The server does, and its value is completed.
    Prefix,
}

impl Cookie {
    /// Whether logs show what became of it: HAProxy leaves one that is only looked at out of its flags.
    pub fn is_logged(&self) -> bool {
        self.mode != CookieMode::Passive || self.indirect
    }

    /// Whether inserted cookies carry dates.
    pub fn is_dated(&self) -> bool {
        self.max_idle_s.is_some() || self.max_life_s.is_some()
    }
}

/// `appsession` (manual of 1.5): the application's own session is remembered with its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSession {
    /// Name of the cookie, and of the parameter in the URL.
    pub name: String,
    /// Octets of the value that count.
    pub bytes_max: usize,
    /// A session that was not used for so long is forgotten.
    pub timeout: Millis,
    /// A session that a request names is learned, too.
    pub learns_requests: bool,
    /// The name is the beginning of the cookie's; the rest of it counts as value.
    pub is_prefix: bool,
    /// Where in the URL the parameter stands.
    pub mode: ParameterMode,
}

/// Where `appsession` looks for its parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParameterMode {
    /// Behind the path: `/path;NAME=value`.
    #[default]
    PathParameters,
    /// In the query.
    QueryString,
}
