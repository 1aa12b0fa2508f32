//! The workers of a master: under a supervisor, or, when a start came to nothing, those that are left.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::super::supervisor::{self, Supervisor, Turn};
use super::cli::MasterCli;
use super::notify::Notify;
use super::state::Holdings;
use super::{Child, Inherited, Master, Phase, current};
use crate::log::Level;
use crate::notice;
use crate::shm::Slot;
use crate::sys::signal::SignalSource;

/// Whoever looks after the current workers.
pub enum Crew<'a> {
    /// A supervisor.
    Serving(Box<Supervisor<'a>>),
    /// Nobody replaces them.
    Stranded(Box<Stranded>),
}

/// What is left of a master that could not start.
pub struct Stranded {
    signals: SignalSource,
    holdings: Holdings,
}

impl Crew<'_> {
    /// Waits for the next thing to do, until `due` at most, and does it.
    pub fn turn(&mut self, other: BorrowedFd<'_>, due: Option<Instant>) -> Turn {
        match self {
            Crew::Serving(supervisor) => supervisor.turn_until(&[other], due),
            Crew::Stranded(stranded) => stranded.turn(other, due),
        }
    }

    /// Whether this process is the master, not a worker to be.
    pub fn is_masters(&self) -> bool {
        match self {
            Crew::Serving(supervisor) => supervisor.is_own(),
            Crew::Stranded(_) => true,
        }
    }

    /// Tells who was started.
    pub fn welcome(&mut self, paused: bool) {
        let Crew::Serving(supervisor) = self else { return };
        supervisor.announce();
        if paused {
            supervisor.obey(Signal::SIGTTOU);
        }
    }

    /// Passes a signal on.
    pub fn obey(&mut self, signal: Signal) {
        if let Crew::Serving(supervisor) = self {
            supervisor.obey(signal);
        }
    }

    /// Its workers are gone, and no others come.
    pub fn dissolve(&mut self) {
        self.obey(Signal::SIGUSR1);
    }

    /// Ends the workers at once.
    pub fn end(&mut self) {
        if let Crew::Serving(supervisor) = self {
            supervisor.end_workers();
        }
    }

    /// The current workers, but those of a stranded master: they are among its other children.
    pub fn members(&self) -> impl Iterator<Item = Child> + '_ {
        let supervisor = match self {
            Crew::Serving(supervisor) => Some(supervisor),
            Crew::Stranded(_) => None,
        };
        supervisor
            .into_iter()
            .flat_map(|supervisor| supervisor.workers().map(|(pid, number, slot, age)| current(pid, number, slot, age)))
    }

    /// Whether there are any, or will be again.
    pub fn any_worker(&self) -> bool {
        match self {
            Crew::Serving(supervisor) => supervisor.workers().next().is_some(),
            Crew::Stranded(_) => false,
        }
    }

    /// The id of the memory that they share.
    pub fn segment_id(&self) -> Option<u64> {
        match self {
            Crew::Serving(supervisor) => Some(supervisor.segment().id()),
            Crew::Stranded(_) => None,
        }
    }

    /// Frees the place of an old worker that has ended.
    pub fn bury(&mut self, slot: Slot, pid: i32) {
        if let Crew::Serving(supervisor) = self {
            supervisor.bury_old(slot, pid);
        }
    }

    /// Says something on standard error and in the log, where there is one.
    pub fn say(&mut self, level: Level, text: &str) {
        match self {
            Crew::Serving(supervisor) => supervisor.say(level, text),
            Crew::Stranded(_) => notice::running(level == Level::Alert, text),
        }
    }

    /// The descriptors that go over to the next master.
    pub fn descriptors(&self) -> (Option<BorrowedFd<'_>>, Vec<BorrowedFd<'_>>) {
        match self {
            Crew::Serving(supervisor) => (supervisor.segment().fd(), supervisor.sockets().collect()),
            Crew::Stranded(stranded) => {
                let Holdings { segment, sockets, .. } = &stranded.holdings;
                (segment.as_ref().map(OwnedFd::as_fd), sockets.iter().map(OwnedFd::as_fd).collect())
            }
        }
    }
}

impl Stranded {
    fn turn(&mut self, other: BorrowedFd<'_>, due: Option<Instant>) -> Turn {
        let timeout = due.map_or(PollTimeout::NONE, |due| supervisor::timeout(due, Instant::now()));
        let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN), PollFd::new(other, PollFlags::POLLIN)];
        // Interrupted: the turn is empty then.
        let _ = poll(&mut fds, timeout);
        match self.signals.next_signal() {
            Ok(Some(Signal::SIGCHLD)) | Ok(None) | Err(_) => Turn::Ready(Vec::new()),
            Ok(Some(signal)) => Turn::Signal(signal),
        }
    }
}

/// Goes on with the workers of `inherited` when the start that should have replaced them came to nothing.
pub fn strand(inherited: &'static Inherited) -> ExitCode {
    let signals = match SignalSource::new(&supervisor::READ) {
        Ok(signals) => signals,
        Err(error) => {
            notice::alert(format!("Cannot read signals: {}.", notice::reason(&error)));
            return ExitCode::FAILURE;
        }
    };
    let mut past = inherited.past.clone();
    past.failed += 1;
    let mut holdings = inherited.take();
    let Ok(cli) = MasterCli::new(std::mem::take(&mut holdings.cli)) else { return ExitCode::FAILURE };
    let notify = Notify::new(past.systemd);
    notice::running(true, "The new workers did not start: the old ones go on, and none is replaced before a reload.");
    notify.ready("The last reload failed: the old workers go on");
    let crew = Crew::Stranded(Box::new(Stranded { signals, holdings }));
    let master = Master { crew, past, cli, notify, trial: None, again: false, phase: Phase::Serving };
    match master.run() {
        Ok(_) => ExitCode::FAILURE,
        Err(code) => code,
    }
}
