//! Slots: the places of workers in a segment. A slot outlives its worker: a replacement takes it over, and a
//! later generation may.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::segment::Header;
use super::{CACHE_LINE_WORDS, Lock, Segment};
use crate::sys::pidfd::Process;
use crate::time::Now;

/// Words of a slot: a line that changes rarely, and one that its worker writes at every turn.
pub(super) const SLOT_WORDS: usize = 2 * CACHE_LINE_WORDS;

/// Bit of [`SlotWord::Waits`]: the worker accepts nothing, because a limit of several workers is reached.
pub const WAITS_ACCEPT: u64 = 1;

/// A slot's number in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// The workers of one start: grows with every start, over all processes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// What a slot's worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum SlotState {
    /// There is none.
    Free,
    /// It was given out; the worker is not there yet, or not any more and is about to be replaced.
    Starting,
    /// It accepts.
    Serving,
    /// It accepts no more and finishes what is under way.
    Finishing,
}

/// The words of a slot, written by its worker unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum SlotWord {
    /// Process id; before the worker runs, that of who will start it.
    Pid,
    /// Its [`Generation`].
    Generation,
    /// The worker's number within its generation, from 1.
    Number,
    /// A [`SlotState`].
    State,
    /// Since when the worker runs, wall-clock microseconds.
    StartedUs,
    /// The board generation that it has followed ([`Segment::boards`]).
    Seen,
    /// What it waits for of others: [`WAITS_ACCEPT`].
    Waits,
    /// The user of the process that has the slot.
    Uid,
    /// Monotonic microseconds since when it has been busy, 0 while it waits for events.
    BusySinceUs = CACHE_LINE_WORDS,
    /// The token of what it is doing.
    Doing,
}

const _: () = assert!((SlotWord::Uid as usize) < CACHE_LINE_WORDS && (SlotWord::Doing as usize) < SLOT_WORDS);

/// The slots of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Slots(Segment);

impl Segment {
    /// Begins a generation. Its slots are to be taken before its objects are looked up, for they tell the
    /// others that it lives.
    pub fn begin_generation(self) -> Generation {
        Generation(self.header(Header::Generation).fetch_add(1, AcqRel) + 1)
    }

    /// Its slots.
    pub fn slots(self) -> Slots {
        Slots(self)
    }

    /// A word of a slot.
    #[inline]
    pub fn word(self, slot: Slot, word: SlotWord) -> &'static AtomicU64 {
        &self.slot_words(slot)[word as usize]
    }

    /// The process that has a slot.
    pub fn pid(self, slot: Slot) -> i32 {
        self.word(slot, SlotWord::Pid).load(Relaxed) as i32
    }

    /// The user of the process that has a slot.
    pub fn uid(self, slot: Slot) -> u32 {
        self.word(slot, SlotWord::Uid).load(Relaxed) as u32
    }

    /// The generation of a slot's worker.
    pub fn generation(self, slot: Slot) -> Generation {
        Generation(self.word(slot, SlotWord::Generation).load(Relaxed))
    }

    /// The number of a slot's worker within its generation, from 1.
    pub fn number(self, slot: Slot) -> usize {
        self.word(slot, SlotWord::Number).load(Relaxed) as usize
    }

    /// What a slot's worker does.
    pub fn state(self, slot: Slot) -> SlotState {
        const STATES: [SlotState; 4] = [SlotState::Free, SlotState::Starting, SlotState::Serving, SlotState::Finishing];
        let state = self.word(slot, SlotWord::State).load(Acquire);
        // A word out of range was written by nobody of this layout.
        STATES.get(state as usize).copied().unwrap_or(SlotState::Free)
    }

    /// Tells what a slot's worker does.
    pub fn set_state(self, slot: Slot, state: SlotState) {
        self.word(slot, SlotWord::State).store(state as u64, Release);
    }

    /// Enters this process as the one that has a slot: to be called after every fork that changes it.
    pub fn settle(self, slot: Slot, now: Now) {
        self.word(slot, SlotWord::StartedUs).store(now.wall_us, Relaxed);
        self.word(slot, SlotWord::Uid).store(u64::from(nix::unistd::geteuid().as_raw()), Relaxed);
        self.word(slot, SlotWord::Pid).store(u64::from(std::process::id()), Release);
    }
}

impl Slots {
    /// Takes a free slot for worker `number` of a generation; `None` if there is none. Its counters are those
    /// of an earlier worker: see `stats::Counters::bury`.
    pub fn take(self, generation: Generation, number: usize) -> Option<Slot> {
        let segment = self.0;
        let _guard = segment.lock(Lock::Directory);
        let slot = self.all().find(|slot| segment.state(*slot) == SlotState::Free)?;
        segment.word(slot, SlotWord::Generation).store(generation.0, Relaxed);
        segment.word(slot, SlotWord::Number).store(number as u64, Relaxed);
        segment.header(Header::HighWater).fetch_max(u64::from(slot.0) + 1, SeqCst);
        self.restart(slot);
        Some(slot)
    }

