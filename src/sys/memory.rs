//! Memory that processes share.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};

/// A file in memory of a fixed size, all zero; pages cost nothing before they are touched. It is closed on
/// exec and lasts as long as somebody has it open or mapped.
pub fn shared_file(name: &str, bytes: usize) -> io::Result<OwnedFd> {
    // Above this limit the kernel would not refuse but send SIGXFSZ.
    let (file_bytes_max, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    let size = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if bytes as u64 > file_bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&file, size)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(size_seals()))?;
    Ok(file)
}

/// Whether the size of a file can never change: whoever maps one that can shrink may be killed by SIGBUS.
pub fn has_fixed_size(file: BorrowedFd<'_>) -> bool {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
    seals.is_ok_and(|seals| seals.contains(size_seals()))
}

fn size_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

/// Makes a part of a file of [`shared_file`] zero and gives its pages back; says whether that could be done.
pub fn punch(file: BorrowedFd<'_>, begin: usize, bytes: usize) -> bool {
    use nix::fcntl::{FallocateFlags, fallocate};
    let (Ok(begin), Ok(bytes)) = (libc::off_t::try_from(begin), libc::off_t::try_from(bytes)) else { return false };
    fallocate(file, FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE, begin, bytes).is_ok()
}

/// Maps a file of [`shared_file`], or without one memory that this process shares with those it forks. The
/// mapping is never undone.
pub fn map_words(file: Option<BorrowedFd<'_>>, words: usize) -> io::Result<&'static [AtomicU64]> {
    let bytes = words.checked_mul(size_of::<u64>()).filter(|bytes| *bytes > 0 && isize::try_from(*bytes).is_ok());
    let bytes = bytes.ok_or(io::ErrorKind::OutOfMemory)?;
    let (flags, fd) = match file {
        Some(file) => (0, file.as_fd().as_raw_fd()),
        None => (libc::MAP_ANONYMOUS, -1),
    };
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, flags | libc::MAP_SHARED | libc::MAP_NORESERVE);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0) };
    if base == libc::MAP_FAILED || base.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, `bytes` long and never unmapped; any bits are a valid AtomicU64;
    // nothing refers to it by another type, and other processes change it by atomic words alone.
    Ok(unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), words) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_file_is_the_same_memory_wherever_it_is_mapped() {
        let file = shared_file("epoxy-test", 8192).expect("memfd");
        assert!(has_fixed_size(file.as_fd()));
        let (one, other) = (map_words(Some(file.as_fd()), 1024), map_words(Some(file.as_fd()), 1024));
        one.expect("map")[7].store(9, Relaxed);
        assert_eq!(other.expect("map")[7].load(Relaxed), 9);
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        assert!(map_words(None, usize::MAX).is_err());
        assert!(map_words(None, 0).is_err());
        assert!(map_words(None, 1 << 58).is_err());
        let growing = memfd_create("epoxy-test", MFdFlags::MFD_CLOEXEC).expect("memfd");
        assert!(!has_fixed_size(growing.as_fd()));
    }
}
