//! Phase connect: an idle connection is taken or a new one made, and tried again when it fails.

use std::io;
use std::net::SocketAddr;

use super::origin::{self, Nameless};
use super::{Phase, Step, Turn, preface};
use crate::facts::{Cause, Phase as Doing};
use crate::http::{Method, Version, uri};
use crate::proxy::backend::{Redispatch, RetryOn, Reuse};
use crate::proxy::source::Source;
use crate::proxy::{Algorithm, Backend, BackendId, ConnectionMode, Mode, Seen, Server, ServerId};
use crate::session::{Services, reply};
use crate::stats::Count;
use crate::time::{Millis, Tick};
use crate::transport::net::{ConnectError, ConnectOptions, Origin, Target};
use crate::upstream::{Peer, Upstream};

/// Longest pause before the same server is tried again (manual 4, `retries`).
const TURN_AROUND_MAX: Millis = Millis(1000);

/// Takes an idle connection or starts to make one.
pub fn start(turn: &mut Turn<'_>) -> Step {
    let (Some(backend_id), Some(peer)) = (turn.exchange.backend, peer(turn)) else {
        return Step::Go(Phase::Pick);
    };
    let now = turn.services.now;
    turn.exchange.facts.queue_left.get_or_insert(now);
    if let Peer::Server(server) = peer {
        turn.services.count_attempt(server);
        if let Some(prefix) = &turn.services.config[server].redirect
            && matches!(turn.exchange.request.method(), Method::Get | Method::Head)
        {
            return redirect(turn, prefix);
        }
    }
    let backend = &turn.services.config[backend_id];
    let origin = match origin::of(turn, backend, peer) {
        Ok(origin) => origin,
        Err(Nameless) => return nameless(turn),
    };
    let shown = origin.as_ref().and_then(|origin| origin.shown);
    let header = preface::header_for(turn, peer);
    if turn.is_http() && !turn.exchange.repeated && lend(turn, peer, shown, header.as_deref()) {
        return established(turn);
    }
    if shown.is_some() {
        turn.exchange.facts.upstream_local = shown;
    }
    match open(turn, backend, peer, origin.as_ref(), header) {
        Ok(key) => {
            count(turn, Count::Connects);
            turn.exchange.upstream = Some(key);
            turn.exchange.reused = false;
            let until = backend.timeouts.connect.map_or(Tick::NEVER, |timeout| now.tick() + timeout);
            turn.exchange.phase_deadline = until;
            Step::Go(Phase::Connecting { until })
        }
        Err(error) if turn.services.complain(backend_id, &error) => failed(turn, Cause::ServerAbort, false),
        // SOCKS4 knows no such address.
        Err(error) if error.error.kind() == io::ErrorKind::InvalidInput => failed(turn, Cause::ServerAbort, false),
        Err(error) => {
            if is_refusal(&error.error) {
                turn.observe(Seen::NotConnected);
            }
            failed(turn, Cause::ServerAbort, true)
        }
    }
}

/// Gives up: there is no address to come from.
fn nameless(turn: &mut Turn<'_>) -> Step {
    count(turn, Count::ConnectErrors);
    turn.release_server();
    reply::error(turn, 500, Cause::Internal, Doing::Connect)
}

/// Sends the client to where the server wants it (manual 5.2, `redir`).
fn redirect(turn: &mut Turn<'_>, prefix: &str) -> Step {
    let path = uri::path_and_query(turn.exchange.request.uri());
    let location = [if prefix == "/" { b"" } else { prefix.as_bytes() }, path].concat();
    turn.release_server();
    let head = &mut turn.exchange.response;
    head.clear();
    head.start_response(Version::Http11, 302, b"Found");
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-length", b"0");
    head.add(b"location", &location);
    head.add(b"connection", b"close");
    turn.exchange.client_keeps = false;
    turn.exchange.facts.termination.set_once(Cause::Local, Doing::Connect);
    reply::message(turn, b"")
}

/// Where the request goes: to the server chosen, or to an address without a server.
fn peer(turn: &Turn<'_>) -> Option<Peer> {
    turn.exchange.server.map(Peer::Server).or(turn.exchange.address.map(Peer::Address))
}

