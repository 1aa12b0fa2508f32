//! What was written: the configuration before names are resolved and sections checked against each
//! other. Rows fill it in line by line; `resolve` turns it into `proxy::Config`.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;

use super::env::Env;
use super::word::Word;
use crate::proxy::backend::{InspectDelays, Redispatch, RetryOn, Reuse};
use crate::proxy::source::Source;
use crate::proxy::{
    AddressHeader, AppSession, BindOptions, CliLevel, ClientTimeouts, ConnectionMode, Cookie, Global, HeaderNames,
    ListenAddress, Mode, NumberSet, ServerId, ServerTimeouts, StatsPage, TcpKeepalive,
};
use crate::registry::Sections;
use crate::time::Millis;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file as it was named.
    pub file: Rc<str>,
    /// Line number from 1.
    pub line: u32,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Everything that was written.
#[derive(Debug)]
pub struct Draft {
    /// `global`, typed at once: it refers to nothing.
    pub global: Global,
    /// What `global` needs until it is resolved.
    pub global_extra: GlobalExtra,
    /// `-dr`: a server whose name does not resolve is disabled instead of refused.
    pub ignore_unresolved: bool,
    /// The environment, with the changes of `setenv` and its kin.
    pub env: Env,
    /// All `defaults` sections in order.
    pub defaults: Vec<ProxyDraft>,
    /// The `defaults` section that a proxy without `from` takes its settings from.
    pub last_defaults: Option<usize>,
    /// All `http-errors` sections in order.
    pub http_errors: Vec<crate::rules::NamedPages>,
    /// All `userlist` sections in order.
    pub userlists: Vec<super::userlist::UserlistDraft>,
    /// All `resolvers` sections in order.
    pub resolvers: Vec<super::resolvers::ResolversDraft>,
    /// All frontends, backends and listens in order.
    pub proxies: Vec<ProxyDraft>,
    /// The first of them that is a frontend (or listen) of a name.
    pub first_frontend: HashMap<String, usize>,
    /// The first of them that is a backend (or listen) of a name.
    pub first_backend: HashMap<String, usize>,
    /// Lines that HAProxy refuses today.
    pub dated: super::Findings,
    /// Keywords that were warned about already, which is done once for each.
    pub warned_of: HashSet<&'static str>,
}

impl Draft {
    /// Nothing written yet.
    #[must_use]
    pub fn new(env: Env) -> Draft {
        Draft {
            global: Global { carry_over: true, ..Global::default() },
            global_extra: GlobalExtra::default(),
            ignore_unresolved: false,
            env,
            defaults: Vec::new(),
            last_defaults: None,
            http_errors: Vec::new(),
            userlists: Vec::new(),
            resolvers: Vec::new(),
            proxies: Vec::new(),
            first_frontend: HashMap::new(),
            first_backend: HashMap::new(),
            dated: super::Findings::default(),
            warned_of: HashSet::new(),
        }
    }

    /// All servers with the ids that they will have, and their proxies.
    pub fn servers(&self) -> impl Iterator<Item = (ServerId, &ProxyDraft, &ServerDraft)> {
        let proxies = self.proxies.iter().filter(|proxy| proxy.kind.is_backend());
        let servers = proxies.flat_map(|proxy| proxy.servers.iter().map(move |server| (proxy, server)));
        (0..).map(ServerId).zip(servers).map(|(id, (proxy, server))| (id, proxy, server))
    }
}

/// Global settings that are not kept, or only seen again at the end.
#[derive(Debug, Default)]
pub struct GlobalExtra {
    /// `log` lines.
    pub logs: Vec<crate::log::LogLine>,
    /// `stats socket` lines.
    pub cli: Vec<BindDraft>,
    /// `spread-checks` was given.
    pub spread_checks_given: bool,
    /// `h1-case-adjust-file`.
    pub spelling_file: Option<String>,
    /// `tune.maxrewrite` was given.
    pub maxrewrite: Option<usize>,
    /// `server-state-base`.
    pub state_base: Option<String>,
    /// `server-state-file`.
    pub state_file: Option<String>,
}

/// Kind of a proxy section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `defaults`.
    Defaults,
    /// `frontend`.
    Frontend,
    /// `backend`.
    Backend,
    /// `listen`.
    Listen,
}

