//! The network that a worker sees: opens connections and registers sockets for readiness events.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;
use socket2::SockAddr;

use super::Stream;
use crate::proxy::namespace::{self, Namespace};
use crate::proxy::{Backend, ServerAddress, TcpKeepalive, global::Tune};
use crate::shm::{Lease, Ports};
use crate::sys::socket;
use crate::time::Millis;
use crate::token::Token;

/// The real network, or a simulated one in tests.
pub enum Net {
    /// Sockets of the kernel, events from the worker's poll.
    Real(mio::Registry),
    /// Simulated sockets; see [`SimNet`].
    #[cfg(test)]
    Sim(SimNet),
}

/// Where to connect to, ready for the system call.
#[derive(Clone, Debug)]
pub struct Target(SockAddr);

/// Options of the sockets towards servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectOptions {
    /// `option tcpka` or `srvtcpka`.
    pub keepalive: Option<TcpKeepalive>,
    /// The handshake's last acknowledgement waits for something to send (`option tcp-smart-connect`), or is never sent:
    /// see [`Net::connect`].
    pub acknowledges_late: bool,
    /// `option nolinger`: the close resets the connection and leaves nothing behind.
    pub no_linger: bool,
    /// `tcp-ut`: how long what was sent may stay unacknowledged.
    pub user_timeout: Option<Millis>,
    /// The connection is asked for together with what is sent first (`tfo`). Where the kernel knows that the peer can do
    /// that, nothing happens before: whoever asks for it has something to send.
    pub fast_open: bool,
    /// The network that it is made in, if not the process's own.
    pub namespace: Option<&'static Namespace>,
    /// Receive buffer in bytes, the kernel's when 0.
    pub rcvbuf: u32,
    /// Send buffer in bytes, the kernel's when 0.
    pub sndbuf: u32,
}

/// Where a connection comes from (`source`).
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The address of this end; one of nothing leaves the choice to the kernel.
    pub address: Option<SocketAddr>,
    /// The address is not one of ours (`usesrc`).
    pub is_foreign: bool,
    /// What is told of it in place of the socket's address: the address that `usesrc` asks for.
    pub shown: Option<SocketAddr>,
    /// Its port is one of these.
    pub ports: Option<(Ports, (u16, u16))>,
    /// The device.
    pub interface: Option<&'static str>,
}

/// A connection that is being made.
#[derive(Debug)]
pub struct Opened {
    /// Its socket.
    pub stream: Stream,
    /// Its port, where that is one of a range; given back once the socket is closed.
    pub lease: Option<Lease>,
}

/// An attempt that failed at once.
#[derive(Debug)]
pub struct ConnectError {
    /// The kernel's reason.
    pub error: io::Error,
    /// What failed.
    pub at: Attempt,
}

/// What fails of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// All ports of the range are taken.
    Ports,
    /// The source address is not to be had.
    Source,
    /// The foreign source address is not to be had.
    ForeignSource,
    /// Anything else.
    Other,
}

/// Ports of a range that are tried until one can be bound.
const PORTS_TRIED_MAX: u32 = 10;

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        ConnectError { error, at: Attempt::Other }
    }
}

impl ConnectError {
    /// What HAProxy says of it on behalf of a backend: no line of a level is as grave as that of a source address.
    pub fn complaint(&self, backend: &str) -> Option<Complaint> {
        let kind = match self.at {
            Attempt::Ports | Attempt::Source => "source",
            Attempt::ForeignSource => "tproxy source",
            Attempt::Other => {
                let reason = match self.error.raw_os_error() {
                    Some(libc::EADDRNOTAVAIL) => "no free ports",
                    Some(libc::EADDRINUSE) => "local address already in use",
                    _ => return None,
                };
                return Some(Complaint {
                    is_grave: false,
                    text: format!("Connect() failed for backend {backend}: {reason}."),
                });
            }
        };
        let text = format!("Cannot bind to {kind} address before connect() for backend {backend}.");
        Some(Complaint { is_grave: true, text })
    }