fn open(
    turn: &mut Turn<'_>,
    backend: &Backend,
    peer: Peer,
    origin: Option<&Origin>,
    header: Option<Box<[u8]>>,
) -> Result<usize, ConnectError> {
    let services = &mut *turn.services;
    let target = match peer {
        // Persistence may lead to one whose name leads nowhere, and so does the request then.
        Peer::Server(server) if services.servers[server.0 as usize].lacks_address() => {
            return Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into());
        }
        Peer::Server(server) => Target::new(&services.places[server.0 as usize].address, turn.session.destination)?,
        Peer::Address(address) => address.into(),
    };
    let address = target.ip();
    turn.exchange.facts.upstream_peer = address;
    let target = preface::detour(services.config, peer, address)?.map_or(target, Target::from);
    let connection = match peer {
        Peer::Server(server) => Some(&services.config[server].connection),
        Peer::Address(_) => None,
    };
    let fast_open = connection.is_some_and(|connection| connection.fast_open);
    if (backend.smart_connect || fast_open) && backend.mode == Mode::Tcp {
        // What has come already takes the acknowledgement with it, or goes before it.
        turn.session.client.receive(&mut services.buffers);
    }
    let sends_at_once = backend.mode == Mode::Http || !turn.session.client.received().is_empty();
    let sends_at_once = sends_at_once || header.is_some();
    let mut options = ConnectOptions::new(backend, sends_at_once, &services.config.global.tune);
    if let Peer::Server(server) = peer {
        options.user_timeout = services.config[server].user_timeout;
        options.fast_open = fast_open && sends_at_once;
        options.namespace = services.config[server].connection.namespace.as_ref();
    }
    let key = services.upstreams.open((peer, address), origin, turn.slot, &services.counters, |token| {
        services.net.connect(&target, options, origin, token)
    })?;
    preface::begin(services, key, address, header);
    Ok(key)
}

/// Whether a connection that could not even be begun tells something of the server, not of this side.
fn is_refusal(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound)
}

/// Takes the session's own connection or an idle one of the server.
fn lend(turn: &mut Turn<'_>, peer: Peer, shown: Option<SocketAddr>, header: Option<&[u8]>) -> bool {
    let Some(backend) = turn.exchange.backend else { return false };
    let services = &mut *turn.services;
    if services.config[backend].connection_mode != ConnectionMode::KeepAlive {
        return false;
    }
    let private = turn.session.private.take();
    let to = match peer {
        Peer::Server(server) => services.places[server.0 as usize].address.followed(turn.session.destination),
        Peer::Address(_) => None,
    };
    let leads_there = |upstream: &Upstream| upstream.peer == peer && (to.is_none() || upstream.target == to);
    let is_alike = |upstream: &Upstream| upstream.shown == shown && upstream.header.as_deref() == header;
    let fits = |upstream: &Upstream| leads_there(upstream) && is_alike(upstream);
    let own = private.filter(|&key| fits(services.upstreams.get(key)) && services.upstreams.is_current(key));
    if private.is_some() && own.is_none() {
        // It leads to another server than the one chosen now, or where that was, or comes from another address.
        services.close_upstream(private);
    }
    let reuse = services.config[backend].reuse;
    let first = turn.session.requests <= 1;
    let shared = |services: &mut Services| match peer {
        Peer::Server(server) => services.upstreams.lend((server, to), reuse, first, turn.slot, &services.counters),
        Peer::Address(_) => None,
    };
    let Some(key) = own.or_else(|| shared(services)) else { return false };
    turn.exchange.upstream = Some(key);
    services.upstreams.get_mut(key).exchanges += u32::from(own.is_some());
    turn.exchange.reused = true;
    turn.exchange.facts.upstream_peer = services.upstreams.get(key).target;
    if let Peer::Server(server) = peer {
        services.counters.server(server).add(Count::Reuses, 1);
    }
    services.counters.backend(backend).add(Count::Reuses, 1);
    true
}

