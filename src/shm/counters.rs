//! Counters: a row per worker, written by its owner alone with plain loads and stores; anyone merges.

use super::CACHE_LINE_WORDS;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A block of counters, `workers` rows of `columns`. A copy is a view of the same memory.
#[derive(Clone, Copy, Debug)]
pub struct CounterBlock {
    words: &'static [AtomicU64],
    workers: usize,
    columns: usize,
    stride: usize,
}

/// One worker's row of a block: what the hot path holds.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    words: &'static [AtomicU64],
}

impl CounterBlock {
    /// Words from one row to the next: whole cache lines.
    pub(super) fn stride(columns: usize) -> usize {
        columns.max(1).next_multiple_of(CACHE_LINE_WORDS)
    }

    pub(super) fn new(words: &'static [AtomicU64], workers: usize, columns: usize) -> CounterBlock {
        CounterBlock { words, workers, columns, stride: Self::stride(columns) }
    }

    /// The row of `worker`. Only that worker may write it.
    ///
    /// # Panics
    /// If the block has no such worker.
    pub fn row(&self, worker: usize) -> CounterRow {
        assert!(worker < self.workers, "worker {worker} of {}", self.workers);
        let start = worker * self.stride;
        CounterRow { words: &self.words[start..start + self.columns] }
    }

    /// Adds to a column; only `worker` itself may.
    pub fn add(&self, worker: usize, column: usize, n: u64) {
        self.row(worker).add(column, n);
    }

    /// Sets a column; only `worker` itself may.
    pub fn set(&self, worker: usize, column: usize, value: u64) {
        self.row(worker).set(column, value);
    }

    /// Raises a column to `value` if it is lower; only `worker` itself may.
    pub fn max(&self, worker: usize, column: usize, value: u64) {
        self.row(worker).max(column, value);
    }

    /// One worker's value.
    pub fn get(&self, worker: usize, column: usize) -> u64 {
        self.row(worker).get(column)
    }

    /// The service's value of a column that counts: the sum over all workers (wrapping).
    pub fn sum(&self, column: usize) -> u64 {
        self.values(column).fold(0, u64::wrapping_add)
    }

    /// The service's value of a column of which the highest counts.
    pub fn max_over(&self, column: usize) -> u64 {
        self.values(column).max().unwrap_or(0)
    }

    /// Sets a column of every worker to zero (`clear counters`). A worker that adds at this very moment may
    /// keep its old value: the price of counting without locked instructions.
    pub fn clear(&self, column: usize) {
        (0..self.workers).for_each(|worker| self.set(worker, column, 0));
    }

    /// Rows of the block.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Columns of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn values(&self, column: usize) -> impl Iterator<Item = u64> + '_ {
        (0..self.workers).map(move |worker| self.get(worker, column))
    }
}

impl CounterRow {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, column: usize, n: u64) {
        let word = &self.words[column];
        word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` off a gauge; never below zero, so that a `clear` in between does no harm.
    #[inline]
    pub fn sub(&self, column: usize, n: u64) {
        let word = &self.words[column];
        word.store(word.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, column: usize, value: u64) {
        self.words[column].store(value, Relaxed);
    }

    /// Raises the value to `value` if it is lower.
    #[inline]
    pub fn max(&self, column: usize, value: u64) {
        if self.get(column) < value {
            self.set(column, value);
        }
    }

    /// The value.
    #[inline]
    pub fn get(&self, column: usize) -> u64 {
        self.words[column].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Arena;

    #[test]
    fn rows_are_merged_by_the_columns_nature() {
        let block = Arena::with_capacity(4096).map(|mut a| a.counters(3, 9).expect("room")).expect("arena");
        for worker in 0..3 {
            block.add(worker, 0, 10);
            block.add(worker, 0, 1);
            block.max(worker, 8, [5, 9, 7][worker]);
            block.max(worker, 8, 1);
        }
        assert_eq!((block.sum(0), block.max_over(8), block.get(2, 8)), (33, 9, 7));
        block.row(1).sub(0, 100);
        assert_eq!((block.get(1, 0), block.sum(0)), (0, 22));
        block.clear(0);
        assert_eq!(block.sum(0), 0);
        assert_eq!((block.workers(), block.columns()), (3, 9));
    }

    #[test]
    fn each_owner_counts_without_loss() {
        let block = Arena::with_capacity(4096).map(|mut a| a.counters(4, 1).expect("room")).expect("arena");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                scope.spawn(move || (0..10_000).for_each(|_| block.add(worker, 0, 1)));
            }
        });
        assert_eq!(block.sum(0), 40_000);
    }
}
