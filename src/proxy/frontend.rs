//! The client side of a proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::bind::Bind;
use super::{AddressHeader, BackendId, Captures, ConnectionMode, HeaderNames, Mode, NumberSet, Splice, TcpKeepalive};
use crate::log::LogSettings;
use crate::log::format::Format;
use crate::rules::{Pages, Rules};
use crate::sample::Ctx;
use crate::time::Millis;

/// A `frontend`, or the client side of a `listen`.
#[derive(Debug, Default)]
pub struct Frontend {
    /// Name as written.
    pub name: String,
    /// HAProxy's proxy id.
    pub uuid: u32,
    /// Its section's place among those of proxies.
    pub ordinal: u32,
    /// `description`.
    pub description: Option<String>,
    /// `mode`.
    pub mode: Mode,
    /// The section is a `listen`: its own backend is [`Frontend::default_backend`] unless another is named.
    pub is_listen: bool,
    /// `disabled`: neither binds nor shows.
    pub disabled: bool,
    /// `bind-process`: processes that it listens in; empty for all.
    pub processes: NumberSet,
    /// Listening addresses.
    pub binds: Vec<Bind>,
    /// `maxconn`; the process's when absent.
    pub maxconn: Option<u32>,
    /// `rate-limit sessions`: new sessions a second; no limit when absent.
    pub rate_limit: Option<u32>,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// Timeouts towards clients.
    pub timeouts: ClientTimeouts,
    /// `tcp-request inspect-delay`: how long contents are waited for.
    pub inspect_delay: Option<Millis>,
    /// Keep-alive or close.
    pub connection_mode: ConnectionMode,
    /// Where requests go when no rule chose.
    pub default_backend: Option<BackendId>,
    /// `option forwardfor`.
    pub forwarded_for: Option<AddressHeader>,
    /// `option originalto`.
    pub original_to: Option<AddressHeader>,
    /// Logging.
    pub log: LogSettings,
    /// The statistics page, where this proxy serves one.
    pub stats: Option<StatsPage>,
    /// `option splice-*`.
    pub splice: Splice,
    /// `option tcpka` / `clitcpka`: TCP keep-alives to clients.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `option tcp-smart-accept`, and HTTP mode by itself: the first acknowledgement goes with the answer.
    pub smart_accept: bool,
    /// `option nolinger`.
    pub nolinger: bool,
    /// `option independent-streams`: what is sent to a client says nothing of whether it still sends.
    pub independent_streams: bool,
    /// `option http-buffer-request`: rules wait for the request's body.
    pub buffers_request: bool,
    /// `option http-restrict-req-hdr-names`.
    pub header_names: HeaderNames,
    /// `option h1-case-adjust-bogus-client`: header names are written as `global` wants them.
    pub respells: bool,
    /// `option http-use-proxy-header`: requests for a proxy have a proxy's headers.
    pub fronts_proxy: bool,
    /// `option disable-h2-upgrade`: what an HTTP/2 client says first is a request like any other, a bad one.
    pub no_upgrade: bool,
    /// `option http-ignore-probes`.
    pub ignore_probes: bool,
    /// `option abortonclose` of its defaults: counts until a backend is chosen.
    pub abort_on_close: bool,
    /// `mode health`: what each connection is answered at once, before it is closed.
    pub greeting: Option<&'static [u8]>,
    /// `monitor-net`: clients that are answered at once and closed; addresses and the bits that count.
    pub monitor_nets: Vec<(Ipv4Addr, u8)>,
    /// `monitor-uri`: requests for it are answered here, and not logged.
    pub monitor_uri: Option<Box<[u8]>>,
    /// `option http_proxy`: absolute targets say where requests go.
    pub forward_proxy: bool,
    /// `grace`: how long a soft stop leaves the listening sockets open.
    pub grace: Option<Millis>,
    /// `option idle-close-on-response`: a soft stop leaves idle connections open until their next answer.
    pub idle_close_on_response: bool,
    /// `option contstats`: bytes are counted as they pass, not only at the end.
    pub continuous_stats: bool,
    /// `option socket-stats`: a line per listening address.
    pub socket_stats: bool,
    /// `option accept-invalid-http-request`.
    pub accept_invalid: bool,
    /// `capture …`.
    pub captures: Captures,
    /// `unique-id-format`
    pub unique_id_format: Option<Format>,
    /// `unique-id-header`: the field that tells servers.
    pub unique_id_header: Option<Box<[u8]>>,
    /// Access lists, `http-request` and other rules; a `listen` shares them with its backend.
    pub rules: Arc<Rules>,
    /// Pages in place of built-in ones.
    pub pages: Arc<Pages>,
}

