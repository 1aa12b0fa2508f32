//! Listening sockets: connections are accepted while the limits allow.

use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use mio::Interest;
use mio::unix::SourceFd;

use super::core::{Core, Peer};
use crate::proxy::{Config, FrontendId, ListenAddress};
use crate::session::{Admission, Services};
use crate::stats::Count;
use crate::sys::socket;
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::Stream;

/// Length of the queue of a listener that was paused; the kernel cuts it to its own limit.
const RESUME_BACKLOG: i32 = 4096;

/// A worker that waits for a place, or for descriptors, looks this often without being told of any: a neighbour that
/// hung or died tells nobody.
pub const SECOND_LOOK: Millis = Millis(50);

/// How often `tune.maxaccept` connections are taken from each socket before it is closed, at most: more may come
/// as fast as they are taken.
const DRAIN_ROUNDS_MAX: usize = 64;

/// One listening socket of a frontend.
#[derive(Debug)]
pub struct Listener {
    /// The socket; `None` once it was given up for good.
    socket: Option<OwnedFd>,
    /// Whose it is.
    pub frontend: FrontendId,
    /// Index of the address in the frontend.
    pub bind: usize,
    /// Connections may be waiting: an edge came, and the queue was not seen empty since.
    pending: bool,
    /// The local address of its connections, where the socket is bound to a single one.
    local: Option<SocketAddr>,
}

/// All of a worker's.
#[derive(Debug)]
pub struct Listeners {
    list: Vec<Listener>,
    /// Sockets of other workers, for a new process that asks this one for all.
    kept: Vec<crate::process::Listener>,
    registry: Option<mio::Registry>,
    /// Other processes have the sockets, too: the supervisor, for a successor.
    shared: bool,
    paused: bool,
    /// When to look again for what the limits allow.
    look_at: Tick,
}

/// How the accepting of a listener ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// More may wait.
    More,
    /// Nothing waits, or nothing can be had.
    Nothing,
    /// A limit of connections is reached.
    Full,
    /// A limit of a rate is reached until then.
    Until(Tick),
}

impl Default for Listeners {
    fn default() -> Listeners {
        let (list, kept) = (Vec::new(), Vec::new());
        Listeners { list, kept, registry: None, shared: false, paused: false, look_at: Tick::NEVER }
    }
}

