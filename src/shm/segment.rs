//! The segment: its layout, how it is made and how another process finds it again.
//!
//! ```text
//! header | slots | objects: key, generation | index: hash -> object | shared words, a block an object | rows | room
//! ```
//! Rows stand slot by slot, so that each worker writes to pages of its own. Nothing costs memory before it is
//! touched, so capacities are generous.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::slots::SLOT_WORDS;
use super::{Cells, ROW_WORDS, SHARED_WORDS, Slot};
use crate::sys::memory;

/// Marks a finished segment: `epoxyshm`.
const MAGIC: u64 = u64::from_le_bytes(*b"epoxyshm");
/// To be raised whenever words of this folder change their places or meanings within a version.
const FORMAT: u64 = 3;
/// Words that say of an object what it is: two of its key, the generation that used it last, one spare.
pub(super) const INFO_WORDS: usize = 4;
/// Words of a page of memory.
pub(super) const PAGE_WORDS: usize = 4096 / size_of::<u64>();
/// Bounds that keep sizes within an address space and the numbers of slots and objects within their types.
const OBJECTS_MAX: usize = 1 << 28;
const SLOTS_MAX: usize = 1 << 14;

/// Words of the header.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(super) enum Header {
    Magic,
    Layout,
    Id,
    Objects,
    Slots,
    /// Words of room for tables.
    Room,
    /// Generations begun so far.
    Generation = 8,
    /// Slots that were ever used stand below this.
    HighWater,
    /// Slot of the worker that runs the checks, plus one.
    Checker,
    /// Grows whenever a board has changed.
    Boards,
    /// Objects that were ever used stand below this.
    ObjectsUsed = 16,
    /// Not zero while the directory is being changed.
    Dirty,
    /// Words of room that were ever used.
    RoomUsed,
    End = 32,
}

/// Why a file cannot be attached.
#[derive(Debug)]
pub enum Mismatch {
    /// It is no segment, or its maker died before it was one.
    NotASegment,
    /// It was made by another version, or with other columns.
    Layout,
    /// It has too few objects.
    TooSmall,
    /// The system refuses to map it.
    System(io::Error),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::NotASegment => f.write_str("it is not complete"),
            Mismatch::Layout => f.write_str("it is of another version, or of other namespaces"),
            Mismatch::TooSmall => f.write_str("it has no room for what is configured now"),
            Mismatch::System(error) => error.fmt(f),
        }
    }
}

/// An object of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object(pub(super) u32);

impl Object {
    /// Its number in the segment.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Memory that all workers of a service share, those of older generations included. A copy is a view of the
/// same memory, which stays mapped until the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    words: &'static [AtomicU64],
    objects: usize,
    slots: usize,
    room: usize,
    rows: &'static [Cells],
    file: Option<&'static OwnedFd>,
}

/// Where the parts begin, in words.
#[derive(Clone, Copy, Debug)]
struct Plan {
    objects: usize,
    slots: usize,
    /// Words for tables.
    room: usize,
}

impl Plan {
    fn new(objects: usize, slots: usize, room: usize) -> Option<Plan> {
        let fits = (1..=OBJECTS_MAX).contains(&objects) && (1..=SLOTS_MAX).contains(&slots);
        let plan = Plan { objects, slots, room };
        let rows = slots.checked_mul(objects)?.checked_mul(ROW_WORDS)?.checked_add(plan.rows_at())?;
        let last = rows.checked_next_multiple_of(PAGE_WORDS)?.checked_add(room)?;
        (fits && last <= isize::MAX as usize / size_of::<u64>()).then_some(plan)
    }

    fn infos_at(self) -> usize {
        Header::End as usize + self.slots * SLOT_WORDS
    }

    fn index_at(self) -> usize {
        self.infos_at() + self.objects * INFO_WORDS
    }

    fn index_len(self) -> usize {
        (2 * self.objects).next_power_of_two()
    }

    fn shared_at(self) -> usize {
        (self.index_at() + self.index_len()).next_multiple_of(SHARED_WORDS)
    }

    fn rows_at(self) -> usize {
        self.shared_at() + self.objects * SHARED_WORDS
    }

    /// Tables begin on a page, so that unused ones can be given back to the system.
    fn room_at(self) -> usize {
        (self.rows_at() + self.slots * self.objects * ROW_WORDS).next_multiple_of(PAGE_WORDS)
    }

