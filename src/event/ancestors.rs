//! Workers of older generations that end without a word: what they had under way is forgotten.
//!
//! A worker that ends well gives its slot back, and a supervisor does that for those that do not. Somebody else
//! has to where there was no supervisor, or where that was killed, too: the first worker of the generation after.

use crate::shm::{Generation, Segment, Slot};
use crate::stats::segment::bury_departed;
use crate::time::{Millis, Now, Tick};

/// How often to look, as long as there are older generations. Twice missed is gone: at first its supervisor may
/// be at it.
const INTERVAL: Millis = Millis::from_secs(1);

/// The older generations, as long as there are any.
#[derive(Debug)]
pub struct Ancestors {
    segment: Segment,
    generation: Generation,
    missed: Vec<Slot>,
    next_look: Tick,
}

impl Ancestors {
    /// Those before the generation of `slot`; looked after if that is the first worker of its own.
    pub fn of(segment: Segment, slot: Slot, now: Now) -> Ancestors {
        let (first, generation) = (segment.number(slot) == 1, segment.generation(slot));
        let next_look = if first { now.tick() + INTERVAL } else { Tick::NEVER };
        Ancestors { segment, generation, missed: Vec::new(), next_look }
    }

    /// When [`Ancestors::look`] has something to do.
    pub fn next_look(&self) -> Tick {
        self.next_look
    }

    /// Buries those that are gone.
    pub fn look(&mut self, now: Now) {
        if now.tick() < self.next_look {
            return;
        }
        let slots = self.segment.slots();
        let older = |slot: &Slot| self.segment.generation(*slot) < self.generation;
        let gone: Vec<Slot> = slots.departed().filter(older).collect();
        if gone.iter().any(|slot| self.missed.contains(slot)) {
            bury_departed(self.segment, |slot| older(slot) && self.missed.contains(slot));
        }
        let any_left = slots.living().any(|slot| older(&slot));
        self.missed = gone;
        self.next_look = if any_left { now.tick() + INTERVAL } else { Tick::NEVER };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::SlotState;
    use crate::sys::process::in_child;

    fn at(seconds: u64) -> Now {
        Now { mono_us: seconds * 1_000_000, wall_us: 0 }
    }

    #[test]
    fn the_dead_are_buried_and_the_living_are_not() {
        let segment = Segment::private(4, 4).expect("segment");
        let slots = segment.slots();
        let old = segment.begin_generation();
        let (dead, alive) = (slots.take(old, 1).expect("slot"), slots.take(old, 2).expect("slot"));
        in_child(|| {
            segment.settle(dead, at(1));
            0
        });
        let own = slots.take(segment.begin_generation(), 1).expect("slot");
        let mut ancestors = Ancestors::of(segment, own, at(10));
        ancestors.look(at(10));
        ancestors.look(at(11));
        assert_eq!(segment.state(dead), SlotState::Starting, "its supervisor may be at it");
        ancestors.look(at(12));
        assert_eq!(segment.state(dead), SlotState::Free);
        assert_eq!(segment.state(alive), SlotState::Starting);
        assert_ne!(ancestors.next_look(), Tick::NEVER);
        slots.free(alive);
        ancestors.look(at(13));
        assert_eq!(ancestors.next_look(), Tick::NEVER, "nobody is left");
        assert_eq!(segment.state(own), SlotState::Starting);
    }
}