impl Listeners {
    /// Starts to listen for events of a socket.
    ///
    /// # Errors
    /// What the kernel says when the socket cannot be registered.
    pub fn add(
        &mut self,
        registry: &mio::Registry,
        core: &Core,
        socket: OwnedFd,
        frontend: FrontendId,
        bind: usize,
    ) -> std::io::Result<()> {
        if self.registry.is_none() {
            self.registry = Some(registry.try_clone()?);
        }
        let token = Token::new(Kind::Listener, self.list.len(), 0);
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token.into(), Interest::READABLE)?;
        let settings = &core.services.config[frontend].binds[bind];
        let local = match settings.address {
            ListenAddress::Ip(address) if !address.ip().is_unspecified() => Some(address),
            _ => None,
        };
        self.list.push(Listener { socket: Some(socket), frontend, bind, pending: true, local });
        Ok(())
    }

    /// An event of the listening socket in this slot.
    pub fn ready(&mut self, slot: usize) {
        if let Some(listener) = self.list.get_mut(slot) {
            listener.pending = true;
        }
    }

    /// All open sockets, each with the names of its network namespace and of the interface that it is bound to, or empty
    /// ones.
    pub fn sockets<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = (&'a OwnedFd, [&'a str; 2])> {
        let own = self.list.iter().filter_map(|listener| {
            let options = &config[listener.frontend].binds[listener.bind].options;
            let namespace = options.namespace.as_ref().map(|namespace| namespace.name.as_str());
            Some((listener.socket.as_ref()?, [namespace, options.interface.as_deref()]))
        });
        let kept = self.kept.iter().map(|kept| (&kept.socket, [kept.namespace.as_deref(), kept.interface.as_deref()]));
        own.chain(kept).map(|(socket, names)| (socket, names.map(Option::unwrap_or_default)))
    }

    /// Keeps the sockets of other workers without listening for their events. The supervisor has all of them, too.
    pub fn share(&mut self, others: Vec<crate::process::Listener>) {
        (self.kept, self.shared) = (others, true);
    }

    /// Accepts all that waits: closing would throw it away where nobody shares the socket.
    pub fn drain(&mut self, core: &mut Core) {
        for listener in &mut self.list {
            listener.pending = true;
        }
        let mut left = DRAIN_ROUNDS_MAX;
        while left > 0 && self.accept(core) {
            left -= 1;
        }
    }

    /// Closes all (soft stop); returns how many there were.
    pub fn close(&mut self) -> usize {
        self.kept.clear();
        let registry = self.registry.as_ref();
        let list = std::mem::take(&mut self.list).into_iter();
        list.filter_map(|listener| release(registry, listener.socket?)).count()
    }

    /// Closes those of all frontends but these, which go on for a while.
    pub fn close_all_but(&mut self, staying: &[FrontendId]) {
        self.kept.clear();
        let leaving: Vec<FrontendId> = self.list.iter().map(|listener| listener.frontend).collect();
        for id in leaving.into_iter().filter(|id| !staying.contains(id)) {
            self.close_frontend(id);
        }
    }

    /// Stops listening but keeps the sockets: connections go to other processes on the same addresses, or
    /// are refused (SIGTTOU). False if that was so already.
    pub fn pause(&mut self, config: &Config) -> bool {
        if std::mem::replace(&mut self.paused, true) {
            return false;
        }
        self.kept.retain(|kept| !matches!(kept.address, ListenAddress::Abstract(_)));
        let registry = self.registry.as_ref();
        self.list.iter_mut().for_each(|listener| listener.pause(config, registry));
        true
    }

    /// Listens again (SIGTTIN). False if it was not paused.
    pub fn resume(&mut self) -> bool {
        if !std::mem::replace(&mut self.paused, false) {
            return false;
        }
        self.list.iter_mut().for_each(Listener::resume);
        true
    }

    /// Lets a frontend's sockets follow its state, which has just changed: as [`Listeners::pause`] (`disable
    /// frontend`), as [`Listeners::resume`] (`enable frontend`), or closed for good (`shutdown frontend`).
    pub fn follow_frontend(&mut self, services: &mut Services, id: FrontendId) {
        let state = services.states.frontends[id.0 as usize];
        if state.stopped {
            self.close_frontend(id);
        } else if state.paused {
            let registry = self.registry.as_ref();
            let config = services.config;
            // A name that others hold, too, goes on to exist: its clients wait for the frontend.
            let is_held = |listener: &Listener| self.shared && listener.is_abstract(config);
            let list = self.list.iter_mut().filter(|listener| listener.frontend == id && !is_held(listener));
            list.for_each(|listener| listener.pause(config, registry));
        } else {
            self.of(id).for_each(Listener::resume);
        }
    }

    /// Closes a frontend's sockets for good (`shutdown frontend`); tells how many there were.
    pub fn close_frontend(&mut self, id: FrontendId) -> usize {
        let registry = self.registry.as_ref();
        let list = self.list.iter_mut().filter(|listener| listener.frontend == id);
        let sockets = list.filter_map(|listener| listener.socket.take());
        // Where others have the socket, too, closing it would leave clients in a queue that nobody looks at.
        let shared = self.shared;
        sockets
            .inspect(|socket| {
                if shared {
                    socket::refuse_for_good(socket)
                }
            })
            .filter_map(|socket| release(registry, socket))
            .count()
    }

    fn of(&mut self, id: FrontendId) -> impl Iterator<Item = &mut Listener> {
        self.list.iter_mut().filter(move |listener| listener.frontend == id)
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// When the limits may allow more although nothing happens here.
    pub fn next_deadline(&self) -> Tick {
        self.look_at
    }

    /// Accepts what waits, each listener up to `tune.maxaccept` in a row; says whether more may wait.
    pub fn accept(&mut self, core: &mut Core) -> bool {
        let (mut more, full) = self.accept_once(core);
        if core.services.shares_limits() {
            if core.services.wait_to_accept(full) && full {
                more |= self.accept_once(core).0;
            }
            if full {
                self.look_at = self.look_at.min(core.services.now.tick() + SECOND_LOOK);
            }
        }
        more
    }

    /// Whether more may wait, and whether a limit of connections keeps any from being accepted.
    fn accept_once(&mut self, core: &mut Core) -> (bool, bool) {
        let (mut more, mut full) = (false, false);
        self.look_at = Tick::NEVER;
        for listener in self.list.iter_mut().filter(|listener| listener.pending) {
            match listener.accept(core) {
                Ended::More => more = true,
                Ended::Nothing => {}
                Ended::Full => full = true,
                Ended::Until(tick) => self.look_at = self.look_at.min(tick),
            }
        }
        (more, full)
    }
}