impl Kind {
    /// The section's keyword.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Kind::Defaults => "defaults",
            Kind::Frontend => "frontend",
            Kind::Backend => "backend",
            Kind::Listen => "listen",
        }
    }

    /// What HAProxy calls it in messages about a proxy as a whole: a `listen` is a `proxy` there.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Kind::Listen => "proxy",
            other => other.keyword(),
        }
    }

    /// The section as a bit.
    #[must_use]
    pub fn section(self) -> Sections {
        match self {
            Kind::Defaults => Sections::DEFAULTS,
            Kind::Frontend => Sections::FRONTEND,
            Kind::Backend => Sections::BACKEND,
            Kind::Listen => Sections::LISTEN,
        }
    }

    /// Whether it takes connections from clients.
    #[must_use]
    pub fn is_frontend(self) -> bool {
        matches!(self, Kind::Frontend | Kind::Listen)
    }

    /// Whether it has servers.
    #[must_use]
    pub fn is_backend(self) -> bool {
        matches!(self, Kind::Backend | Kind::Listen)
    }
}

/// One `defaults`, `frontend`, `backend` or `listen` section.
#[derive(Clone, Debug)]
pub struct ProxyDraft {
    /// Which of them.
    pub kind: Kind,
    /// Its name; may be empty for `defaults`.
    pub name: String,
    /// The section's line.
    pub at: At,
    /// `id`.
    pub id: Option<u32>,
    /// `description`.
    pub description: Option<String>,
    /// What a `defaults` section can preset.
    pub settings: Settings,
    /// `bind` lines.
    pub binds: Vec<BindDraft>,
    /// `server` lines.
    pub servers: Vec<ServerDraft>,
    /// `capture` lines.
    pub captures: crate::proxy::Captures,
    /// `dispatch`.
    pub dispatch: Option<SocketAddr>,
    /// Rules in the order written.
    pub rules: Vec<RuleLine>,
}

impl ProxyDraft {
    /// A section of which nothing but its line has been read.
    pub fn new(kind: Kind, name: &str, at: At, settings: Settings) -> ProxyDraft {
        ProxyDraft {
            kind,
            name: name.to_owned(),
            at,
            id: None,
            description: None,
            settings,
            binds: Vec::new(),
            servers: Vec::new(),
            captures: crate::proxy::Captures::default(),
            dispatch: None,
            rules: Vec::new(),
        }
    }
}

/// A line of the rule language, kept as words until all names are known.
#[derive(Clone, Debug)]
pub struct RuleLine {
    /// `acl`, `http-request`, `use_backend`, …
    pub keyword: &'static str,
    /// The whole line.
    pub words: Vec<Word>,
    /// Where it stands.
    pub at: At,
    /// The slot for captures that was made for it.
    pub capture_slot: Option<usize>,
}

/// Which format a proxy logs in.
#[derive(Clone, Debug, Default)]
pub enum Format {
    /// None was chosen.
    #[default]
    Default,
    /// `option tcplog`.
    Tcp(At),
    /// `option httplog`.
    Http(At),
    /// `option httplog clf`.
    Clf(At),
    /// `log-format`.
    Custom(Word, At),
}

