//! How workers reach each other: each slot of the segment has two abstract UNIX sockets.
//!
//! The **door** is a stream socket for questions to the worker: connections to it are runtime connections
//! (`cli`) that only this service's processes may make. The **bell** is a datagram socket: a byte there says
//! that boards, queues or limits have changed, and is worth a look and nothing more.
//!
//! Both are opened before the worker is forked, and whoever replaces dead workers keeps them, so that questions
//! wait for the replacement. Their names come from the segment's random id, not from a file system: they work
//! in a chroot, and for workers of all generations. One worker alone has a post, for a later process may ask
//! it, but never rings.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::shm::{Segment, Slot};
use crate::sys::socket::{accept, connect, recv, stream_socket, unix_address};

/// Questions that may wait for a worker.
const DOOR_BACKLOG: i32 = 128;

/// Rings, and strangers at the door, that are taken in one turn: any local user may send them without end.
const TAKEN_MAX: usize = 32;

/// The two sockets of a slot.
#[derive(Debug)]
pub struct Post {
    door: OwnedFd,
    bell: OwnedFd,
}

impl Post {
    /// Opens the sockets of a slot of the segment with this id. Nobody else can have them meanwhile.
    ///
    /// # Errors
    /// `AddrInUse`: an earlier worker of the slot, or whoever looks after it, is still there.
    pub fn open(segment_id: u64, slot: Slot) -> io::Result<Post> {
        let address = door_address(segment_id, slot)?;
        let door = stream_socket(&address)?;
        door.bind(&address)?;
        door.listen(DOOR_BACKLOG)?;
        let bell = bell_socket()?;
        bell.bind(&bell_address(segment_id, slot)?)?;
        Ok(Post { door: door.into(), bell: bell.into() })
    }

    /// The same sockets for another owner.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Post> {
        Ok(Post { door: self.door.try_clone()?, bell: self.bell.try_clone()? })
    }

    /// The listening socket of questions.
    pub fn door(&self) -> BorrowedFd<'_> {
        self.door.as_fd()
    }

    /// The bell.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Takes the rings so far. False if there may be more: they are to be taken soon, for whoever rings and finds
    /// the queue full is not heard otherwise.
    #[must_use]
    pub fn silence(&self) -> bool {
        let mut room = [MaybeUninit::uninit(); 8];
        (0..TAKEN_MAX).any(|_| recv(&self.bell, &mut room).is_err())
    }

    /// Takes a question from a worker of `segment`, or from who may be one; strangers are turned away.
    ///
    /// # Errors
    /// `WouldBlock` when none waits, `QuotaExceeded` after many strangers (more may wait), or what accept(2) says.
    pub fn answer(&self, segment: Segment) -> io::Result<OwnedFd> {
        for _ in 0..TAKEN_MAX {
            let (connection, _) = accept(&self.door)?;
            if is_trusted(connection.as_fd()) || is_member(connection.as_fd(), segment) {
                return Ok(connection);
            }
        }
        Err(io::ErrorKind::QuotaExceeded.into())
    }
}

/// The other workers of the service, of all generations, as one of them sees them.
#[derive(Debug)]
pub struct Mesh {
    segment: Segment,
    own: Slot,
    /// `None` where the system refused a socket: then the others hear of changes when they look themselves.
    ringer: Option<Socket>,
}

impl Mesh {
    /// The view of the worker that has the slot `own`.
    pub fn new(segment: Segment, own: Slot) -> Mesh {
        Mesh { segment, own, ringer: bell_socket().ok() }
    }

    /// The slot of the worker whose view it is.
    pub fn own(&self) -> Slot {
        self.own
    }

    /// The slots of the other workers that are there.
    pub fn others(&self) -> impl Iterator<Item = Slot> + use<> {
        let own = self.own;
        self.segment.slots().living().filter(move |slot| *slot != own)
    }

