//! The process beside a worker that runs programs for it: checks of servers (`option external-check`).
//!
//! A worker cannot run anything itself once it has its sandbox and has given up what it does not need; and a copy
//! of a worker with all its connections would be made for each check. So the worker forks a spawner before that,
//! which has nothing but the standard streams and a socket to its worker. It becomes the user that the worker
//! becomes, in the same jail, and otherwise keeps what HAProxy's process has, for that is what programs are
//! written for. Orders name a backend, whose program the spawner knows from the configuration: a worker cannot
//! have it run anything else.
//!
//! Each program is the leader of a process group. One that is late gets SIGTERM with all its group, and SIGKILL
//! when it is still there [`PATIENCE`] later. What programs leave behind is the spawner's child then, so that it
//! is reaped. The spawner ends when its worker does, and all that it runs with it.

mod message;

pub use message::{Event, Order, Report, Subject};

use super::daemon;
use super::plan::StartPlan;
use super::privileges;
use super::supervisor::{is_read, set_title, timeout};
use super::{Stop, notice};
use crate::proxy::{Config, Frontend, ListenAddress};
use crate::sys::fds;
use crate::sys::process::{Forked, exit_now, fork, spawn};
use crate::sys::signal::{self, SignalSource};
use crate::sys::socket::{recv_append, send};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a program that was told to end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same at the end of the worker.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Octets of a message: names and paths are lines of a configuration at most.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The code of a program that cannot be executed.
const NOT_EXECUTED: i32 = 255;
/// What stands for an address or a port that there is not.
const NOT_USED: &str = "NOT_USED";
/// What the service's operator may send to all its processes: the worker ends, not its spawner.
const READ: [Signal; 9] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTOU,
    Signal::SIGTTIN,
];

/// The program of a backend.
#[derive(Clone, Debug)]
pub struct Program {
    backend: u32,
    command: OsString,
    path: OsString,
    proxy: String,
    proxy_id: u32,
    /// Address and port of the first listener.
    listener: Option<(String, Option<u16>)>,
}

/// The programs of a configuration, in the order of their backends.
pub fn programs(config: &Config) -> Vec<Program> {
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let all = (0..).zip(&config.backends).filter(|(_, backend)| !backend.disabled);
    let programs = all.filter_map(|(id, backend)| {
        let program = backend.check.program.as_ref()?;
        let own = |frontend: &&Frontend| backend.is_listen && frontend.is_listen && frontend.name == backend.name;
        Some(Program {
            backend: id,
            command: os(&program.command),
            path: os(&program.path),
            proxy: backend.name.clone(),
            proxy_id: backend.uuid,
            listener: config.frontends.iter().find(own).and_then(first_listener),
        })
    });
    programs.collect()
}

fn first_listener(frontend: &Frontend) -> Option<(String, Option<u16>)> {
    frontend.binds.iter().find_map(|bind| match &bind.address {
        ListenAddress::Ip(address) => Some((address.ip().to_string(), Some(address.port()))),
        ListenAddress::Unix(path) => Some((path.to_string_lossy().into_owned(), None)),
        _ => None,
    })
}

impl Program {
    /// As a command for one server.
    fn command(&self, server: &Subject) -> Command {
        let port = |port: Option<u16>| port.map(|port| port.to_string());
        let (proxy_addr, proxy_port) = match &self.listener {
            Some((address, own)) => (address.as_str(), port(*own)),
            None => ("", None),
        };
        let server_port = port(server.port);
        let mut command = Command::new(&self.command);
        command.args([
            if self.listener.is_some() { proxy_addr } else { NOT_USED },
            proxy_port.as_deref().unwrap_or(NOT_USED),
            &server.addr,
            server_port.as_deref().unwrap_or(NOT_USED),
        ]);
        command.env_clear().env("PATH", &self.path);
        command.envs([
            ("HAPROXY_PROXY_NAME", self.proxy.as_str()),
            ("HAPROXY_PROXY_ID", &self.proxy_id.to_string()),
            ("HAPROXY_PROXY_ADDR", proxy_addr),
            ("HAPROXY_PROXY_PORT", proxy_port.as_deref().unwrap_or_default()),
            ("HAPROXY_SERVER_NAME", &server.name),
            ("HAPROXY_SERVER_ID", &server.id.to_string()),
            ("HAPROXY_SERVER_ADDR", &server.addr),
            ("HAPROXY_SERVER_PORT", server_port.as_deref().unwrap_or_default()),
            ("HAPROXY_SERVER_MAXCONN", &server.maxconn.to_string()),
            ("HAPROXY_SERVER_CURCONN", &server.curconn.to_string()),
            ("HAPROXY_SERVER_SSL", "0"),
            ("HAPROXY_SERVER_PROTO", &server.proto),
        ]);
        command.process_group(0);
        command
    }
}

