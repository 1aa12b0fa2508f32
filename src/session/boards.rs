//! The boards of servers, backends, frontends and the whole: states in the words that all workers share.
//!
//! Whoever changes a state holds the lock, has followed all changes before his own, and then posts. The
//! others see another number in the segment and follow, by the list of the latest changes if they are not
//! too far behind.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::admission::Rates;
use crate::check::Progress;
use crate::proxy::servers::put;
use crate::proxy::{BackendId, Config, FrontendId, ServerId};
use crate::shm::{Board, Generation, Guard, LOOSE_MAX, Lock, SHARED_WORDS, Segment, Slot, SlotState, SlotWord};
use crate::stats::{Counters, Row};

/// Numbers on the board of the whole.
#[derive(Clone, Copy)]
enum Whole {
    /// Limit of connections as ordered, 0 if it was not.
    Maxconn,
    /// The generation that this order is for.
    MaxconnOf,
    /// What its configuration says, plus one.
    MaxconnConfigured,
    /// Limits of connections and of sessions a second as ordered, 0 for none.
    ConnectionRate,
    SessionRate,
    /// The generation that these are for.
    RatesOf,
}

/// Words of the bulletin.
#[derive(Clone, Copy)]
enum Word {
    /// Object that is being changed, plus one. Still there when the lock is taken: its writer died.
    Unfinished,
    /// Newest generation whose configuration was merged.
    Merged,
    /// From here on the latest changes.
    Changes,
}

/// Changes that are remembered one by one.
const CHANGES: usize = SHARED_WORDS - Word::Changes as usize;

/// Words beside the pages of a server's board, see [`Boards::next_check`].
const NEXT_CHECK: usize = 0;
const NEXT_AGENT_CHECK: usize = 2;
const CHECK: usize = 3;
const AGENT_CHECK: usize = 4;

/// Likewise, see [`Boards::errors_in_a_row`].
const ERRORS: usize = 1;

/// Bits of a remembered change that say which object changed; those above tell which change it was.
const OBJECT_BITS: u32 = 32;

/// What has a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// The service.
    Whole,
    /// A frontend.
    Frontend(FrontendId),
    /// A backend.
    Backend(BackendId),
    /// A server.
    Server(ServerId),
}

/// All boards, as one worker sees them.
pub struct Boards {
    segment: Segment,
    slot: Slot,
    generation: Generation,
    /// Changes up to this number have been followed.
    seen: u64,
    /// The others know that it has followed up to this one.
    told: u64,
    /// The number of this worker's latest change.
    posted: u64,
    /// A change is due to reach the others without delay.
    urgent: bool,
    bulletin: &'static [AtomicU64],
    entries: Vec<Entry>,
    first_backend: usize,
    first_server: usize,
    by_object: HashMap<usize, usize>,
}

struct Entry {
    thing: Thing,
    object: usize,
    board: Board,
    /// The board's generation when it was read or written last.
    read: u64,
}

impl Boards {
    /// The boards of `config`'s objects in the counters' segment.
    pub fn new(config: &Config, counters: &Counters) -> Boards {
        let (segment, slot) = (counters.segment(), counters.slot());
        let mut entries = vec![Entry::new(Thing::Whole, counters.process())];
        for id in (0..config.frontends.len() as u32).map(FrontendId) {
            entries.push(Entry::new(Thing::Frontend(id), counters.frontend(id)));
        }
        for id in (0..config.backends.len() as u32).map(BackendId) {
            entries.push(Entry::new(Thing::Backend(id), counters.backend(id)));
        }
        for id in config.servers.ids() {
            entries.push(Entry::new(Thing::Server(id), counters.server(id)));
        }
        let first_backend = 1 + config.frontends.len();
        Boards {
            segment,
            slot,
            generation: segment.generation(slot),
            seen: 0,
            told: 0,
            posted: 0,
            urgent: false,
            bulletin: counters.bulletin(),
            by_object: entries.iter().enumerate().map(|(at, entry)| (entry.object, at)).collect(),
            entries,
            first_backend,
            first_server: first_backend + config.backends.len(),
        }
    }

    /// Takes in a server that comes while the process runs: its id is the next one or was another's, `row` its row.
    pub fn seat(&mut self, id: ServerId, row: Row<'_>) {
        let at = self.at(Thing::Server(id));
        let mut entry = Entry::new(Thing::Server(id), row);
        entry.read = entry.board.generation();
        self.by_object.insert(entry.object, at);
        put(&mut self.entries, at as u32, entry);
    }

