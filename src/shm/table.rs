//! A table of keys that several processes share: fixed memory, entries that expire, no locks.
//!
//! A key belongs to a set of a few entries, by its hash. A new one takes the place of one that has expired, or
//! else of the one that expires first; so every operation ends soon, and nothing is ever moved or swept. An
//! entry is claimed by a compare-and-swap of its state, written, and published; who reads looks at the state
//! before and after. A claim whose owner died is taken over after [`CLAIM_MS`].

use std::hash::Hasher;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// Entries that a key may stand in.
const WAYS: usize = 8;

/// An entry that was claimed for so long was left by somebody who died.
const CLAIM_MS: u32 = 2000;

/// Words of an entry: its state, when it expires (milliseconds), the hash of its key, its value, the key.
const STATE: usize = 0;
const EXPIRES: usize = 1;
const HASH: usize = 2;
const VALUE: usize = 3;
const KEY: usize = 4;

/// A state is `version << 33 | claimed at << 1 | claimed`; 0 was never used.
const CLAIMED: u64 = 1;

/// A shared table. A copy is a view of the same memory.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    words: &'static [AtomicU64],
    entry_words: usize,
    sets: usize,
    key_bytes: usize,
    secret: u64,
}

impl Table {
    /// Words of an entry whose keys have up to so many octets.
    pub fn entry_words(key_bytes: usize) -> usize {
        KEY + key_bytes.div_ceil(size_of::<u64>())
    }

    /// A table on these words, for keys of up to `key_bytes` octets. All who share it give the same `secret`,
    /// which clients cannot guess: they choose keys, and shall not choose sets.
    pub fn new(words: &'static [AtomicU64], key_bytes: usize, secret: u64) -> Table {
        let entry_words = Table::entry_words(key_bytes);
        let sets = words.len() / (entry_words * WAYS);
        // A power of two, so that a set is found by a mask.
        let sets = if sets == 0 { 0 } else { 1 << sets.ilog2() };
        Table { words, entry_words, sets, key_bytes, secret }
    }

    /// The value of a key that has not expired; with `until_ms` its time is extended.
    pub fn get(&self, key: &[u8], now_ms: u64, until_ms: Option<u64>) -> Option<u64> {
        let key = self.cut(key);
        let hash = self.hash(key);
        let (entry, state) = self.find(key, hash, now_ms)?;
        let value = entry[VALUE].load(Relaxed);
        fence(Acquire);
        // Somebody else's by now?
        if entry[STATE].load(Relaxed) != state {
            return None;
        }
        if let Some(until_ms) = until_ms {
            entry[EXPIRES].store(until_ms, Relaxed);
        }
        Some(value)
    }

    /// Remembers a value for a key. Says whether there was a place for it: hardly ever not.
    pub fn put(&self, key: &[u8], value: u64, now_ms: u64, until_ms: u64) -> bool {
        let key = self.cut(key);
        let hash = self.hash(key);
        for _ in 0..WAYS {
            let found = self.find(key, hash, now_ms);
            if let Some((entry, _)) = found.filter(|(entry, _)| entry[VALUE].load(Relaxed) == value) {
                entry[EXPIRES].store(until_ms, Relaxed);
                return true;
            }
            // Another value is written under a claim as another key is: by now the entry may be somebody else's.
            let Some((entry, state)) = found.or_else(|| self.victim(hash, now_ms)) else { return false };
            let version = (state >> 33).wrapping_add(1) << 33;
            let claim = version | u64::from(now_ms as u32) << 1 | CLAIMED;
            if entry[STATE].compare_exchange(state, claim, AcqRel, Relaxed).is_err() {
                continue;
            }
            // Readers see no part of what follows without the claim.
            fence(Release);
            entry[EXPIRES].store(until_ms, Relaxed);
            entry[HASH].store(hash, Relaxed);
            entry[VALUE].store(value, Relaxed);
            for (word, bytes) in entry[KEY..].iter().zip(padded(key, self.entry_words - KEY)) {
                word.store(bytes, Relaxed);
            }
            return entry[STATE].compare_exchange(claim, version | 1 << 1, Release, Relaxed).is_ok();
        }
        false
    }

    /// The entry of a key, and its state while it was that.
    fn find(&self, key: &[u8], hash: u64, now_ms: u64) -> Option<(&'static [AtomicU64], u64)> {
        self.set(hash).find_map(|entry| {
            let state = entry[STATE].load(Acquire);
            if state == 0 || state & CLAIMED != 0 || entry[HASH].load(Relaxed) != hash {
                return None;
            }
            let mut words = entry[KEY..].iter().zip(padded(key, self.entry_words - KEY));
            let same = words.all(|(word, bytes)| word.load(Relaxed) == bytes);
            let alive = entry[EXPIRES].load(Relaxed) > now_ms;
            fence(Acquire);
            (same && alive && entry[STATE].load(Relaxed) == state).then_some((entry, state))
        })
    }