/// Answers a client that monitors (`monitor-net`, `mode health`) and closes its connection. What it has sent is
/// read first, or the close would reset the connection and the answer be lost.
fn greet(fd: &OwnedFd, greeting: &[u8]) {
    let socket = socket2::SockRef::from(fd);
    let _nothing_yet = socket.set_nonblocking(true).and_then(|()| socket.recv(&mut [MaybeUninit::uninit(); 4096]));
    let _client_left = socket.send(greeting).and_then(|_| socket.shutdown(Shutdown::Write));
    let _nothing_more = socket.recv(&mut [MaybeUninit::uninit(); 4096]);
}

/// Closes a socket. Other processes may have it as well, so that the kernel would go on to report its events.
fn release(registry: Option<&mio::Registry>, socket: OwnedFd) -> Option<()> {
    // One that is not registered any more is what is wanted.
    let _ = registry.map(|registry| registry.deregister(&mut SourceFd(&socket.as_raw_fd())));
    Some(())
}

impl Listener {
    fn is_abstract(&self, config: &Config) -> bool {
        matches!(config[self.frontend].binds[self.bind].address, ListenAddress::Abstract(_))
    }

    fn pause(&mut self, config: &Config, registry: Option<&mio::Registry>) {
        match (&config[self.frontend].binds[self.bind].address, &self.socket) {
            // The new process takes the path over by a rename.
            (ListenAddress::Unix(_), _) => {}
            // A name has one socket: it is lost to the new process, as HAProxy loses it.
            (ListenAddress::Abstract(_), _) => drop(self.socket.take().and_then(|socket| release(registry, socket))),
            (_, Some(socket)) => socket::stop_listening(socket),
            (_, None) => {}
        }
    }

    fn resume(&mut self) {
        let listens = |socket| socket::listen_again(socket, RESUME_BACKLOG).is_ok();
        self.pending = self.socket.as_ref().is_some_and(listens);
    }

    fn accept(&mut self, core: &mut Core) -> Ended {
        let Some(socket) = &self.socket else { return Ended::Nothing };
        if core.services.states.frontends[self.frontend.0 as usize].paused {
            return Ended::Nothing;
        }
        for _ in 0..core.services.config.global.tune.maxaccept.max(1) {
            match core.services.admit(self.frontend, self.bind) {
                Admission::Reserved => {}
                // The end of a connection lets the loop come back to it.
                Admission::Full => return Ended::Full,
                Admission::Later(tick) => return Ended::Until(tick),
            }
            match socket::accept(socket) {
                Ok((fd, peer)) => {
                    self.open(core, fd, peer.as_socket());
                    continue;
                }
                Err(error) => {
                    core.services.withdraw(self.frontend, self.bind);
                    match error.kind() {
                        std::io::ErrorKind::ConnectionAborted => {}
                        std::io::ErrorKind::WouldBlock => {
                            self.pending = false;
                            return Ended::Nothing;
                        }
                        // Nothing tells when there are descriptors again: somebody else may have given them back.
                        _ if is_want(&error) => return Ended::Until(core.services.now.tick() + SECOND_LOOK),
                        _ => return Ended::Nothing,
                    }
                }
            }
        }
        Ended::More
    }

    fn open(&self, core: &mut Core, fd: OwnedFd, source: Option<SocketAddr>) {
        let frontend = &core.services.config[self.frontend];
        if let Some(greeting) = frontend.at_once(source.map(unmapped)) {
            core.services.withdraw(self.frontend, self.bind);
            core.services.counters.frontend(self.frontend).add(Count::ConnectionsTotal, 1);
            return greet(&fd, greeting);
        }
        let socket = socket2::SockRef::from(&fd);
        if source.is_some() {
            // Without it, the second of two small segments waits for the first one's acknowledgement.
            let _only_slower = socket.set_tcp_nodelay(true);
        }
        if let Some(keepalive) = frontend.tcp_keepalive {
            let _only_less_watchful =
                socket::set_keepalive(&fd, keepalive.probes, keepalive.idle_s, keepalive.interval_s);
        }
        let tune = &core.services.config.global.tune;
        if tune.rcvbuf_client > 0 {
            let _kernels_size = socket.set_recv_buffer_size(tune.rcvbuf_client as usize);
        }
        if tune.sndbuf_client > 0 {
            let _kernels_size = socket.set_send_buffer_size(tune.sndbuf_client as usize);
        }
        let asked = || socket.local_addr().ok().and_then(|address| address.as_socket());
        let destination = if source.is_some() { self.local.or_else(asked) } else { None };
        let peer = Peer { source: source.map(unmapped), destination: destination.map(unmapped) };
        core.open(Stream::Socket(fd), self.frontend, self.bind, peer);
    }
}

/// Whether accepting failed for want of something that there may be later, in this process or in the system (accept(2)).
pub fn is_want(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// An IPv4 client of an IPv6 socket (`v4v6`) as the IPv4 address that it is.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
