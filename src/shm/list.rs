//! A list of short texts that all workers share and later generations inherit: servers that were added and taken
//! away at run time.
//!
//! Words: a number that differs after every change, how many entries were ever used; then the entries, each of one
//! size. An entry counts once its serial stands in it, which is written last, so that whoever is killed has changed
//! nothing. Changes are made under [`super::Lock::State`].

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::Generation;

/// Words of an entry.
const ENTRY_WORDS: usize = 256;
/// Entries.
const ENTRIES: usize = 4096;
/// Octets of text that an entry has room for.
pub const LIST_TEXT_BYTES_MAX: usize = (ENTRY_WORDS - TEXT) * size_of::<u64>();

/// Words of the list's head.
const VERSION: usize = 0;
const USED: usize = 1;
const HEAD_WORDS: usize = super::CACHE_LINE_WORDS;

/// Words of an entry: its serial, 0 if it is unused; the generations that it is for; a number; the text.
const SERIAL: usize = 0;
const FROM: usize = 1;
const UNTIL: usize = 2;
const NUMBER: usize = 3;
const TEXT_LEN: usize = 4;
const TEXT: usize = 5;

/// The list. A copy is a view of the same memory.
#[derive(Clone, Copy, Debug)]
pub struct List {
    words: &'static [AtomicU64],
}

/// What stands in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// No two entries ever have the same.
    pub serial: u64,
    /// The first generation that it is for.
    pub from: Generation,
    /// It is for those before this one.
    pub until: Generation,
    /// A number that belongs to the text.
    pub number: u32,
    /// The text.
    pub text: Vec<u8>,
}

/// The generation before which what has no end ends.
pub const NO_END: Generation = Generation(u64::MAX);

impl List {
    /// Words that it needs.
    pub const WORDS: usize = HEAD_WORDS + ENTRIES * ENTRY_WORDS;

    /// The list on these words, which are [`List::WORDS`] at least.
    pub fn new(words: &'static [AtomicU64]) -> List {
        debug_assert!(words.len() >= List::WORDS);
        List { words }
    }

    /// Differs from an earlier value if the list has changed since.
    pub fn version(&self) -> u64 {
        self.words[VERSION].load(Acquire)
    }

    /// The entries that are for a generation, in the order in which they came, which is that of their serials.
    pub fn entries(&self, generation: Generation) -> Vec<Entry> {
        let all = (0..self.used()).filter_map(|at| self.read(at));
        let mut entries: Vec<Entry> = all.filter(|one| one.from <= generation && generation < one.until).collect();
        entries.sort_by_key(|entry| entry.serial);
        entries
    }

    /// Appends an entry for the generations from `from` to before `until`; gives its serial. What no generation from
    /// `oldest` on can see makes room for it. `None` if there is no room, or the text is too long.
    pub fn add(
        &self,
        (from, until): (Generation, Generation),
        number: u32,
        text: &[u8],
        oldest: Generation,
    ) -> Option<u64> {
        if text.len() > LIST_TEXT_BYTES_MAX {
            return None;
        }
        let is_free = |at: &usize| self.read(*at).is_none_or(|entry| entry.until <= oldest);
        let used = self.used();
        let at = (0..used).find(is_free).or((used < ENTRIES).then_some(used))?;
        let words = self.entry(at);
        words[SERIAL].store(0, Release);
        // Whoever was killed may have left an entry that the version does not tell of yet.
        let serial = (0..used).map(|at| self.serial(at)).fold(self.version(), u64::max) + 1;
        for (word, value) in [(FROM, from.0), (UNTIL, until.0), (NUMBER, number.into()), (TEXT_LEN, text.len() as u64)]
        {
            words[word].store(value, Relaxed);
        }
        for (word, octets) in words[TEXT..].iter().zip(text.chunks(size_of::<u64>())) {
            let mut bytes = [0; size_of::<u64>()];
            bytes[..octets.len()].copy_from_slice(octets);
            word.store(u64::from_le_bytes(bytes), Relaxed);
        }
        words[SERIAL].store(serial, Release);
        self.words[USED].store(used.max(at + 1) as u64, Release);
        self.words[VERSION].store(serial, Release);
        Some(serial)
    }

    /// Lets an entry end before a generation.
    pub fn end(&self, serial: u64, before: Generation) {
        self.change(serial, UNTIL, before.0);
    }

