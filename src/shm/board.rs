//! A board: numbers and a short text that one writer at a time publishes and any worker reads (a server's
//! state). It is a view of an object's shared words.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::SHARED_WORDS;

/// Octets of text a board holds.
pub const TEXT_BYTES_MAX: usize = 64;

/// Numbers a board holds.
pub const NUMBERS_MAX: usize = SHARED_WORDS - NUMBERS;

const TEXT_WORDS: usize = TEXT_BYTES_MAX / size_of::<u64>();
/// Words before the numbers: generation, sequence and length of the text, then the text.
const GENERATION: usize = 0;
const SEQUENCE: usize = 1;
const TEXT_LEN: usize = 2;
const TEXT: usize = 3;
const NUMBERS: usize = TEXT + TEXT_WORDS;
/// Tries before a reader gives up on a text whose writer died half-way.
const READ_TRIES: u32 = 1000;

/// Numbers and a text in shared memory. A copy is a view of the same memory.
///
/// Numbers are single words: a reader sees the old or the new value of each. After changing any, the writer
/// calls [`Board::publish`]; a reader that sees the generation change then sees all that was written before.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    words: &'static [AtomicU64],
}

impl Board {
    /// The board on an object's shared words. Before anything was published all is zero.
    pub fn new(words: &'static [AtomicU64]) -> Board {
        debug_assert_eq!(words.len(), SHARED_WORDS);
        Board { words }
    }

    /// Sets number `index`.
    pub fn set(&self, index: usize, value: u64) {
        self.words[NUMBERS + index].store(value, Ordering::Relaxed);
    }

    /// Number `index`.
    pub fn get(&self, index: usize) -> u64 {
        self.words[NUMBERS + index].load(Ordering::Relaxed)
    }

    /// Number `index` as an atomic, for those that several workers change (a connection count).
    pub fn shared(&self, index: usize) -> &'static AtomicU64 {
        &self.words[NUMBERS + index]
    }

    /// Makes everything written before visible to who sees the new generation.
    pub fn publish(&self) {
        self.words[GENERATION].fetch_add(1, Ordering::Release);
    }

    /// The generation: differs from an earlier one if something was published since.
    pub fn generation(&self) -> u64 {
        self.words[GENERATION].load(Ordering::Acquire)
    }

    /// Replaces the text; what is beyond [`TEXT_BYTES_MAX`] is cut. One writer at a time.
    pub fn write_text(&self, text: &[u8]) {
        let len = text.len().min(TEXT_BYTES_MAX);
        let sequence = &self.words[SEQUENCE];
        // Odd while the text changes. A writer that died half-way left it odd: its successor goes on from there.
        let odd = sequence.load(Ordering::Relaxed) | 1;
        sequence.store(odd, Ordering::Relaxed);
        fence(Ordering::Release);
        self.words[TEXT_LEN].store(len as u64, Ordering::Relaxed);
        for (word, bytes) in self.words[TEXT..NUMBERS].iter().zip(text[..len].chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        sequence.store(odd.wrapping_add(1), Ordering::Release);
    }

    /// The text as it was at one moment; `None` if its writer stopped half-way.
    pub fn read_text(&self) -> Option<Vec<u8>> {
        let sequence = &self.words[SEQUENCE];
        for _ in 0..READ_TRIES {
            let before = sequence.load(Ordering::Acquire);
            if before & 1 == 0 {
                let len = self.words[TEXT_LEN].load(Ordering::Relaxed) as usize;
                let words = self.words[TEXT..NUMBERS].iter();
                let mut text: Vec<u8> = words.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
                fence(Ordering::Acquire);
                if sequence.load(Ordering::Relaxed) == before {
                    text.truncate(len);
                    return Some(text);
                }
            }
            std::hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let segment = super::super::Segment::private(1, 1).expect("segment");
        let found = segment.directory(segment.begin_generation()).object("server", b"b/s");
        Board::new(segment.shared(found.expect("room").object))
    }

    #[test]
    fn numbers_and_text_are_published() {
        let board = board();
        let before = board.generation();
        board.set(1, 77);
        board.write_text(b"L7OK");
        board.publish();
        assert_ne!(board.generation(), before);
        assert_eq!((board.get(0), board.get(1)), (0, 77));
        assert_eq!(board.read_text().as_deref(), Some(&b"L7OK"[..]));
        board.write_text(&[b'x'; 100]);
        assert_eq!(board.read_text().map(|text| text.len()), Some(TEXT_BYTES_MAX));
        board.write_text(b"");
        assert_eq!(board.read_text().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn readers_never_see_a_torn_text() {
        let board = board();
        board.write_text(&[b'a'; 64]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..20_000u32 {
                    board.write_text(&[b'a' + (turn % 26) as u8; 64]);
                }
            });
            for _ in 0..20_000 {
                if let Some(text) = board.read_text() {
                    assert_eq!(text.len(), 64);
                    assert!(text.iter().all(|byte| *byte == text[0]));
                }
            }
        });
    }

    #[test]
    fn a_writer_that_died_half_way_is_survived() {
        let board = board();
        board.words[SEQUENCE].store(5, Ordering::Relaxed);
        assert_eq!(board.read_text(), None);
        board.write_text(b"next");
        assert_eq!(board.read_text().as_deref(), Some(&b"next"[..]));
    }
}
