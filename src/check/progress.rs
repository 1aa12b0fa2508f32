//! How far a check is, and how long the last one took, in one word beside the pages of a server's board.
//!
//! Nearly every check says again what the one before it said. That needs no page, which takes the lock and is
//! followed by all workers: the worker that runs the checks writes this word alone, and whoever shows a server looks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::result::Outcome;
use crate::time::Millis;

/// Bits: a check is under way; the low part of the generation of the board that it confirmed; milliseconds.
const UNDER_WAY: u64 = 1;
const GENERATION_BITS: u32 = 31;
const DURATION_SHIFT: u32 = 1 + GENERATION_BITS;

/// A word about the checks of a server, or about its agent.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    word: &'static AtomicU64,
}

impl Progress {
    /// What `word` tells.
    pub fn new(word: &'static AtomicU64) -> Progress {
        Progress { word }
    }

    /// A check begins.
    pub fn begin(self) {
        self.word.store(self.word.load(Relaxed) | UNDER_WAY, Relaxed);
    }

    /// The one that was under way is over, or will never end.
    pub fn end(self) {
        self.word.store(self.word.load(Relaxed) & !UNDER_WAY, Relaxed);
    }

    /// It has ended as what the board tells in `generation`, but for the time that it took.
    pub fn confirm(self, generation: u64, duration: Millis) {
        let duration = duration.0.min(u64::from(u32::MAX));
        self.word.store(duration << DURATION_SHIFT | tag(generation), Relaxed);
    }

    /// Whether one is under way.
    pub fn is_under_way(self) -> bool {
        self.word.load(Relaxed) & UNDER_WAY != 0
    }

    /// How long the last check took whose result is `last`, which a board tells in `generation`.
    pub fn duration(self, generation: u64, last: &Outcome) -> Millis {
        let word = self.word.load(Relaxed);
        let confirms = word & !(u64::MAX << DURATION_SHIFT) & !UNDER_WAY == tag(generation);
        if confirms { Millis(word >> DURATION_SHIFT) } else { last.duration }
    }
}

fn tag(generation: u64) -> u64 {
    (generation << 1) & !(u64::MAX << DURATION_SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_holds_for_the_result_that_it_was_measured_of() {
        let progress = Progress::new(Box::leak(Box::default()));
        let last = Outcome { duration: Millis(7), ..Outcome::default() };
        let generation = (1 << 40) + 5;
        assert_eq!((progress.is_under_way(), progress.duration(generation, &last)), (false, Millis(7)));
        progress.confirm(generation, Millis(3));
        assert_eq!(progress.duration(generation, &last), Millis(3));
        assert_eq!(progress.duration(generation + 1, &last), Millis(7), "something else was published since");
        progress.begin();
        assert_eq!((progress.is_under_way(), progress.duration(generation, &last)), (true, Millis(3)));
        progress.end();
        assert_eq!((progress.is_under_way(), progress.duration(generation, &last)), (false, Millis(3)));
        progress.confirm(generation, Millis(u64::MAX - 1));
        assert_eq!(progress.duration(generation, &last), Millis(u32::MAX.into()));
    }
}