    fn words(self) -> usize {
        self.room_at() + self.room
    }
}

impl Segment {
    /// Octets that a segment would span; `None` if there can be none of this size.
    pub fn bytes_needed(objects: usize, slots: usize, room: usize) -> Option<usize> {
        Some(Plan::new(objects, slots, room)?.words() * size_of::<u64>())
    }

    /// Makes a segment for so many objects and slots, with so many words of room for tables. `layout` says what its words mean: only
    /// who gives the same can attach it.
    ///
    /// # Errors
    /// The system refuses the file or the mapping; nothing is left behind then.
    pub fn create(objects: usize, slots: usize, room: usize, layout: u64) -> io::Result<Segment> {
        let plan = Plan::new(objects, slots, room).ok_or(io::ErrorKind::OutOfMemory)?;
        let file = memory::shared_file("epoxy", plan.words() * size_of::<u64>())?;
        let words = memory::map_words(Some(file.as_fd()), plan.words())?;
        Ok(Segment::begin(plan, words, Some(file), layout))
    }

    /// A segment that no other program can find; processes forked later share it all the same, without locks.
    ///
    /// # Errors
    /// The system refuses the mapping.
    pub fn private(objects: usize, slots: usize) -> io::Result<Segment> {
        let plan = Plan::new(objects, slots, 0).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Segment::begin(plan, memory::map_words(None, plan.words())?, None, 0))
    }

    /// The segment that another process has made, if it is of the same layout and takes so many objects and words
    /// of tables.
    ///
    /// # Errors
    /// Says why it is none of ours. The file is closed then.
    pub fn attach(file: OwnedFd, layout: u64, objects: usize, room: usize) -> Result<Segment, Mismatch> {
        const HEADER_WORDS: usize = Header::Room as usize + 1;
        let mut header = [0; HEADER_WORDS];
        let mut bytes = [0; HEADER_WORDS * size_of::<u64>()];
        let read = nix::sys::uio::pread(&file, &mut bytes, 0);
        for (word, bytes) in header.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let number = |word: Header| header[word as usize];
        if read != Ok(bytes.len()) || number(Header::Magic) != MAGIC || !memory::has_fixed_size(file.as_fd()) {
            return Err(Mismatch::NotASegment);
        }
        if number(Header::Layout) != fingerprint(layout) {
            return Err(Mismatch::Layout);
        }
        let [has_objects, has_slots, has_room] =
            [Header::Objects, Header::Slots, Header::Room].map(|word| number(word) as usize);
        let plan = Plan::new(has_objects, has_slots, has_room);
        let plan = plan.ok_or(Mismatch::NotASegment)?;
        let size = nix::sys::stat::fstat(&file).map_or(0, |stat| stat.st_size);
        if size as usize != plan.words() * size_of::<u64>() {
            return Err(Mismatch::NotASegment);
        }
        if plan.objects < objects || plan.room < room {
            return Err(Mismatch::TooSmall);
        }
        let words = memory::map_words(Some(file.as_fd()), plan.words()).map_err(Mismatch::System)?;
        Ok(Segment::over(plan, words, Some(file)))
    }

    fn begin(plan: Plan, words: &'static [AtomicU64], file: Option<OwnedFd>, layout: u64) -> Segment {
        let segment = Segment::over(plan, words, file);
        let mut random = RandomState::new().build_hasher();
        random.write_u32(std::process::id());
        segment.header(Header::Layout).store(fingerprint(layout), Relaxed);
        segment.header(Header::Id).store(random.finish(), Relaxed);
        segment.header(Header::Objects).store(plan.objects as u64, Relaxed);
        segment.header(Header::Slots).store(plan.slots as u64, Relaxed);
        segment.header(Header::Room).store(plan.room as u64, Relaxed);
        segment.header(Header::Magic).store(MAGIC, SeqCst);
        segment
    }

    fn over(plan: Plan, words: &'static [AtomicU64], file: Option<OwnedFd>) -> Segment {
        let rows = words[plan.rows_at()..][..plan.slots * plan.objects * ROW_WORDS].as_chunks().0;
        // The mapping is never given back, and so its file is not either.
        let file = file.map(|file| &*Box::leak(Box::new(file)));
        Segment { words, objects: plan.objects, slots: plan.slots, room: plan.room, rows, file }
    }

    /// Its file, by which others attach it; none if it is private.
    pub fn fd(self) -> Option<BorrowedFd<'static>> {
        self.file.map(OwnedFd::as_fd)
    }

    /// A random number that tells it from other segments.
    pub fn id(self) -> u64 {
        self.header(Header::Id).load(Relaxed)
    }

    /// Objects that it has room for.
    pub fn objects_max(self) -> usize {
        self.objects
    }

    /// Slots that it has room for.
    pub fn slots_max(self) -> usize {
        self.slots
    }

    /// All objects that were ever used.
    pub fn objects(self) -> impl Iterator<Item = Object> {
        let used = self.header(Header::ObjectsUsed).load(Acquire).min(self.objects as u64);
        (0..used as u32).map(Object)
    }

    /// An object's words that all workers see and that a worker writes under [`super::Lock::State`].
    pub fn shared(self, object: Object) -> &'static [AtomicU64] {
        let at = self.plan().shared_at() + object.0 as usize * SHARED_WORDS;
        &self.words[at..at + SHARED_WORDS]
    }

    /// An object's row in a slot: written by the slot's worker only.
    #[inline]
    pub fn row(self, slot: Slot, object: Object) -> &'static Cells {
        &self.rows[slot.0 as usize * self.objects + object.0 as usize]
    }

    /// All rows of a slot, by [`Object::index`].
    pub fn rows(self, slot: Slot) -> &'static [Cells] {
        &self.rows[slot.0 as usize * self.objects..][..self.objects]
    }

    /// Slots that were ever used stand below this number.
    #[inline]
    pub fn high_water(self) -> usize {
        (self.header(Header::HighWater).load(Relaxed) as usize).min(self.slots)
    }

    /// The slot whose worker runs the checks.
    pub fn checker(self) -> Option<Slot> {
        let word = self.header(Header::Checker).load(Acquire);
        word.checked_sub(1).filter(|slot| *slot < self.slots as u64).map(|slot| Slot(slot as u16))
    }

    /// Makes `to` the one that runs the checks, if it still is `from`.
    pub fn move_checker(self, from: Option<Slot>, to: Option<Slot>) -> bool {
        let word = |slot: Option<Slot>| slot.map_or(0, |slot| u64::from(slot.0) + 1);
        self.header(Header::Checker).compare_exchange(word(from), word(to), AcqRel, Relaxed).is_ok()
    }

    /// Differs from an earlier value if any board has changed since.
    #[inline]
    pub fn boards(self) -> u64 {
        self.header(Header::Boards).load(Acquire)
    }

    /// Tells that a board has changed: who sees the new value sees all that was written before. Gives the
    /// new value.
    pub fn boards_changed(self) -> u64 {
        self.header(Header::Boards).fetch_add(1, Release) + 1
    }

    #[inline]
    pub(super) fn header(self, word: Header) -> &'static AtomicU64 {
        &self.words[word as usize]
    }

    /// The words for tables.
    pub(super) fn room(self) -> &'static [AtomicU64] {
        &self.words[self.plan().room_at()..]
    }

    /// Makes words of the room zero again and gives their memory back: whole pages from `at` on.
    pub(super) fn clear_room(self, at: usize, words: usize) {
        let begin = (self.plan().room_at() + at) * size_of::<u64>();
        let given_back = self.file.is_some_and(|file| memory::punch(file.as_fd(), begin, words * size_of::<u64>()));
        if !given_back {
            self.room()[at..at + words].iter().for_each(|word| word.store(0, Relaxed));
        }
    }

    pub(super) fn slot_words(self, slot: Slot) -> &'static [AtomicU64] {
        assert!((slot.0 as usize) < self.slots, "no such slot");
        let at = Header::End as usize + slot.0 as usize * SLOT_WORDS;
        &self.words[at..at + SLOT_WORDS]
    }

    pub(super) fn info(self, object: Object) -> &'static [AtomicU64] {
        let at = self.plan().infos_at() + object.0 as usize * INFO_WORDS;
        &self.words[at..at + INFO_WORDS]
    }

    pub(super) fn index(self) -> &'static [AtomicU64] {
        let plan = self.plan();
        &self.words[plan.index_at()..plan.index_at() + plan.index_len()]
    }

    fn plan(self) -> Plan {
        Plan { objects: self.objects, slots: self.slots, room: self.room }
    }
}

