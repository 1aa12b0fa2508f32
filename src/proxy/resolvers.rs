//! `resolvers` sections: the name servers that names are asked of, and how (manual 5.3.2).

use std::net::SocketAddr;

use super::source::Source;
use crate::time::Millis;

/// Index of a section in [`super::Config::resolvers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResolversId(pub u32);

/// Kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, asked for by type A.
    V4,
    /// IPv6, asked for by type AAAA.
    V6,
}

impl Family {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Family {
        match self {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        }
    }
}

/// One section.
#[derive(Clone, Debug)]
pub struct Resolvers {
    /// Its name.
    pub name: String,
    /// Whom it asks, all of them at once.
    pub nameservers: Vec<NameServer>,
    /// `accepted_payload_size`: most octets of an answer; announced to the name servers.
    pub payload_bytes_max: u16,
    /// `resolve_retries`: how often a question is sent until it is given up; 0 is without end.
    pub retries: u32,
    /// `timeout resolve`: from an answer to the next question of the same name.
    pub resolve_every: Millis,
    /// `timeout retry`: from a question to its repetition.
    pub retry_after: Millis,
    /// `hold`
    pub hold: Hold,
}

/// `hold`: how long what was known stays true after another verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Answers are used again for so long, by sessions.
    pub valid: Millis,
    /// After "no such name".
    pub nx: Millis,
    /// After a refusal.
    pub refused: Millis,
    /// After silence.
    pub timeout: Millis,
    /// After any other error.
    pub other: Millis,
    /// Records that are no longer in the answers are kept for so long.
    pub obsolete: Millis,
}

impl Default for Hold {
    fn default() -> Hold {
        let long = Millis::from_secs(30);
        let valid = Millis::from_secs(10);
        Hold { valid, nx: long, refused: long, timeout: long, other: long, obsolete: Millis(0) }
    }
}

/// One `nameserver` line, or one line of resolv.conf.
#[derive(Clone, Debug)]
pub struct NameServer {
    /// Its name; the address for those of resolv.conf.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddr,
    /// How it is asked.
    pub transport: Transport,
}

/// How a name server is asked.
#[derive(Clone, Debug)]
pub enum Transport {
    /// A datagram a question.
    Udp,
    /// Questions and answers with their lengths in front, over connections (RFC 7766).
    Tcp(TcpTransport),
}

/// What a name server's line says of connections to it.
#[derive(Clone, Debug, Default)]
pub struct TcpTransport {
    /// `maxconn`: connections at a time.
    pub maxconn: Option<u32>,
    /// `source`
    pub source: Option<Source>,
    /// `tcp-ut`: the connection breaks when what was sent stays unacknowledged for so long.
    pub user_timeout: Option<Millis>,
}
