//! Sockets: receive, send, accept and connect without blocking, and the options that no crate has.
//!
//! Options that socket2 wraps (TCP_NODELAY, SO_LINGER, SO_MARK, SO_ORIGINAL_DST, TCP_USER_TIMEOUT, ...) are
//! set through `socket2::SockRef::from(&fd)`.
#![allow(unsafe_code)]

use super::{check, check_len};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Receives into `room` without waiting; gives the number of bytes at its start that are now initialised.
/// `Ok(0)` is the peer's end of stream (for a non-empty `room`).
pub fn recv(fd: impl AsFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    recv_with_flags(fd, room, libc::MSG_DONTWAIT)
}

/// As [`recv`] with the caller's flags (`libc::MSG_PEEK`, `MSG_TRUNC`, ...).
pub fn recv_with_flags(fd: impl AsFd, room: &mut [MaybeUninit<u8>], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of one writable slice; the kernel writes no more than that.
    check_len(unsafe { libc::recv(fd.as_fd().as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) })
}

/// Receives without waiting, behind what `buffer` holds and within the capacity that it has already.
/// A buffer with no spare capacity gives `Ok(0)`: ask for room first.
pub fn recv_append(fd: impl AsFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let got = recv(fd, buffer.spare_capacity_mut())?;
    // SAFETY: the kernel initialised `got` bytes of the spare capacity, which starts at `len`.
    unsafe { buffer.set_len(buffer.len() + got) };
    Ok(got)
}

/// Sends without waiting and without SIGPIPE. `more` (MSG_MORE) tells the kernel to hold a partial segment
/// because further bytes follow at once.
pub fn send(fd: impl AsFd, bytes: &[u8], more: bool) -> io::Result<usize> {
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if more {
        flags |= libc::MSG_MORE;
    }
    // SAFETY: the pointer and length are those of one readable slice.
    let sent = check_len(unsafe { libc::send(fd.as_fd().as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) });
    // A connection that was to be made with these bytes is made without them.
    sent.map_err(|error| match error.raw_os_error() {
        Some(libc::EINPROGRESS) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    })
}

/// Takes one connection from a listening socket: non-blocking and closed on exec in the same system call.
/// `WouldBlock` when the queue is empty.
pub fn accept(listener: impl AsFd) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: `try_init` hands accept4 a storage and length of its own, which live for the call; accept4
    // writes no more than the length says and then stores the true one.
    unsafe {
        SockAddr::try_init(|storage, len| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = check(libc::accept4(listener.as_fd().as_raw_fd(), storage.cast(), len, flags))?;
            // accept4 succeeded: the number is an open descriptor that nothing else owns.
            Ok(OwnedFd::from_raw_fd(fd))
        })
    }
}

/// Opens a stream socket for `address`'s family, non-blocking and closed on exec.
pub fn stream_socket(address: &SockAddr) -> io::Result<Socket> {
    let protocol = if address.is_unix() { None } else { Some(Protocol::TCP) };
    let kind = Type::STREAM.nonblocking().cloexec();
    Socket::new(Domain::from(i32::from(address.family())), kind, protocol)
}

/// Whether a connection was made at once or is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// The socket is connected.
    Done,
    /// The socket becomes writable when the outcome is known; SO_ERROR then tells it.
    InProgress,
}

/// Starts to connect `socket`, which must be non-blocking. Works for TCP, UNIX and abstract addresses.
/// A UNIX socket whose queue is full gives `WouldBlock`: nothing is under way then.
pub fn connect(socket: &Socket, address: &SockAddr) -> io::Result<Connecting> {
    match socket.connect(address) {
        Ok(()) => Ok(Connecting::Done),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Connecting::InProgress),
        Err(error) => Err(error),
    }
}

/// The address of a UNIX socket, by path, or abstract if `name` begins with a NUL. An abstract name is
/// padded with NULs to the whole field, as HAProxy does: both sides of a connection must agree on that.
pub fn unix_address(name: &[u8]) -> io::Result<SockAddr> {
    if name.first() != Some(&0) {
        return SockAddr::unix(std::path::Path::new(std::ffi::OsStr::from_bytes(name)));
    }
    let too_long = || io::Error::from(io::ErrorKind::InvalidInput);
    // SAFETY: `storage` is valid for a sockaddr_un (it is made for any address) and zeroed; what is written
    // stays within `sun_path`, and `len` is the whole structure.
    let (_, address) = unsafe {
        SockAddr::try_init(|storage, len| {
            let un = &mut *storage.cast::<libc::sockaddr_un>();
            if name.len() > un.sun_path.len() {
                return Err(too_long());
            }
            un.sun_family = libc::AF_UNIX as libc::sa_family_t;
            for (to, from) in un.sun_path.iter_mut().zip(name) {
                *to = *from as libc::c_char;
            }
            *len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}

/// Sets an integer option.
pub fn set_int(fd: impl AsFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    let value: *const libc::c_int = &value;
    // SAFETY: `value` points to an int that lives for the call, and `len` is its size.
    check(unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, option, value.cast(), len) })?;
    Ok(())
}

/// Turns TCP keep-alives on: after how many `probes` without an answer the connection is broken, after how many
/// seconds of silence they begin, and how often they come; zero leaves it to the system. Other sockets than TCP's
/// know but the switch.
pub fn set_keepalive(fd: impl AsFd, probes: u32, idle_s: u32, interval_s: u32) -> io::Result<()> {
    SockRef::from(&fd).set_keepalive(true)?;
    let figures = [(libc::TCP_KEEPCNT, probes), (libc::TCP_KEEPIDLE, idle_s), (libc::TCP_KEEPINTVL, interval_s)];
    for (option, value) in figures.into_iter().filter(|(_, value)| *value > 0) {
        // Out of the kernel's range: its own figure stays, as in HAProxy.
        let _ = set_int(&fd, libc::IPPROTO_TCP, option, libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX));
    }
    Ok(())
}

