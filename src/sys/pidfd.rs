//! Other processes, held by a descriptor so that a recycled pid cannot be taken for them, and copies of their
//! descriptors.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A process.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// The process that has this pid now. ESRCH if there is none.
    pub fn open(pid: i32) -> io::Result<Process> {
        // SAFETY: pidfd_open takes two integers and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        Ok(Process(owned(fd)?))
    }

    /// A copy of its descriptor `number`, closed on exec. Needs the right to trace the process: EPERM
    /// without.
    pub fn copy_descriptor(&self, number: RawFd) -> io::Result<OwnedFd> {
        // SAFETY: pidfd_getfd takes three integers and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.0.as_raw_fd(), number, 0) };
        owned(fd)
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        let mut poll = [nix::poll::PollFd::new(self.0.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO) == Ok(0)
    }
}

fn owned(ret: libc::c_long) -> io::Result<OwnedFd> {
    let fd = super::check(ret as libc::c_int)?;
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    #[test]
    fn a_descriptor_is_copied_from_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let copy = Process::open(std::process::id() as i32)
            .and_then(|process| process.copy_descriptor(listener.as_raw_fd()))
            .expect("a process may trace itself");
        let address = listener.local_addr().expect("address");
        assert_eq!(TcpListener::from(copy).local_addr().expect("address"), address);
    }

    #[test]
    fn an_end_is_seen() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let process = Process::open(child.id() as i32).expect("open");
        assert!(process.is_running());
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(!process.is_running());
        assert!(process.copy_descriptor(0).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for pid in [0, -1, i32::MAX] {
            assert!(Process::open(pid).is_err(), "{pid}");
        }
    }
}
