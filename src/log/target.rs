//! Where messages go: `log` targets, and the sockets that reach them.

use std::io;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockAddr, Socket, Type};

use super::syslog::{Facility, Header, Level};
use crate::sys::fds::duplicate_inherited;

/// Bytes of a line when `len` is not written (manual 4, `log`).
pub const LINE_BYTES_DEFAULT: usize = 1024;

/// One `log` line: where messages go and which of them (manual 3.1 and 4.2, `log`).
#[derive(Clone, Debug)]
pub struct LogTarget {
    /// Where to.
    pub destination: Destination,
    /// `format`; rfc3164 with `log-send-hostname`, else local, when absent.
    pub header: Option<Header>,
    /// `len`: bytes of a line, header included.
    pub bytes_max: usize,
    /// Facility.
    pub facility: Facility,
    /// Less urgent messages are not sent.
    pub max_level: Level,
    /// More urgent messages are sent as this one.
    pub min_level: Level,
    /// `sample`.
    pub sampling: Option<Sampling>,
}

/// Where a target is reached.
#[derive(Clone, Debug)]
pub enum Destination {
    /// UDP, or a UNIX datagram socket.
    Datagram(SockAddr),
    /// A descriptor that was open at the start: `stdout`, `stderr`, `fd@N`.
    Fd(RawFd),
}

/// `sample <ranges>:<size>`: which messages of each `size` are sent.
#[derive(Debug)]
pub struct Sampling {
    /// First and last of each range, counted from 1; in order, not overlapping.
    pub ranges: Box<[(u32, u32)]>,
    /// Period in messages.
    pub size: u32,
    /// Messages seen in this period.
    seen: AtomicU32,
}

impl Clone for Sampling {
    fn clone(&self) -> Self {
        Sampling::new(self.ranges.clone(), self.size)
    }
}

impl Sampling {
    /// A sampling that has seen no message.
    pub fn new(ranges: Box<[(u32, u32)]>, size: u32) -> Sampling {
        Sampling { ranges, size, seen: AtomicU32::new(0) }
    }

    /// Counts a message; says whether it is one of those to send.
    fn takes(&self) -> bool {
        let number = self.seen.load(Ordering::Relaxed) + 1;
        self.seen.store(number % self.size.max(1), Ordering::Relaxed);
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&number))
    }
}

impl LogTarget {
    /// The level under which a message goes to this target; `None` when it does not. Counts it for `sample`.
    pub(super) fn admits(&self, level: Level) -> Option<Level> {
        if level > self.max_level || !self.sampling.as_ref().is_none_or(Sampling::takes) {
            return None;
        }
        Some(level.max(self.min_level))
    }

    /// Bytes of a line, its header included and its line feed not: HAProxy sends the line feed of a datagram
    /// beyond `len`, that of a descriptor within.
    pub(super) fn text_bytes_max(&self) -> usize {
        match self.destination {
            Destination::Datagram(_) => self.bytes_max,
            Destination::Fd(_) => self.bytes_max.saturating_sub(1),
        }
    }
}

/// The sockets of one worker: one per family, made at the first message, never connected, so that a server
/// that is missing costs a failed send and one that appears later is found.
#[derive(Debug, Default)]
pub(super) struct Senders {
    udp4: Option<Socket>,
    udp6: Option<Socket>,
    unix: Option<Socket>,
    /// Copies of the descriptors that targets name, by the number written.
    fds: Vec<(RawFd, OwnedFd)>,
}

impl Senders {
    /// Takes copies of the descriptors that `targets` name. To be called before anything else is opened:
    /// a number that is free now may be a connection later.
    pub(super) fn keep_descriptors<'a>(&mut self, targets: impl Iterator<Item = &'a LogTarget>) {
        for target in targets {
            let Destination::Fd(number) = target.destination else { continue };
            if !self.fds.iter().any(|(known, _)| *known == number)
                && let Ok(copy) = duplicate_inherited(number)
            {
                self.fds.push((number, copy));
            }
        }
    }

    /// Sends one line, without waiting.
    ///
    /// # Errors
    /// Whatever the kernel says; the line is lost then.
    pub(super) fn send(&mut self, destination: &Destination, line: &[u8]) -> io::Result<()> {
        match destination {
            Destination::Datagram(address) => {
                let socket = self.socket(address)?;
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                socket.send_to_with_flags(line, address, flags).map(drop)
            }
            Destination::Fd(number) => {
                let fd = self.fds.iter().find(|(known, _)| known == number).map(|(_, fd)| fd);
                write_line(fd.ok_or(io::ErrorKind::NotFound)?, line)
            }
        }
    }

    fn socket(&mut self, address: &SockAddr) -> io::Result<&Socket> {
        let (slot, domain) = if address.is_ipv6() {
            (&mut self.udp6, Domain::IPV6)
        } else if address.is_unix() {
            (&mut self.unix, Domain::UNIX)
        } else {
            (&mut self.udp4, Domain::IPV4)
        };
        if slot.is_none() {
            let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), None)?;
            // Nothing is ever read from it: what a server might send back must not pile up.
            let _ = socket.set_recv_buffer_size(0);
            let _ = socket.shutdown(std::net::Shutdown::Read);
            *slot = Some(socket);
        }
        slot.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// Bytes that a pipe takes whole when it says that it is writable (POSIX, PIPE_BUF).
