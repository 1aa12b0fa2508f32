//! Workers that live but do nothing, of this configuration and of earlier ones: who is killed.

use super::Supervisor;
use super::watch::{self, Busy};
use crate::log::Level;
use nix::sys::signal::{Signal, kill};
use std::time::{Duration, Instant};

impl Supervisor<'_> {
    /// Kills workers that hang. Those that may only wait for another process's lock get another round: a kill gives
    /// the lock back.
    pub(super) fn look_after_workers(&mut self) {
        let now = Instant::now();
        let Some(timeout) = self.plan.hang_timeout.filter(|_| self.look.is_some_and(|look| now >= look)) else {
            return;
        };
        self.look = Some(now + watch::interval(timeout));
        // Asked once: after the first kill nobody has it any more, and the others would look hung on their own.
        let holder = self.ties.segment.lock_holder();
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let number = member.number;
            let Some(pid) = member.pid() else { continue };
            let turn = Busy::of(self.ties.segment, self.ties.slots[index]);
            let Some(text) = member.watch.look(pid, turn, now, timeout) else { continue };
            if let Some(holder) = holder.filter(|holder| *holder != pid.as_raw()) {
                let text =
                    format!("Worker #{number} ({pid}) {text}: it may wait for process {holder}, which has a lock");
                self.say(Level::Warning, &text);
                continue;
            }
            // The log first: reading it in its last state is what the operator has.
            self.say(Level::Alert, &format!("Worker #{number} ({pid}) {text}: killing it"));
            self.members[index].tell(Signal::SIGKILL);
        }
        self.look_after_old(now, timeout, holder);
    }

    /// Kills old workers that hang: others may wait for them in a server's queue.
    fn look_after_old(&mut self, now: Instant, timeout: Duration, holder: Option<i32>) {
        let segment = self.ties.segment;
        let mut hung = Vec::new();
        for (slot, pid, watch) in &mut self.old {
            // Another service's memory tells nothing of it.
            let is_here = usize::from(slot.0) < segment.slots_max() && segment.pid(*slot) == pid.as_raw();
            let busy = if is_here { Busy::of(segment, *slot) } else { Busy::default() };
            let text = watch.look(*pid, busy, now, timeout);
            hung.extend(text.filter(|_| holder.is_none_or(|holder| holder == pid.as_raw())).map(|text| (*pid, text)));
        }
        for (pid, text) in hung {
            self.say(Level::Alert, &format!("Former worker ({pid}) {text}: killing it"));
            // It is our child and not reaped yet.
            let _gone = kill(pid, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Member, Ties};
    use super::*;
    use crate::process::plan::StartPlan;
    use crate::shm::{Lock, Segment};
    use crate::sys::process::start_child;
    use crate::time::Now;
    use nix::sys::signal::raise;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::cell::RefCell;

    /// A process that stops, with a lock or without.
    fn stopped(segment: Segment, lock: Option<Lock>) -> Pid {
        let child = start_child(segment.fd(), || {
            let _guard = lock.map(|lock| segment.lock(lock));
            u8::from(raise(Signal::SIGSTOP).is_err())
        });
        let status = waitpid(child, Some(WaitPidFlag::WUNTRACED));
        assert_eq!(status, Ok(WaitStatus::Stopped(child, Signal::SIGSTOP)));
        child
    }

    #[test]
    fn who_has_a_lock_is_killed_first_and_then_the_others() {
        let segment = Segment::create(1, 4, 0, 1).expect("segment");
        let old = segment.slots().take(segment.begin_generation(), 1).expect("slot");
        let generation = segment.begin_generation();
        let slots = [1, 2].map(|number| segment.slots().take(generation, number).expect("slot"));
        let (waits, holds, former) =
            (stopped(segment, None), stopped(segment, Some(Lock::State)), stopped(segment, None));
        segment.settle(old, Now::default());
        let said = RefCell::new(Vec::new());
        let mut log = |_: Level, text: &str| said.borrow_mut().push(text.to_owned());
        let plan = StartPlan { hang_timeout: Some(Duration::from_millis(100)), ..StartPlan::default() };
        let ties = Ties { segment, slots: slots.to_vec(), bury: &|_| (), log: &mut log };
        let mut supervisor = Supervisor::idle(&plan, ties);
        for (number, pid) in [(1, waits), (2, holds)] {
            let mut member = Member::new(number);
            member.started(pid);
            supervisor.members.push(member);
        }
        supervisor.watch_old(old, former.as_raw());
        let killed = |said: &[String]| said.iter().filter(|line| line.ends_with(": killing it")).count();
        let begun = Instant::now();
        while killed(&said.borrow()) < 3 && begun.elapsed() < Duration::from_secs(20) {
            supervisor.look = Some(Instant::now());
            supervisor.look_after_workers();
            // What the kernel does with a kill, before the next look.
            for pid in [waits, holds, former] {
                let gone = |line: &String| line.ends_with(": killing it") && line.contains(&format!("({pid})"));
                if said.borrow().iter().any(gone) {
                    let _ = waitpid(pid, None);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = said.borrow();
        let first = said.iter().position(|line| line.ends_with(": killing it")).expect("a kill");
        assert!(said[first].starts_with(&format!("Worker #2 ({holds}) is stopped for ")), "{said:?}");
        let spared = format!("it may wait for process {holds}, which has a lock");
        assert!(said[..first].iter().any(|line| line.contains(&spared)), "{said:?}");
        assert_eq!(killed(&said), 3, "{said:?}");
        assert!(said.iter().any(|line| line.starts_with(&format!("Former worker ({former}) is stopped for "))));
    }
}
