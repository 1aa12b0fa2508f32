//! Keeping clients on their servers: what the persistence of a backend does to requests, choices, answers and
//! log lines (see [`crate::persist`]).

use super::{Services, Turn};
use crate::check::Place;
use crate::persist::{Answerer, Asked, ClientCookie, Match, app_session, dynamic, on_request, on_response, rdp};
use crate::proxy::backend::Redispatch;
use crate::proxy::{BackendId, Config, ServerAddress, ServerId};
use crate::rules::switching::Persistence;
use crate::shm;

/// The values by which cookies name servers. Those that are made of addresses may change at run time.
#[derive(Debug)]
pub struct ServerCookies {
    values: Vec<Option<String>>,
    backends: Vec<Dynamic>,
}

/// Values that are made of addresses, in one backend.
#[derive(Clone, Debug)]
struct Dynamic {
    enabled: bool,
    key: Option<String>,
}

impl ServerCookies {
    /// As configured.
    pub(super) fn new(config: &Config, places: &[Place]) -> ServerCookies {
        let dynamic = |backend: &crate::proxy::Backend| Dynamic {
            enabled: backend.cookie.as_ref().is_some_and(|cookie| cookie.dynamic),
            key: backend.dynamic_cookie_key.clone(),
        };
        let backends: Vec<Dynamic> = config.backends.iter().map(dynamic).collect();
        let mut cookies = ServerCookies { values: vec![None; config.servers.len()], backends };
        (0..config.backends.len() as u32).for_each(|id| cookies.make(config, places, BackendId(id)));
        cookies
    }

    /// Makes the value of a server that has come.
    pub(super) fn seat(&mut self, config: &Config, places: &[Place], backend: BackendId) {
        self.values.resize(config.servers.len(), None);
        self.make(config, places, backend);
    }

    /// Nobody finds a server that has gone.
    pub(super) fn remove_server(&mut self, id: ServerId) {
        self.values[id.0 as usize] = None;
    }

    /// The value of a server, if it has one.
    pub fn of(&self, server: ServerId) -> Option<&str> {
        self.values[server.0 as usize].as_deref()
    }

    /// `enable` and `disable dynamic-cookie`.
    pub fn enable(&mut self, config: &Config, places: &[Place], backend: BackendId, enabled: bool) {
        self.backends[backend.0 as usize].enabled = enabled;
        self.make(config, places, backend);
    }

    /// `set dynamic-cookie-key`.
    pub fn set_key(&mut self, config: &Config, places: &[Place], backend: BackendId, key: &str) {
        self.backends[backend.0 as usize].key = Some(key.to_owned());
        self.make(config, places, backend);
    }

    /// Makes the values of a backend's servers anew.
    fn make(&mut self, config: &Config, places: &[Place], backend: BackendId) {
        config[backend].servers.ids().for_each(|id| self.make_of(config, places, id));
    }

    /// Makes the value of one server anew, which is elsewhere.
    pub(super) fn make_of(&mut self, config: &Config, places: &[Place], id: ServerId) {
        let server = &config[id];
        if config[server.backend].servers.is_gone(id) {
            return;
        }
        let Dynamic { enabled, key } = &self.backends[server.backend.0 as usize];
        let made = || match (&places[id.0 as usize].address, key) {
            (ServerAddress::Ip(address), Some(key)) if *enabled => Some(dynamic::value(key.as_bytes(), *address)),
            _ => None,
        };
        self.values[id.0 as usize] = server.cookie.clone().or_else(made);
    }
}

/// `force-persist` and `ignore-persist`, once the backend is known.
pub fn rules(turn: &mut Turn<'_>) {
    let Some(backend) = turn.exchange.backend else { return };
    let rules = &turn.services.config[backend].rules;
    if rules.persistence.is_empty() {
        return;
    }
    match rules.persistence(&turn.services.context(turn.session, turn.exchange)) {
        Some(Persistence::Force) => turn.exchange.hold.forced = true,
        Some(Persistence::Ignore) => turn.exchange.hold.ignored = true,
        None => {}
    }
}

/// Looks which server the request names, and hides from it what it is not to see.
pub fn request(turn: &mut Turn<'_>) {
    if let Some(backend) = turn.exchange.backend {
        request_of(turn, backend);
    }
}

/// The same for a request that a rule refused: the log tells of its cookie and of the server that it names.
pub fn refused(turn: &mut Turn<'_>) {
    if let Some(backend) = turn.exchange.backend.or_else(|| own_backend(turn)) {
        request_of(turn, backend);
        turn.exchange.server = turn.exchange.hold.wanted;
    }
}

fn request_of(turn: &mut Turn<'_>, id: BackendId) {
    let ruled = ruled(turn, id);
    cookie_of(turn, id, ruled.is_some());
    turn.exchange.hold.wanted = ruled.or(turn.exchange.hold.wanted);
    session_of(turn, id);
}

/// The server that a `use-server` rule gives the request to; one that is down is passed over.
fn ruled(turn: &Turn<'_>, id: BackendId) -> Option<ServerId> {
    let services = &*turn.services;
    let backend = &services.config[id];
    if backend.rules.use_server.is_empty() {
        return None;
    }
    let ctx = services.context(turn.session, turn.exchange);
    let usable = |id: &ServerId| services.live[id.0 as usize].up || backend.persist || turn.exchange.hold.forced;
    backend.rules.servers(id, &ctx).find(usable)
}