const PIECE_BYTES: usize = 4096;

/// Writes a line to a descriptor that is shared with other processes and may therefore not be made
/// non-blocking: asks first, and never writes more than what was promised. Terminals, pipes and files.
fn write_line(fd: &OwnedFd, line: &[u8]) -> io::Result<()> {
    for piece in line.chunks(PIECE_BYTES) {
        let mut asked = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut asked, PollTimeout::ZERO)? == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if nix::unistd::write(fd, piece)? < piece.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

impl Destination {
    /// A UDP server.
    pub fn udp(host: IpAddr, port: u16) -> Destination {
        Destination::Datagram(SocketAddr::new(host, port).into())
    }

    /// Whether it is a UNIX socket with a name in the file system.
    pub fn is_path(&self) -> bool {
        matches!(self, Destination::Datagram(address) if address.as_pathname().is_some())
    }

    /// How the target is named in messages about it.
    pub fn describe(&self, out: &mut Vec<u8>) {
        // Writes into vectors do not fail.
        let _ = match self {
            Destination::Fd(number) => write!(out, "fd@{number}"),
            Destination::Datagram(address) => match (address.as_socket(), address.as_pathname()) {
                (Some(socket), _) => write!(out, "{socket}"),
                (None, Some(path)) => write!(out, "{}", path.display()),
                (None, None) => write!(out, "abns@"),
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn samples_are_counted_in_periods() {
        let sampling = Sampling::new(Box::new([(1, 1), (3, 4)]), 5);
        let sent: Vec<u32> = (0..12).filter(|_| sampling.takes()).collect();
        assert_eq!(sent, [0, 2, 3, 5, 7, 8, 10]);
    }

    #[test]
    fn datagrams_go_out_and_missing_servers_cost_nothing() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = server.local_addr().expect("address");
        let mut senders = Senders::default();
        let to = Destination::udp(address.ip(), address.port());
        senders.send(&to, b"one\n").expect("send");
        let mut room = [0; 16];
        assert_eq!(server.recv(&mut room).expect("recv"), 4);
        drop(server);
        for _ in 0..3 {
            let _ = senders.send(&to, b"lost\n");
        }
    }

    #[test]
    fn a_unix_socket_that_appears_later_is_found() {
        let path = std::env::temp_dir().join(format!("epoxy-log-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut senders = Senders::default();
        let to = Destination::Datagram(SockAddr::unix(&path).expect("path"));
        assert!(senders.send(&to, b"lost\n").is_err());
        let server = UnixDatagram::bind(&path).expect("bind");
        senders.send(&to, b"found\n").expect("send");
        let mut room = [0; 16];
        assert_eq!(server.recv(&mut room).expect("recv"), 6);
        // A full queue loses lines and does not wait.
        while senders.send(&to, b"more\n").is_ok() {}
        let _ = std::fs::remove_file(&path);
    }

    #[test]
    fn a_full_pipe_loses_lines_and_does_not_wait() {
        use std::os::fd::AsRawFd;
        let (reader, writer) = io::pipe().expect("pipe");
        let target = LogTarget {
            destination: Destination::Fd(writer.as_raw_fd()),
            header: None,
            bytes_max: 80,
            facility: Facility::parse("daemon").expect("facility"),
            max_level: Level::Debug,
            min_level: Level::Emerg,
            sampling: None,
        };
        let mut senders = Senders::default();
        senders.keep_descriptors(std::iter::once(&target));
        let line = [b'x'; 10_000];
        let sent = (0..1000).take_while(|_| senders.send(&target.destination, &line).is_ok()).count();
        assert!((1..1000).contains(&sent), "{sent}");
        drop(reader);
    }
}
