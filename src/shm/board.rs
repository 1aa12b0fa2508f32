//! A board: numbers and a short text that one writer at a time publishes and any worker reads (a server's
//! state). It is a view of an object's shared words.
//!
//! It has two pages. Readers look at one while the writer fills the other; then one store turns it over. So a
//! writer that is killed in between has changed nothing, and no reader sees the half of a change.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::{CACHE_LINE_WORDS, SHARED_WORDS};

/// Octets of text a board holds.
pub const TEXT_BYTES_MAX: usize = 128;
/// Numbers in whose place another text has room, see [`Page::text_at`].
pub const TEXT_NUMBERS: usize = NUMBERS - TEXT_LEN;
/// Numbers a board holds.
pub const NUMBERS_MAX: usize = PAGE_WORDS - NUMBERS;
/// Words beside the pages, for what several workers change without a lock.
pub const LOOSE_MAX: usize = CACHE_LINE_WORDS - 1;

/// The word of a board that counts what was published; its lowest bit says which page is up. The loose words
/// follow it.
const GENERATION: usize = 0;
const PAGE_WORDS: usize = (SHARED_WORDS - CACHE_LINE_WORDS) / 2;
/// Words of a page: the length of the text, the text, the numbers.
const TEXT_LEN: usize = 0;
const TEXT: usize = 1;
const NUMBERS: usize = TEXT + TEXT_BYTES_MAX / size_of::<u64>();

/// Numbers and a text in shared memory. A copy is a view of the same memory.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    words: &'static [AtomicU64],
}

/// One side of a board.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    words: &'static [AtomicU64],
}

impl Board {
    /// The board on an object's shared words. Before anything was published all is zero.
    pub fn new(words: &'static [AtomicU64]) -> Board {
        debug_assert_eq!(words.len(), SHARED_WORDS);
        Board { words }
    }

    /// Publishes what `fill` writes on a page; what it leaves stays as it was. To be called under
    /// [`super::Lock::State`].
    pub fn change(&self, fill: impl FnOnce(Page)) {
        let generation = self.words[GENERATION].load(Relaxed);
        let (old, new) = (self.page(generation), self.page(generation.wrapping_add(1)));
        // Who still reads this page sees by the generation that it is not up any more.
        fence(Release);
        for (to, from) in new.words.iter().zip(old.words) {
            to.store(from.load(Relaxed), Relaxed);
        }
        fill(new);
        self.words[GENERATION].store(generation.wrapping_add(1), Release);
    }

    /// What `read` makes of the page that is up, as it was at one moment.
    pub fn read<T>(&self, read: impl Fn(Page) -> T) -> T {
        loop {
            let generation = self.words[GENERATION].load(Acquire);
            let value = read(self.page(generation));
            fence(Acquire);
            // Nobody writes to a page that is up: it fails only if two changes were made meanwhile.
            if self.words[GENERATION].load(Relaxed) == generation {
                return value;
            }
            std::hint::spin_loop();
        }
    }

    /// Number `index`.
    pub fn get(&self, index: usize) -> u64 {
        self.read(|page| page.get(index))
    }

    /// Differs from an earlier value if something was published since; 0 before the first time.
    pub fn generation(&self) -> u64 {
        self.words[GENERATION].load(Acquire)
    }

    /// A word beside the pages, which any worker changes at any time.
    pub fn loose(&self, index: usize) -> &'static AtomicU64 {
        &self.words[GENERATION + 1..][..LOOSE_MAX][index]
    }

    fn page(&self, generation: u64) -> Page {
        let at = CACHE_LINE_WORDS + (generation & 1) as usize * PAGE_WORDS;
        Page { words: &self.words[at..at + PAGE_WORDS] }
    }
}

impl Page {
    /// Number `index`.
    pub fn get(&self, index: usize) -> u64 {
        self.words[NUMBERS + index].load(Relaxed)
    }

