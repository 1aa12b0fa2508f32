//! Ports that several processes share: each is somebody's, or free. No port is given twice, and what a worker had
//! that died is free again.
//!
//! Words: where the next search begins; then a half word a port, which holds its owner's mark, 0 if it is free.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::{Segment, Slot, SlotState};

/// Ports that share a word.
const PER_WORD: usize = 2;

/// The ports towards one server. A copy is a view of the same memory.
#[derive(Clone, Debug)]
pub struct Ports {
    words: &'static [AtomicU64],
    segment: Segment,
    slot: Slot,
}

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub struct Lease {
    cell: Cell,
    /// The port.
    pub port: u16,
    mark: u32,
}

/// The half of a word that is a port's.
#[derive(Clone, Copy, Debug)]
struct Cell {
    word: &'static AtomicU64,
    shift: u32,
}

impl Ports {
    /// Words for all ports.
    pub const WORDS: usize = 1 + (1 << 16) / PER_WORD;

    /// Ports on these words, for the worker in this slot.
    pub fn new(words: &'static [AtomicU64], segment: Segment, slot: Slot) -> Ports {
        Ports { words, segment, slot }
    }

    /// The same for the worker in another slot.
    #[must_use]
    pub fn of_slot(&self, slot: Slot) -> Ports {
        Ports { slot, ..self.clone() }
    }

    /// Takes one of the ports `first` to `last`, the one that has been free for long, if there is any.
    pub fn take(&self, (first, last): (u16, u16)) -> Option<Lease> {
        let count = u64::from(last.checked_sub(first)?) + 1;
        let mark = self.mark(self.slot);
        let begin = self.words.first()?.load(Relaxed);
        for at in 0..count {
            // Below `count`, and so below what a port can be.
            let port = first + (begin.wrapping_add(at) % count) as u16;
            let cell = self.cell(port)?;
            let owner = cell.get();
            if (owner == 0 || !self.lives(owner)) && cell.exchange(owner, mark) {
                self.words[0].store(begin.wrapping_add(at + 1), Relaxed);
                return Some(Lease { cell, port, mark });
            }
        }
        None
    }

    /// Gives back what an earlier worker in this slot had.
    pub fn inherit(&self, (first, last): (u16, u16)) {
        let mark = self.mark(self.slot);
        for cell in (first..=last).filter_map(|port| self.cell(port)) {
            cell.exchange(mark, 0);
        }
    }

    fn cell(&self, port: u16) -> Option<Cell> {
        let at = usize::from(port);
        Some(Cell { word: self.words.get(1 + at / PER_WORD)?, shift: (at % PER_WORD * 32) as u32 })
    }

    /// A worker's mark: its slot, and what it takes to know it from others that have the slot later.
    fn mark(&self, slot: Slot) -> u32 {
        (u32::from(slot.0) + 1) | ((self.segment.generation(slot).0 as u32) << 16)
    }

    fn lives(&self, mark: u32) -> bool {
        let slot = Slot((mark as u16).wrapping_sub(1));
        usize::from(slot.0) < self.segment.slots_max()
            && self.mark(slot) == mark
            && self.segment.state(slot) != SlotState::Free
    }
}

impl Cell {
    fn get(self) -> u32 {
        (self.word.load(Acquire) >> self.shift) as u32
    }

    /// Writes `to` if there is `from`, and says whether there was.
    fn exchange(self, from: u32, to: u32) -> bool {
        let mut seen = self.word.load(Acquire);
        while (seen >> self.shift) as u32 == from {
            let new = seen & !(u64::from(u32::MAX) << self.shift) | u64::from(to) << self.shift;
            match self.word.compare_exchange_weak(seen, new, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.cell.exchange(self.mark, 0);
    }
}

/// The ports of each server that has a range of them.
pub type PortsOfServers = Arc<[Option<Ports>]>;

#[cfg(test)]
mod tests {
    use super::*;

    fn two_workers() -> (Segment, Ports, Ports) {
        let segment = Segment::private(1, 3).expect("segment");
        let generation = segment.begin_generation();
        let [a, b] = [1, 2].map(|number| segment.slots().take(generation, number).expect("slot"));
        let words = crate::sys::memory::map_words(None, Ports::WORDS).expect("memory");
        let first = Ports::new(words, segment, a);
        let second = first.of_slot(b);
        (segment, first, second)
    }

    const RANGE: (u16, u16) = (65_533, 65_535);

    #[test]
    fn no_port_is_given_twice() {
        let (_, first, second) = two_workers();
        let all = [first.take(RANGE), second.take(RANGE), first.take(RANGE)].map(|lease| lease.expect("a port"));
        assert_eq!(all.each_ref().map(|lease| lease.port), [65_533, 65_534, 65_535]);
        assert!(first.take(RANGE).is_none() && second.take(RANGE).is_none());
        let [a, b, c] = all;
        drop(b);
        assert_eq!(first.take(RANGE).map(|lease| lease.port), Some(65_534));
        drop((a, c));
        assert_eq!(second.take((7, 6)).map(|lease| lease.port), None);
        assert_eq!(second.take((0, 0)).map(|lease| lease.port), Some(0));
    }

    #[test]
    fn ports_of_who_died_are_free() {
        let (segment, first, second) = two_workers();
        std::mem::forget([second.take(RANGE), second.take(RANGE), first.take(RANGE)]);
        assert!(first.take(RANGE).is_none());
        // A replacement begins with nothing.
        second.inherit(RANGE);
        std::mem::forget([second.take(RANGE), second.take(RANGE)]);
        assert!(first.take(RANGE).is_none());
        segment.slots().free(second.slot);
        std::mem::forget([first.take(RANGE), first.take(RANGE)].map(|lease| lease.expect("a port")));
        assert!(first.take(RANGE).is_none());
        // The slot is somebody else's, and so is its mark.
        let slot = segment.slots().take(segment.begin_generation(), 1).expect("slot");
        let third = first.of_slot(slot);
        third.inherit(RANGE);
        assert!(third.take(RANGE).is_none());
    }

    #[test]
    fn several_workers_never_have_the_same() {
        let (_, first, second) = two_workers();
        let owners: Vec<_> = (0..3).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for ports in [&first, &second] {
                let owners = &owners;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let held: Vec<_> = (0..2).filter_map(|_| ports.take(RANGE)).collect();
                        for lease in &held {
                            assert_eq!(owners[usize::from(lease.port - RANGE.0)].fetch_add(1, AcqRel), 0);
                        }
                        for lease in held {
                            owners[usize::from(lease.port - RANGE.0)].fetch_sub(1, AcqRel);
                        }
                    }
                });
            }
        });
    }
}