/// What `mode health` answers, and with `option httpchk` in HTTP.
const HEALTHY: &[u8] = b"OK\n";
/// The same in HTTP; `monitor-net` of an HTTP proxy has this, too.
const HEALTHY_HTTP: &[u8] = b"HTTP/1.0 200 OK\r\n\r\n";

/// The answer of `mode health`.
#[must_use]
pub fn greeting(http: bool) -> &'static [u8] {
    if http { HEALTHY_HTTP } else { HEALTHY }
}

impl Frontend {
    /// The identifier of the exchange that `ctx` shows, made when it is first asked for; empty where there is no
    /// format for it.
    pub fn unique_id<'a>(&self, ctx: &Ctx<'a>) -> &'a [u8] {
        let facts = ctx.facts;
        if let Some(made) = facts.unique_id.get() {
            return made;
        }
        let Some(format) = self.unique_id_format.as_ref().filter(|_| !facts.bad_request && !facts.naming.replace(true))
        else {
            return b"";
        };
        let mut text = Vec::new();
        format.write(ctx, &mut text);
        facts.naming.set(false);
        facts.unique_id.get_or_init(|| text)
    }

    /// What a new connection is sent before it is closed at once; `None` where it is served as usual.
    pub fn at_once(&self, source: Option<SocketAddr>) -> Option<&'static [u8]> {
        if self.greeting.is_some() {
            return self.greeting;
        }
        if self.monitor_nets.is_empty() {
            return None;
        }
        let IpAddr::V4(address) = source?.ip() else { return None };
        let within = |net: &Ipv4Addr, bits: u8| (address.to_bits() ^ net.to_bits()).leading_zeros() >= u32::from(bits);
        let monitors = self.monitor_nets.iter().any(|(net, bits)| within(net, *bits));
        monitors.then_some(if self.mode == Mode::Http { HEALTHY_HTTP } else { b"" })
    }
}

/// Timeouts on the client side; `None` waits for ever (manual 4, `timeout …`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// Inactivity of the client.
    pub client: Option<Millis>,
    /// Inactivity once one direction is closed; `client` when absent.
    pub client_fin: Option<Millis>,
    /// A complete request head must be here by then; `client` when absent.
    pub http_request: Option<Millis>,
    /// Wait for a next request; `http_request`, then `client`, when absent.
    pub http_keep_alive: Option<Millis>,
    /// How long a tarpitted request is held; `connect` when absent.
    pub tarpit: Option<Millis>,
}

/// `stats …` of one proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsPage {
    /// `stats uri`: prefix of the request's URI that is answered with the page.
    pub uri: Vec<u8>,
    /// `stats realm`.
    pub realm: String,
    /// `stats auth`: user and password pairs; empty asks nobody.
    pub auth: Vec<(String, String)>,
    /// `stats refresh`.
    pub refresh: Option<Millis>,
    /// `stats hide-version`.
    pub hide_version: bool,
    /// `stats scope`: proxies shown (`.` stands for this one); empty shows all.
    pub scope: Vec<String>,
    /// `stats show-legends`.
    pub show_legends: bool,
    /// `stats show-modules`: what protocols count.
    pub show_modules: bool,
    /// `stats show-node`: `Some(None)` shows the global node name.
    pub show_node: Option<Option<String>>,
    /// `stats show-desc`: `Some(None)` shows the global description.
    pub show_desc: Option<Option<String>>,
}

impl StatsPage {
    /// What a browser shows where no realm is given.
    pub const REALM: &str = "HAProxy Statistics";
}

impl Default for StatsPage {
    fn default() -> Self {
        StatsPage {
            uri: b"/haproxy?stats".to_vec(),
            realm: StatsPage::REALM.to_owned(),
            auth: Vec::new(),
            refresh: None,
            hide_version: false,
            scope: Vec::new(),
            show_legends: false,
            show_modules: false,
            show_node: None,
            show_desc: None,
        }
    }
}
