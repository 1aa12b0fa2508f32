//! One object's row: what the calling worker counts, and what all workers have counted.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{Count, Counters};
use crate::facts::Times;
use crate::shm::{Cells, Object, Slot};
use crate::time::Now;

/// Samples that the sliding averages cover (management manual 9.1, `qtime`).
pub const AVERAGE_SAMPLES: u64 = 1024;

/// Up to so many events a second, each looks at the other workers for the rate's maximum; beyond, one in
/// [`RATE_STRIDE`].
const RATE_EXACT: u64 = 64;
const RATE_STRIDE: u64 = 16;

/// One object's row: the calling worker's own cells for writing, those of all slots for reading.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub(super) own: &'static Cells,
    object: Object,
    pub(super) counters: &'a Counters,
}

impl<'a> Row<'a> {
    #[inline]
    pub(super) fn new(counters: &'a Counters, object: Object) -> Row<'a> {
        Row { own: &counters.own[object.index()], object, counters }
    }

    /// The object that it is a row of.
    pub fn object(self) -> Object {
        self.object
    }

    /// The words of the object that all workers share.
    pub fn shared(self) -> &'static [AtomicU64] {
        self.counters.segment.shared(self.object)
    }

    /// Adds to this worker's cell.
    pub fn add(self, column: Count, n: u64) {
        let cell = self.own(column as usize);
        cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes from this worker's cell of a gauge.
    pub fn sub(self, column: Count, n: u64) {
        let cell = self.own(column as usize);
        debug_assert!(cell.load(Relaxed) >= n, "{column:?} would go below zero");
        cell.store(cell.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// Writes this worker's cell.
    pub fn set(self, column: Count, n: u64) {
        self.own(column as usize).store(n, Relaxed);
    }

    /// Raises this worker's cell to at least `n`.
    pub fn raise(self, column: Count, n: u64) {
        let cell = self.own(column as usize);
        if cell.load(Relaxed) < n {
            cell.store(n, Relaxed);
        }
    }

    /// This worker's cell.
    #[inline]
    pub fn here(self, column: Count) -> u64 {
        self.own(column as usize).load(Relaxed)
    }

    /// Sum over all workers, those that have gone included.
    pub fn get(self, column: Count) -> u64 {
        self.cells(column).map(|(_, cell)| cell.load(Relaxed)).sum()
    }

    /// Largest over all workers.
    pub fn max(self, column: Count) -> u64 {
        self.cells(column).map(|(_, cell)| cell.load(Relaxed)).max().unwrap_or(0)
    }

    /// The column's cell in each slot that was ever used.
    pub fn cells(self, column: Count) -> impl Iterator<Item = (Slot, &'static AtomicU64)> {
        self.slots().map(move |slot| (slot, &self.counters.segment.row(slot, self.object)[column as usize]))
    }

    /// The column's cell in each slot of this worker's generation.
    pub fn cells_of_generation(self, column: Count) -> impl Iterator<Item = &'static AtomicU64> {
        let Counters { segment, among, .. } = self.counters;
        among.iter().map(move |slot| &segment.row(*slot, self.object)[column as usize])
    }

    /// Enters one more of a gauge: the gauge itself and its maximum over all workers.
    #[inline]
    pub fn enter(self, gauge: Count, max: Count) {
        self.add(gauge, 1);
        self.raise(max, if self.has_others() { self.get(gauge) } else { self.here(gauge) });
    }

    /// Counts an event of a rate, keeping the rate's maximum.
    ///
    /// The three words are the current second, the events in it and the events of the second before.
    pub fn tick_rate(self, rate: Count, max: Count, now: Now) {
        self.turn_second(rate, now);
        let at = rate as usize;
        let events = self.own(at + 1).load(Relaxed) + 1;
        self.own(at + 1).store(events, Relaxed);
        self.raise_rate(rate, max, now);
    }

    /// Begins the second of `now` in the words of a rate.
    pub(super) fn turn_second(self, rate: Count, now: Now) {
        let second = now.mono_us / 1_000_000;
        let at = rate as usize;
        let seen = self.own(at).load(Relaxed);
        if seen != second {
            let previous = if seen + 1 == second { self.own(at + 1).load(Relaxed) } else { 0 };
            self.own(at + 2).store(previous, Relaxed);
            self.own(at + 1).store(0, Relaxed);
            self.own(at).store(second, Relaxed);
        }
    }

    /// Keeps the maximum of a rate of which an event was just counted.
    pub fn raise_rate(self, rate: Count, max: Count, now: Now) {
        let events = self.own(rate as usize + 1).load(Relaxed);
        if !self.has_others() {
            // The second is this one, for it was just counted in.
            let previous = self.own(rate as usize + 2).load(Relaxed);
            self.raise(max, faded((events, previous), now));
        } else if events <= RATE_EXACT || events.is_multiple_of(RATE_STRIDE) {
            self.raise(max, self.rate(rate, now));
        }
    }

    /// Events over the last second, all workers: the current second's plus the share of the previous one
    /// that still lies within the last second.
    pub fn rate(self, rate: Count, now: Now) -> u64 {
        faded(self.events(rate, now), now)
    }

    /// Adds a sample in milliseconds to a sliding average.
    pub fn sample(self, sum: Count, max: Count, ms: u64) {
        let cell = self.own(sum as usize);
        let old = cell.load(Relaxed);
        cell.store(old - old.div_ceil(AVERAGE_SAMPLES) + ms, Relaxed);
        self.raise(max, ms);
    }

    /// Enters an exchange's times into the sliding averages of a backend or server.
    pub fn times(self, times: &Times) {
        self.sample(Count::QueueTimeSum, Count::QueueTimeMax, times.queue_ms);
        self.sample(Count::ConnectTimeSum, Count::ConnectTimeMax, times.connect_ms);
        self.sample(Count::ResponseTimeSum, Count::ResponseTimeMax, times.response_ms);
        self.sample(Count::TotalTimeSum, Count::TotalTimeMax, times.total_ms);
    }

    /// A sliding average in milliseconds over the last 1,024 samples, mean over the workers that have any.
    pub fn average(self, sum: Count) -> u64 {
        let sums = self.cells(sum).map(|(_, cell)| cell.load(Relaxed)).filter(|&s| s > 0);
        let (total, count) = sums.fold((0, 0), |(total, count), s| (total + s, count + 1));
        total.checked_div(count).map_or(0, |average| average.div_ceil(AVERAGE_SAMPLES))
    }

    /// Events of the current second and of the one before, all workers.
    pub(super) fn events(self, rate: Count, now: Now) -> (u64, u64) {
        let all = self.slots().map(|slot| self.events_of(slot, rate, now));
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn events_of(self, slot: Slot, rate: Count, now: Now) -> (u64, u64) {
        let at = rate as usize;
        // Another worker's clock may be read a little later, within the next second.
        match (now.mono_us / 1_000_000).saturating_sub(self.cell(slot, at)) {
            0 => (self.cell(slot, at + 1), self.cell(slot, at + 2)),
            1 => (0, self.cell(slot, at + 1)),
            _ => (0, 0),
        }
    }

    fn slots(self) -> impl Iterator<Item = Slot> {
        let slots = match self.counters.only {
            None => 0..self.counters.segment.high_water() as u16,
            Some(slot) => slot.0..slot.0 + 1,
        };
        slots.map(Slot)
    }

    /// The slot of the worker that writes here.
    pub(super) fn slot(self) -> Slot {
        self.counters.slot
    }

    /// Whether any other slot was ever used.
    #[inline]
    pub fn has_others(self) -> bool {
        self.counters.segment.high_water() > 1
    }

    #[inline]
    fn own(&self, column: usize) -> &AtomicU64 {
        &self.own[column]
    }

    #[inline]
    fn cell(&self, slot: Slot, column: usize) -> u64 {
        self.counters.segment.row(slot, self.object)[column].load(Relaxed)
    }
}

/// The events of a second and of the one before as a rate.
fn faded((current, previous): (u64, u64), now: Now) -> u64 {
    current + previous * (1_000_000 - now.mono_us % 1_000_000) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Config;

    fn at(us: u64) -> Now {
        Now { mono_us: us, wall_us: us }
    }

    #[test]
    fn a_rate_fades_over_the_second_after_its_events() {
        let counters = Counters::private(&Config::default());
        let row = counters.process();
        for _ in 0..10 {
            row.tick_rate(Count::SessionRate, Count::SessionRateMax, at(5_000_000));
        }
        assert_eq!(row.rate(Count::SessionRate, at(5_900_000)), 10);
        assert_eq!(row.rate(Count::SessionRate, at(6_500_000)), 5);
        assert_eq!(row.rate(Count::SessionRate, at(7_000_000)), 0);
        assert_eq!(row.max(Count::SessionRateMax), 10);
    }

    #[test]
    fn a_gauge_remembers_its_maximum() {
        let counters = Counters::private(&Config::default());
        let row = counters.process();
        row.enter(Count::SessionsCurrent, Count::SessionsMax);
        row.enter(Count::SessionsCurrent, Count::SessionsMax);
        row.sub(Count::SessionsCurrent, 1);
        assert_eq!((row.get(Count::SessionsCurrent), row.max(Count::SessionsMax)), (1, 2));
    }
}
