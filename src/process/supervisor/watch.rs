//! The watch over workers that live but do nothing: in a turn without end, or stopped.
//!
//! A worker publishes in its slot since when its turn goes on. One that hangs shows the same for as long as
//! `tune.worker.hang-timeout`, as the supervisor's own looks count it: when the whole machine or the supervisor
//! stood still, nobody is to blame. A worker that was stopped by a signal may have been waiting for events, so
//! that its slot tells nothing: then /proc does. One that is traced is in somebody's hands, and left alone.

use crate::shm::{Segment, Slot, SlotWord};
use crate::token::{Kind, Token};
use nix::unistd::Pid;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Looks within the time after which a worker counts as hung.
const LOOKS: u32 = 8;
/// Looks are not more frequent than this.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Nor rarer.
const INTERVAL_MAX: Duration = Duration::from_secs(1);

/// What a worker says of its turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Busy {
    /// Since when it goes on; 0 while the worker waits for events.
    since_us: u64,
    /// The token that it is at.
    doing: u64,
}

impl Busy {
    /// What the worker of a slot says.
    pub fn of(segment: Segment, slot: Slot) -> Busy {
        let word = |word| segment.word(slot, word).load(Relaxed);
        Busy { since_us: word(SlotWord::BusySinceUs), doing: word(SlotWord::Doing) }
    }
}

/// What was seen of one worker so far.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Instant>,
    /// The turn that went on at the last look.
    busy_since: u64,
    /// For how long that was so.
    stuck: Duration,
    /// It was stopped at the last look.
    is_stopped: bool,
    /// For how long that was so.
    stopped: Duration,
}

/// How often to look for workers that are stuck for so long.
pub fn interval(timeout: Duration) -> Duration {
    (timeout / LOOKS).clamp(INTERVAL_MIN, INTERVAL_MAX)
}

impl Watch {
    /// Looks at a worker. The text says what it is doing if it has done nothing for `timeout`.
    pub fn look(&mut self, pid: Pid, busy: Busy, now: Instant, timeout: Duration) -> Option<String> {
        let before = self.last.replace(now);
        let passed = before.map_or(Duration::ZERO, |before| now.duration_since(before));
        // Time in which the supervisor did not look either does not count.
        let passed = passed.min(2 * interval(timeout));
        let same = busy.since_us != 0 && busy.since_us == self.busy_since;
        self.busy_since = busy.since_us;
        self.stuck = if same { self.stuck + passed } else { Duration::ZERO };
        let was_stopped = std::mem::replace(&mut self.is_stopped, state(pid) == Some('T'));
        self.stopped = if was_stopped && self.is_stopped { self.stopped + passed } else { Duration::ZERO };
        if self.stuck.max(self.stopped) < timeout || is_traced(pid) {
            return None;
        }
        let what = match self.stopped >= timeout {
            true => "is stopped".to_owned(),
            false => format!("is busy with {}", task(Token(busy.doing))),
        };
        let text = format!("{what} for {} ms{}", self.stuck.max(self.stopped).as_millis(), in_the_kernel(pid));
        *self = Watch::default();
        Some(text)
    }
}

/// What a token stands for.
fn task(token: Token) -> String {
    let slot = token.slot();
    match token.kind() {
        Some(Kind::Listener) => format!("listener {slot}"),
        Some(Kind::Session) => format!("session {slot}"),
        Some(Kind::Upstream) => format!("server connection {slot}"),
        Some(Kind::Check) => format!("health check {slot}"),
        Some(Kind::Cli) => format!("runtime connection {slot}"),
        Some(Kind::Bell) => "changes of other workers".to_owned(),
        Some(Kind::Spawner) => "results of external checks".to_owned(),
        Some(Kind::Door) => "questions of other workers".to_owned(),
        Some(Kind::Asked) => format!("question {slot} to another worker"),
        Some(Kind::NameServer) => format!("name server {slot}"),
        Some(Kind::NameStream) => format!("connection {slot} to a name server"),
        Some(Kind::Worker) => "signals and timers".to_owned(),
        None => "something unknown".to_owned(),
    }
}

/// What the kernel tells of a process, as far as it does.
fn in_the_kernel(pid: Pid) -> String {
    let mut text = String::new();
    if let Some(state) = state(pid) {
        text += &format!(", state {state}");
    }
    for name in ["wchan", "syscall", "stack"] {
        let content = fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let content = content.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if !content.is_empty() && content != "0" {
            text += &format!(", {name} {content}");
        }
    }
    text
}

/// The letter that stands for a process's state; `None` if /proc does not tell.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

/// Whether a debugger holds the process.
fn is_traced(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(800);
    const STEP: Duration = Duration::from_millis(100);

    /// How many looks it takes until this process counts as hung, `step` apart.
    fn looks(watch: &mut Watch, busy: Busy, step: Duration, max: u32) -> Option<(u32, String)> {
        let mut now = Instant::now();
        (0..max).find_map(|look| {
            now += step;
            Some((look, watch.look(Pid::this(), busy, now, TIMEOUT)?))
        })
    }

    #[test]
    fn a_turn_without_end_is_noticed() {
        let mut watch = Watch::default();
        assert_eq!(looks(&mut watch, Busy::default(), STEP, 50), None, "it waits for events");
        let busy = Busy { since_us: 17, doing: Token::new(Kind::Session, 5, 1).0 };
        let (count, text) = looks(&mut watch, busy, STEP, 50).expect("it hangs");
        assert!((8..=9).contains(&count), "{count}");
        assert!(text.starts_with("is busy with session 5 for 800 ms"), "{text}");
    }

    #[test]
    fn who_goes_on_is_left_alone() {
        let (mut watch, mut busy) = (Watch::default(), Busy::default());
        let mut now = Instant::now();
        for turn in 1..50 {
            busy.since_us = turn / 4 + 1;
            now += STEP;
            assert_eq!(watch.look(Pid::this(), busy, now, TIMEOUT), None);
        }
        // A machine that slept for an hour.
        now += Duration::from_secs(3600);
        assert_eq!(watch.look(Pid::this(), busy, now, TIMEOUT), None);
    }
}