    /// The entry to give up, with its state: an unused one, or the one that expires first.
    fn victim(&self, hash: u64, now_ms: u64) -> Option<(&'static [AtomicU64], u64)> {
        let open = |entry: &'static [AtomicU64]| {
            let state = entry[STATE].load(Acquire);
            let claimed_for = (now_ms as u32).wrapping_sub((state >> 1) as u32);
            let taken = state & CLAIMED != 0 && claimed_for < CLAIM_MS;
            let expires = if state == 0 { 0 } else { entry[EXPIRES].load(Relaxed) };
            (!taken).then_some((expires, entry, state))
        };
        let first = self.set(hash).filter_map(open).min_by_key(|(expires, ..)| *expires);
        first.map(|(_, entry, state)| (entry, state))
    }

    fn set(&self, hash: u64) -> impl Iterator<Item = &'static [AtomicU64]> {
        let at = (hash as usize & self.sets.saturating_sub(1)) * WAYS * self.entry_words;
        let len = if self.sets == 0 { 0 } else { WAYS * self.entry_words };
        self.words[at..at + len].chunks_exact(self.entry_words)
    }

    fn cut<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        &key[..key.len().min(self.key_bytes)]
    }

    fn hash(&self, key: &[u8]) -> u64 {
        #[allow(clippy::default_trait_access, reason = "its keys are fixed, unlike RandomState's")]
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u64(self.secret);
        hasher.write_usize(key.len());
        hasher.write(key);
        hasher.finish()
    }
}

/// A key as words, the last ones filled up with zeroes.
fn padded(key: &[u8], words: usize) -> impl Iterator<Item = u64> {
    (0..words).map(|word| {
        let mut bytes = [0; size_of::<u64>()];
        let rest = key.get(word * size_of::<u64>()..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        u64::from_ne_bytes(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: usize, key_bytes: usize) -> Table {
        let words = crate::sys::memory::map_words(None, entries * Table::entry_words(key_bytes)).expect("memory");
        Table::new(words, key_bytes, 42)
    }

    #[test]
    fn values_are_remembered_until_they_expire() {
        let table = table(64, 8);
        assert_eq!(table.get(b"a", 0, None), None);
        assert!(table.put(b"a", 1, 0, 100) && table.put(b"b", 2, 0, 50) && table.put(b"", 3, 0, 50));
        assert_eq!([b"a", b"b"].map(|key| table.get(key, 49, None)), [Some(1), Some(2)]);
        assert_eq!(
            (table.get(b"b", 50, None), table.get(b"", 10, None), table.get(b"\0", 10, None)),
            (None, Some(3), None)
        );
        assert_eq!(table.get(b"a", 60, Some(300)), Some(1));
        assert!(table.put(b"a", 9, 250, 300));
        assert_eq!(table.get(b"a", 299, None), Some(9));
        // What is longer than a key counts no more.
        assert!(table.put(b"12345678x", 4, 0, 100));
        assert_eq!(table.get(b"12345678y", 0, None), Some(4));
    }

    #[test]
    fn a_full_table_gives_up_what_expires_first() {
        let table = table(WAYS, 8);
        for n in 0..WAYS as u64 {
            assert!(table.put(&[n as u8], n, 0, 100 + n));
        }
        assert!(table.put(b"new", 77, 0, 500));
        assert_eq!(
            (table.get(&[0], 0, None), table.get(&[1], 0, None), table.get(b"new", 0, None)),
            (None, Some(1), Some(77))
        );
        assert!(!self::table(1, 8).put(b"x", 1, 0, 9), "no room for a set");
    }

    #[test]
    fn who_dies_in_the_middle_leaves_nothing_for_ever() {
        let table = table(WAYS, 8);
        table.words.chunks_exact(table.entry_words).for_each(|entry| entry[STATE].store(CLAIMED | 10 << 1, Relaxed));
        assert!(!table.put(b"x", 1, 10 + u64::from(CLAIM_MS) - 1, 1 << 40));
        assert!(table.put(b"x", 1, 10 + u64::from(CLAIM_MS), 1 << 40));
        assert_eq!(table.get(b"x", 5000, None), Some(1));
    }

    #[test]
    fn several_writers_never_mix_keys_and_values() {
        let table = table(64, 16);
        let key = |n: u64| [n.to_ne_bytes(), (n ^ 0xffff).to_ne_bytes()].concat();
        std::thread::scope(|scope| {
            for writer in 0..3 {
                scope.spawn(move || {
                    for turn in 0..20_000_u64 {
                        let n = (turn * 7 + writer * 13) % 500;
                        table.put(&key(n), n, 0, 1000 + turn % 100);
                        if let Some(value) = table.get(&key(n), 0, None) {
                            assert_eq!(value, n);
                        }
                    }
                });
            }
        });
    }
}