/// What a `defaults` section can preset and a proxy can write.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mode`.
    pub mode: Mode,
    /// `mode health`: connections are answered as they come; [`Settings::mode`] is TCP then.
    pub health: bool,
    /// `monitor-uri`.
    pub monitor_uri: Option<Box<[u8]>>,
    /// `unique-id-format`.
    pub unique_id_format: Option<(Word, At)>,
    /// `unique-id-header`.
    pub unique_id_header: Option<Box<[u8]>>,
    /// `monitor-net`: addresses and the bits that count.
    pub monitor_nets: Vec<(Ipv4Addr, u8)>,
    /// `grace`: how long a soft stop leaves the proxy alone.
    pub grace: Option<Millis>,
    /// `disabled`.
    pub disabled: bool,
    /// `bind-process`; empty where it is not written.
    pub processes: NumberSet,
    /// `maxconn`.
    pub maxconn: Option<u32>,
    /// `rate-limit sessions`.
    pub rate_limit: Option<u32>,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `fullconn`.
    pub fullconn: Option<u32>,
    /// `timeout client` and others of the client side.
    pub client_timeouts: ClientTimeouts,
    /// `timeout server` and others of the server side.
    pub server_timeouts: ServerTimeouts,
    /// `option http-keep-alive` and its alternatives.
    pub connection_mode: Option<ConnectionMode>,
    /// `balance`, `hash-type`, `hash-balance-factor`.
    pub balance: super::balance::BalanceDraft,
    /// `http-reuse`.
    pub reuse: Reuse,
    /// `retries`.
    pub retries: u32,
    /// `retry-on`.
    pub retry_on: RetryOn,
    /// `option redispatch`.
    pub redispatch: Redispatch,
    /// `option forwardfor`.
    pub forwarded_for: Option<AddressHeader>,
    /// `option originalto`.
    pub original_to: Option<AddressHeader>,
    /// `option httpchk`, `http-check`.
    pub check: super::check::CheckDraft,
    /// `log` lines.
    pub logs: Vec<crate::log::LogLine>,
    /// `option httplog`, `log-format`.
    pub format: Format,
    /// `log-format-sd`.
    pub format_sd: Option<(Word, At)>,
    /// `error-log-format`.
    pub error_format: Option<(Word, At)>,
    /// `log-tag`.
    pub log_tag: Option<String>,
    /// `stats …`.
    pub stats: Option<StatsPage>,
    /// The page is that of the `defaults` section.
    pub stats_inherited: bool,
    /// `errorfile` and its kin.
    pub pages: Vec<super::pages::PageLine>,
    /// `default_backend`.
    pub default_backend: Option<(String, At)>,
    /// `default-server`.
    pub default_server: ServerDraft,
    /// `cookie`.
    pub cookie: Option<Cookie>,
    /// `source`.
    pub source: Option<Source>,
    /// `dynamic-cookie-key`.
    pub dynamic_cookie_key: Option<String>,
    /// `appsession`.
    pub app_session: Option<AppSession>,
    /// `persist rdp-cookie`: the cookie's name.
    pub rdp_cookie: Option<String>,
    /// `tcp-request inspect-delay`, `tcp-response inspect-delay`.
    pub inspect_delays: InspectDelays,
    /// `option tcp-smart-accept`; automatic where it is not written.
    pub smart_accept: Option<bool>,
    /// `clitcpka-cnt` and its kin.
    pub client_keepalive: TcpKeepalive,
    /// `srvtcpka-cnt` and its kin.
    pub server_keepalive: TcpKeepalive,
    /// `option http-restrict-req-hdr-names`.
    pub header_names: HeaderNames,
    /// `load-server-state-from-file`.
    pub state_source: super::state_file::Source,
    /// `server-state-file-name`; the proxy's own name if absent.
    pub state_file: Option<String>,
    /// `http-send-name-header`.
    pub name_header: Option<String>,
    /// `max-keep-alive-queue`.
    pub keep_alive_queue_max: Option<u32>,
    /// Plain options.
    pub flags: Flags,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mode: Mode::Tcp,
            health: false,
            monitor_uri: None,
            unique_id_format: None,
            unique_id_header: None,
            monitor_nets: Vec::new(),
            grace: None,
            disabled: false,
            processes: NumberSet::default(),
            maxconn: None,
            rate_limit: None,
            backlog: None,
            fullconn: None,
            client_timeouts: ClientTimeouts::default(),
            server_timeouts: ServerTimeouts::default(),
            connection_mode: None,
            balance: super::balance::BalanceDraft::default(),
            reuse: Reuse::default(),
            retries: crate::config::proxies::RETRIES_DEFAULT,
            retry_on: RetryOn::default(),
            redispatch: Redispatch::default(),
            forwarded_for: None,
            original_to: None,
            check: super::check::CheckDraft::default(),
            logs: Vec::new(),
            format: Format::Default,
            format_sd: None,
            error_format: None,
            log_tag: None,
            stats: None,
            stats_inherited: false,
            pages: Vec::new(),
            default_backend: None,
            default_server: ServerDraft::default(),
            cookie: None,
            source: None,
            dynamic_cookie_key: None,
            app_session: None,
            rdp_cookie: None,
            inspect_delays: InspectDelays::default(),
            smart_accept: None,
            client_keepalive: TcpKeepalive::default(),
            server_keepalive: TcpKeepalive::default(),
            header_names: HeaderNames::default(),
            state_source: super::state_file::Source::None,
            state_file: None,
            name_header: None,
            keep_alive_queue_max: None,
            flags: Flags::default(),
        }
    }
}

impl Settings {
    /// What a section begins with that inherits these.
    pub fn heritage(&self) -> Settings {
        Settings { stats_inherited: self.stats.is_some(), ..self.clone() }
    }

    /// Drops what a backend does not take from `defaults`: remarks about it would make no sense there.
    pub fn forget_client_side(&mut self) {
        self.format = Format::Default;
        self.format_sd = None;
        self.error_format = None;
        self.default_backend = None;
    }
}

