//! Locks between the processes of a segment, for what is changed rarely.
//!
//! They are record locks of the segment's file: the kernel gives one back when its owner dies, however that
//! happens and whoever has the pid then. So what a lock guards must be in order after every single store.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::Segment;

/// What is locked. Who needs both takes `State` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Slots, and which object has which name.
    Directory,
    /// What is shared of servers, frontends and backends.
    State,
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub struct Guard {
    segment: Segment,
    lock: Lock,
}

/// The locks that a thread holds: the kernel lets a process take a lock that it has, and gives it back with the
/// first of its guards.
#[cfg(debug_assertions)]
mod held {
    use std::cell::RefCell;

    use super::{Lock, Segment};

    thread_local! {
        static HELD: RefCell<Vec<(u64, Lock)>> = const { RefCell::new(Vec::new()) };
    }

    pub fn enter(segment: Segment, lock: Lock) {
        HELD.with_borrow_mut(|held| {
            for taken in [lock, Lock::Directory] {
                assert!(!held.contains(&(segment.id(), taken)), "{lock:?} is taken while {taken:?} is held");
            }
            held.push((segment.id(), lock));
        });
    }

    pub fn leave(segment: Segment, lock: Lock) {
        HELD.with_borrow_mut(|held| held.retain(|one| *one != (segment.id(), lock)));
    }
}

impl Segment {
    /// Waits for a lock. No process may take one that it holds, nor close a copy of the segment's file
    /// while it holds one: both would give it back early (fcntl(2), record locking).
    pub fn lock(self, lock: Lock) -> Guard {
        #[cfg(debug_assertions)]
        held::enter(self, lock);
        if let Some(file) = self.fd() {
            let taken = set(file, lock, libc::F_WRLCK);
            // ENOLCK: the kernel has no memory for it. To go on is better than to stop serving.
            debug_assert!(taken.is_ok(), "{lock:?}: {taken:?}");
        }
        Guard { segment: self, lock }
    }

    /// The other process that has a lock for which the rest may be waiting; of both locks, the one that is taken last.
    pub fn lock_holder(self) -> Option<i32> {
        let file = self.fd()?;
        [Lock::Directory, Lock::State].into_iter().find_map(|lock| {
            let mut found = range(lock, libc::F_WRLCK);
            fcntl(file, FcntlArg::F_GETLK(&mut found)).ok()?;
            (found.l_type != libc::F_UNLCK as libc::c_short).then_some(found.l_pid)
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        held::leave(self.segment, self.lock);
        if let Some(file) = self.segment.fd() {
            let _ = set(file, self.lock, libc::F_UNLCK);
        }
    }
}

fn range(lock: Lock, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: lock as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

fn set(file: BorrowedFd<'_>, lock: Lock, kind: libc::c_int) -> Result<(), Errno> {
    let range = range(lock, kind);
    loop {
        match fcntl(file, FcntlArg::F_SETLKW(&range)) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{exit_code, start_child};

    #[test]
    fn others_see_who_has_a_lock() {
        let segment = Segment::create(1, 1, 0, 1).expect("segment");
        let own = std::process::id() as i32;
        let seen = |expected: Option<i32>| {
            let child = start_child(segment.fd(), || u8::from(segment.lock_holder() != expected));
            assert_eq!(exit_code(child), 0, "{expected:?}");
        };
        seen(None);
        let guard = segment.lock(Lock::State);
        seen(Some(own));
        assert_eq!(segment.lock_holder(), None, "one's own keeps oneself from nothing");
        drop(guard);
        seen(None);
    }

    #[test]
    fn no_lock_is_taken_twice_or_in_another_order() {
        let refuses = |first: Lock, second: Lock| {
            let segment = Segment::private(1, 1).expect("segment");
            let _guard = segment.lock(first);
            std::panic::catch_unwind(|| drop(segment.lock(second))).is_err()
        };
        assert!(!refuses(Lock::State, Lock::Directory));
        if cfg!(debug_assertions) {
            assert!(refuses(Lock::State, Lock::State));
            assert!(refuses(Lock::Directory, Lock::Directory));
            assert!(refuses(Lock::Directory, Lock::State));
        }
    }
}
