//! A socket that sends datagrams to one peer and receives from nobody else.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use mio::Interest;
use mio::unix::SourceFd;

use super::Net;
use crate::token::Token;

/// A connected datagram socket, non-blocking; closed when dropped.
#[derive(Debug)]
pub enum Datagram {
    /// A real one.
    Socket(UdpSocket),
    /// What a simulation finds in `SimNet::datagrams`.
    #[cfg(test)]
    Sim(SocketAddr, super::net::Datagrams),
}

impl Datagram {
    /// Opens a socket towards `peer`, on a port that the kernel draws, and registers it with edges for what comes.
    ///
    /// # Errors
    /// There is no socket or no way.
    pub fn open(net: &Net, peer: SocketAddr, token: Token) -> io::Result<Datagram> {
        match net {
            Net::Real(registry) => {
                let any = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                socket.set_nonblocking(true)?;
                socket.connect(peer)?;
                registry.register(&mut SourceFd(&socket.as_raw_fd()), token.into(), Interest::READABLE)?;
                Ok(Datagram::Socket(socket))
            }
            #[cfg(test)]
            Net::Sim(net) => Ok(Datagram::Sim(peer, net.datagrams.clone())),
        }
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// It did not go; or an earlier one came back.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Datagram::Socket(socket) => socket.send(bytes).map(drop),
            #[cfg(test)]
            Datagram::Sim(peer, sent) => {
                sent.borrow_mut().push_back((*peer, bytes.to_vec()));
                Ok(())
            }
        }
    }

    /// Receives one datagram into `room` and gives its length; what does not fit is lost.
    ///
    /// # Errors
    /// There is none; or one that was sent came back.
    pub fn recv(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Datagram::Socket(socket) => socket.recv(room),
            #[cfg(test)]
            Datagram::Sim(..) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