    /// Changes the number of an entry.
    pub fn renumber(&self, serial: u64, number: u32) {
        self.change(serial, NUMBER, number.into());
    }

    fn change(&self, serial: u64, word: usize, value: u64) {
        let found = (0..self.used()).map(|at| self.entry(at)).find(|words| words[SERIAL].load(Relaxed) == serial);
        if let Some(words) = found {
            words[word].store(value, Release);
            self.words[VERSION].fetch_add(1, Release);
        }
    }

    fn used(&self) -> usize {
        (self.words[USED].load(Acquire) as usize).min(ENTRIES)
    }

    fn entry(&self, at: usize) -> &'static [AtomicU64] {
        &self.words[HEAD_WORDS + at * ENTRY_WORDS..][..ENTRY_WORDS]
    }

    fn serial(&self, at: usize) -> u64 {
        self.entry(at)[SERIAL].load(Relaxed)
    }

    fn read(&self, at: usize) -> Option<Entry> {
        let words = self.entry(at);
        let get = |word: usize| words[word].load(Relaxed);
        let serial = words[SERIAL].load(Acquire);
        let length = (get(TEXT_LEN) as usize).min(LIST_TEXT_BYTES_MAX);
        let text = || {
            let mut text: Vec<u8> = words[TEXT..]
                .iter()
                .take(length.div_ceil(size_of::<u64>()))
                .flat_map(|word| word.load(Relaxed).to_le_bytes())
                .collect();
            text.truncate(length);
            text
        };
        (serial != 0).then(|| Entry {
            serial,
            from: Generation(get(FROM)),
            until: Generation(get(UNTIL)),
            number: get(NUMBER) as u32,
            text: text(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        List::new(crate::sys::memory::map_words(None, List::WORDS).expect("memory"))
    }

    const ALL: (Generation, Generation) = (Generation(0), NO_END);
    const FIRST: Generation = Generation(1);

    fn texts(list: List, generation: u64) -> Vec<String> {
        let entries = list.entries(Generation(generation)).into_iter();
        entries.map(|entry| String::from_utf8(entry.text).expect("text")).collect()
    }

    #[test]
    fn entries_are_seen_by_those_that_they_are_for() {
        let list = list();
        let a = list.add(ALL, 4, b"a server of many words", FIRST).expect("room");
        let before = list.version();
        list.add((Generation(2), Generation(3)), 5, b"", FIRST).expect("room");
        assert_ne!(list.version(), before);
        assert_eq!(texts(list, 1), ["a server of many words"]);
        assert_eq!(texts(list, 2), ["a server of many words", ""]);
        list.end(a, Generation(3));
        assert_eq!((texts(list, 2).len(), texts(list, 3).len()), (2, 0));
        list.renumber(a, 9);
        assert_eq!(list.entries(FIRST)[0].number, 9);
        assert!(list.add(ALL, 0, &[b'x'; LIST_TEXT_BYTES_MAX + 1], FIRST).is_none());
        list.add(ALL, 0, &[b'x'; LIST_TEXT_BYTES_MAX], FIRST).expect("room");
        assert_eq!(texts(list, 3)[0].len(), LIST_TEXT_BYTES_MAX);
    }

    #[test]
    fn who_is_killed_leaves_no_serial_to_be_given_twice() {
        let list = list();
        let old = list.add(ALL, 1, b"a", FIRST).expect("room");
        list.end(old, FIRST);
        let before = list.version();
        let new = list.add(ALL, 2, b"b", FIRST).expect("room");
        // Killed before the version told of it.
        list.words[VERSION].store(before, Relaxed);
        let next = list.add(ALL, 3, b"c", FIRST).expect("room");
        assert_ne!(next, new);
        list.end(next, FIRST);
        assert_eq!(texts(list, 1), ["b"]);
    }

    #[test]
    fn what_nobody_can_see_makes_room() {
        let list = list();
        let serials: Vec<u64> = (0..ENTRIES).map(|n| list.add(ALL, n as u32, b"x", FIRST).expect("room")).collect();
        assert_eq!(list.add(ALL, 0, b"y", FIRST), None);
        list.end(serials[7], Generation(2));
        assert_eq!(list.add(ALL, 0, b"y", FIRST), None, "the first generation lives");
        let new = list.add(ALL, 0, b"y", Generation(2)).expect("room");
        assert!(!serials.contains(&new));
        assert_eq!(texts(list, 2).last().map(String::as_str), Some("y"), "in the order in which they came");
    }
}