    /// Sets number `index`.
    pub fn set(&self, index: usize, value: u64) {
        self.words[NUMBERS + index].store(value, Relaxed);
    }

    /// The text.
    pub fn text(&self) -> Vec<u8> {
        text_in(&self.words[TEXT_LEN..NUMBERS])
    }

    /// Replaces the text; what is beyond [`TEXT_BYTES_MAX`] is cut.
    pub fn set_text(&self, text: &[u8]) {
        set_text_in(&self.words[TEXT_LEN..NUMBERS], text);
    }

    /// A text in the place of [`TEXT_NUMBERS`] numbers from `index` on.
    pub fn text_at(&self, index: usize) -> Vec<u8> {
        text_in(&self.words[NUMBERS + index..][..TEXT_NUMBERS])
    }

    /// Replaces a text that stands in the place of numbers.
    pub fn set_text_at(&self, index: usize, text: &[u8]) {
        set_text_in(&self.words[NUMBERS + index..][..TEXT_NUMBERS], text);
    }
}

fn text_in(words: &[AtomicU64]) -> Vec<u8> {
    let mut text: Vec<u8> = words[TEXT..].iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
    text.truncate(words[TEXT_LEN].load(Relaxed) as usize);
    text
}

fn set_text_in(words: &[AtomicU64], text: &[u8]) {
    let text = &text[..text.len().min(TEXT_BYTES_MAX)];
    words[TEXT_LEN].store(text.len() as u64, Relaxed);
    for (word, bytes) in words[TEXT..].iter().zip(text.chunks(size_of::<u64>())) {
        let mut padded = [0; size_of::<u64>()];
        padded[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_ne_bytes(padded), Relaxed);
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
        assert_eq!((board.generation(), board.get(1), board.read(|page| page.text())), (0, 0, Vec::new()));
        board.change(|page| {
            page.set(1, 77);
            page.set_text(b"L7OK");
            assert_eq!(board.get(1), 0, "not yet");
        });
        assert_eq!((board.generation(), board.get(0), board.get(1)), (1, 0, 77));
        assert_eq!(board.read(|page| page.text()), b"L7OK");
        board.change(|page| page.set(NUMBERS_MAX - 1, 5));
        assert_eq!((board.get(1), board.get(NUMBERS_MAX - 1)), (77, 5));
        board.change(|page| page.set_text(&[b'x'; TEXT_BYTES_MAX + 1]));
        assert_eq!(board.read(|page| page.text()), [b'x'; TEXT_BYTES_MAX]);
        board.change(|page| page.set_text(b""));
        assert_eq!(board.read(|page| page.text()), b"");
        board.loose(LOOSE_MAX - 1).store(9, Relaxed);
        assert_eq!((board.generation(), board.get(0)), (4, 0));
    }

    #[test]
    fn readers_never_see_half_of_a_change() {
        let board = board();
        let fill = |page: Page, value: u64| {
            (0..NUMBERS_MAX).for_each(|index| page.set(index, value));
            page.set_text(&[value as u8; TEXT_BYTES_MAX]);
        };
        board.change(|page| fill(page, 1));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20_000).for_each(|turn| board.change(|page| fill(page, turn % 200))));
            for _ in 0..20_000 {
                let (first, last, text) = board.read(|page| (page.get(0), page.get(NUMBERS_MAX - 1), page.text()));
                assert_eq!((first, text), (last, vec![last as u8; TEXT_BYTES_MAX]));
            }
        });
    }

    #[test]
    fn a_writer_that_dies_half_way_has_changed_nothing() {
        let board = board();
        board.change(|page| page.set(0, 3));
        let died = std::panic::catch_unwind(|| {
            board.change(|page| {
                page.set(0, 4);
                std::panic::resume_unwind(Box::new(()));
            })
        });
        assert!(died.is_err());
        assert_eq!((board.get(0), board.generation()), (3, 1));
    }
}