    /// What the checks' results say of it.
    pub fn reason(&self) -> Option<&'static str> {
        match (self.at, self.error.raw_os_error()) {
            (Attempt::Ports, _) => Some("Source port range exhausted"),
            (Attempt::Source | Attempt::ForeignSource, _) => Some("Can't bind to source address"),
            (Attempt::Other, Some(libc::EADDRNOTAVAIL)) => Some("Out of local source ports on the system"),
            (Attempt::Other, Some(libc::EADDRINUSE)) => Some("Local source address already in use"),
            (Attempt::Other, Some(libc::EINVAL | libc::EPERM)) => Some("General socket error"),
            _ => None,
        }
    }
}

/// What is said of a connection that could not even be tried.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    /// There is something wrong with the configuration or the machine, not with the moment.
    pub is_grave: bool,
    /// The words.
    pub text: String,
}

impl Origin {
    /// Gives a socket its address, and the port that it has to give back.
    fn bind(&self, socket: &socket2::Socket) -> Result<Option<Lease>, ConnectError> {
        if let Some(interface) = self.interface {
            // Without the right to, the connection takes the way that the routes say, as in HAProxy.
            let _ = socket.bind_device(Some(interface.as_bytes()));
        }
        let failed = |at| move |error| ConnectError { error, at };
        let address = self.address.filter(|address| !address.ip().is_unspecified() || self.is_foreign);
        if self.is_foreign {
            let Some(address) = address else { return Ok(None) };
            return socket::bind_source(socket, address, true).map(|()| None).map_err(failed(Attempt::ForeignSource));
        }
        let Some((ports, range)) = &self.ports else {
            let Some(address) = address else { return Ok(None) };
            return socket::bind_source(socket, address, false).map(|()| None).map_err(failed(Attempt::Source));
        };
        for left in (0..PORTS_TRIED_MAX).rev() {
            let none = || ConnectError { error: io::ErrorKind::AddrInUse.into(), at: Attempt::Ports };
            let lease = ports.take(*range).ok_or_else(none)?;
            let Some(mut address) = address else { return Ok(Some(lease)) };
            address.set_port(lease.port);
            match socket::bind_source(socket, address, false) {
                Ok(()) => return Ok(Some(lease)),
                Err(error) if left == 0 => return Err(ConnectError { error, at: Attempt::Source }),
                Err(_) => {}
            }
        }
        Ok(None)
    }
}

impl ConnectOptions {
    /// What a backend and `tune.*` ask for; `sends_at_once` says whether there is something to send.
    pub fn new(backend: &Backend, sends_at_once: bool, tune: &Tune) -> ConnectOptions {
        ConnectOptions {
            keepalive: backend.tcp_keepalive,
            acknowledges_late: backend.smart_connect && sends_at_once,
            no_linger: backend.nolinger,
            user_timeout: None,
            fast_open: false,
            namespace: None,
            rcvbuf: tune.rcvbuf_server,
            sndbuf: tune.sndbuf_server,
        }
    }
}

impl Target {
    /// The target for a server's address; `destination` is where the client connected to, for servers
    /// whose port follows it.
    pub fn new(address: &ServerAddress, destination: Option<SocketAddr>) -> io::Result<Target> {
        if let Some(address) = address.followed(destination) {
            return Ok(address.into());
        }
        Ok(Target(match address {
            ServerAddress::Ip(address) => (*address).into(),
            ServerAddress::IpRelative(ip, offset) => SocketAddr::new(*ip, *offset as u16).into(),
            ServerAddress::Unix(path) => SockAddr::unix(path)?,
            ServerAddress::Abstract(name) => socket::unix_address(&[b"\0", &name[..]].concat())?,
        }))
    }

    /// The IP address, where it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        self.0.as_socket()
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Target {
        Target(address.into())
    }
}

