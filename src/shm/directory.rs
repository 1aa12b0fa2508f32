//! The directory: which object has which name. It is used when a process starts, never by a request.
//!
//! Objects are numbered in the order they came, so that those in use lie close together. Each says what its
//! name hashes to; the index that finds it by that can be made again from the objects alone, which is done
//! when a process died while it changed something.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;

use super::segment::Header;
use super::{Generation, Guard, Lock, Object, Segment, Slot};

/// Words of an object's entry.
const KEY_HIGH: usize = 0;
const KEY_LOW: usize = 1;
const GENERATION: usize = 2;
/// The key of an entry that has no object.
const NO_KEY: u128 = 0;

/// There is no room for one more object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// An object that was found or added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The object.
    pub object: Object,
    /// It was added, and all its words are zero.
    pub is_new: bool,
}

/// The directory, locked for one generation.
#[derive(Debug)]
pub struct Directory {
    segment: Segment,
    generation: Generation,
    /// Objects that were used last by an older generation than this are used by nobody.
    oldest: Generation,
    /// Entries without an object, found when there was no unused one left.
    free: Vec<Object>,
    collected: bool,
    _guard: Guard,
}

impl Segment {
    /// Locks the directory on behalf of a generation, which has taken its slots.
    pub fn directory(self, generation: Generation) -> Directory {
        let guard = self.lock(Lock::Directory);
        let living = self.slots().living().map(|slot| self.generation(slot));
        let oldest = living.fold(generation, Generation::min);
        let directory =
            Directory { segment: self, generation, oldest, free: Vec::new(), collected: false, _guard: guard };
        if self.header(Header::Dirty).load(Relaxed) != 0 {
            directory.change(|| directory.rebuild());
        }
        directory
    }
}

impl Directory {
    /// The object of this kind and name, found or added. It counts as used by the generation from now on. What
    /// neither a living generation nor the last one has used begins anew: orders of long ago shall not come back
    /// with a name.
    ///
    /// # Errors
    /// [`Full`], if it is new and all objects are used by living generations.
    pub fn object(&mut self, kind: &str, name: &[u8]) -> Result<Found, Full> {
        let key = fnv(kind.bytes().chain([0]).chain(name.iter().copied()));
        let key = if key == NO_KEY { !NO_KEY } else { key };
        if let Some(object) = self.find(key) {
            let used_last = &self.segment.info(object)[GENERATION];
            let is_new = used_last.load(Relaxed) < self.oldest.0.min(self.generation.0.saturating_sub(1));
            if is_new {
                self.erase(object);
                fence(SeqCst);
            }
            used_last.fetch_max(self.generation.0, Relaxed);
            return Ok(Found { object, is_new });
        }
        let object = self.add(key)?;
        Ok(Found { object, is_new: true })
    }

    /// The generation uses an object no longer: somebody else may have it once no older generation lives, unless a newer
    /// one uses it.
    pub fn release(&mut self, object: Object) {
        let before = Generation(self.generation.0.saturating_sub(1));
        let used_last = &self.segment.info(object)[GENERATION];
        let _ = used_last.compare_exchange(self.generation.0, before.0, Relaxed, Relaxed);
    }

