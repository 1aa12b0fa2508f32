//! The supervisor: a process that serves nothing, starts the workers and replaces those that die or hang.
//!
//! It keeps a copy of every listening socket, so that connections wait in their queues when a worker dies, and
//! its successor takes them. It is the process of the pidfile: what HAProxy's signals ask of the service it asks
//! of the workers. When it dies itself, the kernel ends the workers (SIGTERM): none serves unseen.
//!
//! [`Supervisor::run`] waits for signals, among them the one that tells of ended children, for the next start
//! that is due and for the next look at the workers. A caller with more to wait for, sockets of a master say,
//! calls [`Supervisor::turn`] in a loop of its own and gives it the descriptors; a [`Turn`] says which are
//! readable. [`Supervisor::members`] is who works. Whatever a turn does may fork: [`Turn::Worker`] comes back
//! in the child, which must leave the loop, drop the caller's descriptors and become that worker.

mod child;
mod hung;
mod mastered;
mod roster;
mod watch;

pub use child::{pin, set_title};
pub use roster::{Life, Member};

use super::limits::Limits;
use super::listen::Listener;
use super::plan::StartPlan;
use super::start::{WorkerStart, open_post};
use super::{Stop, notice, signals};
use crate::log::Level;
use crate::mesh::{Mesh, Post};
use crate::proxy::ListenAddress;
use crate::shm::{Segment, Slot};
use crate::sys::process::{Forked, fork};
use crate::sys::signal::{self, SignalSource};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the supervisor reads: what a worker does, and what it leaves to the kernel.
pub(in crate::process) const READ: [Signal; 9] = [
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTTOU,
    Signal::SIGTTIN,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGCHLD,
];

/// How long workers may take to end by SIGTERM before they are killed.
const TERMINATION_WAIT: Duration = Duration::from_secs(1);

/// What the process layer needs of those above it.
pub struct Ties<'a> {
    /// The memory that workers share.
    pub segment: Segment,
    /// Each worker's place in there, from worker 1.
    pub slots: Vec<Slot>,
    /// Forgets what the worker of a slot had under way (its gauges).
    pub bury: &'a dyn Fn(Slot),
    /// Writes to the global log targets.
    pub log: &'a mut dyn FnMut(Level, &str),
}

/// How far the service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Workers are replaced.
    Serving,
    /// They finish what they have, and are not replaced.
    Finishing,
}

/// What a turn came to.
pub enum Turn {
    /// This process is a new worker.
    Worker(Box<WorkerStart>),
    /// All is over.
    Over(ExitCode),
    /// A signal, where the caller (a master) decides what it means.
    Signal(Signal),
    /// The caller's descriptors at these places are readable; none if something else happened.
    Ready(Vec<usize>),
}

/// See the head of this file.
pub struct Supervisor<'a> {
    plan: &'a StartPlan,
    limits: Limits,
    listeners: Vec<Listener>,
    ties: Ties<'a>,
    /// `None` in a child only.
    signals: Option<SignalSource>,
    /// Its own.
    pid: Pid,
    members: Vec<Member>,
    /// Where each of them is reached: kept, so that questions wait for a replacement.
    posts: Vec<Option<Post>>,
    phase: Phase,
    paused: bool,
    /// Signals of the start that a master decides about.
    pending: Vec<Signal>,
    /// The next look at workers that may hang.
    look: Option<Instant>,
    /// Workers of earlier configurations, which a master has not buried yet.
    old: Vec<(Slot, Pid, watch::Watch)>,
}

/// Which process came out of a start.
pub enum Raised<'a> {
    /// The supervisor, its workers being up.
    Supervisor(Box<Supervisor<'a>>),
    /// One of them.
    Worker(Box<WorkerStart>),
}

