//! Room for tables: regions of the segment that are found by their names, one behind the other.
//!
//! ```text
//! header page: key, words, generation | words of the table … | header page: … | … | unused
//! ```
//! A region keeps its size for ever. One that no living generation uses is given to the next table that fits
//! into it. Everything is written before the word that makes it count, so whoever is killed has changed nothing.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, fence};

use super::directory::fnv;
use super::segment::{Header, PAGE_WORDS};
use super::{Directory, Full};

/// Words of a region's header.
const KEY_HIGH: usize = 0;
const KEY_LOW: usize = 1;
const WORDS: usize = 2;
const GENERATION: usize = 3;

/// Words that a region of so many words takes.
pub fn region_words(words: usize) -> usize {
    PAGE_WORDS + words.next_multiple_of(PAGE_WORDS)
}

impl Directory {
    /// The region of this name, found or made with so many words at least; a new one is all zero. Whoever finds
    /// it gets all of it, whatever they ask for.
    ///
    /// # Errors
    /// [`Full`], if it is new and there is no room left.
    pub fn region(&mut self, name: &[u8], words: usize) -> Result<&'static [AtomicU64], Full> {
        let room = self.segment().room();
        let key = fnv(b"region\0".iter().copied().chain(name.iter().copied()));
        let used = self.segment().header(Header::RoomUsed);
        let end = (used.load(Acquire) as usize).min(room.len());
        let (mut at, mut unused) = (0, None);
        while at + PAGE_WORDS <= end {
            let header = &room[at..at + PAGE_WORDS];
            let size = header[WORDS].load(Relaxed) as usize;
            if size == 0 || size > end - at - PAGE_WORDS {
                // Not ours to understand.
                return Err(Full);
            }
            let generation = &header[GENERATION];
            if header[KEY_HIGH].load(Relaxed) == (key >> 64) as u64 && header[KEY_LOW].load(Relaxed) == key as u64 {
                generation.store(generation.load(Relaxed).max(self.generation().0), Relaxed);
                return Ok(&room[at + PAGE_WORDS..at + PAGE_WORDS + size]);
            }
            if generation.load(Relaxed) < self.oldest().0 && size >= words && unused.is_none() {
                unused = Some((at, size));
            }
            at += PAGE_WORDS + size;
        }
        let (at, size) = unused.unwrap_or((end, words.next_multiple_of(PAGE_WORDS)));
        if size > room.len().saturating_sub(at + PAGE_WORDS) {
            return Err(Full);
        }
        if unused.is_some() {
            self.vacate(at, size);
        }
        let header = &room[at..at + PAGE_WORDS];
        header[WORDS].store(size as u64, Relaxed);
        header[GENERATION].store(self.generation().0, Relaxed);
        fence(SeqCst);
        header[KEY_HIGH].store((key >> 64) as u64, Relaxed);
        header[KEY_LOW].store(key as u64, Relaxed);
        used.store(end.max(at + PAGE_WORDS + size) as u64, Release);
        Ok(&room[at + PAGE_WORDS..at + PAGE_WORDS + size])
    }

    /// Takes the name from a region, then what stands in it.
    fn vacate(&self, at: usize, size: usize) {
        let header = &self.segment().room()[at..at + PAGE_WORDS];
        header[KEY_HIGH].store(0, Relaxed);
        header[KEY_LOW].store(0, Relaxed);
        fence(SeqCst);
        self.segment().clear_room(at + PAGE_WORDS, size);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Segment, Slot};
    use super::*;

    fn start(segment: Segment) -> (super::super::Generation, Slot) {
        let generation = segment.begin_generation();
        (generation, segment.slots().take(generation, 1).expect("a slot"))
    }

    #[test]
    fn a_region_is_found_again_by_its_name() {
        let segment = Segment::create(4, 4, 4 * region_words(600), 0).expect("segment");
        let (first, _) = start(segment);
        let a = segment.directory(first).region(b"a", 600).expect("room");
        a[599].store(7, Relaxed);
        let b = segment.directory(first).region(b"b", 10).expect("room");
        assert_eq!((a.len(), b.len(), b[0].load(Relaxed)), (1024, 512, 0));
        assert_eq!(segment.directory(first).region(b"a", 5).expect("found").len(), 1024);
        let (second, _) = start(segment);
        assert_eq!(segment.directory(second).region(b"a", 600).expect("found")[599].load(Relaxed), 7);
        assert!(segment.directory(second).region(b"huge", 1 << 20).is_err());
        assert!(Segment::private(1, 1).expect("segment").directory(first).region(b"a", 1).is_err());
    }

    #[test]
    fn what_nobody_uses_is_given_to_another() {
        let segment = Segment::create(4, 4, region_words(600), 0).expect("segment");
        let (first, old) = start(segment);
        segment.directory(first).region(b"a", 600).expect("room")[5].store(1, Relaxed);
        let (second, _) = start(segment);
        assert_eq!(segment.directory(second).region(b"b", 500).err(), Some(Full), "the first generation lives");
        segment.slots().free(old);
        let b = segment.directory(second).region(b"b", 500).expect("room");
        assert_eq!((b.len(), b[5].load(Relaxed)), (1024, 0));
        assert_eq!(segment.directory(second).region(b"a", 600).err(), Some(Full));
    }
}
