//! The workers of a supervisor, by number: which process each of them is, and when the next one may start.

use super::watch::Watch;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// A worker that lived for so long does not die at once: its successor starts at once.
const LIVED: Duration = Duration::from_secs(1);

/// How long the third of a row of workers that died at once has to wait; each next one twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest wait.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One worker.
#[derive(Debug)]
pub struct Member {
    /// From 1.
    pub number: u32,
    /// What it is at the moment.
    pub life: Life,
    /// How many in a row died at once, or could not be started.
    failures: u32,
    /// What is known of its turns.
    pub watch: Watch,
}

/// What a worker is.
#[derive(Debug)]
pub enum Life {
    /// A process.
    Running {
        /// Its pid.
        pid: Pid,
        /// When it was forked.
        since: Instant,
    },
    /// It is to be started then.
    Due(Instant),
    /// It has gone, and nobody follows.
    Gone,
}

impl Member {
    /// A worker that starts at once.
    pub fn new(number: u32) -> Member {
        Member { number, life: Life::Due(Instant::now()), failures: 0, watch: Watch::default() }
    }

    /// Its process.
    pub fn pid(&self) -> Option<Pid> {
        match self.life {
            Life::Running { pid, .. } => Some(pid),
            Life::Due(_) | Life::Gone => None,
        }
    }

    /// Whether it is to be started.
    pub fn is_due(&self, now: Instant) -> bool {
        matches!(self.life, Life::Due(at) if at <= now)
    }

    /// When it is to be started.
    pub fn due(&self) -> Option<Instant> {
        match self.life {
            Life::Due(at) => Some(at),
            Life::Running { .. } | Life::Gone => None,
        }
    }

    /// A process was started.
    pub fn started(&mut self, pid: Pid) {
        self.life = Life::Running { pid, since: Instant::now() };
        self.watch = Watch::default();
    }

    /// Sends it a signal.
    pub fn tell(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It is our child and not reaped yet: nobody else has its pid.
            let _gone = kill(pid, signal);
        }
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<WaitStatus> {
        match waitpid(self.pid()?, Some(WaitPidFlag::WNOHANG)) {
            Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => Some(status),
            _ => None,
        }
    }

    /// Its process has ended: when the next one starts, and how many in a row died at once.
    pub fn died(&mut self, now: Instant) -> (Duration, u32) {
        let lived = match self.life {
            Life::Running { since, .. } => now.duration_since(since) >= LIVED,
            Life::Due(_) | Life::Gone => false,
        };
        self.failures = if lived { 0 } else { self.failures + 1 };
        let pause = pause(self.failures);
        self.life = Life::Due(now + pause);
        (pause, self.failures)
    }

    /// No process could be started; when the next try is.
    pub fn refused(&mut self, now: Instant) -> Duration {
        self.failures += 1;
        let pause = pause(self.failures).max(PAUSE_MIN);
        self.life = Life::Due(now + pause);
        pause
    }
}

/// The wait before the next start after so many failures in a row.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => PAUSE_MIN.saturating_mul(1 << doublings.min(16)).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_at_once_again_and_again_waits_longer_and_longer() {
        let waits: Vec<u128> = (0..10).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(waits, [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
        let mut member = Member::new(1);
        let now = Instant::now();
        let before = now.checked_sub(LIVED).expect("the machine runs for longer");
        for (since, expected) in [(now, 0), (now, 100), (now, 200), (before, 0), (now, 0)] {
            member.life = Life::Running { pid: Pid::from_raw(1), since };
            assert_eq!(member.died(now).0.as_millis(), expected);
        }
        assert!(member.is_due(now));
    }
}