impl<'a> Supervisor<'a> {
    /// Starts all workers and waits until they are up. If one fails, all end: the messages are printed.
    pub(in crate::process) fn raise(
        plan: &'a StartPlan,
        listeners: Vec<Listener>,
        limits: Limits,
        ties: Ties<'a>,
    ) -> Result<Raised<'a>, Stop> {
        let cannot = |what: &str, error: &io::Error| {
            notice::alert(format!("[{}.main()] Cannot {what}: {}.", plan.program, notice::reason(error)));
            Stop
        };
        // A parent that ignores it would have the kernel reap our children.
        let asked = if plan.master.is_some() { signal::restore(Signal::SIGUSR2) } else { Ok(()) };
        let signals = asked.and_then(|()| signal::restore(Signal::SIGCHLD)).and_then(|()| SignalSource::new(&READ));
        let signals = signals.map_err(|error| cannot("read signals", &error))?;
        let members = (1..=plan.workers).map(Member::new).collect();
        let posts = ties.slots.iter().map(|slot| open_post(plan, ties.segment, *slot)).collect();
        let mut supervisor = Supervisor {
            plan,
            limits,
            listeners,
            ties,
            signals: Some(signals),
            pid: Pid::this(),
            members,
            posts,
            phase: Phase::Serving,
            paused: false,
            pending: Vec::new(),
            look: None,
            old: Vec::new(),
        };
        let (reader, writer) = io::pipe().map_err(|error| cannot("make a pipe", &error))?;
        for index in 0..supervisor.members.len() {
            let ready = writer.try_clone().map_err(|error| cannot("make a pipe", &error))?;
            match supervisor.fork_worker(index) {
                Ok(Forked::Parent(pid)) => supervisor.members[index].started(pid),
                Ok(Forked::Child) => {
                    drop((reader, writer));
                    let number = supervisor.members[index].number;
                    return supervisor.become_worker(number, Some(ready)).map(|start| Raised::Worker(Box::new(start)));
                }
                Err(error) => {
                    supervisor.end_workers();
                    return Err(cannot("fork", &error));
                }
            }
        }
        drop(writer);
        if !supervisor.await_workers(reader) {
            supervisor.end_workers();
            return Err(Stop);
        }
        supervisor.look = plan.hang_timeout.map(|timeout| Instant::now() + watch::interval(timeout));
        child::set_title(if plan.master.is_some() { "master" } else { "supervisor" });
        Ok(Raised::Supervisor(Box::new(supervisor)))
    }

    /// Waits until every worker has written a byte. False if one has ended before, which has said why then, or if
    /// a signal ended the start.
    fn await_workers(&mut self, mut reader: PipeReader) -> bool {
        let (mut up, mut later) = (0, Vec::new());
        while up < self.members.len() {
            if self.wait(&[reader.as_fd()], None).contains(&0) {
                match reader.read(&mut [0; 64]) {
                    Ok(count @ 1..) => up += count,
                    _ => return false,
                }
            }
            while let Some(Ok(Some(signal))) = self.signals.as_ref().map(SignalSource::next_signal) {
                match signal {
                    Signal::SIGTERM | Signal::SIGINT if self.plan.master.is_none() => {
                        let _ended = self.signalled(signal);
                        return false;
                    }
                    other => later.push(other),
                }
            }
        }
        if self.plan.master.is_some() {
            later.reverse();
            self.pending = later;
            return true;
        }
        for signal in later {
            // None of them ends the supervisor at once.
            let _ = self.signalled(signal);
        }
        true
    }

    /// The workers.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Looks after the workers to the end of the service. In a new worker it gives what that starts with.
    pub fn run(mut self) -> Result<Box<WorkerStart>, ExitCode> {
        loop {
            match self.turn(&[]) {
                Turn::Worker(start) => return Ok(start),
                Turn::Over(code) => return Err(code),
                Turn::Ready(_) => {}
                Turn::Signal(signal) => self.obey(signal),
            }
        }
    }

    /// Waits for the next thing to do and does it; `others` are descriptors that the caller waits for.
    pub fn turn(&mut self, others: &[BorrowedFd<'_>]) -> Turn {
        self.turn_until(others, None)
    }

    /// As [`Supervisor::turn`], but waits until `due` at most.
    pub fn turn_until(&mut self, others: &[BorrowedFd<'_>], due: Option<Instant>) -> Turn {
        // The signal that tells of an end may have been read before, at the start or beside another one.
        let ended = self.reap();
        if let Some(signal) = self.pending.pop() {
            return Turn::Signal(signal);
        }
        let ready = if ended { Vec::new() } else { self.wait(others, due) };
        while let Some(Ok(Some(signal))) = self.signals.as_ref().map(SignalSource::next_signal) {
            if self.plan.master.is_some() && signal != Signal::SIGCHLD {
                return Turn::Signal(signal);
            }
            if let Some(code) = self.signalled(signal) {
                return Turn::Over(code);
            }
        }
        self.reap();
        self.look_after_workers();
        if self.phase == Phase::Finishing && self.members.iter().all(|member| member.pid().is_none()) {
            return Turn::Over(ExitCode::SUCCESS);
        }
        match self.start_due() {
            Some(end) => end,
            None => Turn::Ready(ready),
        }
    }

    fn wait(&self, others: &[BorrowedFd<'_>], due: Option<Instant>) -> Vec<usize> {
        let now = Instant::now();
        let due = self.members.iter().filter_map(Member::due).chain(self.look).chain(due).min();
        let timeout = due.map_or(PollTimeout::NONE, |due| timeout(due, now));
        let all = self.signals.iter().map(SignalSource::as_fd).chain(others.iter().copied());
        let mut poll_fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // A signal that is not blocked may interrupt it: the turn is then empty.
        if poll(&mut poll_fds, timeout).is_err() {
            return Vec::new();
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        poll_fds[1..].iter().enumerate().filter_map(|(place, fd)| is_ready(fd).then_some(place)).collect()
    }

    /// Does what a signal asks for; gives the exit code if that is the end.
    fn signalled(&mut self, signal: Signal) -> Option<ExitCode> {
        match signal {
            Signal::SIGTERM | Signal::SIGINT => {
                self.end_workers();
                return Some(signals::stop_now(signal));
            }
            Signal::SIGUSR1 => {
                self.phase = Phase::Finishing;
                self.tell_all(signal);
                // What waits in a queue is accepted by its worker, which closes the socket then; nobody else may
                // keep it open.
                self.listeners.clear();
                self.members.iter_mut().filter(|member| member.pid().is_none()).for_each(|m| m.life = Life::Gone);
            }
            Signal::SIGTTOU => {
                self.paused = true;
                self.tell_all(signal);
                // A name has one socket: only when it is closed everywhere another process can bind it.
                self.listeners.retain(|listener| !matches!(listener.address, ListenAddress::Abstract(_)));
            }
            Signal::SIGTTIN => {
                self.paused = false;
                self.tell_all(signal);
            }
            // One of them can tell of all.
            Signal::SIGHUP | Signal::SIGQUIT => {
                if let Some(member) = self.members.iter().find(|member| member.pid().is_some()) {
                    member.tell(signal);
                }
            }
            _ => {}
        }
        None
    }

    fn tell_all(&self, signal: Signal) {
        self.members.iter().for_each(|member| member.tell(signal));
    }

    /// Buries the dead and decides when somebody takes their place. Says whether there were any.
    fn reap(&mut self) -> bool {
        let now = Instant::now();
        let mut any = false;
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let Some(status) = member.ended() else { continue };
            any = true;
            let number = member.number;
            let pid = member.pid().map_or(0, |pid| pid.as_raw());
            let (pause, failures) = member.died(now);
            let slot = self.slot(number);
            (self.ties.bury)(slot);
            // Nobody shall wait for the dead.
            self.ties.segment.slots().restart(slot);
            if !pause.is_zero() || self.phase == Phase::Finishing {
                self.pass_checks_on(slot);
            }
            if self.phase == Phase::Finishing {
                self.members[index].life = Life::Gone;
                self.posts[index] = None;
                self.ties.segment.slots().free(slot);
                if matches!(status, WaitStatus::Exited(_, 0)) {
                    continue;
                }
            }
            let which = self.which(number);
            self.say(Level::Alert, &format!("Current worker{which} ({pid}) exited with code {}", reason(status)));
            if self.plan.confinement.seccomp && matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)) {
                let text = "made a system call that its sandbox forbids (the kernel's audit log names it)";
                self.say(Level::Alert, &format!("Worker #{number} ({pid}) {text}"));
            }
            if self.phase == Phase::Serving && !pause.is_zero() {
                let ms = pause.as_millis();
                self.say(
                    Level::Warning,
                    &format!("Worker #{number} died at once {failures} times in a row: the next one starts in {ms} ms"),
                );
            }
        }
        self.reap_strays();
        any
    }

    /// As the first process of a container it has the orphans of workers for children: what ran programs for them.
    fn reap_strays(&self) {
        // A master has other children, of which it wants to hear.
        if self.pid.as_raw() != 1 || self.plan.programs.is_empty() || self.plan.master.is_some() {
            return;
        }
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) = waitid(Id::All, look) {
            let is_worker = self.members.iter().any(|member| member.pid() == Some(pid));
            if is_worker || waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
                return;
            }
        }
    }

    /// Starts workers whose time has come.
    fn start_due(&mut self) -> Option<Turn> {
        for index in 0..self.members.len() {
            let now = Instant::now();
            let number = self.members[index].number;
            if !self.members[index].is_due(now) {
                continue;
            }
            match self.fork_worker(index) {
                Ok(Forked::Parent(pid)) => {
                    self.members[index].started(pid);
                    if self.paused {
                        self.members[index].tell(Signal::SIGTTOU);
                    }
                    let which = self.which(number);
                    self.say(Level::Notice, &format!("New worker{which} ({pid}) forked"));
                }
                Ok(Forked::Child) => {
                    return Some(match self.become_worker(number, None) {
                        Ok(start) => Turn::Worker(Box::new(start)),
                        Err(Stop) => Turn::Over(ExitCode::FAILURE),
                    });
                }
                Err(error) => {
                    let ms = self.members[index].refused(now).as_millis();
                    self.pass_checks_on(self.slot(number));
                    let reason = notice::reason(&error);
                    self.say(
                        Level::Alert,
                        &format!("Cannot fork worker #{number} ({reason}): the next attempt is in {ms} ms"),
                    );
                }
            }
        }
        None
    }

    /// Has another worker run the checks that were the duty of a slot whose next worker is not there soon.
    fn pass_checks_on(&self, from: Slot) {
        let segment = self.ties.segment;
        let another =
            self.members.iter().filter(|member| member.pid().is_some()).map(|member| self.slot(member.number));
        if let Some(to) = another.into_iter().find(|slot| *slot != from)
            && segment.checker() == Some(from)
            && segment.move_checker(Some(from), Some(to))
        {
            Mesh::new(segment, from).ring(to);
        }
    }

    fn fork_worker(&self, index: usize) -> io::Result<Forked> {
        self.ties.segment.slots().restart(self.ties.slots[index]);
        fork()
    }

    /// The place of worker `number` in shared memory: there is one for each.
    fn slot(&self, number: u32) -> Slot {
        self.ties.slots[number as usize - 1]
    }

    /// Ends all workers at once.
    pub(in crate::process) fn end_workers(&mut self) {
        self.tell_all(Signal::SIGTERM);
        let late = Instant::now() + TERMINATION_WAIT;
        let mut killed = false;
        let mut crashed = Vec::new();
        while self.members.iter().any(|member| member.pid().is_some()) {
            for member in &mut self.members {
                let pid = member.pid().map_or(0, |pid| pid.as_raw());
                if let Some(status) = member.ended() {
                    // Who ends by itself says why; somebody else's signal leaves no time for that.
                    let is_ours = |signal| signal == Signal::SIGTERM || killed;
                    if matches!(status, WaitStatus::Signaled(_, signal, _) if !is_ours(signal)) {
                        crashed.push((member.number, pid, status));
                    }
                    member.life = Life::Gone;
                    let index = member.number as usize - 1;
                    let slot = self.ties.slots[index];
                    (self.ties.bury)(slot);
                    // Whoever takes the slot next opens it anew.
                    self.posts[index] = None;
                    self.ties.segment.slots().free(slot);
                }
            }
            if !killed && Instant::now() >= late {
                // One that is stopped, say.
                self.tell_all(Signal::SIGKILL);
                killed = true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        for (number, pid, status) in crashed {
            let which = self.which(number);
            self.say(Level::Alert, &format!("Current worker{which} ({pid}) exited with code {}", reason(status)));
        }
    }

    /// Says something on standard error and in the global log.
    pub(in crate::process) fn say(&mut self, level: Level, text: &str) {
        match level {
            _ if !is_read() => {}
            Level::Notice => notice::notice(text),
            _ => notice::running(level == Level::Alert, text),
        }
        self.log(level, text);
    }

    /// Says something in the global log.
    pub(in crate::process) fn log(&mut self, level: Level, text: &str) {
        (self.ties.log)(level, text);
    }
}

/// Shows lines that are messages already.
pub(in crate::process) fn page(text: &str) {
    for line in text.split_inclusive('\n').filter(|_| is_read()) {
        notice::page(line);
    }
}

/// Whether standard error takes a line without waiting: a full pipe that nobody reads must not keep the
/// supervisor from replacing whom it stopped.
pub(in crate::process) fn is_read() -> bool {
    let stderr = io::stderr();
    let mut stderr = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut stderr, PollTimeout::ZERO) != Ok(0)
}

