//! A property, tried with processes that are killed at random points: whatever a worker was doing, what it
//! has counted stays, what it had is gone once it is buried, no lock stays held, and nothing is half changed.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::count::{COUNTS, Nature};
use super::{Among, Count, Counters, Row};
use crate::proxy::{Config, FrontendId, ServerId};
use crate::shm::{Board, Full, Generation, LOOSE_MAX, Lock, NUMBERS_MAX, Object, Segment, Slot};
use crate::sys::process::{exit_code, start_child};
use crate::time::Now;

const WORKERS: usize = 4;
/// Objects that there is room for, and names that a generation uses: old names must make room for new ones.
const OBJECTS: usize = 96;
const NAMES: u64 = 60;
/// Kills until all workers of a generation are killed and a new one begins.
const KILLS_A_GENERATION: u32 = 12;
const BYTES_A_REQUEST: u64 = 7;
/// Places on a server; and what a worker's share of a word can hold.
const LIMIT: u64 = 5;
const SHARE_MASK: u64 = 0xffff;
const TIME: Duration = Duration::from_secs(1);
/// And this many kills at least, however slow the machine is.
const KILLS_MIN: u64 = 20;

/// xorshift64*: the same numbers for the same seed.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

/// Counts, changes a board, looks up names. The code tells what it saw that must not be.
fn work(counters: &Counters, seed: u64) -> u8 {
    let segment = counters.segment();
    let generation = segment.generation(counters.slot());
    let mut random = Random(seed);
    loop {
        match random.below(8) {
            0 => drop(segment.directory(generation).object("name", &name(generation, random.below(NAMES)))),
            1 if !change_board(counters, random.below(1000)) => return 3,
            2 if !is_alone(counters) => return 4,
            _ => {}
        }
        let row = counters.frontend(FrontendId(0));
        row.add(Count::RequestsTotal, 1);
        row.add(Count::BytesIn, BYTES_A_REQUEST);
        row.tick_rate(Count::RequestRate, Count::RequestRateMax, Now::default());
        match row.here(Count::SessionsCurrent) {
            0..20 => row.enter(Count::SessionsCurrent, Count::SessionsMax),
            held => row.sub(Count::SessionsCurrent, random.below(held)),
        }
    }
}

fn name(generation: Generation, n: u64) -> [u8; 8] {
    // Half of a generation's names are those of the one before.
    (generation.0 * NAMES / 2 + n).to_le_bytes()
}

/// Writes one number all over a board; whether it was one number before.
fn change_board(counters: &Counters, value: u64) -> bool {
    let board = Board::new(counters.server(ServerId(0)).shared());
    let whole = board.read(|page| {
        let first = page.get(0);
        let text = page.text();
        (1..NUMBERS_MAX).all(|index| page.get(index) == first)
            && (text.is_empty() && first == 0 || text == first.to_string().as_bytes())
    });
    let _guard = counters.segment().lock(Lock::State);
    board.change(|page| {
        (0..NUMBERS_MAX).for_each(|index| page.set(index, value));
        page.set_text(value.to_string().as_bytes());
    });
    counters.segment().boards_changed();
    whole
}

/// Whether nobody else does what is done under a lock.
fn is_alone(counters: &Counters) -> bool {
    let _guard = counters.segment().lock(Lock::State);
    let owner = Board::new(counters.server(ServerId(0)).shared()).loose(LOOSE_MAX - 1);
    let me = u64::from(std::process::id());
    owner.store(me, Relaxed);
    (0..200).all(|_| owner.load(Relaxed) == me)
}