    pub(super) fn segment(&self) -> Segment {
        self.segment
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// What was used last by an older generation is used by nobody.
    pub(super) fn oldest(&self) -> Generation {
        self.oldest
    }

    fn find(&self, key: u128) -> Option<Object> {
        let index = self.segment.index();
        for at in places(key, index.len()) {
            let object = entry(index[at].load(Relaxed), self.segment)?;
            if self.key(object) == key {
                return Some(object);
            }
        }
        None
    }

    fn add(&mut self, key: u128) -> Result<Object, Full> {
        let used = &self.segment.header(Header::ObjectsUsed);
        let next = used.load(Relaxed) as usize;
        let object = if next < self.segment.objects_max() {
            Object(next as u32)
        } else {
            if !self.collected {
                self.collect();
            }
            self.free.pop().ok_or(Full)?
        };
        self.change(|| {
            if object.0 as usize != next {
                self.erase(object);
            }
            self.segment.info(object)[GENERATION].store(self.generation.0, Relaxed);
            self.set_key(object, key);
            used.fetch_max(u64::from(object.0) + 1, SeqCst);
            self.enter(object, key);
        });
        Ok(object)
    }

    /// Takes the names from objects that nobody uses.
    fn collect(&mut self) {
        let objects: Vec<Object> = self.segment.objects().collect();
        self.change(|| {
            for object in &objects {
                if self.segment.info(*object)[GENERATION].load(Relaxed) < self.oldest.0 {
                    self.set_key(*object, NO_KEY);
                }
            }
            self.rebuild();
        });
        self.free = objects.into_iter().filter(|object| self.key(*object) == NO_KEY).collect();
        self.collected = true;
    }

    /// Zeroes all words of an object that nobody uses.
    fn erase(&self, object: Object) {
        let slots = (0..self.segment.high_water() as u16).map(Slot);
        let rows = slots.flat_map(|slot| self.segment.row(slot, object));
        rows.chain(self.segment.shared(object)).for_each(|word| word.store(0, Relaxed));
    }

    /// Does what may be found half done, should this process die in it.
    fn change(&self, action: impl FnOnce()) {
        let dirty = self.segment.header(Header::Dirty);
        dirty.store(1, SeqCst);
        fence(SeqCst);
        action();
        fence(SeqCst);
        dirty.store(0, SeqCst);
    }

    fn rebuild(&self) {
        self.segment.index().iter().for_each(|word| word.store(0, Relaxed));
        for object in self.segment.objects() {
            let key = self.key(object);
            if key != NO_KEY {
                self.enter(object, key);
            }
        }
    }

    fn enter(&self, object: Object, key: u128) {
        let index = self.segment.index();
        let free = places(key, index.len()).find(|at| index[*at].load(Relaxed) == 0);
        // There are twice as many places as objects.
        debug_assert!(free.is_some());
        if let Some(at) = free {
            index[at].store(u64::from(object.0) + 1, Relaxed);
        }
    }

    fn key(&self, object: Object) -> u128 {
        let info = self.segment.info(object);
        u128::from(info[KEY_HIGH].load(Relaxed)) << 64 | u128::from(info[KEY_LOW].load(Relaxed))
    }

    fn set_key(&self, object: Object, key: u128) {
        let info = self.segment.info(object);
        fence(SeqCst);
        info[KEY_HIGH].store((key >> 64) as u64, Relaxed);
        info[KEY_LOW].store(key as u64, Relaxed);
        fence(SeqCst);
    }
}

/// Where in the index a key may stand, in the order of the search.
fn places(key: u128, len: usize) -> impl Iterator<Item = usize> {
    let start = (key ^ (key >> 64)) as usize;
    (0..len).map(move |step| start.wrapping_add(step) & (len - 1))
}

fn entry(word: u64, segment: Segment) -> Option<Object> {
    word.checked_sub(1).filter(|object| *object < segment.objects_max() as u64).map(|object| Object(object as u32))
}

/// FNV-1a with 128 bits: the same in every build, and no two names of a configuration meet by chance.
pub fn fnv(bytes: impl IntoIterator<Item = u8>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.into_iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(segment: Segment) -> (Generation, Slot) {
        let generation = segment.begin_generation();
        (generation, segment.slots().take(generation, 1).expect("slot"))
    }

    #[test]
    fn an_object_is_found_by_kind_and_name() {
        let segment = Segment::private(8, 2).expect("segment");
        let (generation, _) = start(segment);
        let mut directory = segment.directory(generation);
        let web = directory.object("frontend", b"web").expect("room");
        let same_name = directory.object("backend", b"web").expect("room");
        assert!(web.is_new && same_name.is_new && web.object != same_name.object);
        assert_eq!(directory.object("frontend", b"web"), Ok(Found { is_new: false, ..web }));
        drop(directory);
        let (next, _) = start(segment);
        assert_eq!(segment.directory(next).object("frontend", b"web"), Ok(Found { is_new: false, ..web }));
    }

    #[test]
    fn objects_of_the_gone_are_used_again_and_empty() {
        let segment = Segment::private(2, 3).expect("segment");
        let (first, slot) = start(segment);
        let mut directory = segment.directory(first);
        let [a, b] = [b"a", b"b"].map(|name| directory.object("server", name).expect("room").object);
        assert_eq!(directory.object("server", b"c"), Err(Full));
        drop(directory);
        segment.row(slot, a)[3].store(7, Relaxed);
        segment.shared(a)[4].store(7, Relaxed);
        let (second, _) = start(segment);
        assert_eq!(segment.directory(second).object("server", b"b").map(|found| found.object), Ok(b));
        assert_eq!(segment.directory(second).object("server", b"c"), Err(Full), "the first generation lives");
        segment.slots().free(slot);
        let found = segment.directory(second).object("server", b"c").expect("room");
        assert_eq!(found, Found { object: a, is_new: true });
        assert_eq!((segment.row(slot, a)[3].load(Relaxed), segment.shared(a)[4].load(Relaxed)), (0, 0));
        assert_eq!(segment.directory(second).object("server", b"a"), Err(Full));
        assert_eq!(segment.directory(second).object("server", b"b").map(|found| found.object), Ok(b));
    }

    #[test]
    fn a_name_that_comes_back_is_new() {
        let segment = Segment::private(4, 3).expect("segment");
        let (first, slot) = start(segment);
        let object = segment.directory(first).object("server", b"a").expect("room").object;
        segment.shared(object)[4].store(7, Relaxed);
        segment.row(slot, object)[3].store(7, Relaxed);
        let (second, _) = start(segment);
        segment.slots().free(slot);
        let (third, _) = start(segment);
        let found = segment.directory(third).object("server", b"a");
        assert_eq!(found, Ok(Found { object, is_new: true }), "the second did not have it");
        assert_eq!((segment.shared(object)[4].load(Relaxed), segment.row(slot, object)[3].load(Relaxed)), (0, 0));
        assert_eq!(segment.directory(second).object("server", b"a"), Ok(Found { object, is_new: false }));
    }

    #[test]
    fn a_failed_start_takes_nothing_from_the_living() {
        let segment = Segment::private(1, 3).expect("segment");
        let (first, _) = start(segment);
        segment.directory(first).object("server", b"a").expect("room");
        let (failed, slot) = start(segment);
        segment.directory(failed).object("server", b"a").expect("found");
        segment.slots().free(slot);
        let (third, _) = start(segment);
        assert_eq!(segment.directory(third).object("server", b"b"), Err(Full));
    }

    #[test]
    fn a_change_that_was_cut_short_is_mended() {
        let segment = Segment::private(64, 1).expect("segment");
        let (generation, _) = start(segment);
        let names: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n]).collect();
        let add = |directory: &mut Directory| -> Vec<Object> {
            names.iter().map(|name| directory.object("server", name).expect("room").object).collect()
        };
        let before = add(&mut segment.directory(generation));
        segment.index().iter().for_each(|word| word.store(7, Relaxed));
        segment.header(Header::Dirty).store(1, Relaxed);
        assert_eq!(add(&mut segment.directory(generation)), before);
    }
}
