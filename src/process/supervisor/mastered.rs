//! What a master asks of its supervisor.

use super::watch::Watch;
use super::{Life, Supervisor};
use crate::notice;
use crate::shm::{Segment, Slot, SlotState};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

impl Supervisor<'_> {
    /// Whether this process is the supervisor, and not a fork of it.
    pub(in crate::process) fn is_own(&self) -> bool {
        self.pid == Pid::this()
    }

    /// Does what a signal asks for, as far as it concerns workers.
    pub(in crate::process) fn obey(&mut self, signal: Signal) {
        // An end is the master's to say.
        let _ = self.signalled(signal);
    }

    /// Tells who was started.
    pub(in crate::process) fn announce(&self) {
        for (pid, number, ..) in self.workers() {
            notice::notice(format!("New worker{} ({pid}) forked", self.which(number)));
        }
    }

    /// A worker's number in messages, where there are several.
    pub(super) fn which(&self, number: u32) -> String {
        if self.plan.workers > 1 || self.plan.master.is_none() { format!(" #{number}") } else { String::new() }
    }

    /// The workers that run: pid, number, slot and age. The pid of one that is about to be replaced is 0.
    pub(in crate::process) fn workers(&self) -> impl Iterator<Item = (i32, u32, Slot, Duration)> + '_ {
        self.members.iter().filter_map(|member| {
            let (pid, age) = match member.life {
                Life::Running { pid, since } => (pid.as_raw(), since.elapsed()),
                Life::Due(_) => (0, Duration::ZERO),
                Life::Gone => return None,
            };
            Some((pid, member.number, self.slot(member.number), age))
        })
    }

    /// The memory that workers share.
    pub(in crate::process) fn segment(&self) -> Segment {
        self.ties.segment
    }

    /// All listening sockets.
    pub(in crate::process) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(|listener| listener.socket.as_fd())
    }

    /// Watches over a worker of an earlier configuration, a child of this process, until it is buried.
    pub(in crate::process) fn watch_old(&mut self, slot: Slot, pid: i32) {
        if pid > 0 {
            self.old.push((slot, Pid::from_raw(pid), Watch::default()));
        }
    }

    /// Frees the place of a worker of an earlier configuration, which has ended, or never came to be (pid 0).
    /// Another service's memory has other workers there.
    pub(in crate::process) fn bury_old(&mut self, slot: Slot, pid: i32) {
        self.old.retain(|(_, old, _)| old.as_raw() != pid);
        let segment = self.ties.segment;
        // The place of one that was still to come is in the name of whoever was about to start it.
        let owner = if pid > 0 { pid } else { self.pid.as_raw() };
        let is_old = usize::from(slot.0) < segment.slots_max() && !self.ties.slots.contains(&slot);
        if is_old && segment.pid(slot) == owner && segment.state(slot) != SlotState::Free {
            (self.ties.bury)(slot);
            segment.slots().free(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ties;
    use super::*;
    use crate::process::plan::StartPlan;

    #[test]
    fn places_of_old_workers_are_freed_whether_they_came_or_not() {
        let segment = Segment::private(1, 4).expect("segment");
        let (slots, old) = (segment.slots(), segment.begin_generation());
        let [came, was_due] = [1, 2].map(|number| slots.take(old, number).expect("slot"));
        segment.word(came, crate::shm::SlotWord::Pid).store(1, std::sync::atomic::Ordering::Relaxed);
        let own = slots.take(segment.begin_generation(), 1).expect("slot");
        let (plan, mut log) = (StartPlan::default(), |_: crate::log::Level, _: &str| ());
        let ties = Ties { segment, slots: vec![own], bury: &|_| (), log: &mut log };
        let mut supervisor = Supervisor::idle(&plan, ties);
        supervisor.bury_old(came, 2);
        assert_eq!(segment.state(came), SlotState::Starting, "another process has it");
        supervisor.bury_old(came, 1);
        supervisor.bury_old(was_due, 0);
        supervisor.bury_old(own, 0);
        supervisor.bury_old(Slot(9), 0);
        assert_eq!(slots.living().collect::<Vec<_>>(), [own]);
    }
}
