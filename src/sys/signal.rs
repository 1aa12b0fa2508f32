//! Signals as readable events.
//!
//! A signalfd, not handlers: signals stay blocked and are read from a descriptor that sits in the worker's
//! epoll set like a socket, so there is no code that runs between two instructions, no self-pipe to fill up,
//! and none is lost between the fork and the first turn of the loop.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// Blocked signals and the descriptor that they are read from. Unblocked again when dropped.
#[derive(Debug)]
pub struct SignalSource {
    fd: SignalFd,
    blocked: SigSet,
}

impl SignalSource {
    /// Blocks exactly `signals` (whatever the parent process had blocked is unblocked) and opens the
    /// descriptor, non-blocking and closed on exec.
    pub fn new(signals: &[Signal]) -> io::Result<SignalSource> {
        let blocked = block(signals)?;
        let fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(SignalSource { fd, blocked })
    }

    /// Closes the descriptor and leaves the signals blocked, for a child that opens a source of its own.
    pub fn hand_on(mut self) {
        self.blocked = SigSet::empty();
    }

    /// The next signal that has arrived, `None` when there is none.
    pub fn next_signal(&self) -> io::Result<Option<Signal>> {
        match self.fd.read_signal()? {
            Some(info) => Ok(Signal::try_from(info.ssi_signo as i32).ok()),
            None => Ok(None),
        }
    }
}

impl Drop for SignalSource {
    fn drop(&mut self) {
        let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&self.blocked), None);
    }
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for SignalSource {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_fd().as_raw_fd()
    }
}

/// Blocks exactly `signals` in this thread; they wait until a [`SignalSource`] reads them.
pub fn block(signals: &[Signal]) -> io::Result<SigSet> {
    let blocked: SigSet = signals.iter().copied().collect();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None)?;
    Ok(blocked)
}

/// Ignores `signal` from now on; also inherited by what is executed later.
pub fn ignore(signal: Signal) -> io::Result<()> {
    // SAFETY: SIG_IGN installs no code.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }?;
    Ok(())
}

/// Undoes that a parent process ignored `signal` (nohup does that for SIGHUP): while ignored, it would be
/// dropped instead of waiting to be read.
pub fn restore(signal: Signal) -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    Ok(())
}

/// Ends this process by `signal`, so that its parent sees what a process without a handler would show.
/// Gives the shell's exit code for it if the signal does not end the process, as for pid 1 of a container.
pub fn die_by(signal: Signal) -> u8 {
    let _ = restore(signal);
    let _ = nix::sys::signal::raise(signal);
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
    128 + signal as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::in_child;

    #[test]
    fn signals_are_read_not_handled() {
        let code = in_child(|| {
            let source = SignalSource::new(&[Signal::SIGUSR1, Signal::SIGHUP]).expect("source");
            assert_eq!(source.next_signal().expect("read"), None);
            nix::sys::signal::raise(Signal::SIGHUP).expect("raise");
            nix::sys::signal::raise(Signal::SIGUSR1).expect("raise");
            let mut got = vec![source.next_signal().expect("read"), source.next_signal().expect("read")];
            got.sort();
            assert_eq!(got, [Some(Signal::SIGHUP), Some(Signal::SIGUSR1)]);
            assert_eq!(source.next_signal().expect("read"), None);
            0
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn a_death_shows_its_signal() {
        let code = in_child(|| {
            let _source = SignalSource::new(&[Signal::SIGTERM]).expect("source");
            die_by(Signal::SIGTERM)
        });
        assert_eq!(code, 128 + 15);
    }
}
