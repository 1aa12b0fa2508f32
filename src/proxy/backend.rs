//! The server side of a proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use super::balance::{Algorithm, HashType};
use super::check::Script;
use super::persistence::{AppSession, Cookie};
use super::servers::Members;
use super::source::Source;
use super::{AddressHeader, ConnectionMode, HeaderNames, Mode, Splice, StatsPage, TcpKeepalive};
use crate::log::LogSettings;
use crate::rules::{Pages, Rules};
use crate::text::word::Word;
use crate::time::Millis;

bitflags::bitflags! {
    /// Reasons for another attempt.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RetryOn: u16 {
        /// `conn-failure`: there was no connection.
        const CONNECTION = 1;
        /// `empty-response`: the server closed before the end of its answer's head.
        const EMPTY = 1 << 1;
        /// `junk-response`: it sent something else than an answer.
        const JUNK = 1 << 2;
        /// `response-timeout`: it did not answer in time.
        const TIMEOUT = 1 << 3;
        /// `0rtt-rejected`: early data of TLS was refused, which cannot happen to plain connections.
        const EARLY_DATA = 1 << 4;
        /// This status.
        const S401 = 1 << 5;
        /// This status.
        const S403 = 1 << 6;
        /// This status.
        const S404 = 1 << 7;
        /// This status.
        const S408 = 1 << 8;
        /// This status.
        const S425 = 1 << 9;
        /// This status.
        const S500 = 1 << 10;
        /// This status.
        const S501 = 1 << 11;
        /// This status.
        const S502 = 1 << 12;
        /// This status.
        const S503 = 1 << 13;
        /// This status.
        const S504 = 1 << 14;
        /// Those that come after the request was sent, which has to be kept for them.
        const AFTER_SENDING = !(Self::CONNECTION.bits() | Self::EARLY_DATA.bits());
        /// `all-retryable-errors`
        const ALL_RETRYABLE = Self::CONNECTION.bits() | Self::EMPTY.bits() | Self::JUNK.bits() | Self::TIMEOUT.bits()
            | Self::EARLY_DATA.bits() | Self::S500.bits() | Self::S502.bits() | Self::S503.bits() | Self::S504.bits();
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        RetryOn::CONNECTION
    }
}

impl RetryOn {
    /// The reason of a word of `retry-on`, but for `none`.
    pub fn named(word: &str) -> Option<RetryOn> {
        match word {
            "conn-failure" => Some(RetryOn::CONNECTION),
            "empty-response" => Some(RetryOn::EMPTY),
            "junk-response" => Some(RetryOn::JUNK),
            "response-timeout" => Some(RetryOn::TIMEOUT),
            "0rtt-rejected" => Some(RetryOn::EARLY_DATA),
            "all-retryable-errors" => Some(RetryOn::ALL_RETRYABLE),
            // Not every way to write the number will do.
            digits if digits.len() == 3 => digits.parse().ok().map(RetryOn::status).filter(|found| !found.is_empty()),
            _ => None,
        }
    }

    /// The reason that a status is; empty if it is none.
    pub fn status(status: u16) -> RetryOn {
        match status {
            401 => RetryOn::S401,
            403 => RetryOn::S403,
            404 => RetryOn::S404,
            408 => RetryOn::S408,
            425 => RetryOn::S425,
            500 => RetryOn::S500,
            501 => RetryOn::S501,
            502 => RetryOn::S502,
            503 => RetryOn::S503,
            504 => RetryOn::S504,
            _ => RetryOn::empty(),
        }
    }
}

