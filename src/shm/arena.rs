//! The arena: one shared mapping, given out from the front, never taken back.
#![allow(unsafe_code)]

use super::{Board, CACHE_LINE_BYTES, CACHE_LINE_WORDS};
use crate::sys::memory::map_shared;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Memory shared by this process and all that it forks afterwards. The mapping outlives the `Arena`: it
/// stays until the process ends.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    capacity_bytes: usize,
    used_bytes: usize,
}

/// The arena has no room for what was asked: it was sized wrongly before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaFull {
    /// What was asked for.
    pub wanted_bytes: usize,
    /// What was left.
    pub left_bytes: usize,
}

impl Arena {
    /// Maps at least `bytes`. Pages are zero and cost nothing before they are touched, so be generous.
    pub fn with_capacity(bytes: usize) -> io::Result<Arena> {
        let capacity_bytes = bytes.max(1).next_multiple_of(CACHE_LINE_BYTES);
        Ok(Arena { base: map_shared(capacity_bytes)?, capacity_bytes, used_bytes: 0 })
    }

    /// A row of at least one word, zeroed, that starts on a cache line and shares none.
    pub fn row(&mut self, words: usize) -> Result<&'static [AtomicU64], ArenaFull> {
        let left_bytes = self.capacity_bytes - self.used_bytes;
        let full = |wanted_bytes| ArenaFull { wanted_bytes, left_bytes };
        let padded = words.max(1).checked_next_multiple_of(CACHE_LINE_WORDS).ok_or(full(usize::MAX))?;
        let bytes = padded.checked_mul(size_of::<u64>()).ok_or(full(usize::MAX))?;
        if bytes > left_bytes {
            return Err(full(bytes));
        }
        let start = self.base.as_ptr().wrapping_add(self.used_bytes).cast::<AtomicU64>();
        self.used_bytes += bytes;
        // SAFETY: the range lies inside the mapping (checked above), which is never unmapped; it is aligned,
        // for the base is page-aligned and every row is a multiple of a cache line; zero is a valid
        // AtomicU64; no other reference of another type exists, for `used_bytes` only grows.
        Ok(unsafe { std::slice::from_raw_parts(start, words) })
    }

    /// A board of `words` numbers and a short text.
    pub fn board(&mut self, words: usize) -> Result<Board, ArenaFull> {
        Ok(Board::new(self.row(Board::words_needed(words))?, words))
    }

    /// Octets given out so far.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::in_child;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn rows_are_aligned_apart_and_zero() {
        let mut arena = Arena::with_capacity(1024).expect("arena");
        let (a, b) = (arena.row(3).expect("row"), arena.row(9).expect("row"));
        assert_eq!((a.len(), b.len()), (3, 9));
        for row in [a, b] {
            assert_eq!(row.as_ptr() as usize % CACHE_LINE_BYTES, 0);
            assert!(row.iter().all(|word| word.load(Relaxed) == 0));
        }
        assert_eq!(arena.used_bytes(), 64 + 128);
    }

    #[test]
    fn a_full_arena_says_so() {
        let mut arena = Arena::with_capacity(100).expect("arena");
        arena.row(8).expect("row");
        assert_eq!(arena.row(9).expect_err("full"), ArenaFull { wanted_bytes: 128, left_bytes: 64 });
        arena.row(8).expect("the rest still fits");
        assert!(arena.row(usize::MAX).is_err());
    }

    #[test]
    fn what_a_child_writes_the_parent_reads() {
        let mut arena = Arena::with_capacity(4096).expect("arena");
        let row = arena.row(2).expect("row");
        let board = arena.board(2).expect("board");
        row[0].store(5, Relaxed);
        let code = in_child(|| {
            row[1].store(37, Relaxed);
            board.set(0, 9);
            board.write_text(b"from the child");
            0
        });
        assert_eq!((code, row[0].load(Relaxed), row[1].load(Relaxed), board.get(0)), (0, 5, 37, 9));
        assert_eq!(board.read_text().as_deref(), Some(&b"from the child"[..]));
    }
}
