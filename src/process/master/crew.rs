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
use crate::mesh::Mesh;
use crate::notice;
use crate::shm::{Segment, Slot, SlotState};
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
    memory: Option<Memory>,
}

/// The memory that workers share, and how gauges of a slot in it are forgotten.
pub struct Memory {
    /// The memory.
    pub segment: Segment,
    /// Forgets what the worker of a slot had under way.
    pub bury: fn(Segment, Slot),
}

impl Memory {
    /// As a supervisor does with one whose worker has no successor.
    fn bury(&self, slot: Slot, pid: i32) {
        let segment = self.segment;
        let is_its = usize::from(slot.0) < segment.slots_max() && segment.pid(slot) == pid;
        if !is_its || segment.state(slot) == SlotState::Free {
            return;
        }
        (self.bury)(segment, slot);
        segment.slots().free(slot);
        if segment.checker() == Some(slot)
            && let Some(to) = segment.slots().living().find(|other| segment.pid(*other) > 0)
            && segment.move_checker(Some(slot), Some(to))
        {
            Mesh::new(segment, slot).ring(to);
        }
    }
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

    /// Passes a signal on; a stranded master's workers are among `children`.
    pub fn obey(&mut self, signal: Signal, children: &[Child]) {
        match self {
            Crew::Serving(supervisor) => supervisor.obey(signal),
            Crew::Stranded(_) => {
                let workers = children.iter().filter(|child| child.is_worker() && !child.leaving && child.pid > 0);
                match signal {
                    Signal::SIGTTOU | Signal::SIGTTIN => workers.for_each(|worker| worker.tell(signal)),
                    // One of them can tell of all.
                    Signal::SIGQUIT => workers.take(1).for_each(|worker| worker.tell(signal)),
                    // The master has told all its children.
                    _ => {}
                }
            }
        }
    }

    /// Its workers are gone, and no others come.
    pub fn dissolve(&mut self) {
        self.obey(Signal::SIGUSR1, &[]);
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
            Crew::Stranded(stranded) => stranded.holdings.segment.as_ref().map(|(_, id)| *id),
        }
    }

    /// Watches over an old worker.
    pub fn watch(&mut self, slot: Slot, pid: i32) {
        if let Crew::Serving(supervisor) = self {
            supervisor.watch_old(slot, pid);
        }
    }

    /// Frees the place of an old worker that has ended.
    pub fn bury(&mut self, slot: Slot, pid: i32) {
        match self {
            Crew::Serving(supervisor) => supervisor.bury_old(slot, pid),
            Crew::Stranded(stranded) => stranded.memory.iter().for_each(|memory| memory.bury(slot, pid)),
        }
    }

    /// Says something on standard error and in the log, where there is one.
    pub fn say(&mut self, level: Level, text: &str) {
        match self {
            Crew::Serving(supervisor) => supervisor.say(level, text),
            Crew::Stranded(_) => notice::running(level == Level::Alert, text),
        }
    }

    /// Shows the messages of a failed trial, and logs its alerts and warnings.
    pub fn pass_on(&mut self, messages: &str) {
        supervisor::page(messages);
        let Crew::Serving(supervisor) = self else { return };
        for line in messages.lines() {
            let level = match line.split_once(' ') {
                Some(("[ALERT]", _)) => Level::Alert,
                Some(("[WARNING]", _)) => Level::Warning,
                _ => continue,
            };
            if let Some((_, text)) = line.split_once(" : ") {
                supervisor.log(level, text);
            }
        }
    }

    /// The descriptors that go over to the next master.
    pub fn descriptors(&self) -> (Option<(BorrowedFd<'_>, u64)>, Vec<BorrowedFd<'_>>) {
        match self {
            Crew::Serving(supervisor) => {
                let segment = supervisor.segment();
                (segment.fd().map(|file| (file, segment.id())), supervisor.sockets().collect())
            }
            Crew::Stranded(stranded) => {
                let Holdings { segment, sockets, .. } = &stranded.holdings;
                (segment.as_ref().map(|(file, id)| (file.as_fd(), *id)), sockets.iter().map(OwnedFd::as_fd).collect())
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

/// Goes on with the workers of `inherited` when the start that should have replaced them came to nothing; `attach`
/// maps their memory again, if this program can.
pub fn strand(inherited: &'static Inherited, attach: impl FnOnce(OwnedFd) -> Option<Memory>) -> ExitCode {
    let signals = match SignalSource::new(&supervisor::READ) {
        Ok(signals) => signals,
        Err(error) => {
            notice::alert(format!("Cannot read signals: {}.", notice::reason(&error)));
            return ExitCode::FAILURE;
        }
    };
    let mut past = inherited.past.clone();
    past.failed += 1;
    past.messages = notice::kept();
    let mut holdings = inherited.take();
    let Ok(cli) = MasterCli::new(std::mem::take(&mut holdings.cli)) else { return ExitCode::FAILURE };
    let mut notify = Notify::new(past.systemd);
    notice::running(true, "The new workers did not start: the old ones go on, and none is replaced before a reload.");
    notify.ready("The last reload failed: the old workers go on");
    let file = holdings.segment.as_ref().and_then(|(file, _)| file.try_clone().ok());
    let memory = file.and_then(attach);
    let crew = Crew::Stranded(Box::new(Stranded { signals, holdings, memory }));
    let master = Master { crew, past, cli, notify, trial: None, again: false, phase: Phase::Serving };
    match master.run() {
        Ok(_) => ExitCode::FAILURE,
        Err(code) => code,
    }
}