    /// The worker with this number among those that were started together with this one.
    pub fn numbered(&self, number: usize) -> Option<Slot> {
        let segment = self.segment;
        segment.slots().of(segment.generation(self.own)).find(|slot| segment.number(*slot) == number)
    }

    /// Tells a worker to look at what is shared.
    pub fn ring(&self, slot: Slot) {
        let Some(ringer) = self.ringer.as_ref().filter(|_| slot != self.own) else { return };
        // Nobody there has nothing to look at, and with a full queue the bell is ringing already.
        let _ = bell_address(self.segment.id(), slot).map(|address| ringer.send_to(b"!", &address));
    }

    /// Tells all other workers to look at what is shared.
    pub fn ring_all(&self) {
        self.others().for_each(|slot| self.ring(slot));
    }

    /// A connection to a worker's door, without waiting for the worker.
    ///
    /// # Errors
    /// Nobody keeps its post, too many wait there already, or it is not this service's.
    pub fn connect(&self, slot: Slot) -> io::Result<OwnedFd> {
        call(self.segment.id(), slot)
    }
}

/// As [`Mesh::connect`], for whoever has no slot of its own (the supervisor).
///
/// # Errors
/// See there.
pub fn call(segment_id: u64, slot: Slot) -> io::Result<OwnedFd> {
    let address = door_address(segment_id, slot)?;
    let socket = stream_socket(&address)?;
    connect(&socket, &address)?;
    if !is_trusted(socket.as_fd()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(socket.into())
}

/// Whether the other side is a process of the same user, or root's, as it was when it opened its socket.
fn is_trusted(connection: BorrowedFd<'_>) -> bool {
    let peer = getsockopt(&connection, sockopt::PeerCredentials);
    peer.is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
}

/// Whether the other side is a worker of the segment, which may have another user since a reload. The pid alone
/// says nothing: that of a worker which nobody has buried yet may be a stranger's by now.
fn is_member(connection: BorrowedFd<'_>, segment: Segment) -> bool {
    let peer = getsockopt(&connection, sockopt::PeerCredentials);
    peer.is_ok_and(|peer| {
        let is_its = |slot| segment.pid(slot) == peer.pid() && segment.uid(slot) == peer.uid();
        segment.slots().living().any(is_its)
    })
}

fn bell_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)
}

fn door_address(segment_id: u64, slot: Slot) -> io::Result<SockAddr> {
    unix_address(format!("\0epoxy-{segment_id:016x}-{}", slot.0).as_bytes())
}