/// Waits for the outcome of an attempt.
pub fn run(turn: &mut Turn<'_>) -> Step {
    let Some(key) = turn.exchange.upstream else { return Step::Go(Phase::Connect) };
    if let Some(doing) = turn.client_stopped_waiting(Doing::Connect) {
        return turn.abandon(Cause::ClientAbort, doing);
    }
    let connection = &mut turn.services.upstreams.get_mut(key).connection;
    if connection.writable || connection.readable {
        if connection.stream.take_error().is_some() {
            turn.observe(Seen::NotConnected);
            return failed(turn, Cause::ServerAbort, true);
        }
        if connection.writable {
            match preface::advance(turn, key) {
                Some(true) => return established(turn),
                Some(false) => {}
                None => {
                    turn.observe(Seen::NotConnected);
                    return failed(turn, Cause::ServerAbort, true);
                }
            }
        }
    }
    if turn.services.now.tick() >= turn.exchange.phase_deadline {
        turn.observe(Seen::NotConnected);
        return failed(turn, Cause::ServerTimeout, true);
    }
    Step::Wait
}

/// The connection is there: the request goes out.
fn established(turn: &mut Turn<'_>) -> Step {
    turn.exchange.phase_deadline = Tick::NEVER;
    turn.exchange.facts.connected = Some(turn.services.now);
    turn.observe(Seen::Connected);
    let backend = turn.exchange.backend.map(|id| &turn.services.config[id]);
    turn.exchange.holds_answer = backend.is_some_and(|backend| !backend.rules.tcp.response.is_empty());
    if turn.frontend().log.format.shows_upstream_source() {
        let upstream = turn.exchange.upstream.map(|key| turn.services.upstreams.get(key));
        let local = upstream.and_then(|upstream| upstream.shown.or_else(|| upstream.connection.stream.local_address()));
        turn.exchange.facts.upstream_local = local;
    }
    if !turn.is_http() {
        super::tunnel::begin(turn);
        super::finish::log_at(turn, crate::log::format::Moment::Answer);
        return Step::Go(Phase::Tunnel);
    }
    super::relay::begin(turn);
    Step::Go(Phase::Relay)
}

/// An attempt failed: try again, elsewhere, or give up; `pauses` before the same server is tried.
fn failed(turn: &mut Turn<'_>, cause: Cause, pauses: bool) -> Step {
    let Some(backend) = turn.exchange.backend else { return Step::Go(Phase::Pick) };
    let upstream = turn.exchange.upstream.take();
    turn.services.close_upstream(upstream);
    turn.exchange.phase_deadline = Tick::NEVER;
    let may_retry = turn.services.config[backend].retry_on.contains(RetryOn::CONNECTION);
    if turn.exchange.retries_left == 0 || !may_retry {
        count(turn, Count::ConnectErrors);
        turn.release_server();
        return reply::error(turn, 503, cause, Doing::Connect);
    }
    turn.exchange.retries_left -= 1;
    turn.exchange.facts.retries += 1;
    let next = next_attempt(turn, backend);
    if next == Attempt::Same {
        count(turn, Count::Retries);
    } else {
        leave_failed(turn);
    }
    if next == Attempt::Elsewhere {
        return Step::Go(Phase::Pick);
    }
    if cause == Cause::ServerTimeout || !pauses {
        return after_pause(turn);
    }
    let connect = turn.services.config[backend].timeouts.connect.unwrap_or(TURN_AROUND_MAX);
    let until = turn.services.now.tick() + connect.min(TURN_AROUND_MAX);
    turn.exchange.phase_deadline = until;
    Step::Go(Phase::TurnAround { until })
}

/// Counts something for the backend, and for the server if there is one.
pub fn count(turn: &mut Turn<'_>, column: Count) {
    let counters = &turn.services.counters;
    if let Some(server) = turn.exchange.server {
        counters.server(server).add(column, 1);
    }
    if let Some(backend) = turn.exchange.backend {
        counters.backend(backend).add(column, 1);
    }
}