fn cookie_of(turn: &mut Turn<'_>, id: BackendId, assigned: bool) {
    let services = &*turn.services;
    let backend = &services.config[id];
    let Some(cookie) = &backend.cookie else { return };
    let asked = Asked { cookie, now_s: services.now.wall_s(), assigned };
    let hold = &mut turn.exchange.hold;
    let usable_down = backend.persist || hold.forced;
    let find = |value: &[u8]| {
        let mut found = Match::Nobody;
        for id in backend.servers.ids() {
            if services.cookies.of(id).is_some_and(|own| own.as_bytes() == value) {
                let up = services.live[id.0 as usize].up;
                if up || usable_down {
                    return Match::Server(id, up);
                }
                found = Match::Down;
            }
        }
        found
    };
    on_request(&mut turn.exchange.request, &asked, hold, find);
}

/// Looks whether the application's session is known, unless the server is chosen already.
fn session_of(turn: &mut Turn<'_>, id: BackendId) {
    let services = &*turn.services;
    let backend = &services.config[id];
    let (Some(settings), Some(table)) = (&backend.app_session, services.counters.app_sessions(id)) else { return };
    let hold = &mut turn.exchange.hold;
    if hold.ignored {
        return;
    }
    let Some(session) = app_session::of_request(&turn.exchange.request, settings) else { return };
    if settings.learns_requests {
        hold.session = session.to_vec();
    }
    let now = services.now.tick();
    let known = table.get(session, now.0, Some((now + settings.timeout).0));
    if let (Some(known), None) = (known, hold.wanted) {
        let mut servers = services.config.servers_of(id);
        let usable = |id: ServerId| services.live[id.0 as usize].up || backend.persist || hold.forced;
        hold.wanted =
            servers.find(|(_, server)| mark(&server.name) == known).map(|(id, _)| id).filter(|id| usable(*id));
    }
}

/// Remembers the session that the answer begins, or that the request was learned by.
fn learn_session(turn: &mut Turn<'_>, id: BackendId, server: ServerId) {
    let services = &*turn.services;
    let (Some(settings), Some(table)) = (&services.config[id].app_session, services.counters.app_sessions(id)) else {
        return;
    };
    if turn.exchange.hold.ignored {
        return;
    }
    let begun = app_session::of_response(&turn.exchange.response, settings);
    let Some(session) = begun.or(Some(&*turn.exchange.hold.session).filter(|learned| !learned.is_empty())) else {
        return;
    };
    let now = services.now.tick();
    // A full table forgets whoever would be forgotten first.
    let _ = table.put(session, mark(&services.config[server].name), now.0, (now + settings.timeout).0);
}

/// What tables know a server by: its name outlives a reload, its number may not.
fn mark(name: &str) -> u64 {
    shm::fnv(name.bytes()) as u64
}

/// Gives a TCP client to the server that its RDP cookie names, if that has come already.
pub fn rdp(turn: &mut Turn<'_>) {
    let Some(id) = turn.exchange.backend else { return };
    turn.exchange.hold.wanted = ruled(turn, id);
    if turn.exchange.hold.wanted.is_some() {
        return;
    }
    let backend = &turn.services.config[id];
    let Some(name) = &backend.rdp_cookie else { return };
    if turn.exchange.hold.ignored {
        return;
    }
    turn.session.client.receive(&mut turn.services.buffers);
    let Some(address) = rdp::server(turn.session.client.received(), name.as_bytes()) else { return };
    let services = &*turn.services;
    let usable = |id: ServerId| services.live[id.0 as usize].up || backend.persist || turn.exchange.hold.forced;
    let mut servers = services.config.servers_of(id);
    let found =
        servers.find(|(id, _)| services.places[id.0 as usize].address == ServerAddress::Ip(address) && usable(*id));
    turn.exchange.hold.wanted = found.map(|(id, _)| id);
}

/// Gives the client its cookie, and takes or changes the server's.
pub fn response(turn: &mut Turn<'_>) {
    let (Some(backend), Some(server)) = (turn.exchange.backend, turn.exchange.server) else { return };
    learn_session(turn, backend, server);
    let services = &*turn.services;
    let Some(cookie) = &services.config[backend].cookie else { return };
    let answerer = Answerer {
        cookie,
        value: services.cookies.of(server).map(str::as_bytes),
        method: turn.exchange.request.method(),
        now_s: services.now.wall_s(),
    };
    on_response(&mut turn.exchange.response, &answerer, &mut turn.exchange.hold);
}

/// The server was changed for another one than the client's.
pub fn changed_server(turn: &mut Turn<'_>) {
    let hold = &mut turn.exchange.hold;
    if hold.client == ClientCookie::Valid {
        hold.client = ClientCookie::Down;
    }
}

/// Writes the letters of the termination state.
pub fn note(turn: &mut Turn<'_>) {
    if turn.exchange.facts.bad_request {
        return;
    }
    let Some(backend) = turn.exchange.backend.or_else(|| own_backend(turn)) else { return };
    let cookie = turn.services.config[backend].cookie.as_ref();
    if cookie.is_some_and(|cookie| cookie.is_logged()) {
        let end = &mut turn.exchange.facts.termination;
        end.client_cookie = turn.exchange.hold.client.letter();
        end.server_cookie = turn.exchange.hold.server.letter();
    }
}

/// The server side of a `listen`, whose settings count before a backend is chosen.
fn own_backend(turn: &Turn<'_>) -> Option<BackendId> {
    let frontend = turn.frontend();
    if !frontend.is_listen {
        return None;
    }
    let mut backends = turn.services.config.backends.iter();
    let at = backends.position(|backend| backend.is_listen && backend.name == frontend.name)?;
    Some(BackendId(at as u32))
}

impl Services {
    /// Whether requests that wait for a server that went down choose another one.
    pub(super) fn lets_go(&self, backend: BackendId) -> bool {
        let settings = &self.config[backend];
        settings.redispatch != Redispatch::Never && !settings.persist
    }
}
