//! What signals mean to a worker (management manual, section 4).

use crate::sys::signal::{self, SignalSource};
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::process::ExitCode;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGUSR1: stop listening, finish what is open, leave with code 0.
    SoftStop,
    /// SIGTERM or SIGINT, where they do not end the process by themselves: leave by [`stop_now`].
    HardStop(Signal),
    /// SIGHUP: write every server's state to the log and standard error.
    DumpServers,
    /// SIGQUIT: write the use of memory to standard error, and give back what is free.
    DumpMemory,
    /// SIGTTOU: stop listening so that a new process can bind, but stay ready for [`Request::Resume`].
    Pause,
    /// SIGTTIN: listen again.
    Resume,
}

/// The signals of a worker, readable like a socket.
///
/// SIGTERM and SIGINT are left to the kernel, which ends the process at once even if the worker hangs, and
/// the parent sees that signal as with HAProxy. Only the first process of a container must read them, for
/// the kernel spares it.
#[derive(Debug)]
pub struct Signals {
    source: SignalSource,
}

const READ: [Signal; 5] = [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTTOU, Signal::SIGTTIN];

/// The first process of a container.
const FIRST_PID: u32 = 1;

fn read_signals() -> Vec<Signal> {
    let mut signals = READ.to_vec();
    if std::process::id() == FIRST_PID {
        signals.extend([Signal::SIGTERM, Signal::SIGINT]);
    }
    signals
}

/// Makes signals wait from now on, before there is a [`Signals`] to read them: none that arrives during the
/// start may end the process or be lost. SIGPIPE and SIGALRM are ignored, and SIGUSR2, unless this becomes a master.
pub fn hold(master: bool) -> io::Result<()> {
    signal::ignore(Signal::SIGPIPE)?;
    signal::ignore(Signal::SIGALRM)?;
    let mut read = read_signals();
    if master {
        // One that comes while it executes itself asks for the next reload.
        read.extend([Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    } else {
        signal::ignore(Signal::SIGUSR2)?;
    }
    signal::block(&read)?;
    read.into_iter().try_for_each(signal::restore)
}

impl Signals {
    /// Opens the descriptor that signals are read from, those that wait already included.
    pub fn open() -> io::Result<Signals> {
        Ok(Signals { source: SignalSource::new(&read_signals())? })
    }

    /// The next request, `None` when there is none for now.
    pub fn next_request(&self) -> io::Result<Option<Request>> {
        Ok(self.source.next_signal()?.and_then(request))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

fn request(signal: Signal) -> Option<Request> {
    match signal {
        Signal::SIGUSR1 => Some(Request::SoftStop),
        Signal::SIGTERM | Signal::SIGINT => Some(Request::HardStop(signal)),
        Signal::SIGHUP => Some(Request::DumpServers),
        Signal::SIGQUIT => Some(Request::DumpMemory),
        Signal::SIGTTOU => Some(Request::Pause),
        Signal::SIGTTIN => Some(Request::Resume),
        _ => None,
    }
}

/// Ends the process by `signal`; gives the shell's exit code for it where the kernel does not.
pub fn stop_now(signal: Signal) -> ExitCode {
    ExitCode::from(signal::die_by(signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::in_child;
    use nix::sys::signal::raise;

    #[test]
    fn signals_that_came_during_the_start_are_read_later() {
        let code = in_child(|| {
            signal::ignore(Signal::SIGUSR1).expect("a parent that ignores it");
            hold(false).expect("hold");
            for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGPIPE, Signal::SIGTTOU] {
                raise(signal).expect("raise");
            }
            let signals = Signals::open().expect("open");
            let mut got = Vec::new();
            while let Some(request) = signals.next_request().expect("read") {
                got.push(request);
            }
            u8::from(got != [Request::SoftStop, Request::Pause])
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn sigterm_ends_the_process_by_itself() {
        let code = in_child(|| {
            hold(false).expect("hold");
            let _signals = Signals::open().expect("open");
            raise(Signal::SIGTERM).expect("raise");
            0
        });
        assert_eq!(code, 128 + 15);
    }
}
