//! Processes: fork, privileges, limits.
//!
//! nix wraps chroot, setuid, setgid, setgroups, setsid, umask and the limits safely; they are called from
//! `process/` directly. Here is what it leaves unsafe or lacks.
#![allow(unsafe_code)]

use nix::unistd::{ForkResult, Pid};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// The two sides of a fork.
#[derive(Clone, Copy, Debug)]
pub enum Forked {
    /// The process that called, with the pid of the new one.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Splits the process in two. Refused when more than one thread runs, because the others' locks (the
/// allocator's among them) would stay held for ever in the child.
pub fn fork() -> io::Result<Forked> {
    if thread_count() > 1 {
        return Err(io::Error::other("fork with more than one thread"));
    }
    // SAFETY: only this thread exists, so the child may do all that the parent may.
    unsafe { fork_unchecked() }
}

/// # Safety
/// With other threads running, the child must only make system calls and leave by [`exit_now`].
unsafe fn fork_unchecked() -> io::Result<Forked> {
    // SAFETY: passed on to the caller.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Forked::Parent(child)),
        ForkResult::Child => Ok(Forked::Child),
    }
}

/// Threads of this process, 1 if /proc does not tell.
pub(super) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count())
}

/// Numbers of the namespaces of this process's pids and network addresses; 0 where /proc does not tell.
pub fn namespaces() -> [u64; 2] {
    let number = |file: std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(&file);
    ["pid", "net"].map(|name| std::fs::metadata(format!("/proc/self/ns/{name}")).map_or(0, number))
}

/// Ends the process at once: nothing is flushed, no destructor runs. For a child of a fork.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(libc::c_int::from(code)) }
}

/// Runs `child` in a forked process and gives its exit code: how tests try what cannot be undone, such as
/// chroot and setuid.
#[cfg(test)]
pub fn in_child(child: impl FnOnce() -> u8) -> u8 {
    exit_code(start_child(None, child))
}

/// Starts `child` in a forked process, which has no descriptors but the standard streams and `kept`.
#[cfg(test)]
pub fn start_child(kept: Option<std::os::fd::BorrowedFd<'_>>, child: impl FnOnce() -> u8) -> Pid {
    // SAFETY: the test harness has other threads. glibc's fork leaves its allocator usable in the child,
    // the closure takes no lock of the harness's, and it leaves by exit_now.
    match unsafe { fork_unchecked() }.expect("fork") {
        Forked::Child => {
            // Copies of the other tests' sockets would keep their addresses in use.
            let kept = kept.map_or(2, |fd| fd.as_raw_fd() as libc::c_uint);
            for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, libc::c_uint::MAX)] {
                // SAFETY: this process leaves by exit_now, so no owner of a descriptor closed here is dropped.
                unsafe { libc::close_range(first, last, 0) };
            }
            // A test that fails leaves nobody behind: its children end with its thread.
            let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            exit_now(code)
        }
        Forked::Parent(pid) => pid,
    }
}

/// Waits for the end of a child: its exit code, or 128 and the number of the signal that killed it.
#[cfg(test)]
pub fn exit_code(child: Pid) -> u8 {
    match nix::sys::wait::waitpid(child, None).expect("wait") {
        nix::sys::wait::WaitStatus::Exited(_, code) => code as u8,
        nix::sys::wait::WaitStatus::Signaled(_, signal, _) => 128 + signal as u8,
        other => panic!("unexpected {other:?}"),
    }
}

/// True if this process may still create others.
#[cfg(test)]
pub fn can_fork() -> bool {
    // SAFETY: the child leaves at once by exit_now.
    match unsafe { fork_unchecked() } {
        Ok(Forked::Child) => exit_now(0),
        Ok(Forked::Parent(pid)) => nix::sys::wait::waitpid(pid, None).is_ok(),
        Err(_) => false,
    }
}

/// Starts a command with no signal blocked, whatever this process has blocked, and which ends (SIGTERM) when this
/// process does.
pub fn spawn(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;
    let prepare = || {
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        // Forgotten by the kernel at a change of user; this runs after that.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec it makes two system calls, on values of its own, and allocates nothing.
    unsafe { command.pre_exec(prepare) }.spawn()
}

/// Points descriptor `number` (0, 1 or 2) at what `target` refers to.
pub fn redirect_stdio(target: impl AsFd, number: u8) -> io::Result<()> {
    assert!(number <= 2, "only the standard streams are owned by nobody");
    // SAFETY: dup2 touches no memory; the standard streams are owned by no value that could be surprised.
    super::check(unsafe { libc::dup2(target.as_fd().as_raw_fd(), libc::c_int::from(number)) })?;
    Ok(())
}

/// Processor time that a process of whatever user has used so far, its own and the kernel's for it; `None` once it
/// is gone.
pub fn cpu_time_of(pid: i32) -> Option<Duration> {
    // What clock_getcpuclockid(3) makes of a pid, without the call by which it looks whether there is one.
    const SCHEDULED: i32 = 2;
    let clock = nix::time::ClockId::from_raw((!pid << 3) | SCHEDULED);
    clock.now().ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gives_its_code() {
        assert_eq!(in_child(|| 7), 7);
    }

    #[test]
    fn the_time_of_processes_is_known() {
        let own = || cpu_time_of(std::process::id() as i32);
        let before = own().expect("own");
        let mut sum = 0u64;
        while own() == Some(before) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(own() > Some(before));
        assert!(cpu_time_of(1).is_some());
        assert_eq!(cpu_time_of(i32::MAX >> 4), None);
    }
}