/// What the words of a segment mean: this program's version, this folder's format, the users' `layout`, and whose
/// pids and addresses they are: workers of different namespaces could not tell whether others live, nor reach them.
fn fingerprint(layout: u64) -> u64 {
    let [pids, addresses] = crate::sys::process::namespaces();
    let words = [FORMAT, layout, ROW_WORDS as u64, SHARED_WORDS as u64, SLOT_WORDS as u64, pids, addresses];
    let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
    super::directory::fnv(env!("CARGO_PKG_VERSION").bytes().chain(bytes)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(segment: Segment) -> OwnedFd {
        segment.fd().expect("file").try_clone_to_owned().expect("dup")
    }

    #[test]
    fn another_process_attaches_the_same_memory() {
        let segment = Segment::create(100, 3, 0, 7).expect("create");
        let again = Segment::attach(copy(segment), 7, 100, 0).expect("attach");
        assert_eq!((again.id(), again.objects_max(), again.slots_max()), (segment.id(), 100, 3));
        segment.row(Slot(2), Object(99))[ROW_WORDS - 1].store(5, Relaxed);
        segment.shared(Object(99))[SHARED_WORDS - 1].store(6, Relaxed);
        assert_eq!(again.row(Slot(2), Object(99))[ROW_WORDS - 1].load(Relaxed), 5);
        assert_eq!(again.shared(Object(99))[SHARED_WORDS - 1].load(Relaxed), 6);
        for object in [0, 50, 99] {
            let row = segment.row(Slot(1), Object(object));
            assert_eq!(row.as_ptr() as usize % super::super::CACHE_LINE_BYTES, 0);
        }
    }

    #[test]
    fn what_is_not_ours_is_not_attached() {
        let segment = Segment::create(10, 2, 512, 7).expect("create");
        assert!(matches!(Segment::attach(copy(segment), 8, 10, 0), Err(Mismatch::Layout)));
        assert!(matches!(Segment::attach(copy(segment), 7, 11, 0), Err(Mismatch::TooSmall)));
        assert!(matches!(Segment::attach(copy(segment), 7, 10, 513), Err(Mismatch::TooSmall)));
        assert!(Segment::attach(copy(segment), 7, 10, 512).is_ok());
        let null = std::fs::File::open("/dev/null").expect("open");
        assert!(matches!(Segment::attach(null.into(), 7, 1, 0), Err(Mismatch::NotASegment)));
        let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("pair");
        assert!(matches!(Segment::attach(socket.into(), 7, 1, 0), Err(Mismatch::NotASegment)));
        let claims = Segment::create(10, 2, 0, 7).expect("create");
        claims.header(Header::Objects).store(u64::MAX, Relaxed);
        assert!(matches!(Segment::attach(copy(claims), 7, 1, 0), Err(Mismatch::NotASegment)));
        claims.header(Header::Objects).store(20, Relaxed);
        assert!(matches!(Segment::attach(copy(claims), 7, 1, 0), Err(Mismatch::NotASegment)));
    }

    #[test]
    fn workers_of_another_namespace_are_strangers() {
        let code = crate::sys::process::in_child(|| {
            let segment = Segment::create(10, 2, 0, 7).expect("create");
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                // Only root may try.
                return 0;
            }
            u8::from(!matches!(Segment::attach(copy(segment), 7, 10, 0), Err(Mismatch::Layout)))
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(Segment::create(usize::MAX, 1, 0, 0).is_err());
        assert!(Segment::create(1, usize::MAX, 0, 0).is_err());
        assert!(Segment::create(OBJECTS_MAX, SLOTS_MAX, 0, 0).is_err());
        assert!(Segment::create(1, 1, usize::MAX, 0).is_err());
        assert!(Segment::create(0, 1, 0, 0).is_err());
    }

    #[test]
    fn one_worker_is_the_checker() {
        let segment = Segment::private(1, 4).expect("segment");
        assert_eq!(segment.checker(), None);
        assert!(segment.move_checker(None, Some(Slot(3))));
        assert!(!segment.move_checker(None, Some(Slot(1))));
        assert_eq!(segment.checker(), Some(Slot(3)));
        assert!(segment.move_checker(Some(Slot(3)), Some(Slot(0))));
        assert_eq!(segment.checker(), Some(Slot(0)));
    }
}
