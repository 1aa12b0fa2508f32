//! The resolved configuration: what to do, by id.
//!
//! `config/` makes it once from what was written; nothing here is looked up by name at run time. A `listen`
//! section becomes a frontend and a backend of one name.

pub mod backend;
pub mod balance;
pub mod bind;
pub mod capture;
pub mod check;
pub mod confinement;
pub mod frontend;
pub mod global;
pub mod master;
pub mod namespace;
pub mod naming;
pub mod options;
pub mod persistence;
pub mod preface;
pub mod reaction;
pub mod resolvers;
pub mod server;
pub mod servers;
pub mod source;
pub mod status;
pub mod userlist;
pub mod workers;

use crate::rules::switching;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Index;

use crate::log::LogTarget;
use crate::proxy::source::Source;

pub use backend::{Backend, InspectDelays, ServerTimeouts};
pub use balance::{Algorithm, HashFunction, HashType, HeaderKey, Key, ParamKey, UriKey};
pub use bind::{Bind, BindOptions, ListenAddress};
pub use capture::{Captures, CookieCapture, HeaderCapture};
pub use check::{AgentSettings, CheckSettings, Script};
pub use frontend::{ClientTimeouts, Frontend, StatsPage};
pub use global::{CliBind, CliLevel, Global, Tune};
pub use master::{MasterSettings, Program};
pub use options::{HeaderNames, Spellings, TcpKeepalive};
pub use persistence::{AppSession, Cookie, CookieMode, ParameterMode};
pub use reaction::{Observe, Seen};
pub use resolvers::{Resolvers, ResolversId};
pub use server::{AdminAtStart, SavedState, Server, ServerAddress};
pub use servers::{Members, Servers};
pub use workers::{CpuMap, CpuSet, Crew, NumberSet};

/// Index of a frontend in [`Config::frontends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontendId(pub u32);

/// Index of a backend in [`Config::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u32);

/// Index of a server in [`Config::servers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

/// Everything that one configuration says, checked and resolved.
#[derive(Debug, Default)]
pub struct Config {
    /// The `global` section.
    pub global: Global,
    /// All frontends, `listen` sections included, in the order written.
    pub frontends: Vec<Frontend>,
    /// All backends, `listen` sections included, in the order written.
    pub backends: Vec<Backend>,
    /// All servers of all backends.
    pub servers: Servers,
    /// Servers that rules and formats name: they cannot be taken away.
    pub named_servers: BTreeSet<ServerId>,
    /// Addresses of the hosts file by name in lower case, read where `option http_proxy` may need them.
    pub hosts: HashMap<String, IpAddr>,
    /// All `resolvers` sections.
    pub resolvers: Vec<Resolvers>,
    /// All userlists.
    pub userlists: Vec<userlist::Userlist>,
    /// The environment of the process with what the configuration made of it (`setenv` and its kin).
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Index<FrontendId> for Config {
    type Output = Frontend;

    fn index(&self, id: FrontendId) -> &Frontend {
        &self.frontends[id.0 as usize]
    }
}

impl Index<BackendId> for Config {
    type Output = Backend;

    fn index(&self, id: BackendId) -> &Backend {
        &self.backends[id.0 as usize]
    }
}

impl Index<ServerId> for Config {
    type Output = Server;

    fn index(&self, id: ServerId) -> &Server {
        &self.servers[id]
    }
}

impl Index<ResolversId> for Config {
    type Output = Resolvers;

    fn index(&self, id: ResolversId) -> &Resolvers {
        &self.resolvers[id.0 as usize]
    }
}

impl Config {
    /// Every `log` target, of the global section and of proxies.
    pub fn log_targets(&self) -> impl Iterator<Item = &LogTarget> {
        let frontends = self.frontends.iter().map(|frontend| &frontend.log);
        let proxies = frontends.chain(self.backends.iter().map(|backend| &backend.log));
        self.global.log_targets.iter().chain(proxies.flat_map(|settings| &settings.targets))
    }