impl Net {
    /// Registers a stream once, for both directions and with edges.
    pub fn register(&self, stream: &Stream, token: Token) -> io::Result<()> {
        match (self, stream) {
            (Net::Real(registry), Stream::Socket(fd)) => {
                registry.register(&mut SourceFd(&fd.as_raw_fd()), token.into(), Interest::READABLE | Interest::WRITABLE)
            }
            #[cfg(test)]
            (Net::Sim(_), Stream::Sim(end)) => {
                end.register(token);
                Ok(())
            }
            #[cfg(test)]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Starts to connect and registers the socket; a writable event tells that the attempt ended.
    ///
    /// # Errors
    /// Nothing is under way: there is no socket, no address to come from, or no way.
    pub fn connect(
        &self,
        target: &Target,
        options: ConnectOptions,
        origin: Option<&Origin>,
        token: Token,
    ) -> Result<Opened, ConnectError> {
        let mut lease = None;
        let stream = match self {
            Net::Real(_) => {
                let socket = namespace::within(options.namespace, || socket::stream_socket(&target.0))?;
                if target.ip().is_some() {
                    // Without it, the last segment of a message waits for the acknowledgement of the one before.
                    socket.set_tcp_nodelay(true)?;
                }
                if let Some(keepalive) = options.keepalive {
                    socket::set_keepalive(&socket, keepalive.probes, keepalive.idle_s, keepalive.interval_s)?;
                }
                if options.acknowledges_late && target.ip().is_some() {
                    // Whoever only looks whether somebody listens, and resets, is then no client to the server:
                    // databases count those that leave without a word, and shut them out when there were enough.
                    socket.set_tcp_quickack(false)?;
                }
                if options.no_linger {
                    socket::reset_on_close(&socket)?;
                }
                if let Some(timeout) = options.user_timeout.filter(|_| target.ip().is_some()) {
                    socket.set_tcp_user_timeout(Some(Duration::from_millis(timeout.0)))?;
                }
                if options.fast_open && target.ip().is_some() {
                    // Kernels without it connect as usual.
                    let _ = socket::fast_open_connect(&socket);
                }
                if options.rcvbuf > 0 {
                    socket.set_recv_buffer_size(options.rcvbuf as usize)?;
                }
                if options.sndbuf > 0 {
                    socket.set_send_buffer_size(options.sndbuf as usize)?;
                }
                if let Some(origin) = origin.filter(|_| target.ip().is_some()) {
                    lease = origin.bind(&socket)?;
                }
                socket::connect(&socket, &target.0)?;
                Stream::Socket(socket.into())
            }
            #[cfg(test)]
            Net::Sim(net) => Stream::Sim(net.connect(target.ip())?),
        };
        self.register(&stream, token)?;
        Ok(Opened { stream, lease })
    }
}

/// Datagrams with their destinations, oldest first.
#[cfg(test)]
pub type Datagrams = std::rc::Rc<std::cell::RefCell<std::collections::VecDeque<(SocketAddr, Vec<u8>)>>>;

/// Servers' ends of connections, oldest first, with the address that was asked for.
#[cfg(test)]
pub type Accepted = std::collections::VecDeque<(Option<SocketAddr>, super::sim::End)>;

/// The simulated network: connection attempts arrive in a list that the test serves.
#[cfg(test)]
#[derive(Clone, Default)]
pub struct SimNet {
    /// Readiness events not delivered yet.
    pub events: super::sim::Events,
    /// Servers' ends of connections made, with the address that was asked for.
    pub accepted: std::rc::Rc<std::cell::RefCell<Accepted>>,
    /// What the network does with connection attempts.
    pub behaviour: std::rc::Rc<std::cell::Cell<SimConnect>>,
    /// Datagrams sent, oldest first.
    pub datagrams: Datagrams,
    /// Bytes that a direction of a connection holds; 64 kB when 0.
    pub capacity: std::rc::Rc<std::cell::Cell<usize>>,
}

/// What becomes of connection attempts in a simulation.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimConnect {
    /// They succeed.
    #[default]
    Accept,
    /// They are refused.
    Refuse,
    /// Nothing answers.
    Silence,
}

#[cfg(test)]
impl SimNet {
    /// Bytes that a direction of a connection holds.
    pub fn capacity(&self) -> usize {
        if self.capacity.get() == 0 { 1 << 16 } else { self.capacity.get() }
    }

