//! Descriptors that travel between processes over a UNIX socket (SCM_RIGHTS), and adoption of inherited ones.
#![allow(unsafe_code)]

use super::{check, check_len};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Descriptors that one message may carry: the kernel's SCM_MAX_FD.
pub const FDS_PER_MESSAGE_MAX: usize = 253;

/// Octets of control data for a full message; the kernel's alignment is that of `usize`.
const CONTROL_WORDS: usize = 16 + FDS_PER_MESSAGE_MAX * size_of::<RawFd>() / size_of::<usize>();

/// Sends `bytes` (at least one) with `fds` attached.
pub fn send_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if fds.len() > FDS_PER_MESSAGE_MAX || bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut control = [0usize; CONTROL_WORDS];
    let payload = size_of_val(fds) as libc::c_uint;
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid msghdr (null pointers, no lengths).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE only computes; the control array has room for FDS_PER_MESSAGE_MAX descriptors,
        // so the first header and its data, both written here, lie inside it and are aligned as usize is.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(payload) as usize;
            let header = &mut *libc::CMSG_FIRSTHDR(&message);
            header.cmsg_level = libc::SOL_SOCKET;
            header.cmsg_type = libc::SCM_RIGHTS;
            header.cmsg_len = libc::CMSG_LEN(payload) as usize;
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            for (index, fd) in fds.iter().enumerate() {
                data.add(index).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    // SAFETY: the message, its part and its control data all live until the call returns.
    check_len(unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// Receives bytes into `room` and the descriptors that came with them, closed on exec.
/// An error if the kernel had to drop some of them.
pub fn recv_fds(socket: impl AsFd, room: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = [0usize; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all-zero is a valid msghdr (null pointers, no lengths).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message, its part and its control data all live until the call returns, with true lengths.
    let got = check_len(unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) })?;
    let mut fds = Vec::new();
    // SAFETY: the kernel filled `control` and set msg_controllen; CMSG_FIRSTHDR and CMSG_NXTHDR stay within
    // it, and cmsg_len bounds each header's data. Each number is a fresh descriptor that only we know.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other("descriptors were lost on the way"));
    }
    Ok((got, fds))
}

/// A copy of an inherited descriptor (`fd@N`), closed on exec; the original stays open, because more than one
/// bind line may name it. `BadF` as `io::Error` if no such descriptor is open.
pub fn duplicate_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int and touches no memory; a number that is not open gives EBADF.
    let copy = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the number was just made by the kernel and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Closes every descriptor above the standard streams that was inherited, those of `named` excepted.
///
/// To be called before any of them has been adopted. Whatever this program opens or adopts is closed on exec; so
/// those that are not have come through one. Without /proc nothing is found.
pub fn close_inherited(named: &[RawFd]) {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<RawFd> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2 && !named.contains(number)) {
        // SAFETY: F_GETFD touches no memory; a number that is not open (the listing's own) gives EBADF.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: all values that own a descriptor own one that is closed on exec, so none owns this one.
            unsafe { libc::close(number) };
        }
    }
}

/// Closes every descriptor above the standard streams but `kept`: for a child of a fork, which leaves by
/// [`super::process::exit_now`] and drops no owner of those.
pub fn close_all_but(kept: impl AsFd) {
    let kept = kept.as_fd().as_raw_fd() as libc::c_uint;
    for (first, last) in [(3, kept.saturating_sub(1)), ((kept + 1).max(3), libc::c_uint::MAX)] {
        // SAFETY: the caller vouches that owners of what is closed here are neither used nor dropped any more.
        unsafe { libc::close_range(first, last, 0) };
    }
}

/// Takes an inherited descriptor over, closed on exec from now on. To be called once for each, before this process
/// opens any of its own. `BadF` as `io::Error` if no such descriptor is open; standard streams are refused.
pub fn adopt_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: F_SETFD takes an int and touches no memory; a number that is not open gives EBADF.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, it was there when the process began, and who left it says that nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_travel_with_bytes() {
        let (a, b) = UnixStream::pair().expect("pair");
        let (mut near, far) = UnixStream::pair().expect("pair");
        let sent = send_fds(&a, b"two", &[far.as_fd(), far.as_fd()]).expect("send");
        assert_eq!(sent, 3);
        let mut room = [0; 16];
        let (got, mut fds) = recv_fds(&b, &mut room).expect("recv");
        assert_eq!((&room[..got], fds.len()), (&b"two"[..], 2));
        drop(far);
        let mut carried = UnixStream::from(fds.remove(0));
        carried.write_all(b"x").expect("write");
        let mut byte = [0];
        near.read_exact(&mut byte).expect("read");
        assert_eq!(&byte, b"x");
        send_fds(&a, b"none", &[]).expect("send");
        assert_eq!(recv_fds(&b, &mut room).expect("recv").1.len(), 0);
    }

    #[test]
    fn a_number_that_is_not_open_is_refused() {
        let error = duplicate_inherited(1_000_000).expect_err("not open");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
