//! `balance`, `hash-type` and `hash-balance-factor` (manual 4.2), resolved.

use crate::sample::Expr;

/// `balance`.
#[derive(Clone, Debug, Default)]
pub enum Algorithm {
    /// Smooth weighted rotation; weights may change at run time.
    #[default]
    RoundRobin,
    /// Rotation over a static map.
    StaticRr,
    /// Fewest connections relative to weight.
    LeastConn,
    /// The first one with room, by server id.
    First,
    /// The least loaded of some servers drawn by weight.
    Random {
        /// How many are drawn, at least one.
        draws: u32,
    },
    /// The one that a hash of the request points at.
    Hash(Key),
}

/// What of a request is hashed.
#[derive(Clone, Debug)]
pub enum Key {
    /// `source`: the client's address.
    Source,
    /// `uri`.
    Uri(UriKey),
    /// `url_param`.
    Param(ParamKey),
    /// `hdr(name)`.
    Header(HeaderKey),
    /// `rdp-cookie(name)`.
    RdpCookie(String),
    /// `hash`: an expression, as octets.
    Expr(Expr),
}

/// How much of a URI counts for `balance uri`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriKey {
    /// `len`: octets at most.
    pub len: Option<u32>,
    /// `depth`: the text before this many slashes after the first one.
    pub depth: Option<u32>,
    /// `whole`: the query string, too.
    pub whole: bool,
    /// `path-only`: without scheme and authority.
    pub path_only: bool,
}

/// The parameter of `balance url_param`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamKey {
    /// Its name.
    pub name: String,
    /// `check_post`: it may also be in the body of a POST.
    pub check_post: bool,
}

/// The header of `balance hdr(name)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderKey {
    /// Its name.
    pub name: String,
    /// `use_domain_only`: of a host name, the label before the last dot.
    pub domain_only: bool,
}

/// `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashType {
    /// `consistent` rather than `map-based`: servers on a ring, so that most keys stay when one goes.
    pub consistent: bool,
    /// The function.
    pub function: HashFunction,
    /// `avalanche`: the result is mixed once more.
    pub avalanche: bool,
}

/// The functions of `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    /// That of the SDBM library.
    #[default]
    Sdbm,
    /// D. J. Bernstein's.
    Djb2,
    /// HAProxy's own.
    Wt6,
    /// The CRC of Ethernet.
    Crc32,
}

impl Algorithm {
    /// Whether a key leads to one server, as long as the key is there.
    pub fn is_hash(&self) -> bool {
        matches!(self, Algorithm::Hash(_))
    }

    /// HAProxy's name of it, as statistics show it.
    pub fn name(&self) -> &'static str {
        match self {
            Algorithm::RoundRobin => "roundrobin",
            Algorithm::StaticRr => "static-rr",
            Algorithm::LeastConn => "leastconn",
            Algorithm::First => "first",
            // HAProxy has none for it.
            Algorithm::Random { .. } => "unknown",
            Algorithm::Hash(Key::Source) => "source",
            Algorithm::Hash(Key::Uri(_)) => "uri",
            Algorithm::Hash(Key::Param(_)) => "url_param",
            Algorithm::Hash(Key::Header(_)) => "hdr",
            Algorithm::Hash(Key::RdpCookie(_)) => "rdp-cookie",
            Algorithm::Hash(Key::Expr(_)) => "hash",
        }
    }
}