/// TCP_DEFER_ACCEPT: the listener reports a connection when its first bytes are there, or after `wait`.
pub fn set_defer_accept(fd: impl AsFd, wait: Duration) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, wait.as_secs().max(1) as libc::c_int)
}

/// TCP_FASTOPEN on a listener, with room for `queue` half-open connections that carry data.
pub fn set_fast_open(fd: impl AsFd, queue: u32) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, libc::c_int::try_from(queue).unwrap_or(libc::c_int::MAX))
}

/// TCP_FASTOPEN_CONNECT: the first bytes that are sent go with the packet that asks for the connection, where the kernel
/// has a cookie of the peer; then connecting succeeds at once, and errors come with what is received.
pub fn fast_open_connect(fd: impl AsFd) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)
}

/// Lets a socket bind to or accept for an address that the host does not have (IP_TRANSPARENT, or
/// IP_FREEBIND where the former is not permitted).
pub fn set_transparent(fd: impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        return set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1);
    }
    set_int(&fd, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1)
        .or_else(|_| set_int(fd, libc::IPPROTO_IP, libc::IP_FREEBIND, 1))
}

/// Has a TCP socket refuse connections until [`listen_again`]. Other kinds go on: there is no way back for a UNIX
/// socket.
pub fn stop_listening(socket: impl AsFd) {
    let is_tcp = |address: SockAddr| address.is_ipv4() || address.is_ipv6();
    if SockRef::from(&socket).local_addr().is_ok_and(is_tcp) {
        refuse_for_good(socket);
    }
}

/// Has a listening socket of any kind refuse connections from now on, whoever else has it.
pub fn refuse_for_good(socket: impl AsFd) {
    let socket = SockRef::from(&socket);
    // A second shutdown of a TCP socket, by another process that has it, would stick to it when it listens again:
    // connections would seem to have been ended by their clients.
    if socket.is_listener().is_ok_and(|listens| listens) {
        // One that has just stopped by itself is what is wanted.
        let _ = socket.shutdown(std::net::Shutdown::Read);
    }
}

/// Undoes [`stop_listening`]; nothing happens where another process has done so.
pub fn listen_again(socket: impl AsFd, backlog: libc::c_int) -> io::Result<()> {
    let reference = SockRef::from(&socket);
    if reference.is_listener()? {
        return Ok(());
    }
    let nobody = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: `nobody` is an address that lives for the call, and `len` is its size.
    check(unsafe { libc::connect(socket.as_fd().as_raw_fd(), &nobody, len) })?;
    reference.listen(backlog)
}

/// The file that a UNIX socket is bound to, wherever its name leads by now; of no use but to look at.
pub fn bound_file(socket: impl AsFd) -> io::Result<OwnedFd> {
    // The first request of a protocol's own (linux/un.h, SIOCUNIXFILE).
    const SIOCUNIXFILE: libc::Ioctl = 0x89e0;
    // SAFETY: the request takes no argument.
    let fd = check(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCUNIXFILE) })?;
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Packets that a TCP connection has sent.
#[cfg(test)]
pub fn packets_sent(fd: impl AsFd) -> io::Result<u32> {
    // Where `tcpi_segs_out` lies in `tcp_info` (linux/tcp.h), which libc knows the beginning of.
    const SEGMENTS_OUT: usize = 136;
    let mut info = [0u8; 256];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the pointer is that of `info`, which lives for the call, and `len` is its size.
    check(unsafe {
        libc::getsockopt(fd.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut len)
    })?;
    let field = info[SEGMENTS_OUT..SEGMENTS_OUT + 4].try_into();
    Ok(u32::from_ne_bytes(field.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?))
}

