//! Limits that hold over all workers without a shared total: whoever enters counts itself in its own cell
//! first and adds up all cells then. Of two who enter at the same time at least one sees the other, so a limit
//! is never exceeded; both may be turned away, and then look again. What a worker held goes with its cells.
//!
//! Whoever waits makes that known before it looks a last time, and whoever gives something back looks for
//! those who wait afterwards: one of the two sees the other (both sequentially consistent). A worker alone
//! does without locked instructions.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::{Count, Row};
use crate::shm::Slot;
use crate::time::{Millis, Now};

/// Whose share a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// All workers of all generations.
    All,
    /// The workers of this worker's generation.
    Generation,
}

impl Row<'_> {
    /// Enters one more of a gauge, and its maximum, unless there are `limit` already. False when it is full:
    /// nothing has changed then, but others may have been turned away meanwhile, so that it counts as a
    /// release where anyone waits.
    #[must_use]
    pub fn try_enter(self, gauge: Count, max: Count, limit: u64, among: Among) -> bool {
        let entered = self.try_reserve(gauge, limit, among);
        if entered {
            // Others may be counting themselves without getting in.
            let seen = self.get(gauge);
            self.raise(max, if among == Among::All { seen.min(limit) } else { seen });
        }
        entered
    }

    /// The same without the maximum: it may be given back without having been used.
    #[must_use]
    pub fn try_reserve(self, gauge: Count, limit: u64, among: Among) -> bool {
        let own = &self.own[gauge as usize];
        let before = own.load(Relaxed);
        if !self.is_shared(among) {
            let free = before < limit;
            own.store(before + u64::from(free), Relaxed);
            return free;
        }
        own.store(before + 1, SeqCst);
        let free = self.sum(gauge, among) <= limit;
        if !free {
            own.store(before, SeqCst);
        }
        free
    }

    /// Gives back what [`Row::try_enter`] or [`Row::try_reserve`] took; who waits is to be looked for afterwards.
    pub fn leave(self, gauge: Count) {
        let own = &self.own[gauge as usize];
        let before = own.load(Relaxed);
        debug_assert!(before > 0, "{gauge:?} would go below zero");
        self.store(gauge, before.saturating_sub(1));
    }

    /// How many there are of a gauge.
    pub fn sum(self, gauge: Count, among: Among) -> u64 {
        match among {
            Among::All => self.cells(gauge).map(|(_, cell)| cell.load(SeqCst)).sum(),
            Among::Generation => self.cells_of_generation(gauge).map(|cell| cell.load(SeqCst)).sum(),
        }
    }

    /// Writes this worker's cell of a column that others act upon.
    pub fn publish(self, column: Count, value: u64) {
        if self.here(column) != value {
            self.store(column, value);
        }
    }

    /// The other worker whose cell holds the smallest value above zero, and the value.
    pub fn first_of_others(self, column: Count) -> Option<(u64, Slot)> {
        if !self.has_others() {
            return None;
        }
        let others = self.cells(column).filter(|(slot, _)| *slot != self.slot());
        others.map(|(slot, cell)| (cell.load(SeqCst), slot)).filter(|(value, _)| *value > 0).min()
    }

    /// Counts an event of a rate, without its maximum, unless there were `limit` in the last second.
    #[must_use]
    pub fn try_tick(self, rate: Count, limit: u64, now: Now) -> bool {
        self.turn_second(rate, now);
        let events = &self.own[rate as usize + 1];
        let before = events.load(Relaxed);
        events.store(before + 1, if self.has_others() { SeqCst } else { Relaxed });
        let free = self.rate(rate, now) <= limit;
        if !free {
            events.store(before, Relaxed);
        }
        free
    }

    /// Takes back an event that [`Row::try_tick`] counted at the same `now`.
    pub fn untick(self, rate: Count) {
        let events = &self.own[rate as usize + 1];
        events.store(events.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// When a rate falls below `limit` if nothing happens until then; at least a millisecond.
    pub fn delay(self, rate: Count, limit: u64, now: Now) -> Millis {
        let part = now.mono_us % SECOND_US;
        let (current, previous) = self.events(rate, now);
        // Of the events of a second, those that still count are a share that falls linearly in the next one.
        let falls_at = |events: u64, room: u64| SECOND_US - (SECOND_US * room / events.max(1)).min(SECOND_US);
        let wait_us = if current < limit {
            falls_at(previous, limit - current).saturating_sub(part)
        } else {
            SECOND_US - part + falls_at(current, limit)
        };
        Millis(wait_us / 1000 + 1)
    }

    fn store(self, column: Count, value: u64) {
        // Where there are no others yet, whoever comes first sees what stood here long before.
        let order = if self.has_others() { SeqCst } else { Relaxed };
        self.own[column as usize].store(value, order);
    }

    fn is_shared(self, among: Among) -> bool {
        match among {
            Among::All => self.has_others(),
            Among::Generation => self.counters.among().len() > 1,
        }
    }
}

const SECOND_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::proxy::Config;
    use crate::shm::Segment;
    use crate::stats::Counters;

    fn workers(count: usize) -> Vec<Counters> {
        let segment = Segment::private(Counters::objects_needed(&Config::default()), count).expect("memory");
        let generation = segment.begin_generation();
        let slots: Vec<Slot> = (1..=count).filter_map(|number| segment.slots().take(generation, number)).collect();
        let counters = |slot: &Slot| Counters::new(&Config::default(), segment, *slot, slots.clone()).expect("room");
        slots.iter().map(counters).collect()
    }

    fn at(us: u64) -> Now {
        Now { mono_us: us, wall_us: us }
    }

    /// Enters and leaves by turns at random, `inside` counting who is in at the same time.
    fn come_and_go(counters: &Counters, inside: &AtomicU64, limit: u64, mut dice: u64) -> u64 {
        let row = counters.process();
        let (mut held, mut entered) = (0, 0);
        for _ in 0..20_000 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            if dice.is_multiple_of(2) && row.try_enter(Count::SessionsCurrent, Count::SessionsMax, limit, Among::All) {
                assert!(inside.fetch_add(1, SeqCst) < limit, "the limit is exceeded");
                (held, entered) = (held + 1, entered + 1);
            } else if held > 0 {
                inside.fetch_sub(1, SeqCst);
                row.leave(Count::SessionsCurrent);
                held -= 1;
            }
        }
        for _ in 0..held {
            inside.fetch_sub(1, SeqCst);
            row.leave(Count::SessionsCurrent);
        }
        entered
    }

    #[test]
    fn a_limit_is_never_exceeded_and_all_is_given_back() {
        for limit in [1, 3, 7] {
            let (all, inside) = (workers(4), AtomicU64::new(0));
            let entered: u64 = std::thread::scope(|scope| {
                let inside = &inside;
                let run = |(seed, counters)| scope.spawn(move || come_and_go(counters, inside, limit, seed));
                let threads: Vec<_> = (0x9E37_79B9..).zip(&all).map(run).collect();
                threads.into_iter().map(|thread| thread.join().expect("no limit was exceeded")).sum()
            });
            assert!(entered > 100, "{entered} got in");
            assert_eq!(all[0].process().get(Count::SessionsCurrent), 0);
        }
    }

    #[test]
    fn what_a_dead_process_held_is_free_again() {
        let all = workers(2);
        let (own, other) = (all[0].process(), all[1].clone());
        crate::sys::process::in_child(move || {
            let enters = || other.process().try_enter(Count::SessionsCurrent, Count::SessionsMax, 3, Among::All);
            u8::from(!(enters() && enters() && enters() && !enters()))
        });
        assert_eq!(own.get(Count::SessionsCurrent), 3);
        assert!(!own.try_enter(Count::SessionsCurrent, Count::SessionsMax, 3, Among::All));
        Counters::bury(all[0].segment(), all[1].slot());
        assert!(own.try_enter(Count::SessionsCurrent, Count::SessionsMax, 3, Among::All));
        assert_eq!(own.get(Count::SessionsCurrent), 1);
    }

    #[test]
    fn old_workers_count_where_they_should() {
        let all = workers(2);
        let alone =
            Counters::new(&Config::default(), all[0].segment(), all[0].slot(), vec![all[0].slot()]).expect("room");
        assert!(all[1].process().try_reserve(Count::SessionsCurrent, 1, Among::All));
        assert!(!alone.process().try_reserve(Count::SessionsCurrent, 1, Among::All));
        assert!(alone.process().try_reserve(Count::SessionsCurrent, 1, Among::Generation));
        assert!(!alone.process().try_reserve(Count::SessionsCurrent, 1, Among::Generation));
    }

    #[test]
    fn the_first_of_the_others_is_found() {
        let all = workers(3);
        let publish = |worker: usize, since| all[worker].process().publish(Count::QueueFront, since);
        let first = || all[0].process().first_of_others(Count::QueueFront);
        publish(0, 1);
        assert_eq!(first(), None);
        publish(1, 9);
        publish(2, 7);
        assert_eq!(first(), Some((7, Slot(2))));
        publish(2, 0);
        assert_eq!(first(), Some((9, Slot(1))));
    }

    #[test]
    fn a_rate_lets_the_next_one_in_when_it_said() {
        let all = workers(2);
        for start in [5_000_000, 5_300_000, 5_999_999] {
            for (limit, events) in [(1, 1), (4, 4), (100, 100)] {
                let all = workers(2);
                let enters = |worker: usize, us| all[worker].process().try_tick(Count::SessionRate, limit, at(us));
                let came = (0..events).filter(|n| enters(n % 2, start)).count();
                assert_eq!(came as u64, limit);
                assert!(!enters(0, start) && !enters(1, start));
                let wait = all[0].process().delay(Count::SessionRate, limit, at(start));
                assert!(enters(1, start + wait.0 * 1000), "{limit} from {start} after {wait:?}");
                assert!(!enters(0, start + wait.0 * 1000), "{limit} from {start} after {wait:?}");
            }
        }
        let row = all[0].process();
        assert!(row.try_tick(Count::SessionRate, 1, at(5)));
        row.untick(Count::SessionRate);
        assert!(row.try_tick(Count::SessionRate, 1, at(6)));
    }
}
