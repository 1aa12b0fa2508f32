//! Words to the service manager (`-Ws`; sd_notify(3)): ready, reloading, stopping, alive.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The line to the service manager; silent unless `-Ws` asks for it and there is one.
#[derive(Debug, Default)]
pub struct Notify {
    speaks: bool,
    /// Half of what the manager waits for a sign of life.
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl Notify {
    /// A line that speaks or does not.
    pub fn new(speaks: bool) -> Notify {
        let mut watchdog_us = 0;
        let watched = speaks && sd_notify::watchdog_enabled(false, &mut watchdog_us) && watchdog_us > 1;
        let interval = watched.then(|| Duration::from_micros(watchdog_us / 2));
        Notify { speaks, interval, due: interval.map(|interval| Instant::now() + interval) }
    }

    /// The service answers; `status` is for `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id()), NotifyState::Status(status)]);
    }

    /// A new configuration is being tried.
    pub fn reloading(&self) {
        // Type=notify-reload wants the time, older managers do not mind it.
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        self.tell(&[NotifyState::Reloading, now, NotifyState::Status("Reloading")]);
    }

    /// The service ends.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
    }

    /// When the next sign of life is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives a sign of life if it is due and there is life.
    pub fn beat(&mut self, now: Instant, alive: bool) {
        let Some(interval) = self.interval.filter(|_| self.due.is_some_and(|due| now >= due)) else { return };
        self.due = Some(now + interval);
        if alive {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.speaks {
            // A manager that is not there or does not listen is no reason to stop serving.
            let _ = sd_notify::notify(false, states);
        }
    }
}
