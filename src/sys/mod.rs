//! System calls that no crate wraps safely, behind safe functions.
//!
//! `unsafe` lives here and in `shm/`. Every function takes borrowed descriptors or slices and gives
//! `io::Result`; none keeps a pointer after it returns. What socket2, nix or std wrap already is used from
//! there and not repeated here.

pub mod fds;
pub mod memory;
pub mod netns;
pub mod pidfd;
pub mod pipe;
pub mod process;
pub mod signal;
pub mod socket;
pub mod title;

use std::io;

/// Turns the return value of a system call into a result: negative is `errno`.
fn check(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// As [`check`], for calls that return a count of bytes.
fn check_len(ret: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(ret).map_err(|_| io::Error::last_os_error())
}
