//! Pipes and splice(2): bytes that move between sockets without passing through user space.
#![allow(unsafe_code)]

use super::{check, check_len};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A pipe whose ends are non-blocking and closed on exec.
#[derive(Debug)]
pub struct Pipe {
    /// The end that bytes come out of.
    pub read: OwnedFd,
    /// The end that bytes go into.
    pub write: OwnedFd,
    /// Bytes the pipe can hold, as granted by the kernel.
    pub capacity_bytes: usize,
}

impl Pipe {
    /// Opens a pipe. `size_bytes` asks for a capacity (F_SETPIPE_SZ); a kernel that refuses it leaves the
    /// default, which `capacity_bytes` then tells.
    pub fn new(size_bytes: Option<usize>) -> io::Result<Pipe> {
        let mut ends = [0 as libc::c_int; 2];
        // SAFETY: `ends` is an array of two ints, which is all that pipe2 writes to.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
        // SAFETY: pipe2 succeeded, so both numbers are open descriptors that nothing else owns.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        if let Some(bytes) = size_bytes {
            let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
            // SAFETY: fcntl with an int argument on a descriptor that is open.
            let _refused_is_fine = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
        }
        // SAFETY: fcntl without an argument on a descriptor that is open.
        let capacity = check(unsafe { libc::fcntl(write.as_raw_fd(), libc::F_GETPIPE_SZ) })?;
        Ok(Pipe { read, write, capacity_bytes: capacity as usize })
    }
}

/// Moves up to `max_bytes` from `from` to `to`, one of which is a pipe, without waiting for either.
///
/// `Ok(0)` is the end of the stream. `WouldBlock` says that the source is empty *or* that the pipe is full:
/// the caller knows which by what it has put in.
pub fn splice(from: impl AsFd, to: impl AsFd, max_bytes: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: both descriptors are borrowed and so open; null offsets mean "the descriptor's own position".
    check_len(unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), max_bytes, flags) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_travel_through_a_pipe_between_two_sockets() {
        let pipe = Pipe::new(Some(1 << 17)).expect("pipe");
        assert!(pipe.capacity_bytes >= 4096);
        let (mut client, from) = UnixStream::pair().expect("pair");
        let (to, mut server) = UnixStream::pair().expect("pair");
        from.set_nonblocking(true).expect("nonblocking");
        let empty = splice(&from, &pipe.write, 100).expect_err("nothing to move");
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"hello").expect("write");
        assert_eq!(splice(&from, &pipe.write, 100).expect("in"), 5);
        assert_eq!(splice(&pipe.read, &to, 5).expect("out"), 5);
        let mut got = [0; 5];
        server.read_exact(&mut got).expect("read");
        assert_eq!(&got, b"hello");
        drop(client);
        assert_eq!(splice(&from, &pipe.write, 100).expect("end"), 0);
    }
}
