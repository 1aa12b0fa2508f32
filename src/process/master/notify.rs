//! Words to the service manager (`-Ws`; sd_notify(3)): ready, reloading, stopping, alive.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The line to the service manager; silent unless `-Ws` asks for it and there is one.
#[derive(Debug, Default)]
pub struct Notify {
    speaks: bool,
    /// Half of what the manager waits for a sign of life.
    interval: Option<Duration>,
    due: Option<Instant>,
    /// What the manager had no room for yet.
    waiting: VecDeque<String>,
}

/// When to try again.
const RETRY: Duration = Duration::from_millis(200);
/// Messages that wait; of more, the oldest have no news.
const WAITING_MAX: usize = 16;

impl Notify {
    /// A line that speaks or does not.
    pub fn new(speaks: bool) -> Notify {
        let mut watchdog_us = 0;
        let watched = speaks && sd_notify::watchdog_enabled(false, &mut watchdog_us) && watchdog_us > 1;
        let interval = watched.then(|| Duration::from_micros(watchdog_us / 2));
        Notify { speaks, interval, due: interval.map(|interval| Instant::now() + interval), ..Notify::default() }
    }

    /// The service answers; `status` is for `systemctl status`.
    pub fn ready(&mut self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id()), NotifyState::Status(status)]);
    }

    /// A new configuration is being tried.
    pub fn reloading(&mut self) {
        // Type=notify-reload wants the time, older managers do not mind it.
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        self.tell(&[NotifyState::Reloading, now, NotifyState::Status("Reloading")]);
    }

    /// The service ends.
    pub fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
    }

    /// When something is to be said.
    pub fn due(&self) -> Option<Instant> {
        let retry = (!self.waiting.is_empty()).then(|| Instant::now() + RETRY);
        self.due.into_iter().chain(retry).min()
    }

    /// Says what waits, and gives a sign of life if it is due and there is life.
    pub fn beat(&mut self, now: Instant, alive: bool) {
        self.flush();
        let Some(interval) = self.interval.filter(|_| self.due.is_some_and(|due| now >= due)) else { return };
        self.due = Some(now + interval);
        // A sign that comes later than the next one is none.
        if alive && self.waiting.is_empty() {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        if !self.speaks {
            return;
        }
        // A line of text has one line: a status with more would be read as further states.
        let line = |state: &NotifyState<'_>| state.to_string().replace('\n', " ") + "\n";
        self.waiting.push_back(states.iter().map(line).collect());
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
        self.flush();
    }

    /// A manager that is not there or does not listen is no reason to stop looking after the service.
    fn flush(&mut self) {
        while let Some(text) = self.waiting.front() {
            match send(text.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => drop(self.waiting.pop_front()),
            }
        }
    }
}

/// Sends one message without waiting, which the crate's own function would.
fn send(message: &[u8]) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message, &address).map(drop)
}