/// How long to wait until `due`.
pub(in crate::process) fn timeout(due: Instant, now: Instant) -> PollTimeout {
    // Rounded up, or the last millisecond would be spent in turns.
    let ms = due.saturating_duration_since(now).as_micros().div_ceil(1000);
    PollTimeout::try_from(ms.min(60_000) as i32).unwrap_or(PollTimeout::ZERO)
}

/// The exit code and what it stands for, in HAProxy's words.
pub(in crate::process) fn reason(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("{code} (Exit)"),
        WaitStatus::Signaled(_, signal, _) => format!("{} ({})", 128 + signal as i32, describe(signal)),
        _ => "255 (Unknown)".to_owned(),
    }
}

/// A signal in the C library's words.
fn describe(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGKILL => "Killed",
        Signal::SIGTERM => "Terminated",
        Signal::SIGSEGV => "Segmentation fault",
        Signal::SIGABRT => "Aborted",
        Signal::SIGBUS => "Bus error",
        Signal::SIGILL => "Illegal instruction",
        Signal::SIGFPE => "Floating point exception",
        Signal::SIGHUP => "Hangup",
        Signal::SIGUSR1 => "User defined signal 1",
        Signal::SIGUSR2 => "User defined signal 2",
        Signal::SIGINT => "Interrupt",
        Signal::SIGSYS => "Bad system call",
        other => other.as_str(),
    }
}

#[cfg(test)]
impl<'a> Supervisor<'a> {
    /// One without workers, which reads no signals.
    fn idle(plan: &'a StartPlan, ties: Ties<'a>) -> Supervisor<'a> {
        Supervisor {
            plan,
            limits: super::limits::compute(&super::plan::LimitsWanted::default(), 1000),
            listeners: Vec::new(),
            ties,
            signals: None,
            pid: Pid::this(),
            members: Vec::new(),
            posts: Vec::new(),
            phase: Phase::Serving,
            paused: false,
            pending: Vec::new(),
            look: None,
            old: Vec::new(),
        }
    }
}
