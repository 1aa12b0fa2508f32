//! Descriptors for a new process, on a `stats socket` with `expose-fd listeners` (configuration manual 5.1,
//! management manual 3, `-x`): listening sockets by `_getsocks`, the memory that workers share by `_getsegment`.
//!
//! The answer is no text: the number of descriptors, a native 32-bit integer, and then messages that carry as many
//! of them as one message may. Each message describes its sockets: length and name of the namespace, length
//! and name of the interface, an integer of options. The new process acknowledges each by an integer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Call, Command, Outcome, Scope};
use crate::buffer::Pool;
use crate::proxy::CliLevel;
use crate::sys::fds::{FDS_PER_MESSAGE_MAX, send_fds};
use crate::transport::{Connection, Stream};

/// The commands of this file: no list shows them, because they are for programs.
pub static ROWS: &[Command] = &[
    Command {
        words: &["_getsegment"],
        usage: "",
        help: "",
        level: CliLevel::User,
        scope: Scope::Here,
        run: |call| give(call, Gift::Segment),
    },
    Command {
        words: &["_getsocks"],
        usage: "",
        help: "",
        level: CliLevel::User,
        scope: Scope::Here,
        run: |call| give(call, Gift::Sockets),
    },
];

/// What is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gift {
    /// The listening sockets.
    Sockets,
    /// The memory that workers share.
    Segment,
}

/// Octets of an acknowledgement.
const ACKNOWLEDGEMENT_BYTES: usize = size_of::<u32>();

/// The conversation ends after it, answered or not.
fn give(call: &mut Call<'_>, gift: Gift) -> Outcome {
    call.client.quit = true;
    call.client.hands_over = call.client.exposes_listeners.then_some(gift);
    Ok(())
}

/// Sockets on their way. They are copies, for the originals may be closed meanwhile.
pub struct Handover {
    sockets: Vec<(OwnedFd, Vec<u8>)>,
    sent: usize,
    stage: Stage,
}

enum Stage {
    /// The number of sockets is to be told.
    Announce,
    /// The next sockets are to be sent.
    Send,
    /// The last message is to be acknowledged.
    Acknowledge,
}

impl Handover {
    /// Copies the descriptors, each with the names of its network namespace and of the interface that it is bound to, or
    /// empty ones.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new<'a>(sockets: impl Iterator<Item = (BorrowedFd<'a>, [&'a str; 2])>) -> io::Result<Handover> {
        let copy =
            |(socket, names): (BorrowedFd<'_>, [&str; 2])| Ok((socket.try_clone_to_owned()?, description(names)));
        Ok(Handover { sockets: sockets.map(copy).collect::<io::Result<_>>()?, sent: 0, stage: Stage::Announce })
    }

    /// Sends what the peer is ready for. True when nothing is left to do.
    pub fn go_on(&mut self, connection: &mut Connection, pool: &mut Pool) -> bool {
        loop {
            let step = match self.stage {
                Stage::Announce => {
                    let count = (self.sockets.len() as u32).to_ne_bytes();
                    let sent = connection.stream.send(&count, false);
                    sent.map(|_| self.stage = Stage::Send)
                }
                Stage::Send => self.send_some(&connection.stream).map(|()| self.stage = Stage::Acknowledge),
                Stage::Acknowledge if self.sent == self.sockets.len() => return true,
                Stage::Acknowledge if connection.received().len() >= ACKNOWLEDGEMENT_BYTES => {
                    connection.consume(ACKNOWLEDGEMENT_BYTES, pool);
                    self.stage = Stage::Send;
                    Ok(())
                }
                Stage::Acknowledge => return connection.is_over(),
            };
            if let Err(error) = step {
                connection.send_failed(&error);
                return error.kind() != io::ErrorKind::WouldBlock;
            }
        }
    }

    fn send_some(&mut self, stream: &Stream) -> io::Result<()> {
        let end = (self.sent + FDS_PER_MESSAGE_MAX).min(self.sockets.len());
        let part = &self.sockets[self.sent..end];
        let text: Vec<u8> = part.iter().flat_map(|(_, text)| text.iter().copied()).collect();
        let fds: Vec<BorrowedFd<'_>> = part.iter().map(|(socket, _)| socket.as_fd()).collect();
        if let Some(socket) = stream.descriptor()
            && !fds.is_empty()
        {
            let sent = send_fds(socket, &text, &fds)?;
            if sent < text.len() {
                // A fresh connection has room for the few octets that a socket's description takes.
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.sent = end;
        Ok(())
    }
}

/// What the new process is told of a socket.
fn description(names: [&str; 2]) -> Vec<u8> {
    let mut text = Vec::new();
    for name in names {
        let name = &name.as_bytes()[..name.len().min(usize::from(u8::MAX))];
        text.push(name.len() as u8);
        text.extend_from_slice(name);
    }
    text.extend_from_slice(&0u32.to_ne_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fds::recv_fds;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    #[test]
    fn many_sockets_go_message_by_message() {
        let (mut new, old) = UnixStream::pair().expect("pair");
        old.set_nonblocking(true).expect("nonblocking");
        let listener = OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("bind"));
        let count = FDS_PER_MESSAGE_MAX + 2;
        let mut handover = Handover::new((0..count).map(|_| (listener.as_fd(), ["", "lo"]))).expect("copies");
        let mut pool = Pool::new(1024);
        let mut connection = Connection::new(Stream::Socket(old.into()));
        connection.ready(true, true, false);
        assert!(!handover.go_on(&mut connection, &mut pool), "the second message waits");
        let mut number = [0; 4];
        new.read_exact(&mut number).expect("number");
        assert_eq!(u32::from_ne_bytes(number) as usize, count);
        let mut room = vec![0; 64 * 1024];
        let (got, fds) = recv_fds(&new, &mut room).expect("first");
        assert_eq!((got, fds.len()), (FDS_PER_MESSAGE_MAX * 8, FDS_PER_MESSAGE_MAX));
        assert_eq!(&room[..8], b"\0\x02lo\0\0\0\0");
        new.write_all(&[0; 4]).expect("acknowledgement");
        connection.ready(true, true, false);
        connection.receive(&mut pool);
        assert!(handover.go_on(&mut connection, &mut pool));
        let (got, fds) = recv_fds(&new, &mut room).expect("second");
        assert_eq!((got, fds.len()), (16, 2));
    }

    #[test]
    fn a_peer_that_leaves_ends_it() {
        let (new, old) = UnixStream::pair().expect("pair");
        let listener = OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("bind"));
        let mut handover = Handover::new(std::iter::once((listener.as_fd(), ["", ""]))).expect("copies");
        drop(new);
        let mut connection = Connection::new(Stream::Socket(old.into()));
        assert!(handover.go_on(&mut connection, &mut Pool::new(1024)));
    }
}
