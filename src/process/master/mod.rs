//! Master-worker mode (management manual 3 `-W`, 4 and 9.4): the supervisor as a process that stays when all
//! else changes.
//!
//! ```text
//!            SIGUSR2, SIGHUP, reload            it fails: its message is shown, nothing has changed
//!  serving ───────────────────────► trial ────────────────────────────────► serving
//!     ▲                               │ it is well
//!     │ new workers are up            ▼
//!     └──────────────── exec of itself, with its state ── they do not come up ──► stranded
//! ```
//! A **trial** is the program on disk, started as the service was: it loads the configuration, binds what is
//! new beside the sockets that there are, without listening, and ends. Only then the master executes that
//! program itself: sockets, shared memory, living children and counts go over ([`state`]), the pid stays. The new
//! workers take the sockets, then the old ones are told to finish (SIGUSR1); they stay children of the master
//! until they are gone. A **stranded** master keeps the workers it has, replaces none, and waits for the next
//! reload.

mod child;
mod cli;
mod command;
mod crew;
mod notify;
mod reload;
mod state;

pub use crew::{Memory, strand};
pub use reload::remember_start;
pub use state::{Inherited, VARIABLE};

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use super::plan::{ListenSpec, StartPlan};
use super::start::WorkerStart;
use super::supervisor::{Supervisor, Turn, reason};
use crate::args::VERSION;
use crate::log::Level;
use crate::notice;
use crate::proxy::{CliLevel, Program};
use child::{Child, Role};
use cli::MasterCli;
use command::View;
use crew::Crew;
use notify::Notify;
use reload::Trial;
use state::Past;

/// What a start needs to know of the master.
#[derive(Clone, Debug, Default)]
pub struct MasterPlan {
    /// `-Ws`: tell the service manager.
    pub systemd: bool,
    /// `-S`: where the master listens, with the rights of its clients.
    pub cli: Vec<(ListenSpec, CliLevel)>,
    /// `program` sections.
    pub programs: Vec<Program>,
    /// Their environment.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// `mworker-max-reloads`.
    pub reloads_max: Option<u32>,
}

/// How long programs and old workers may take to end by SIGTERM before they are killed.
const TERMINATION_WAIT: Duration = Duration::from_secs(1);

/// How far the service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// SIGUSR1: all finish what they have.
    Finishing,
}

/// See the head of this file.
pub struct Master<'a> {
    crew: Crew<'a>,
    past: Past,
    cli: MasterCli,
    notify: Notify,
    trial: Option<Trial>,
    /// Another reload was asked for while one was being tried.
    again: bool,
    phase: Phase,
}

