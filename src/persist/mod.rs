//! Keeping a client on its server (manual 4.2, `cookie`, `persist`; 1.5's `appsession`).
//!
//! An engine: it is given heads, values and seconds. What it found out about a request is its [`Hold`], which
//! the exchange keeps until the answer comes.

pub mod app_session;
mod cacheable;
pub mod captured;
mod crumbs;
mod date;
pub mod dynamic;
pub mod rdp;
mod request;
mod response;

pub use cacheable::may_keep_cookie;
pub use request::{Asked, Match, on_request};
pub use response::{Answerer, on_response};

/// Most octets of a session that `appsession` remembers.
pub const APP_SESSION_BYTES_MAX: usize = 256;

use crate::proxy::ServerId;

/// What is known of a client's bond to a server.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    /// What the client's cookie was.
    pub client: ClientCookie,
    /// What became of the server's.
    pub server: ServerCookie,
    /// The server that the client belongs to. The choice of another one ends that.
    pub wanted: Option<ServerId>,
    /// An `ignore-persist` rule applied.
    pub ignored: bool,
    /// A `force-persist` rule applied: a server that is down is tried all the same.
    pub forced: bool,
    /// The application's session that is learned with the server that answers.
    pub session: Vec<u8>,
    /// When the client's cookie was written last, Unix seconds; 0 if it does not say.
    last_seen_s: i64,
    /// When the client got its first cookie, likewise.
    first_seen_s: i64,
}

/// The client's persistence cookie, as the third letter of a termination state tells (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCookie {
    /// `N` it sent none.
    #[default]
    None,
    /// `I` no server has this value.
    Invalid,
    /// `D` the server is down.
    Down,
    /// `V` it led to its server.
    Valid,
    /// `E` too long unused.
    Expired,
    /// `O` made too long ago.
    Old,
    /// `U` not looked at.
    Unused,
}

/// The server's persistence cookie, as the fourth letter of a termination state tells (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerCookie {
    /// `N` it sent none, and none was added.
    #[default]
    None,
    /// `D` taken out.
    Deleted,
    /// `P` passed as it was.
    Provided,
    /// `I` one was added.
    Inserted,
    /// `R` its value was changed.
    Rewritten,
    /// `U` the client's was sent again with another date.
    Updated,
}

impl ClientCookie {
    /// The character in the log.
    pub fn letter(self) -> u8 {
        match self {
            ClientCookie::None => b'N',
            ClientCookie::Invalid => b'I',
            ClientCookie::Down => b'D',
            ClientCookie::Valid => b'V',
            ClientCookie::Expired => b'E',
            ClientCookie::Old => b'O',
            ClientCookie::Unused => b'U',
        }
    }
}

impl ServerCookie {
    /// The character in the log.
    pub fn letter(self) -> u8 {
        match self {
            ServerCookie::None => b'N',
            ServerCookie::Deleted => b'D',
            ServerCookie::Provided => b'P',
            ServerCookie::Inserted => b'I',
            ServerCookie::Rewritten => b'R',
            ServerCookie::Updated => b'U',
        }
    }
}