    /// Forgets what stands beside the pages of a server's board: one of its name was taken away.
    pub fn begin_server(&self, id: ServerId) {
        let board = self.board(Thing::Server(id));
        (0..LOOSE_MAX).for_each(|word| board.loose(word).store(0, Relaxed));
    }

    /// Follows a server's board no longer: the server was taken away.
    pub fn remove_server(&mut self, id: ServerId) {
        let object = self.entries[self.at(Thing::Server(id))].object;
        if self.by_object.get(&object) == Some(&self.at(Thing::Server(id))) {
            self.by_object.remove(&object);
        }
    }

    /// Locks all boards for this process. It must not hold the lock already.
    pub fn lock(&self) -> Guard {
        self.segment.lock(Lock::State)
    }

    /// Whether something has changed that was not followed yet: one load.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.segment.boards() != self.seen
    }

    /// Whether the others do not know yet how far this worker has followed.
    #[inline]
    pub fn is_untold(&self) -> bool {
        self.told != self.seen
    }

    /// Under the lock: what others have changed since this was asked last.
    pub fn changes(&mut self) -> Vec<Thing> {
        if let Some(object) = self.word(Word::Unfinished).load(Relaxed).checked_sub(1) {
            // Its writer died: either nothing has changed, or nobody was told.
            self.announce(object);
        }
        let (first, last) = (self.seen + 1, self.segment.boards());
        self.seen = last;
        let changed = self.remembered(first, last).unwrap_or_else(|| {
            // A server that has gone may have left its object to another one.
            let is_there = |at: &usize| self.by_object.get(&self.entries[*at].object) == Some(at);
            (0..self.entries.len()).filter(is_there).collect()
        });
        let news = changed.into_iter().filter(|at| {
            let entry = &mut self.entries[*at];
            let generation = entry.board.generation();
            std::mem::replace(&mut entry.read, generation) != generation
        });
        let news: Vec<usize> = news.collect();
        news.into_iter().map(|at| self.entries[at].thing).collect()
    }

    /// The entries that the changes from `first` to `last` were made to; `None` if some of these changes are
    /// forgotten. Objects of other configurations are left out.
    fn remembered(&self, first: u64, last: u64) -> Option<Vec<usize>> {
        const LOW: u64 = (1 << OBJECT_BITS) - 1;
        if last.saturating_sub(first) >= CHANGES as u64 {
            return None;
        }
        let mut entries = Vec::new();
        for number in first..=last {
            let word = self.change(number).load(Relaxed);
            if word >> OBJECT_BITS != number & LOW {
                return None;
            }
            entries.extend(self.by_object.get(&((word & LOW) as usize)));
        }
        Some(entries)
    }

    /// Under the lock, with nothing left to follow: changes a thing's board by `write` and tells the others.
    pub fn post(&mut self, thing: Thing, write: impl FnOnce(Board)) {
        let at = self.at(thing);
        let object = self.entries[at].object as u64;
        self.word(Word::Unfinished).store(object + 1, Release);
        write(self.entries[at].board);
        self.announce(object);
        self.posted = self.segment.boards();
        self.seen = self.posted;
        self.entries[at].read = self.entries[at].board.generation();
    }

    fn announce(&self, object: u64) {
        let number = self.segment.boards() + 1;
        self.change(number).store(number << OBJECT_BITS | object, Relaxed);
        self.segment.boards_changed();
        self.word(Word::Unfinished).store(0, Release);
    }

    /// Tells the others that this worker has followed all it knows of.
    pub fn tell_seen(&mut self) {
        self.told = self.seen;
        self.segment.word(self.slot, SlotWord::Seen).store(self.seen, Relaxed);
    }

    /// A thing's board.
    pub fn board(&self, thing: Thing) -> Board {
        self.entries[self.at(thing)].board
    }

    /// Whether a board was never written.
    pub fn is_blank(&self, thing: Thing) -> bool {
        self.board(thing).generation() == 0
    }

    /// The number of this worker's latest change, see [`Boards::is_awaited`].
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// Whether another worker that lives has not followed change `number` yet.
    pub fn is_awaited(&self, number: u64) -> bool {
        let slots = self.segment.slots();
        let runs = |slot: &Slot| matches!(self.segment.state(*slot), SlotState::Serving | SlotState::Finishing);
        let late = |slot: &Slot| self.segment.word(*slot, SlotWord::Seen).load(Relaxed) < number;
        let late: Vec<Slot> = slots.living().filter(|slot| *slot != self.slot && runs(slot) && late(slot)).collect();
        if late.is_empty() {
            return false;
        }
        let departed: Vec<Slot> = slots.departed().collect();
        late.iter().any(|slot| !departed.contains(slot))
    }

    /// Notes that a change must not wait until the others happen to wake up.
    pub fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Whether the others are to be woken; asked once.
    pub fn take_urgent(&mut self) -> bool {
        std::mem::take(&mut self.urgent)
    }

    /// This worker's generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Under the lock: the newest generation whose configuration was merged.
    pub fn merged(&self) -> Generation {
        Generation(self.word(Word::Merged).load(Relaxed))
    }

    /// Under the lock: whether the configuration of this generation, or a newer one, was merged.
    pub fn is_merged(&self) -> bool {
        self.merged() >= self.generation
    }

    /// Under the lock: notes that it was.
    pub fn set_merged(&self) {
        self.word(Word::Merged).store(self.generation.0, Relaxed);
    }

    /// The limit of connections that was ordered for this generation.
    pub fn ordered_maxconn(&self) -> Option<u32> {
        let (maxconn, of) = self.entries[0].board.read(|page| {
            let [maxconn, of] = [Whole::Maxconn, Whole::MaxconnOf].map(|number| page.get(number as usize));
            (maxconn, of)
        });
        u32::try_from(maxconn).ok().filter(|max| of == self.generation.0 && *max > 0)
    }

    /// Under the lock: orders a limit of connections; `None` goes back to the `configured` one.
    pub fn order_maxconn(&mut self, maxconn: Option<u32>, configured: Option<u32>) {
        let generation = self.generation.0;
        self.post(Thing::Whole, |board| {
            board.change(|page| {
                page.set(Whole::Maxconn as usize, maxconn.map_or(0, u64::from));
                page.set(Whole::MaxconnOf as usize, generation);
                page.set(Whole::MaxconnConfigured as usize, limit_word(configured));
            });
        });
    }

    /// Under the lock, before the configuration of this generation is merged: the limit that the last one's order
    /// gives, unless something else is `configured` now.
    pub fn inherited_maxconn(&self, configured: Option<u32>) -> Option<u32> {
        let numbers = [Whole::Maxconn, Whole::MaxconnOf, Whole::MaxconnConfigured];
        let [maxconn, of, then] = self.entries[0].board.read(|page| numbers.map(|number| page.get(number as usize)));
        let goes_on = of == self.merged().0 && then == limit_word(configured);
        u32::try_from(maxconn).ok().filter(|max| goes_on && *max > 0)
    }

    /// Where whoever runs the checks tells when the next one of a server begins, in milliseconds of the clock
    /// that all workers share.
    pub fn next_check(&self, server: ServerId) -> &'static AtomicU64 {
        self.board(Thing::Server(server)).loose(NEXT_CHECK)
    }

    /// Errors that requests of all workers have met at a server since the last success.
    pub fn errors_in_a_row(&self, server: ServerId) -> &'static AtomicU64 {
        self.board(Thing::Server(server)).loose(ERRORS)
    }

    /// Likewise for its agent.
    pub fn next_agent_check(&self, server: ServerId) -> &'static AtomicU64 {
        self.board(Thing::Server(server)).loose(NEXT_AGENT_CHECK)
    }

    /// How a server's checks go.
    pub fn check(&self, server: ServerId) -> Progress {
        Progress::new(self.board(Thing::Server(server)).loose(CHECK))
    }

    /// How asking its agent goes.
    pub fn agent_check(&self, server: ServerId) -> Progress {
        Progress::new(self.board(Thing::Server(server)).loose(AGENT_CHECK))
    }

    /// The generation of a thing's board that this worker has followed.
    pub fn followed(&self, thing: Thing) -> u64 {
        self.entries[self.at(thing)].read
    }

    /// The limits of rates that were ordered, for this generation.
    pub fn ordered_rates(&self) -> Option<Rates> {
        let numbers = [Whole::ConnectionRate, Whole::SessionRate, Whole::RatesOf];
        let [connections, sessions, of] =
            self.entries[0].board.read(|page| numbers.map(|number| page.get(number as usize)));
        let limit = |number: u64| u32::try_from(number).ok().filter(|limit| *limit > 0);
        (of == self.generation.0).then(|| Rates { connections: limit(connections), sessions: limit(sessions) })
    }

    /// Under the lock: orders limits of rates.
    pub fn order_rates(&mut self, rates: Rates) {
        let generation = self.generation.0;
        self.post(Thing::Whole, |board| {
            board.change(|page| {
                page.set(Whole::ConnectionRate as usize, rates.connections.map_or(0, u64::from));
                page.set(Whole::SessionRate as usize, rates.sessions.map_or(0, u64::from));
                page.set(Whole::RatesOf as usize, generation);
            });
        });
    }

    /// Whether this worker is to run the checks: one load.
    #[inline]
    pub fn is_checker(&self) -> bool {
        self.segment.checker() == Some(self.slot)
    }

    /// Takes the checks over if this is the first worker of its generation and no newer one has them.
    pub fn claim_checks(&self) {
        let holder = self.segment.checker();
        let lives = |slot: &Slot| self.segment.state(*slot) != SlotState::Free;
        let newer = holder.filter(lives).is_some_and(|slot| self.segment.generation(slot) > self.generation);
        if self.segment.number(self.slot) == 1 && !newer && !self.segment.move_checker(holder, Some(self.slot)) {
            // Somebody else was faster; if he is of an older generation, it is taken from him.
            self.claim_checks();
        }
    }

    /// Whether this is the worker with the lowest number that lives: what all of them are told to say, it says.
    pub fn is_spokesman(&self) -> bool {
        let slots = self.segment.slots();
        let departed: Vec<Slot> = slots.departed().collect();
        let number = |slot: Slot| self.segment.number(slot);
        let others = slots.of(self.generation).filter(|slot| !departed.contains(slot));
        others.map(number).all(|other| other >= number(self.slot))
    }

    fn at(&self, thing: Thing) -> usize {
        match thing {
            Thing::Whole => 0,
            Thing::Frontend(id) => 1 + id.0 as usize,
            Thing::Backend(id) => self.first_backend + id.0 as usize,
            Thing::Server(id) => self.first_server + id.0 as usize,
        }
    }

    fn word(&self, word: Word) -> &'static AtomicU64 {
        &self.bulletin[word as usize]
    }

    fn change(&self, number: u64) -> &'static AtomicU64 {
        &self.bulletin[Word::Changes as usize + number as usize % CHANGES]
    }
}

