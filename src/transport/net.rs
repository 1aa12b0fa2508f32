//! The network that a worker sees: opens connections and registers sockets for readiness events.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use mio::Interest;
use mio::unix::SourceFd;
use socket2::SockAddr;

use super::Stream;
use crate::proxy::{Backend, ServerAddress, TcpKeepalive, global::Tune};
use crate::sys::socket;
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
    /// `source`: the address of this end.
    pub source: Option<SocketAddr>,
    /// Receive buffer in bytes, the kernel's when 0.
    pub rcvbuf: u32,
    /// Send buffer in bytes, the kernel's when 0.
    pub sndbuf: u32,
}

impl ConnectOptions {
    /// What a backend and `tune.*` ask for; `sends_at_once` says whether there is something to send.
    pub fn new(backend: &Backend, source: Option<SocketAddr>, sends_at_once: bool, tune: &Tune) -> ConnectOptions {
        ConnectOptions {
            keepalive: backend.tcp_keepalive,
            acknowledges_late: backend.smart_connect && sends_at_once,
            no_linger: backend.nolinger,
            source,
            rcvbuf: tune.rcvbuf_server,
            sndbuf: tune.sndbuf_server,
        }
    }
}

impl Target {
    /// The target for a server's address; `destination` is where the client connected to, for servers
    /// whose port follows it.
    pub fn new(address: &ServerAddress, destination: Option<SocketAddr>) -> io::Result<Target> {
        Ok(Target(match address {
            ServerAddress::Ip(address) => SocketAddr::new(own_or(address.ip(), destination), address.port()).into(),
            ServerAddress::IpRelative(ip, offset) => {
                // Ports wrap, as in HAProxy.
                let port = destination.map_or(0, |d| d.port()).wrapping_add(*offset as u16);
                SocketAddr::new(own_or(*ip, destination), port).into()
            }
            ServerAddress::Unix(path) => SockAddr::unix(path)?,
            ServerAddress::Abstract(name) => socket::unix_address(&[b"\0", &name[..]].concat())?,
        }))
    }

    /// The IP address, where it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        self.0.as_socket()
    }
}

/// The server's address, or the one that the client connected to where the configuration names none
/// (`0.0.0.0`, `*`; manual 4, `server`).
fn own_or(server: IpAddr, destination: Option<SocketAddr>) -> IpAddr {
    match destination {
        Some(destination) if server.is_unspecified() => destination.ip(),
        _ => server,
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
    pub fn connect(&self, target: &Target, options: ConnectOptions, token: Token) -> io::Result<Stream> {
        let stream = match self {
            Net::Real(_) => {
                let socket = socket::stream_socket(&target.0)?;
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
                if options.rcvbuf > 0 {
                    socket.set_recv_buffer_size(options.rcvbuf as usize)?;
                }
                if options.sndbuf > 0 {
                    socket.set_send_buffer_size(options.sndbuf as usize)?;
                }
                if let Some(source) = options.source.filter(|_| target.ip().is_some()) {
                    socket::bind_source(&socket, source)?;
                }
                socket::connect(&socket, &target.0)?;
                Stream::Socket(socket.into())
            }
            #[cfg(test)]
            Net::Sim(net) => Stream::Sim(net.connect(target.ip())?),
        };
        self.register(&stream, token)?;
        Ok(stream)
    }
}

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
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let poll = mio::Poll::new().expect("epoll");
        let net = Net::Real(poll.registry().try_clone().expect("registry"));
        let target = Target::from(listener.local_addr().expect("address"));
        let stream = net.connect(&target, options, Token::new(crate::token::Kind::Upstream, 0, 0)).expect("connect");
        (listener, poll, stream)
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
        let source = Some("127.0.0.77:0".parse().expect("an address"));
        let connections: Vec<_> =
            (0..2).map(|_| connected(ConnectOptions { source, ..ConnectOptions::default() })).collect();
        for (listener, _poll, _stream) in connections {
            let (_, peer) = listener.accept().expect("a connection");
            assert_eq!(peer.ip().to_string(), "127.0.0.77");
        }
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