/// A `backend`, or the server side of a `listen`.
#[derive(Debug, Default)]
pub struct Backend {
    /// Name as written.
    pub name: String,
    /// HAProxy's proxy id.
    pub uuid: u32,
    /// Its section's place among those of proxies.
    pub ordinal: u32,
    /// `id`: it is as the section says.
    pub chose_id: bool,
    /// `description`.
    pub description: Option<String>,
    /// `mode`.
    pub mode: Mode,
    /// The section is a `listen`.
    pub is_listen: bool,
    /// `disabled`.
    pub disabled: bool,
    /// Where requests go without a server.
    pub beyond: Beyond,
    /// Its servers.
    pub servers: Members,
    /// The words of its `default-server` lines, for servers that are added at run time.
    pub preset: Vec<Word>,
    /// `balance`.
    pub algorithm: Algorithm,
    /// `hash-type`.
    pub hash_type: HashType,
    /// `hash-balance-factor` in percent; 0 for none.
    pub hash_balance_factor: u32,
    /// `option allbackups`.
    pub all_backups: bool,
    /// Timeouts towards servers.
    pub timeouts: ServerTimeouts,
    /// How long contents are waited for.
    pub inspect_delays: InspectDelays,
    /// Keep-alive or close.
    pub connection_mode: ConnectionMode,
    /// `http-reuse`.
    pub reuse: Reuse,
    /// `retries`: connection attempts after the first; 3 when not written.
    pub retries: u32,
    /// `retry-on`: what is a reason for another attempt.
    pub retry_on: RetryOn,
    /// `option redispatch [N]`: which retries may go to another server.
    pub redispatch: Redispatch,
    /// `fullconn`.
    pub fullconn: Option<u32>,
    /// `option forwardfor`.
    pub forwarded_for: Option<AddressHeader>,
    /// `option originalto`.
    pub original_to: Option<AddressHeader>,
    /// `option abortonclose`.
    pub abort_on_close: bool,
    /// How its servers are checked.
    pub check: Script,
    /// `option log-health-checks`.
    pub log_health_checks: bool,
    /// Logging of its own messages (state changes).
    pub log: LogSettings,
    /// The statistics page, where requests that reached this backend may ask for one.
    pub stats: Option<StatsPage>,
    /// `option splice-*`.
    pub splice: Splice,
    /// `option tcpka` / `srvtcpka`: TCP keep-alives to servers.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `option tcp-smart-connect`: the handshake's last acknowledgement goes with the first bytes.
    pub smart_connect: bool,
    /// `option nolinger`.
    pub nolinger: bool,
    /// `option independent-streams`: what is sent to a server says nothing of whether it still sends.
    pub independent_streams: bool,
    /// `option http-buffer-request`: a server is chosen when the request's body is here.
    pub buffers_request: bool,
    /// `option http-restrict-req-hdr-names`.
    pub header_names: HeaderNames,
    /// `option h1-case-adjust-bogus-server`: header names are written as `global` wants them.
    pub respells: bool,
    /// `option checkcache`: cookies that caches may keep are not let through.
    pub checks_caching: bool,
    /// `http-send-name-header`: the header that tells the server its name.
    pub name_header: Option<String>,
    /// `max-keep-alive-queue`: where more wait for the client's last server, another is chosen.
    pub keep_alive_queue_max: Option<u32>,
    /// `option http-pretend-keepalive`: servers do not hear that their connection will be closed.
    pub pretend_keepalive: bool,
    /// `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// `source`: where connections come from that lead to no server; each server has its own.
    pub source: Option<Source>,
    /// `cookie`; in HTTP mode only.
    pub cookie: Option<Cookie>,
    /// `dynamic-cookie-key`.
    pub dynamic_cookie_key: Option<String>,
    /// `appsession`; in HTTP mode only.
    pub app_session: Option<AppSession>,
    /// `persist rdp-cookie`: the cookie's name; in TCP mode only.
    pub rdp_cookie: Option<String>,
    /// `option persist`: a client's server is tried although it is down.
    pub persist: bool,
    /// `option accept-invalid-http-response`.
    pub accept_invalid: bool,
    /// Access lists, `http-request` and other rules; a `listen` shares them with its frontend.
    pub rules: Arc<Rules>,
    /// Pages in place of built-in ones.
    pub pages: Arc<Pages>,
}

/// Timeouts on the server side; `None` waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerTimeouts {
    /// A connection must be established by then.
    pub connect: Option<Millis>,
    /// Inactivity of the server.
    pub server: Option<Millis>,
    /// Inactivity once one direction is closed; `server` when absent.
    pub server_fin: Option<Millis>,
    /// Wait for a free slot; `connect` when absent.
    pub queue: Option<Millis>,
    /// Additional time for a check's answer once connected.
    pub check: Option<Millis>,
    /// Inactivity of both sides of a tunnel; replaces `client` and `server` there.
    pub tunnel: Option<Millis>,
    /// How long a tarpitted request is held; `connect` when absent.
    pub tarpit: Option<Millis>,
}

/// How long rules wait for contents that they look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectDelays {
    /// `tcp-request inspect-delay`
    pub request: Option<Millis>,
    /// `tcp-response inspect-delay`
    pub response: Option<Millis>,
}

/// Where a backend sends requests without choosing a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beyond {
    /// Nowhere: there are servers for that.
    #[default]
    Nowhere,
    /// `dispatch`: to this address.
    Dispatch(SocketAddr),
    /// `option http_proxy`: to the host that the request names.
    Uri,
    /// `option transparent`: to where the client wanted to go.
    Destination,
}

/// `http-reuse`: whose idle connections a request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reuse {
    /// Nobody's.
    Never,
    /// Another session's, except for a session's first request.
    #[default]
    Safe,
    /// As safe; first requests only on connections that were reused before.
    Aggressive,
    /// Any.
    Always,
}

/// `option redispatch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redispatch {
    /// Retries stay on the same server.
    #[default]
    Never,
    /// The last retry may change server (no argument, or -1).
    Last,
    /// Every N-th retry may.
    Every(u32),
    /// The N-th retry before the last may.
    BeforeLast(u32),
}