/// Decides where an attempt goes after one that had reached the server, and counts it; says whether another
/// server is to be chosen. Nobody waits before such an attempt.
pub fn choose_again(turn: &mut Turn<'_>, backend: BackendId) -> bool {
    if next_attempt(turn, backend) == Attempt::Same {
        count(turn, Count::Retries);
        return false;
    }
    leave_failed(turn);
    true
}

/// Another server is to be chosen; the retry is counted once it is known whom the choice falls on.
fn leave_failed(turn: &mut Turn<'_>) {
    turn.release_server();
    turn.exchange.hold.wanted = None;
    turn.exchange.avoid = turn.exchange.server;
}

/// Where the retry just counted goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// To the same server, after a pause.
    Same,
    /// To whom the algorithm names at once; another server, unless its choice has a meaning.
    Elsewhere,
    /// To another server, after a pause.
    ElsewhereLater,
}

/// What `option redispatch` makes of the retry. Where the algorithm has no preference and several active
/// servers are usable, HAProxy never waits for one that failed: every retry goes elsewhere.
fn next_attempt(turn: &Turn<'_>, backend: BackendId) -> Attempt {
    let settings = &turn.services.config[backend];
    if turn.exchange.server.is_none() {
        return Attempt::Same;
    }
    let (active, backup) = turn.services.balancers[backend.0 as usize].usable_counts();
    let left = turn.exchange.retries_left;
    let due = match settings.redispatch {
        Redispatch::Never => return Attempt::Same,
        Redispatch::Last => left == 0,
        Redispatch::Every(n) => n > 0 && turn.exchange.facts.retries.is_multiple_of(n),
        Redispatch::BeforeLast(n) => left + 1 == n,
    };
    let bound = turn.exchange.hold.wanted;
    if turn.exchange.hold.forced {
        return Attempt::Same;
    }
    if let Some(server) = bound {
        return if due { leave(turn, server) } else { Attempt::Same };
    }
    match settings.algorithm {
        Algorithm::Hash(_) if due && active > 1 => Attempt::Elsewhere,
        Algorithm::Hash(_) => Attempt::Same,
        _ if active > 1 => Attempt::Elsewhere,
        _ if due && active == 0 && backup > 1 && settings.all_backups => Attempt::Elsewhere,
        _ => Attempt::Same,
    }
}

/// How a client leaves the server that it belongs to. With one active server left HAProxy waits all the same.
fn leave(turn: &Turn<'_>, server: ServerId) -> Attempt {
    let id = turn.services.config[server].backend;
    let backend = &turn.services.config[id];
    let balancer = &turn.services.balancers[id.0 as usize];
    let own = balancer.is_in_charge(turn.services.config[server].seat);
    let servers = turn.services.config.servers_of(id);
    let in_charge = servers.filter(|(_, server)| balancer.is_in_charge(server.seat));
    let others = in_charge.count() - usize::from(own);
    match (&backend.algorithm, others) {
        (_, 0) => Attempt::Same,
        (Algorithm::Hash(_), _) if !backend.hash_type.consistent => Attempt::Elsewhere,
        _ if balancer.usable_counts().0 > 1 => Attempt::Elsewhere,
        _ => Attempt::ElsewhereLater,
    }
}

/// Waits before the same server is tried again.
pub fn turn_around(turn: &mut Turn<'_>, until: Tick) -> Step {
    if let Some(doing) = turn.client_stopped_waiting(Doing::Connect) {
        return turn.abandon(Cause::ClientAbort, doing);
    }
    if turn.services.now.tick() < until {
        return Step::Wait;
    }
    turn.exchange.phase_deadline = Tick::NEVER;
    after_pause(turn)
}

/// To the same server, or to another one if that was given up.
fn after_pause(turn: &Turn<'_>) -> Step {
    Step::Go(if turn.exchange.counted_on.is_some() { Phase::Connect } else { Phase::Pick })
}

/// Whether a connection that served an exchange stays with its session only.
pub fn stays_private(reuse: Reuse, server: Option<&Server>) -> bool {
    let is_personal =
        |server: &Server| !server.preface.header.is_empty() || server.source.as_ref().is_some_and(Source::is_personal);
    reuse == Reuse::Never || server.is_some_and(is_personal)
}
