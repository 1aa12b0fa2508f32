//! What workers share: one segment of memory, mapped before the first fork and handed on over reloads.
//!
//! A segment knows objects (a frontend, a backend, a server, a listening address) by their names, and slots,
//! one a worker. Each object has one block of words that all workers see (a [`Board`], say) and a row a slot
//! that only the slot's worker writes (the counters of `stats`). Behind them there is room for tables of keys
//! (a [`Table`]), found by names as well.

mod board;
mod directory;
mod list;
mod lock;
mod ports;
mod room;
mod segment;
mod slots;
mod table;

pub use board::{Board, LOOSE_MAX, NUMBERS_MAX, Page, TEXT_BYTES_MAX, TEXT_NUMBERS};
pub use directory::{Directory, Found, Full, fnv};
pub use list::{Entry, LIST_TEXT_BYTES_MAX, List, NO_END};
pub use lock::{Guard, Lock};
pub use ports::{Lease, Ports, PortsOfServers};
pub use room::region_words;
pub use segment::{Mismatch, Object, Segment};
pub use slots::{Generation, Slot, SlotState, SlotWord, Slots, WAITS_ACCEPT};
pub use table::Table;

use std::sync::atomic::AtomicU64;

/// Octets of a cache line: rows start on one, so that no two writers share it.
pub const CACHE_LINE_BYTES: usize = 64;

/// Words of a cache line.
pub const CACHE_LINE_WORDS: usize = CACHE_LINE_BYTES / size_of::<u64>();

/// Words of an object that all workers share.
pub const SHARED_WORDS: usize = 320;

/// Words of an object's row in each slot.
pub const ROW_WORDS: usize = 80;

/// A row: written by one worker only, read by any.
pub type Cells = [AtomicU64; ROW_WORDS];

const _: () = assert!(SHARED_WORDS.is_multiple_of(CACHE_LINE_WORDS) && ROW_WORDS.is_multiple_of(CACHE_LINE_WORDS));