    /// Every `source` of the configuration that a connection may come from.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let backends = self.backends.iter().filter_map(|backend| backend.source.as_ref());
        backends.chain(self.servers.written().iter().filter_map(|server| server.source.as_ref()))
    }

    /// The backend of this name.
    pub fn backend_named(&self, name: &str) -> Option<BackendId> {
        let at = self.backends.iter().position(|backend| backend.name == name);
        // There are far fewer than 2^32 sections in a file.
        at.map(|at| BackendId(at as u32))
    }

    /// A backend by its name, or by its number as `#id`.
    pub fn find_backend(&self, word: &str) -> Option<BackendId> {
        let at = self.backends.iter().position(|backend| is_called(word, &backend.name, backend.uuid));
        at.map(|at| BackendId(at as u32))
    }

    /// The names of a server's backend and of the server itself.
    pub fn server_names(&self, id: ServerId) -> (&str, &str) {
        let server = &self[id];
        (&self[server.backend].name, &server.name)
    }

    /// The sessions at which a backend's servers get to their maxconn: `fullconn`, or a tenth of what the frontends that
    /// lead here take as configured (manual 4). `maxconn` is the limit of those that have none of their own.
    pub fn full_at(&self, id: BackendId, maxconn: u32) -> u32 {
        let rule_leads_here =
            |target: &switching::Target| matches!(target, switching::Target::Backend(backend) if *backend == id);
        let leads_here = |frontend: &&Frontend| {
            let mut rules = frontend.rules.switching.iter();
            frontend.default_backend == Some(id) || rules.any(|rule| rule_leads_here(&rule.action))
        };
        let most = |frontend: &Frontend| u64::from(frontend.maxconn.unwrap_or(maxconn));
        let total = || self.frontends.iter().filter(leads_here).map(most).sum::<u64>().div_ceil(10);
        self[id].fullconn.unwrap_or_else(|| u32::try_from(total()).unwrap_or(u32::MAX).max(1))
    }

    /// The servers of all backends with their ids.
    pub fn servers_of_all(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        (0..self.backends.len() as u32).flat_map(|id| self.servers_of(BackendId(id)))
    }

    /// A backend's servers with their ids, in the order of the statistics: as written, then as added.
    pub fn servers_of(&self, id: BackendId) -> impl Iterator<Item = (ServerId, &Server)> {
        self[id].servers.ids().map(|server| (server, &self[server]))
    }
}

/// Whether a word means a proxy or a server, by its name or by its number as `#id`.
pub fn is_called(word: &str, name: &str, uuid: u32) -> bool {
    match word.strip_prefix('#').map(str::parse::<u32>) {
        Some(Ok(id)) => id == uuid,
        _ => word == name,
    }
}

/// What a proxy relays (`mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Bytes, both ways.
    #[default]
    Tcp,
    /// HTTP messages.
    Http,
}

/// What happens to both connections after a response (manual 4, `option http-keep-alive`).
/// Of the frontend's and the backend's modes the later in this order wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionMode {
    /// Both sides stay open.
    #[default]
    KeepAlive,
    /// After the first exchange, bytes pass both ways unseen (`option http-tunnel`).
    Tunnel,
    /// The server's side is closed, the client's stays open (`option http-server-close`).
    ServerClose,
    /// Both are closed (`option httpclose`).
    Close,
}

/// `option forwardfor` and `option originalto`: add the client's (or the original destination's) address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHeader {
    /// Header name as written; `X-Forwarded-For` or `X-Original-To` unless `header` says otherwise.
    pub name: String,
    /// No header for addresses in this network (`except`).
    pub except: Option<(std::net::IpAddr, u8)>,
    /// Only when the request has none yet (`if-none`).
    pub if_none: bool,
}

/// `option splice-*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Let the proxy decide by the amount of data (`splice-auto`).
    pub auto: bool,
    /// Splice from client to server.
    pub request: bool,
    /// Splice from server to client.
    pub response: bool,
}