/// Takes and gives back places on a server, as fast as it can.
fn take_places(counters: &Counters, seed: u64) -> u8 {
    let (row, mut random) = (counters.server(ServerId(0)), Random(seed));
    let one = share(counters.slot(), 1);
    loop {
        let mine = row.here(Count::SessionsCurrent);
        if mine > 0 && random.below(2) == 0 {
            held(counters).fetch_sub(one, SeqCst);
            row.leave(Count::SessionsCurrent);
        } else if row.try_enter(Count::SessionsCurrent, Count::SessionsMax, LIMIT, Among::All) {
            let others = held(counters).fetch_add(one, SeqCst);
            let all: u64 = (0..WORKERS as u16).map(|slot| (others / share(Slot(slot), 1)) & SHARE_MASK).sum();
            if all >= LIMIT {
                return 5;
            }
            row.add(Count::Connects, 1);
        }
    }
}

/// How many places each worker really holds, all in one word: read at once, whoever comes and goes.
fn held(counters: &Counters) -> &'static AtomicU64 {
    Board::new(counters.server(ServerId(0)).shared()).loose(0)
}

/// A number in a worker's share of that word.
fn share(slot: Slot, n: u64) -> u64 {
    n << (16 * u32::from(slot.0))
}

fn config() -> Config {
    let text = "defaults\n mode tcp\n timeout client 1s\n timeout server 1s\n timeout connect 1s\nfrontend f\n \
         bind :1234\n default_backend b\nbackend b\n server s 127.0.0.1:1\n";
    crate::config::load_text("c.cfg", text).config.expect("valid")
}

/// What a worker does until it is killed.
type Work = fn(&Counters, u64) -> u8;

/// The workers of one generation, as their supervisor sees them.
struct Service {
    segment: Segment,
    work: Work,
    workers: Vec<(Counters, Pid)>,
    random: Random,
}

impl Service {
    fn start(config: &Config, segment: Segment, work: Work, seed: u64) -> Service {
        let generation = segment.begin_generation();
        let slots: Vec<Slot> = (1..=WORKERS).filter_map(|n| segment.slots().take(generation, n)).collect();
        assert_eq!(slots.len(), WORKERS, "all slots were freed");
        let counters = Counters::new(config, segment, slots[0], slots.clone()).expect("room");
        let mut service = Service { segment, work, workers: Vec::new(), random: Random(seed | 1) };
        for slot in slots {
            let counters = counters.of_slot(slot);
            let pid = service.fork(&counters);
            service.workers.push((counters, pid));
        }
        service
    }

    fn fork(&mut self, counters: &Counters) -> Pid {
        let (work, seed) = (self.work, self.random.below(u64::MAX));
        start_child(self.segment.fd(), || {
            self.segment.settle(counters.slot(), Now::default());
            work(counters, seed | 1)
        })
    }

    /// Kills a worker and buries it.
    fn kill(&self, number: usize) {
        let (counters, pid) = &self.workers[number];
        kill(*pid, Signal::SIGKILL).expect("it runs");
        assert_eq!(exit_code(*pid), 128 + Signal::SIGKILL as u8, "a worker saw what must not be");
        let before = totals(counters);
        // The kernel closes its connections before anybody else may have its places.
        held(counters).fetch_and(!share(counters.slot(), SHARE_MASK), SeqCst);
        Counters::bury(self.segment, counters.slot());
        for object in self.segment.objects() {
            let row = self.segment.row(counters.slot(), object);
            let gauges = COUNTS.iter().filter(|(_, nature)| *nature == Nature::Gauge);
            assert!(gauges.into_iter().all(|(column, _)| row[*column as usize].load(Relaxed) == 0));
        }
        assert!(never_less(before, totals(counters)), "a funeral costs nothing");
    }

    fn replace(&mut self, number: usize) {
        let counters = self.workers[number].0.clone();
        self.segment.slots().restart(counters.slot());
        self.workers[number].1 = self.fork(&counters);
    }

    fn end(self) {
        for number in 0..self.workers.len() {
            self.kill(number);
            self.segment.slots().free(self.workers[number].0.slot());
        }
    }
}