fn bell_address(segment_id: u64, slot: Slot) -> io::Result<SockAddr> {
    unix_address(format!("\0epoxy-{segment_id:016x}-{}-bell", slot.0).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::in_child;
    use crate::sys::socket::send;

    fn segment() -> (Segment, [Slot; 2]) {
        let segment = Segment::private(1, 4).expect("segment");
        let generation = segment.begin_generation();
        (segment, [1, 2].map(|number| segment.slots().take(generation, number).expect("slot")))
    }

    fn rings(post: &Post) -> usize {
        let mut room = [MaybeUninit::uninit(); 8];
        std::iter::from_fn(|| recv(&post.bell, &mut room).ok()).count()
    }

    #[test]
    fn a_ring_is_heard_by_the_one_who_is_meant() {
        let (segment, [own, other]) = segment();
        let [here, there] = [own, other].map(|slot| Post::open(segment.id(), slot).expect("post"));
        let mesh = Mesh::new(segment, own);
        mesh.ring(other);
        mesh.ring(own);
        assert_eq!((rings(&here), rings(&there)), (0, 1));
        mesh.ring_all();
        assert_eq!((rings(&here), rings(&there)), (0, 1));
        // A worker that does not listen costs nobody any time.
        (0..2000).for_each(|_| mesh.ring_all());
        assert!(rings(&there) > 0);
        mesh.ring_all();
        while !there.silence() {}
        assert_eq!(rings(&there), 0);
        drop(there);
        mesh.ring_all();
    }

    #[test]
    fn a_bell_is_silenced_in_bounded_parts() {
        let (segment, [own, other]) = segment();
        let there = Post::open(segment.id(), other).expect("post");
        let mesh = Mesh::new(segment, own);
        (0..2000).for_each(|_| mesh.ring(other));
        let queued = rings(&there);
        (0..2000).for_each(|_| mesh.ring(other));
        let parts = 1 + std::iter::from_fn(|| (!there.silence()).then_some(())).count();
        assert_eq!(parts, queued / TAKEN_MAX + 1, "{queued} rings");
        assert_eq!(rings(&there), 0);
    }

    #[test]
    fn strangers_are_turned_away_in_bounded_parts() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let (segment, [_, other]) = segment();
        let post = Post::open(segment.id(), other).expect("post");
        let code = in_child(|| {
            nix::unistd::setuid(65534.into()).expect("setuid");
            u8::from((0..=TAKEN_MAX).any(|_| call(segment.id(), other).is_err()))
        });
        assert_eq!(code, 0);
        assert_eq!(post.answer(segment).expect_err("strangers").kind(), io::ErrorKind::QuotaExceeded);
        let asked = call(segment.id(), other).expect("connect");
        assert!(post.answer(segment).is_ok(), "one of the house is heard behind the last stranger");
        assert_eq!(post.answer(segment).expect_err("nobody else").kind(), io::ErrorKind::WouldBlock);
        drop(asked);
    }

    #[test]
    fn questions_wait_for_whoever_takes_the_post_over() {
        let (segment, [own, other]) = segment();
        let mesh = Mesh::new(segment, own);
        assert!(mesh.connect(other).is_err());
        let post = Post::open(segment.id(), other).expect("post");
        assert_eq!(Post::open(segment.id(), other).expect_err("taken").kind(), io::ErrorKind::AddrInUse);
        let kept = post.try_clone().expect("clone");
        let asked = mesh.connect(other).expect("connect");
        drop(post);
        send(&asked, b"?", false).expect("send");
        let question = kept.answer(segment).expect("accept");
        let mut room = [MaybeUninit::uninit(); 8];
        assert_eq!(recv(&question, &mut room).expect("recv"), 1);
        assert_eq!(kept.answer(segment).expect_err("no other").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn workers_are_known_by_number() {
        let (segment, [own, other]) = segment();
        let later = segment.begin_generation();
        let successor = segment.slots().take(later, 1).expect("slot");
        let mesh = Mesh::new(segment, own);
        assert_eq!([1, 2, 3].map(|number| mesh.numbered(number)), [Some(own), Some(other), None]);
        assert_eq!(mesh.others().collect::<Vec<_>>(), [other, successor]);
    }

    #[test]
    fn other_users_are_strangers() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let (segment, [own, other]) = segment();
        let post = Post::open(segment.id(), other).expect("post");
        let code = in_child(|| {
            nix::unistd::setuid(65534.into()).expect("setuid");
            u8::from(call(segment.id(), other).is_err())
        });
        assert_eq!(code, 0);
        let stranger = post.answer(segment).expect_err("a stranger");
        assert_eq!(stranger.kind(), io::ErrorKind::WouldBlock);
        let code = in_child(|| {
            segment.settle(own, crate::time::Now::default());
            nix::unistd::setuid(65534.into()).expect("setuid");
            u8::from(call(segment.id(), other).is_err())
        });
        assert_eq!(code, 0);
        assert!(post.answer(segment).is_err(), "a stranger with the pid of a worker that was root's");
        let code = in_child(|| {
            nix::unistd::setuid(65534.into()).expect("setuid");
            segment.settle(own, crate::time::Now::default());
            u8::from(call(segment.id(), other).is_err())
        });
        assert_eq!(code, 0);
        assert!(post.answer(segment).is_ok(), "a worker is none, whoever its user is");
        let _root = call(segment.id(), other).expect("connect");
        assert!(post.answer(segment).is_ok());
    }
}