/// What names the network namespace of a socket, for as long as the machine runs.
pub fn netns_cookie(fd: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    let room: *mut u64 = &mut cookie;
    // SAFETY: `room` points to eight octets that live for the call, and `len` says so.
    check(unsafe {
        libc::getsockopt(fd.as_fd().as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, room.cast(), &mut len)
    })?;
    Ok(cookie)
}

/// Not in libc for every target.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Has the coming close send nothing at all (TCP_REPAIR, with CAP_NET_ADMIN), or else a reset that dies at the next
/// router.
pub fn vanish(fd: impl AsFd) {
    let _ = reset_on_close(&fd);
    if set_int(&fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 1).is_err() {
        let _ = set_int(&fd, libc::IPPROTO_IP, libc::IP_TTL, 1);
        let _ = set_int(&fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 1);
    }
}

/// Sets the type of service, or the traffic class of IPv6, of what is sent. A socket of IPv6 may speak IPv4.
pub fn set_tos(fd: impl AsFd, tos: u8) -> io::Result<()> {
    let v6 = set_int(&fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, tos.into());
    set_int(&fd, libc::IPPROTO_IP, libc::IP_TOS, tos.into()).or(v6)
}

/// Gives a socket that is going to connect its own address. The kernel chooses the port once it knows the peer, so
/// that each address has all ports towards each peer. The address may be `foreign`, that is, not this host's.
pub fn bind_source(socket: &Socket, source: SocketAddr, is_foreign: bool) -> io::Result<()> {
    if is_foreign {
        set_transparent(socket, source.is_ipv6())?;
    }
    socket.set_reuse_address(true)?;
    if source.port() == 0 {
        set_int(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    }
    socket.bind(&source.into())
}

/// Makes the coming close send a reset instead of leaving the connection in TIME_WAIT.
pub fn reset_on_close(fd: impl AsFd) -> io::Result<()> {
    SockRef::from(&fd.as_fd()).set_linger(Some(Duration::ZERO))
}

use std::os::unix::ffi::OsStrExt;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_made_accepted_and_spoken_on() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        assert_eq!(accept(&listener).expect_err("nobody yet").kind(), io::ErrorKind::WouldBlock);
        let address = SockAddr::from(listener.local_addr().expect("address"));
        let client = stream_socket(&address).expect("socket");
        connect(&client, &address).expect("connect");
        let (server, peer) = accept(&listener).expect("accept");
        assert_eq!(peer.as_socket(), client.local_addr().expect("local").as_socket());
        assert_eq!(send(&client, b"ping", false).expect("send"), 4);
        let mut buffer = Vec::with_capacity(64);
        buffer.extend_from_slice(b">");
        assert_eq!(recv_append(&server, &mut buffer).expect("recv"), 4);
        assert_eq!(buffer, b">ping");
        assert_eq!(recv_append(&server, &mut buffer).expect_err("drained").kind(), io::ErrorKind::WouldBlock);
        drop(client);
        assert_eq!(recv_append(&server, &mut buffer).expect("end"), 0);
    }

    #[test]
    fn an_abstract_address_fills_the_field() {
        let address = unix_address(b"\0epoxy-test").expect("address");
        assert_eq!(address.len() as usize, size_of::<libc::sockaddr_un>());
        let listener = stream_socket(&address).expect("socket");
        listener.bind(&address).expect("bind");
        listener.listen(1).expect("listen");
        let client = stream_socket(&address).expect("socket");
        assert_eq!(connect(&client, &address).expect("connect"), Connecting::Done);
        assert!(unix_address(&[0; 200]).is_err());
        assert!(unix_address(&[b'a'; 200]).is_err());
    }

    #[test]
    fn a_reset_is_seen_by_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (server, _) = accept(&listener).expect("accept");
        reset_on_close(&server).expect("linger");
        drop(server);
        std::thread::sleep(Duration::from_millis(20));
        let mut room = [MaybeUninit::uninit(); 8];
        assert_eq!(recv(&client, &mut room).expect_err("reset").kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_socket_that_two_processes_silence_listens_again() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        // A port that the kernel chose would be another one afterwards.
        let listener = std::net::TcpListener::bind(free.expect("a free port")).expect("bind");
        let address = listener.local_addr().expect("address");
        stop_listening(&listener);
        stop_listening(&listener);
        // As two that do so at the same moment.
        let _ = SockRef::from(&listener).shutdown(std::net::Shutdown::Read);
        assert!(std::net::TcpStream::connect(address).is_err());
        listen_again(&listener, 10).expect("listen");
        listen_again(&listener, 10).expect("listen");
        let mut client = std::net::TcpStream::connect(address).expect("connect");
        let (mut accepted, _) = listener.accept().expect("accept");
        std::io::Write::write_all(&mut client, b"x").expect("write");
        let mut byte = [0];
        std::io::Read::read_exact(&mut accepted, &mut byte).expect("the connection is whole");
    }
}