/// Plain options, by name.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the fields are named after the options of the manual, 4.2")]
pub struct Flags {
    pub abortonclose: bool,
    pub accept_invalid_http_request: bool,
    pub accept_invalid_http_response: bool,
    pub allbackups: bool,
    pub checkcache: bool,
    pub clitcpka: bool,
    pub contstats: bool,
    pub disable_h2_upgrade: bool,
    pub dontlog_normal: bool,
    pub dontlognull: bool,
    pub h1_case_adjust_bogus_client: bool,
    pub h1_case_adjust_bogus_server: bool,
    pub http_buffer_request: bool,
    pub http_ignore_probes: bool,
    pub http_no_delay: bool,
    pub http_proxy: bool,
    /// `option transparent`.
    pub transparent: bool,
    pub http_pretend_keepalive: bool,
    pub http_use_proxy_header: bool,
    pub idle_close_on_response: bool,
    pub independent_streams: bool,
    pub log_health_checks: bool,
    pub log_separate_errors: bool,
    pub logasap: bool,
    pub nolinger: bool,
    pub persist: bool,
    pub prefer_last_server: bool,
    pub socket_stats: bool,
    pub splice_auto: bool,
    pub splice_request: bool,
    pub splice_response: bool,
    pub srvtcpka: bool,
    pub tcp_smart_connect: bool,
}

/// One `bind` or `stats socket` line.
#[derive(Clone, Debug)]
pub struct BindDraft {
    /// The addresses as written.
    pub text: String,
    /// Where the line stands.
    pub at: At,
    /// The addresses, ranges expanded.
    pub addresses: Vec<ListenAddress>,
    /// `name`.
    pub name: Option<String>,
    /// `id`.
    pub id: Option<u32>,
    /// `level`.
    pub level: Option<CliLevel>,
    /// `expose-fd listeners`.
    pub exposes_listeners: bool,
    /// A `thread` names its group, 1.
    pub in_thread_group: bool,
    /// Highest number that `process` takes.
    pub processes_max: u32,
    /// The other parameters.
    pub options: BindOptions,
    /// Warnings of parameters, for the caller to place.
    pub warnings: Vec<String>,
    /// What else is wrong with a parameter, apart from the line.
    pub troubles: Vec<String>,
}

/// One `server` or `default-server` line.
#[derive(Clone, Debug, Default)]
pub struct ServerDraft {
    /// Its name; empty in `default-server`.
    pub name: String,
    /// Where the line stands.
    pub at: Option<At>,
    /// The address.
    pub address: Option<super::address::Address>,
    /// `id`.
    pub id: Option<u32>,
    /// `weight`.
    pub weight: Option<u32>,
    /// `backup`.
    pub backup: bool,
    /// `disabled` or `enabled`.
    pub disabled: Option<bool>,
    /// `maxconn`.
    pub maxconn: Option<u32>,
    /// `maxqueue`.
    pub maxqueue: Option<u32>,
    /// `cookie`.
    pub cookie: Option<String>,
    /// `source`.
    pub source: Option<Source>,
    /// `check`.
    pub check: bool,
    /// `inter`, `rise` and others.
    pub settings: crate::proxy::CheckSettings,
    /// `minconn`.
    pub minconn: Option<u32>,
    /// `slowstart` in seconds.
    pub slowstart_s: u64,
    /// `redir`.
    pub redirect: Option<String>,
    /// Where no file can be opened any more: the namespaces that are open.
    pub open_namespaces: Vec<crate::proxy::namespace::Namespace>,
    /// `tcp-ut`.
    pub user_timeout: Option<crate::time::Millis>,
    /// `resolvers`, `init-addr` and others.
    pub naming: super::naming::NamingDraft,
    /// `proto`.
    pub proto: Option<String>,
    /// `track`, as written.
    pub track: Option<String>,
    /// `observe`.
    pub observe: Option<crate::proxy::reaction::Layer>,
    /// `error-limit`.
    pub error_limit: Option<NonZeroU64>,
    /// `on-error`.
    pub on_error: crate::proxy::reaction::OnError,
    /// `on-marked-down shutdown-sessions`.
    pub ends_sessions_when_down: bool,
    /// `on-marked-up shutdown-backup-sessions`.
    pub ends_backup_sessions_when_up: bool,
    /// `agent-check`.
    pub agent_check: bool,
    /// `agent-port` and others.
    pub agent: crate::proxy::AgentSettings,
    /// All words of the `default-server` lines so far, for servers that come later.
    pub preset: Vec<Word>,
    /// `pool-max-conn`.
    pub pool_max_conn: Option<u32>,
    /// `pool-purge-delay`.
    pub pool_purge_delay: Option<crate::time::Millis>,
    /// `pool-low-conn`.
    pub pool_low_conn: u32,
    /// `send-proxy`, `socks4` and their kin.
    pub preface: crate::proxy::preface::PrefaceSettings,
    /// `tfo` and others.
    pub connection: crate::proxy::server::ConnectionSettings,
    /// `check-proto`.
    pub check_proto: Option<String>,
}
