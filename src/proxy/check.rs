//! Health check settings of a backend and of its servers (manual 5.2 `check`, and `option httpchk`).

use std::net::{IpAddr, SocketAddr};

use crate::time::Millis;

/// What a check says to the server.
#[derive(Clone, Debug, Default)]
pub enum CheckKind {
    /// Connects, nothing more.
    #[default]
    Tcp,
    /// Sends an HTTP request and looks at the answer.
    Http(Box<HttpCheck>),
}

impl CheckKind {
    /// What is sent once connected; nothing for a TCP check.
    pub fn request(&self) -> &[u8] {
        match self {
            CheckKind::Tcp => &[],
            CheckKind::Http(check) => &check.request,
        }
    }
}

/// `option httpchk` and `http-check …`.
#[derive(Clone, Debug, Default)]
pub struct HttpCheck {
    /// The request, ready to send, but for fields that depend on the server.
    pub request: Vec<u8>,
    /// What the answer must be; 2xx or 3xx when absent.
    pub expect: Option<HttpExpect>,
    /// `http-check disable-on-404`: 404 takes a server that is up out softly, whatever is expected.
    pub disable_on_404: bool,
    /// `tune.chksize`, where it is given.
    pub answer_bytes: Option<usize>,
}

impl HttpCheck {
    /// Most octets of an answer that are looked at; a body that goes on is judged by its beginning. HAProxy
    /// looks at one buffer.
    pub fn answer_bytes_max(&self) -> usize {
        const ANSWER_BYTES_MAX: usize = 16384;
        self.answer_bytes.unwrap_or(ANSWER_BYTES_MAX)
    }
}

/// `http-check expect [!] …`.
#[derive(Clone, Debug)]
pub struct HttpExpect {
    /// `!`: the check passes when the rest does not match.
    pub negate: bool,
    /// What to look at.
    pub what: ExpectWhat,
}

/// What `http-check expect` looks at.
#[derive(Clone, Debug)]
pub enum ExpectWhat {
    /// `status`: inclusive ranges.
    Status(Vec<(u16, u16)>),
    /// `rstatus`.
    StatusRegex(regex::bytes::Regex),
    /// `string`: found in the body.
    Body(Vec<u8>),
    /// `rstring`.
    BodyRegex(regex::bytes::Regex),
}

/// `check` and its companions on a server line.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// `inter`: from the end of a check to the next while the state is settled.
    pub inter: Millis,
    /// `fastinter`: while going up or down; `inter` when absent.
    pub fastinter: Option<Millis>,
    /// `downinter`: while fully down; `inter` when absent.
    pub downinter: Option<Millis>,
    /// `rise`: successes in a row that bring it up.
    pub rise: u32,
    /// `fall`: failures in a row that take it down.
    pub fall: u32,
    /// `port`.
    pub port: Option<u16>,
    /// `addr`.
    pub addr: Option<IpAddr>,
}

impl Default for CheckSettings {
    fn default() -> Self {
        CheckSettings {
            inter: Millis(2000),
            fastinter: None,
            downinter: None,
            rise: 2,
            fall: 3,
            port: None,
            addr: None,
        }
    }
}

impl CheckSettings {
    /// Where the check connects, given the server's own address.
    pub fn target(&self, server: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.addr.unwrap_or(server.ip()), self.port.unwrap_or(server.port()))
    }
}