impl<'a> Master<'a> {
    /// A master whose workers are up: it starts the programs, and tells those of earlier configurations to leave.
    pub(super) fn new(
        plan: &'a StartPlan,
        wanted: &MasterPlan,
        supervisor: Supervisor<'a>,
        sockets: Vec<(OwnedFd, CliLevel)>,
        inherited: Option<&Inherited>,
    ) -> std::io::Result<Master<'a>> {
        let notify = Notify::new(wanted.systemd);
        let mut past = inherited.map_or_else(|| Past { since: now(), ..Past::default() }, |state| state.past.clone());
        past.systemd = wanted.systemd;
        if inherited.is_some() {
            past.failed = 0;
        }
        let cli = MasterCli::new(sockets)?;
        let crew = Crew::Serving(Box::new(supervisor));
        let mut master = Master { crew, past, cli, notify, trial: None, again: false, phase: Phase::Serving };
        for child in &mut master.past.children {
            child.leaving = true;
            let old = wanted.reloads_max.is_some_and(|max| child.is_worker() && child.reloads > max);
            child.tell(if old { Signal::SIGTERM } else { Signal::SIGUSR1 });
            if let Role::Worker { slot, .. } = child.role {
                master.crew.watch(slot, child.pid);
            }
        }
        master.start_programs(wanted, inherited.is_some());
        if let Some(state) = inherited {
            state.let_go();
        }
        master.crew.welcome(master.past.paused);
        notice::notice("Loading success.");
        master.notify.ready(&format!("Ready: {} workers, {} reloads", plan.workers, master.past.reloads));
        Ok(master)
    }

    fn start_programs(&mut self, wanted: &MasterPlan, is_reload: bool) {
        for program in wanted.programs.iter().filter(|program| program.start_on_reload || !is_reload) {
            match child::start(program, &wanted.environment, now()) {
                Ok(child) => {
                    notice::notice(format!("New program '{}' ({}) forked", program.name, child.pid));
                    self.past.children.push(child);
                }
                Err(error) => {
                    let reason = notice::reason(&error);
                    self.say(Level::Alert, &format!("Cannot start program '{}': {reason}.", program.name));
                }
            }
        }
    }

    /// Looks after the service to its end. In a new worker it gives what that starts with.
    pub fn run(mut self) -> Result<Box<WorkerStart>, ExitCode> {
        loop {
            let due = [self.notify.due(), self.trial.as_ref().map(Trial::due)].into_iter().flatten().min();
            match self.crew.turn(self.cli.poll_fd(), due) {
                Turn::Worker(start) => return Ok(start),
                // Of a child that did not become a worker.
                Turn::Over(code) if !self.crew.is_masters() => return Err(code),
                Turn::Over(_) => self.crew.dissolve(),
                Turn::Signal(signal) => {
                    if let Some(code) = self.signalled(signal) {
                        return Err(code);
                    }
                }
                Turn::Ready(_) => {}
            }
            self.reap();
            if self.phase == Phase::Finishing && !self.any_worker() {
                return Err(self.end());
            }
            let children = self.children();
            if self.cli.go_on(&view(&self.past, &children, &self.crew)) {
                self.reload();
            }
            self.attend_trial();
            let now = Instant::now();
            self.notify.beat(now, self.any_worker());
        }
    }

    /// Does what a signal asks for; gives the exit code if that is the end.
    fn signalled(&mut self, signal: Signal) -> Option<ExitCode> {
        match signal {
            Signal::SIGUSR2 | Signal::SIGHUP => self.reload(),
            Signal::SIGTERM | Signal::SIGINT => {
                notice::running(false, "Exiting Master process...");
                self.notify.stopping();
                return Some(self.end());
            }
            Signal::SIGUSR1 => {
                notice::running(false, "Exiting Master process...");
                self.notify.stopping();
                self.phase = Phase::Finishing;
                self.abandon_trial();
                self.past.children.iter().for_each(|child| child.tell(signal));
                self.crew.obey(signal, &[]);
            }
            Signal::SIGTTOU | Signal::SIGTTIN => {
                self.past.paused = signal == Signal::SIGTTOU;
                self.crew.obey(signal, &self.past.children);
            }
            other => self.crew.obey(other, &self.past.children),
        }
        None
    }

    /// Ends everything at once.
    fn end(&mut self) -> ExitCode {
        self.abandon_trial();
        self.past.children.iter().for_each(|child| child.tell(Signal::SIGTERM));
        self.crew.end();
        let late = Instant::now() + TERMINATION_WAIT;
        let mut killed = false;
        loop {
            self.reap();
            if self.past.children.is_empty() {
                break;
            }
            if !killed && Instant::now() >= late {
                self.past.children.iter().for_each(|child| child.tell(Signal::SIGKILL));
                killed = true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        notice::running(false, "All workers exited. Exiting... (0)");
        ExitCode::SUCCESS
    }

    /// Takes leave of children that have ended.
    fn reap(&mut self) {
        let (mut index, mut ended) = (0, Vec::new());
        while let Some(child) = self.past.children.get(index) {
            match child.ended() {
                Some(status) => ended.push((self.past.children.remove(index), status)),
                None => index += 1,
            }
        }
        for (child, status) in ended {
            if let Role::Worker { slot, .. } = child.role {
                self.crew.bury(slot, child.pid);
            }
            if status == WaitStatus::StillAlive {
                continue;
            }
            let whose = if child.leaving { "Former" } else { "Current" };
            let bad = !child.leaving && self.phase == Phase::Serving;
            let text = format!("{whose} {} ({}) exited with code {}", child.name(), child.pid, reason(status));
            self.say(if bad { Level::Alert } else { Level::Warning }, &text);
        }
    }

    /// Whether any worker is left, of whatever configuration.
    fn any_worker(&self) -> bool {
        self.crew.any_worker() || self.past.children.iter().any(Child::is_worker)
    }

    /// All children: the current workers first.
    fn children(&self) -> Vec<Child> {
        self.crew.members().chain(self.past.children.iter().cloned()).collect()
    }

    fn say(&mut self, level: Level, text: &str) {
        self.crew.say(level, text);
    }
}

fn view<'a>(past: &'a Past, children: &'a [Child], crew: &Crew<'_>) -> View<'a> {
    let Past { reloads, failed, since, .. } = *past;
    let (pid, messages, segment) = (std::process::id(), past.messages.as_str(), crew.segment_id());
    View { pid, reloads, failed, since, now: now(), children, messages, segment }
}

/// Seconds of the wall clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A worker of now, as the children of a master are described.
fn current(pid: i32, number: u32, slot: crate::shm::Slot, age: Duration) -> Child {
    Child {
        role: Role::Worker { number, slot },
        pid,
        reloads: 0,
        since: now().saturating_sub(age.as_secs()),
        leaving: false,
        version: VERSION.to_owned(),
    }
}