    fn connect(&self, target: Option<SocketAddr>) -> io::Result<super::sim::End> {
        let (ours, theirs) = super::sim::pair(&self.events, self.capacity());
        match self.behaviour.get() {
            SimConnect::Accept => {}
            SimConnect::Refuse => {
                ours.set_connecting();
                theirs.refuse(io::ErrorKind::ConnectionRefused);
            }
            SimConnect::Silence => ours.set_connecting(),
        }
        self.accepted.borrow_mut().push_back((target, theirs));
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::TcpListener;
    use std::time::Duration;

    /// A connection made with these options; the listener is kept for it.
    fn connected(options: ConnectOptions) -> (TcpListener, mio::Poll, Stream) {
        connected_from(options, None)
    }

    fn connected_from(options: ConnectOptions, origin: Option<&Origin>) -> (TcpListener, mio::Poll, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let poll = mio::Poll::new().expect("epoll");
        let net = Net::Real(poll.registry().try_clone().expect("registry"));
        let target = Target::from(listener.local_addr().expect("address"));
        let token = Token::new(crate::token::Kind::Upstream, 0, 0);
        let opened = net.connect(&target, options, origin, token).expect("connect");
        (listener, poll, opened.stream)
    }

    #[test]
    fn a_smart_connection_leaves_the_acknowledgement_to_its_data() {
        let packets = |late: bool| {
            let (_listener, _poll, stream) =
                connected(ConnectOptions { acknowledges_late: late, ..ConnectOptions::default() });
            stream.send(b"first", false).expect("send");
            socket::packets_sent(stream.descriptor().expect("a real one")).expect("TCP_INFO")
        };
        assert_eq!(packets(false), 3, "SYN, ACK, data");
        // On a busy machine the kernel may not wait long enough for the data.
        assert!((0..100).any(|_| packets(true) == 2), "SYN, data");
    }

    #[test]
    fn connections_come_from_their_source() {
        let address = Some("127.0.0.77:0".parse().expect("an address"));
        let origin = Origin { address, ..Origin::default() };
        let connections: Vec<_> = (0..2).map(|_| connected_from(ConnectOptions::default(), Some(&origin))).collect();
        for (listener, _poll, _stream) in connections {
            let (_, peer) = listener.accept().expect("a connection");
            assert_eq!(peer.ip().to_string(), "127.0.0.77");
        }
    }

    #[test]
    fn sockets_wait_for_acknowledgements_as_long_as_they_are_told() {
        let patient = ConnectOptions { user_timeout: Some(Millis(7_000)), ..ConnectOptions::default() };
        let (_listener, _poll, stream) = connected(patient);
        let fd = stream.descriptor().expect("a real one");
        assert_eq!(SockRef::from(&fd).tcp_user_timeout().expect("TCP_USER_TIMEOUT"), Some(Duration::from_secs(7)));
    }

    #[test]
    fn keep_alives_have_their_figures() {
        let keepalive = TcpKeepalive { probes: 4, idle_s: 90, interval_s: 0 };
        let (_listener, _poll, stream) =
            connected(ConnectOptions { keepalive: Some(keepalive), ..ConnectOptions::default() });
        let fd = stream.descriptor().expect("a real one");
        let socket = SockRef::from(&fd);
        assert!(socket.keepalive().expect("SO_KEEPALIVE"));
        assert_eq!(socket.tcp_keepalive_retries().expect("TCP_KEEPCNT"), 4);
        assert_eq!(socket.tcp_keepalive_time().expect("TCP_KEEPIDLE"), Duration::from_secs(90));
    }
}