/// A limit as one word: plus one, 0 for none.
pub(super) fn limit_word(limit: Option<u32>) -> u64 {
    limit.map_or(0, |limit| u64::from(limit) + 1)
}

impl Entry {
    fn new(thing: Thing, row: Row<'_>) -> Entry {
        Entry { thing, object: row.object().index(), board: Board::new(row.shared()), read: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boards() -> [Boards; 2] {
        let config = crate::config::load_text("b.cfg", "backend b\n server s 127.0.0.1:1\n").config.expect("valid");
        let segment = Segment::private(Counters::objects_needed(&config), 2).expect("memory");
        let generation = segment.begin_generation();
        let slots = [1, 2].map(|number| segment.slots().take(generation, number).expect("slot"));
        slots.map(|slot| {
            let counters = Counters::new(&config, segment, slot, slots.to_vec()).expect("room");
            Boards::new(&config, &counters)
        })
    }

    const SERVER: Thing = Thing::Server(ServerId(0));

    #[test]
    fn others_hear_of_a_change_once() {
        let [mut a, mut b] = boards();
        assert!(!b.is_behind());
        a.post(SERVER, |board| board.change(|page| page.set(3, 9)));
        assert!(b.is_behind() && !a.is_behind());
        assert_eq!((b.changes(), b.board(SERVER).get(3)), (vec![SERVER], 9));
        assert!(b.changes().is_empty() && !b.is_behind());
        for _ in 0..2 * CHANGES {
            a.post(Thing::Whole, |board| board.change(|_| {}));
            a.post(SERVER, |board| board.change(|_| {}));
        }
        assert_eq!(b.changes(), [Thing::Whole, SERVER]);
    }

    #[test]
    fn what_a_dead_worker_did_not_tell_is_told_by_the_next() {
        let [a, mut b] = boards();
        // Killed between the board and the news of it.
        a.word(Word::Unfinished).store(a.entries[a.at(SERVER)].object as u64 + 1, Relaxed);
        a.board(SERVER).change(|page| page.set(3, 9));
        assert!(b.changes() == [SERVER] && a.is_behind());
        assert_eq!(a.word(Word::Unfinished).load(Relaxed), 0);
        // Killed before it: nothing has changed.
        a.word(Word::Unfinished).store(a.entries[a.at(SERVER)].object as u64 + 1, Relaxed);
        assert!(b.changes().is_empty());
    }

    #[test]
    fn one_worker_speaks_for_all() {
        let [a, b] = boards();
        assert!(a.is_spokesman() && !b.is_spokesman());
        a.segment.word(a.slot, SlotWord::Pid).store(i32::MAX as u64, Relaxed);
        assert!(b.is_spokesman());
    }
}
