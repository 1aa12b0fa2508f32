//! One socket. In tests it may be a simulated one, so that whole sessions run on virtual time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::socket;

/// A connected (or connecting) stream socket, non-blocking; closed when dropped.
#[derive(Debug)]
pub enum Stream {
    /// A real one.
    Socket(OwnedFd),
    /// A simulated one.
    #[cfg(test)]
    Sim(super::sim::End),
}

impl Stream {
    /// Appends received bytes to `room`, as many as fit its spare capacity; 0 at the end of the stream.
    pub fn recv(&self, room: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Stream::Socket(fd) => socket::recv_append(fd, room),
            #[cfg(test)]
            Stream::Sim(end) => end.recv(room),
        }
    }

    /// Sends from `bytes`; `more` tells the kernel that more follows at once.
    pub fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        match self {
            Stream::Socket(fd) => socket::send(fd, bytes, more),
            #[cfg(test)]
            Stream::Sim(end) => end.send(bytes),
        }
    }

    /// Ends the sending direction: the peer reads an end of stream. A failure means that the peer is gone
    /// already, which the next receive tells.
    pub fn shutdown_write(&self) {
        match self {
            Stream::Socket(fd) => drop(socket2::SockRef::from(fd).shutdown(std::net::Shutdown::Write)),
            #[cfg(test)]
            Stream::Sim(end) => end.shutdown_write(),
        }
    }

    /// Makes the close a reset (SO_LINGER 0), so that no TIME_WAIT stays behind.
    pub fn reset_on_close(&self) {
        match self {
            Stream::Socket(fd) => drop(socket::reset_on_close(fd)),
            #[cfg(test)]
            Stream::Sim(end) => end.reset_on_close(),
        }
    }

    /// Has the close send nothing to the peer, or at least nothing that gets far.
    pub fn vanish(&self) {
        match self {
            Stream::Socket(fd) => socket::vanish(fd),
            #[cfg(test)]
            Stream::Sim(end) => end.reset_on_close(),
        }
    }

    /// Sets the type of service of what is sent. Nothing happens where the kernel refuses.
    pub fn set_tos(&self, tos: u8) {
        match self {
            Stream::Socket(fd) => drop(socket::set_tos(fd, tos)),
            #[cfg(test)]
            Stream::Sim(_) => {}
        }
    }

    /// Sets the mark of what is sent, which takes CAP_NET_ADMIN. Nothing happens where the kernel refuses.
    pub fn set_mark(&self, mark: u32) {
        match self {
            Stream::Socket(fd) => drop(socket2::SockRef::from(fd).set_mark(mark)),
            #[cfg(test)]
            Stream::Sim(_) => {}
        }
    }

    /// The error that ended a connection attempt, if any.
    pub fn take_error(&self) -> Option<io::Error> {
        match self {
            Stream::Socket(fd) => match socket2::SockRef::from(fd).take_error() {
                Ok(pending) => pending,
                Err(error) => Some(error),
            },
            #[cfg(test)]
            Stream::Sim(end) => end.take_error(),
        }
    }

    /// The local address, where it is an IP address.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        match self {
            Stream::Socket(fd) => socket2::SockRef::from(fd).local_addr().ok()?.as_socket(),
            #[cfg(test)]
            Stream::Sim(_) => None,
        }
    }

    /// The descriptor, for registration and splicing; `None` for a simulated stream.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stream::Socket(fd) => Some(fd.as_fd()),
            #[cfg(test)]
            Stream::Sim(_) => None,
        }
    }
}
