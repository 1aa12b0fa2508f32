//! What workers share: one arena of memory, mapped before the first fork.
//!
//! The arena hands out rows of atomic words that live as long as the process. On them stand the counters
//! of `stats` (a row per worker, written by its owner only) and the boards (one writer, any reader).

mod arena;
mod board;

pub use arena::{Arena, ArenaFull};
pub use board::{Board, TEXT_BYTES_MAX};

/// Octets of a cache line: rows start on one, so that no two writers share it.
pub const CACHE_LINE_BYTES: usize = 64;

/// Words of a cache line.
pub const CACHE_LINE_WORDS: usize = CACHE_LINE_BYTES / size_of::<u64>();