/// A worker's end.
#[derive(Debug)]
pub struct Spawner {
    socket: Socket,
}

impl Spawner {
    /// Forks a spawner, if the configuration has something to run. To be called before privileges are given up.
    pub(super) fn raise(plan: &StartPlan) -> Result<Option<Spawner>, Stop> {
        if plan.programs.is_empty() {
            return Ok(None);
        }
        let attempt = Spawner::pair().and_then(|pair| Ok((pair, fork()?)));
        match attempt {
            Ok(((spawner, theirs), Forked::Parent(_))) => {
                drop(theirs);
                Ok(Some(spawner))
            }
            Ok(((_, theirs), Forked::Child)) => {
                // What is still owned here is closed below the owners, which are never dropped.
                fds::close_all_but(&theirs);
                exit_now(u8::from(serve(plan, &theirs).is_err()))
            }
            Err(error) => {
                let reason = notice::reason(&error);
                notice::alert(format!("[{}.main()] Cannot start what runs checks: {reason}.", plan.program));
                Err(Stop)
            }
        }
    }

    /// Both ends of a socket: the worker's does not wait.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn pair() -> io::Result<(Spawner, Socket)> {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        ours.set_nonblocking(true)?;
        Ok((Spawner { socket: ours }, theirs))
    }

    /// Gives an order.
    ///
    /// # Errors
    /// The spawner is gone, or so busy that it takes no more.
    pub fn order(&self, order: &Order) -> io::Result<()> {
        send(&self.socket, &order.encode(), false).map(drop)
    }

    /// The next report, `None` when there is none for now.
    ///
    /// # Errors
    /// `BrokenPipe`: the spawner is gone.
    pub fn next_report(&self) -> io::Result<Option<Report>> {
        loop {
            match receive(&self.socket) {
                Ok(Some(packet)) => {
                    if let Some(report) = Report::decode(&packet) {
                        return Ok(Some(report));
                    }
                }
                Ok(None) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsRawFd for Spawner {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The next packet, `None` at the end.
fn receive(socket: &Socket) -> io::Result<Option<Vec<u8>>> {
    let mut packet = Vec::with_capacity(MESSAGE_BYTES_MAX);
    recv_append(socket, &mut packet)?;
    Ok(Some(packet).filter(|packet| !packet.is_empty()))
}

/// The life of a spawner.
fn serve(plan: &StartPlan, socket: &Socket) -> Result<(), Stop> {
    set_title("spawner");
    let null = if plan.daemon || (plan.quiet && !plan.verbose) { daemon::open_null().ok() } else { None };
    if plan.daemon {
        let _ = nix::unistd::setsid();
    }
    // The worker says what goes wrong.
    notice::set_modes(true, false);
    privileges::become_runner(plan)?;
    notice::set_modes(plan.quiet, plan.verbose);
    if let Some(null) = null {
        daemon::drop_stdio(&null);
    }
    // Without it, orphans are somebody else's.
    let _ = prctl::set_child_subreaper(true);
    // Whoever started all this may ignore the ends of children: nobody would be told of them.
    let signals = signal::restore(Signal::SIGCHLD).and_then(|()| SignalSource::new(&READ)).map_err(|_| Stop)?;
    let mut spawning = Spawning { programs: &plan.programs, socket, signals, running: Vec::new() };
    while spawning.turn() {}
    spawning.end();
    Ok(())
}

struct Spawning<'a> {
    programs: &'a [Program],
    socket: &'a Socket,
    signals: SignalSource,
    running: Vec<Running>,
}

/// A program, or what is left of its group.
struct Running {
    id: u64,
    /// The leader's, which is the group's.
    pid: Pid,
    /// When it is killed, once it was told to end.
    kill_at: Option<Instant>,
    /// The leader has ended.
    is_over: bool,
}

impl Spawning<'_> {
    /// Waits for something to do and does it; says whether there is a worker.
    fn turn(&mut self) -> bool {
        self.wait(&[self.socket.as_fd(), self.signals.as_fd()]);
        self.reap();
        self.kill_late();
        loop {
            match receive(self.socket) {
                Ok(Some(packet)) => match Order::decode(&packet) {
                    Some(Order::Run { id, backend, subject }) => self.run(id, backend, &subject),
                    Some(Order::End { id }) => self.tell_to_end(id, PATIENCE),
                    None => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Waits for one of these, or until somebody is late.
    fn wait(&self, fds: &[BorrowedFd<'_>]) {
        let due = self.running.iter().filter_map(|running| running.kill_at).min();
        let limit = due.map_or(PollTimeout::NONE, |due| timeout(due, Instant::now()));
        let mut fds: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        // What interrupts it makes an empty turn.
        let _ = poll(&mut fds, limit);
        while let Ok(Some(_)) = self.signals.next_signal() {}
    }

    fn run(&mut self, id: u64, backend: u32, subject: &Subject) {
        let found = self.programs.binary_search_by_key(&backend, |program| program.backend);
        let Some(program) = found.ok().map(|at| &self.programs[at]) else {
            return self.report(id, Event::Exited(NOT_EXECUTED));
        };
        match spawn(&mut program.command(subject)) {
            Ok(child) => {
                let pid = child.id() as i32;
                self.running.push(Running { id, pid: Pid::from_raw(pid), kill_at: None, is_over: false });
                self.report(id, Event::Began(pid));
            }
            Err(error) if is_want(&error) => {
                say(&format!(
                    "Failed to fork process for external health check (likely caused by missing \
                     'insecure-fork-wanted'): {}. Aborting.",
                    notice::reason(&error)
                ));
                self.report(id, Event::Refused(error.raw_os_error().unwrap_or_default()));
            }
            Err(error) => {
                let reason = notice::reason(&error);
                say(&format!("Failed to exec process for external health check: {reason}. Aborting."));
                self.report(id, Event::Exited(NOT_EXECUTED));
            }
        }
    }

    fn tell_to_end(&mut self, id: u64, patience: Duration) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id && running.kill_at.is_none()) {
            let _ = killpg(running.pid, Signal::SIGTERM);
            running.kill_at = Some(Instant::now() + patience);
        }
    }

    /// Reports who has ended.
    fn reap(&mut self) {
        loop {
            let (pid, event) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Event::Exited(code)),
                Ok(WaitStatus::Signaled(pid, ..)) => (pid, Event::Killed),
                _ => break,
            };
            if let Some(running) = self.running.iter_mut().find(|running| running.pid == pid && !running.is_over) {
                running.is_over = true;
                let id = running.id;
                self.report(id, event);
            }
        }
        // Whoever was told to end shall not leave others of its group behind.
        self.running.retain(|running| !running.is_over || (running.kill_at.is_some() && has_members(running.pid)));
    }

    fn kill_late(&mut self) {
        let now = Instant::now();
        for running in &mut self.running {
            if running.kill_at.is_some_and(|at| at <= now) {
                let _ = killpg(running.pid, Signal::SIGKILL);
                running.kill_at = Some(now + PATIENCE);
            }
        }
    }

    /// Nobody waits for results any more.
    fn end(&mut self) {
        let ids: Vec<u64> = self.running.iter().map(|running| running.id).collect();
        for id in ids {
            self.tell_to_end(id, LAST_PATIENCE);
        }
        // Those told before have no longer.
        let last = Instant::now() + LAST_PATIENCE;
        for running in &mut self.running {
            running.kill_at = running.kill_at.map(|at| at.min(last));
        }
        let late = Instant::now() + 2 * LAST_PATIENCE;
        while !self.running.is_empty() && Instant::now() < late {
            // The socket is readable for ever: it tells its end.
            self.wait(&[self.signals.as_fd()]);
            self.reap();
            self.kill_late();
        }
    }

    fn report(&self, id: u64, event: Event) {
        // A worker that is gone needs no word; one that hangs lets the spawner wait.
        let _ = self.socket.send(&Report { id, event }.encode());
    }
}

/// Whether processes of a group are children of this one: its number cannot be another group's then.
fn has_members(group: Pid) -> bool {
    waitid(Id::PGid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT).is_ok()
}

/// Whether there is no process for want of something; otherwise it is the program that cannot be executed.
fn is_want(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE))
}

fn say(text: &str) {
    if is_read() {
        notice::running(true, text);
    }
}

#[cfg(test)]
mod tests;