    /// Prepares a slot for a replacement of its worker, which this process is about to start.
    pub fn restart(self, slot: Slot) {
        let segment = self.0;
        for word in [SlotWord::StartedUs, SlotWord::Waits, SlotWord::BusySinceUs, SlotWord::Doing] {
            segment.word(slot, word).store(0, Relaxed);
        }
        segment.word(slot, SlotWord::Seen).store(segment.boards(), Relaxed);
        segment.word(slot, SlotWord::Uid).store(u64::from(nix::unistd::geteuid().as_raw()), Relaxed);
        segment.word(slot, SlotWord::Pid).store(u64::from(std::process::id()), Relaxed);
        segment.set_state(slot, SlotState::Starting);
    }

    /// Gives a slot back, its worker being gone and buried.
    pub fn free(self, slot: Slot) {
        self.0.set_state(slot, SlotState::Free);
    }

    /// Gives back the slots that this process has taken and no worker ever came to.
    pub fn give_up(self) {
        let own = |slot: &Slot| self.0.pid(*slot) == std::process::id() as i32;
        let unused = |slot: &Slot| self.0.state(*slot) == SlotState::Starting;
        self.living().filter(own).filter(unused).for_each(|slot| self.free(slot));
    }

    /// The slots that somebody has.
    pub fn living(self) -> impl Iterator<Item = Slot> {
        self.below_high_water().filter(move |slot| self.0.state(*slot) != SlotState::Free)
    }

    /// The slots that workers of a generation have.
    pub fn of(self, generation: Generation) -> impl Iterator<Item = Slot> {
        self.living().filter(move |slot| self.0.generation(*slot) == generation)
    }

    /// The slots that nobody has now but somebody had.
    pub fn vacant(self) -> impl Iterator<Item = Slot> {
        self.below_high_water().filter(move |slot| self.0.state(*slot) == SlotState::Free)
    }

    /// The slots whose process has ended without giving them back.
    pub fn departed(self) -> impl Iterator<Item = Slot> {
        self.living().filter(move |slot| {
            let ended = |process: Process| !process.is_running();
            match Process::open(self.0.pid(*slot)) {
                Ok(process) => ended(process),
                Err(error) => error.raw_os_error() == Some(libc::ESRCH),
            }
        })
    }

    fn below_high_water(self) -> impl Iterator<Item = Slot> {
        (0..self.0.high_water() as u16).map(Slot)
    }

    fn all(self) -> impl Iterator<Item = Slot> {
        (0..self.0.slots_max() as u16).map(Slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_and_given_back() {
        let segment = Segment::private(1, 3).expect("segment");
        let slots = segment.slots();
        assert_eq!(segment.high_water(), 0);
        let (old, new) = (segment.begin_generation(), segment.begin_generation());
        assert!(new > old);
        let taken: Vec<_> = [(old, 1), (old, 2), (new, 1), (new, 2)].map(|(g, n)| slots.take(g, n)).into();
        assert_eq!(taken, [Some(Slot(0)), Some(Slot(1)), Some(Slot(2)), None]);
        assert_eq!((segment.generation(Slot(1)), segment.number(Slot(1))), (old, 2));
        assert_eq!(slots.of(old).collect::<Vec<_>>(), [Slot(0), Slot(1)]);
        slots.free(Slot(1));
        assert_eq!(slots.living().collect::<Vec<_>>(), [Slot(0), Slot(2)]);
        assert_eq!(slots.vacant().collect::<Vec<_>>(), [Slot(1)]);
        assert_eq!((slots.take(new, 2), segment.high_water()), (Some(Slot(1)), 3));
        assert_eq!(segment.state(Slot(1)), SlotState::Starting);
    }

    #[test]
    fn a_new_worker_has_nothing_of_the_last() {
        let segment = Segment::private(1, 1).expect("segment");
        let slot = segment.slots().take(segment.begin_generation(), 1).expect("slot");
        for word in [SlotWord::Waits, SlotWord::BusySinceUs, SlotWord::Doing] {
            segment.word(slot, word).store(9, Relaxed);
        }
        segment.set_state(slot, SlotState::Serving);
        let boards = segment.boards_changed();
        segment.slots().restart(slot);
        assert_eq!((segment.state(slot), segment.pid(slot)), (SlotState::Starting, std::process::id() as i32));
        assert_eq!(segment.word(slot, SlotWord::Seen).load(Relaxed), boards);
        assert!([SlotWord::Waits, SlotWord::Doing].iter().all(|word| segment.word(slot, *word).load(Relaxed) == 0));
    }

    #[test]
    fn who_has_died_is_found() {
        let segment = Segment::private(1, 2).expect("segment");
        let generation = segment.begin_generation();
        let (own, other) = (segment.slots().take(generation, 1), segment.slots().take(generation, 2));
        assert_eq!(segment.slots().departed().next(), None);
        let other = other.expect("slot");
        crate::sys::process::in_child(|| {
            segment.settle(other, Now::default());
            0
        });
        assert_eq!(segment.slots().departed().collect::<Vec<_>>(), [other]);
        assert_eq!(own, Some(Slot(0)));
    }
}