/// Requests and bytes.
fn totals(counters: &Counters) -> (u64, u64) {
    let row: Row<'_> = counters.frontend(FrontendId(0));
    // In the reverse order of counting.
    let bytes = row.get(Count::BytesIn);
    (row.get(Count::RequestsTotal), bytes)
}

fn never_less(before: (u64, u64), after: (u64, u64)) -> bool {
    after.0 >= before.0 && after.1 >= before.1
}

/// The objects of all names of a generation, no two of which have the same.
fn directory(segment: Segment, generation: Generation) -> Vec<Object> {
    let mut directory = segment.directory(generation);
    let objects = (0..NAMES).map(|n| directory.object("name", &name(generation, n)).map(|found| found.object));
    let objects: Vec<Object> = objects.collect::<Result<_, Full>>().expect("room for all names of a generation");
    assert_eq!(objects.iter().collect::<HashSet<_>>().len(), objects.len(), "two names, one object");
    objects
}

#[test]
fn kills_at_random_points_harm_nobody_else() {
    let config = config();
    let segment = Segment::create(OBJECTS, WORKERS, 0, 0).expect("segment");
    let seed = u64::from(std::process::id());
    let (mut kills, mut last) = (0, (0, 0));
    let until = Instant::now() + TIME;
    while Instant::now() < until || kills <= KILLS_MIN {
        let mut service = Service::start(&config, segment, work, seed + kills);
        let counters = service.workers[0].0.clone();
        let generation = segment.generation(counters.slot());
        let objects = directory(segment, generation);
        for _ in 0..KILLS_A_GENERATION {
            std::thread::sleep(Duration::from_micros(service.random.below(8000)));
            let number = service.random.below(WORKERS as u64) as usize;
            service.kill(number);
            kills += 1;
            // Held by nobody that is dead.
            drop(segment.lock(Lock::State));
            let now = totals(&counters);
            assert!(never_less(last, now), "{last:?} has become {now:?}");
            last = now;
            service.replace(number);
        }
        assert_eq!(directory(segment, generation), objects, "a name in use keeps its object");
        kills += WORKERS as u64;
        service.end();
        last = totals(&counters);
        let row = counters.frontend(FrontendId(0));
        assert_eq!(row.get(Count::SessionsCurrent), 0);
        // Each kill may have fallen between the two halves of one request.
        assert!(last.0 * BYTES_A_REQUEST - last.1 <= kills * BYTES_A_REQUEST, "{last:?}");
    }
    assert!(last.0 > 1000, "{kills} kills, {last:?}");
}

#[test]
fn no_limit_is_exceeded_and_no_place_is_lost() {
    let config = config();
    let segment = Segment::create(OBJECTS, WORKERS, 0, 0).expect("segment");
    let seed = u64::from(std::process::id());
    let (mut kills, mut taken) = (0, 0);
    let until = Instant::now() + TIME;
    while Instant::now() < until || kills <= KILLS_MIN {
        let mut service = Service::start(&config, segment, take_places, seed + kills);
        for _ in 0..KILLS_A_GENERATION {
            std::thread::sleep(Duration::from_micros(service.random.below(8000)));
            let number = service.random.below(WORKERS as u64) as usize;
            service.kill(number);
            service.replace(number);
            kills += 1;
        }
        let counters = service.workers[0].0.clone();
        service.end();
        let row = counters.server(ServerId(0));
        assert_eq!((row.get(Count::SessionsCurrent), held(&counters).load(SeqCst)), (0, 0));
        let enter = || row.try_enter(Count::SessionsCurrent, Count::SessionsMax, LIMIT, Among::All);
        assert!((0..LIMIT).all(|_| enter()) && !enter(), "all places are there again, and no more");
        (0..LIMIT).for_each(|_| row.leave(Count::SessionsCurrent));
        assert_eq!(row.max(Count::SessionsMax), LIMIT);
        taken = row.get(Count::Connects);
    }
    assert!(taken > 1000, "{kills} kills, {taken} places");
}
