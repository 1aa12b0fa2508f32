//! Counters in memory that all workers share.
//!
//! Every frontend, backend, server and listening address has a row a worker; only the owning worker
//! writes its row (a load and a store, no locked instruction), anyone sums over the workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::facts::Facts;
use crate::proxy::{BackendId, Config, FrontendId, ServerId};
use crate::time::Now;

/// A column of a row. Rates take three words, see [`Row::tick_rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs, reason = "the names are those of HAProxy's statistics, management manual 9.1")]
pub enum Count {
    SessionsCurrent,
    SessionsMax,
    SessionsTotal,
    ConnectionsTotal,
    RequestsTotal,
    BytesIn,
    BytesOut,
    DeniedRequests,
    DeniedResponses,
    DeniedConnections,
    DeniedSessions,
    RequestErrors,
    ConnectErrors,
    ResponseErrors,
    InternalErrors,
    Retries,
    Redispatches,
    QueueCurrent,
    QueueMax,
    Chosen,
    CheckFailures,
    CheckDowns,
    ClientAborts,
    ServerAborts,
    Intercepted,
    FailedRewrites,
    Connects,
    Reuses,
    IdleCurrent,
    UsedCurrent,
    Http1xx,
    Http2xx,
    Http3xx,
    Http4xx,
    Http5xx,
    HttpOther,
    /// Wall-clock second of the last session; 0 when there was none.
    LastSession,
    /// Log lines of a frontend (%lc).
    LogLines,
    /// Sliding sums over the last 1,024 samples (divide by that for the average), milliseconds.
    QueueTimeSum,
    ConnectTimeSum,
    ResponseTimeSum,
    TotalTimeSum,
    QueueTimeMax,
    ConnectTimeMax,
    ResponseTimeMax,
    TotalTimeMax,
    ConnectionRate,
    ConnectionRateAux1,
    ConnectionRateAux2,
    SessionRate,
    SessionRateAux1,
    SessionRateAux2,
    RequestRate,
    RequestRateAux1,
    RequestRateAux2,
    ConnectionRateMax,
    SessionRateMax,
    RequestRateMax,
    /// Number of columns, not one itself.
    End,
}

/// Columns that keep a maximum.
const MAXIMA: &[Count] = &[
    Count::SessionsMax,
    Count::QueueMax,
    Count::QueueTimeMax,
    Count::ConnectTimeMax,
    Count::ResponseTimeMax,
    Count::TotalTimeMax,
    Count::ConnectionRateMax,
    Count::SessionRateMax,
    Count::RequestRateMax,
];

/// Columns that only grow.
const COUNTED: &[Count] = &[
    Count::SessionsTotal,
    Count::ConnectionsTotal,
    Count::RequestsTotal,
    Count::BytesIn,
    Count::BytesOut,
    Count::DeniedRequests,
    Count::DeniedResponses,
    Count::DeniedConnections,
    Count::DeniedSessions,
    Count::RequestErrors,
    Count::ConnectErrors,
    Count::ResponseErrors,
    Count::InternalErrors,
    Count::Retries,
    Count::Redispatches,
    Count::Chosen,
    Count::CheckFailures,
    Count::CheckDowns,
    Count::LastSession,
    Count::ClientAborts,
    Count::ServerAborts,
    Count::Intercepted,
    Count::FailedRewrites,
    Count::Connects,
    Count::Reuses,
    Count::Http1xx,
    Count::Http2xx,
    Count::Http3xx,
    Count::Http4xx,
    Count::Http5xx,
    Count::HttpOther,
    Count::QueueTimeSum,
    Count::ConnectTimeSum,
    Count::ResponseTimeSum,
    Count::TotalTimeSum,
];

/// Columns of a row, rounded up to whole cache lines of eight words.
pub const ROW_WORDS: usize = (Count::End as usize).div_ceil(8) * 8;

/// Samples that the sliding averages cover (management manual 9.1, `qtime`).
pub const AVERAGE_SAMPLES: u64 = 1024;

/// All rows of the service.
pub struct Counters {
    words: &'static [AtomicU64],
    workers: usize,
    worker: usize,
    frontends: usize,
    backends: usize,
    servers: usize,
    first_listener: Vec<usize>,
}

/// One object's row: the calling worker's own for writing, all workers' for reading.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    words: &'a [AtomicU64],
    worker: usize,
    workers: usize,
}

impl Counters {
    /// Words of shared memory that `config` needs with so many workers.
    pub fn words_needed(config: &Config, workers: usize) -> usize {
        let listeners: usize = config.frontends.iter().map(|f| f.binds.len()).sum();
        let objects = 1 + config.frontends.len() + config.backends.len() + config.servers.len() + listeners;
        objects * workers * ROW_WORDS
    }

    /// The rows of `config` over `words`, which all workers have mapped; this process is worker number `worker`.
    pub fn new(config: &Config, words: &'static [AtomicU64], workers: usize, worker: usize) -> Counters {
        assert!(words.len() >= Counters::words_needed(config, workers) && worker < workers);
        let mut listeners = 0;
        let first_listener = config.frontends.iter().map(|f| {
            listeners += f.binds.len();
            listeners - f.binds.len()
        });
        Counters {
            words,
            workers,
            worker,
            first_listener: first_listener.collect(),
            frontends: config.frontends.len(),
            backends: config.backends.len(),
            servers: config.servers.len(),
        }
    }

    /// Rows on ordinary memory, for tests and simulations; the memory is never given back.
    pub fn private(config: &Config) -> Counters {
        let words = (0..Counters::words_needed(config, 1)).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        Counters::new(config, Box::leak(words.into_boxed_slice()), 1, 0)
    }

    /// Sets the maxima of all objects to zero, or with `all` everything but gauges and rates, for all
    /// workers (`clear counters`).
    pub fn clear_everything(&self, all: bool) {
        let objects = 1 + self.frontends + self.backends + self.servers;
        let listeners = self.words.len() / (self.workers * ROW_WORDS);
        for object in 0..listeners.max(objects) {
            let row = self.row(object);
            let columns = if all { COUNTED } else { &[][..] };
            // HAProxy counts how often a backend was without servers beside what it clears.
            let backend = (1 + self.frontends..1 + self.frontends + self.backends).contains(&object);
            let cleared = columns.iter().chain(MAXIMA).filter(|&&column| !(backend && column == Count::CheckDowns));
            cleared.for_each(|&column| row.clear(column));
        }
    }

    /// The row of the whole process.
    pub fn process(&self) -> Row<'_> {
        self.row(0)
    }

    /// A frontend's row.
    pub fn frontend(&self, id: FrontendId) -> Row<'_> {
        self.row(1 + id.0 as usize)
    }

    /// A backend's row.
    pub fn backend(&self, id: BackendId) -> Row<'_> {
        self.row(1 + self.frontends + id.0 as usize)
    }

    /// A server's row.
    pub fn server(&self, id: ServerId) -> Row<'_> {
        self.row(1 + self.frontends + self.backends + id.0 as usize)
    }

    /// The row of the `bind`-th listening address of a frontend.
    pub fn listener(&self, id: FrontendId, bind: usize) -> Row<'_> {
        let listener = self.first_listener[id.0 as usize] + bind;
        self.row(1 + self.frontends + self.backends + self.servers + listener)
    }

    fn row(&self, object: usize) -> Row<'_> {
        let start = object * self.workers * ROW_WORDS;
        let words = &self.words[start..start + self.workers * ROW_WORDS];
        Row { words, worker: self.worker, workers: self.workers }
    }
}

impl Row<'_> {
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

    /// Sum over all workers.
    pub fn get(self, column: Count) -> u64 {
        (0..self.workers).map(|w| self.cell(w, column as usize)).sum()
    }

    /// Largest over all workers.
    pub fn max(self, column: Count) -> u64 {
        (0..self.workers).map(|w| self.cell(w, column as usize)).max().unwrap_or(0)
    }

    /// Sets all workers' cells of a column to zero (`clear counters`).
    pub fn clear(self, column: Count) {
        for worker in 0..self.workers {
            self.words[worker * ROW_WORDS + column as usize].store(0, Relaxed);
        }
    }

    /// Enters one more of a gauge: the gauge itself and its maximum.
    pub fn enter(self, gauge: Count, max: Count) {
        self.add(gauge, 1);
        self.raise(max, self.own(gauge as usize).load(Relaxed));
    }

    /// Counts an event of a rate, keeping the rate's maximum.
    ///
    /// The three words are the current second, the events in it and the events of the second before.
    pub fn tick_rate(self, rate: Count, max: Count, now: Now) {
        let second = now.mono_us / 1_000_000;
        let at = rate as usize;
        let seen = self.own(at).load(Relaxed);
        if seen != second {
            let previous = if seen + 1 == second { self.own(at + 1).load(Relaxed) } else { 0 };
            self.own(at + 2).store(previous, Relaxed);
            self.own(at + 1).store(0, Relaxed);
            self.own(at).store(second, Relaxed);
        }
        let events = self.own(at + 1).load(Relaxed) + 1;
        self.own(at + 1).store(events, Relaxed);
        self.raise(max, self.rate_of(self.worker, rate, now));
    }

    /// Events over the last second, all workers: the current second's plus the share of the previous one
    /// that still lies within the last second.
    pub fn rate(self, rate: Count, now: Now) -> u64 {
        (0..self.workers).map(|w| self.rate_of(w, rate, now)).sum()
    }

    /// Adds a sample in milliseconds to a sliding average.
    pub fn sample(self, sum: Count, max: Count, ms: u64) {
        let cell = self.own(sum as usize);
        let old = cell.load(Relaxed);
        cell.store(old - old.div_ceil(AVERAGE_SAMPLES) + ms, Relaxed);
        self.raise(max, ms);
    }

    /// Enters an exchange's times into the sliding averages of a backend or server.
    pub fn times(self, facts: &Facts) {
        let span = |from: Option<Now>, to: Option<Now>| Some(to?.ms_since(from?));
        let start = facts.request_received.or(Some(facts.accepted));
        let queue = span(start, facts.queue_left);
        let connect = span(facts.queue_left, facts.connected);
        let response = span(facts.connected, facts.response_received);
        let total = span(start, facts.ended);
        self.sample(Count::QueueTimeSum, Count::QueueTimeMax, queue.unwrap_or(0));
        self.sample(Count::ConnectTimeSum, Count::ConnectTimeMax, connect.unwrap_or(0));
        self.sample(Count::ResponseTimeSum, Count::ResponseTimeMax, response.unwrap_or(0));
        self.sample(Count::TotalTimeSum, Count::TotalTimeMax, total.unwrap_or(0));
    }

    /// A sliding average in milliseconds over the last 1,024 samples, mean over the workers that have any.
    pub fn average(self, sum: Count) -> u64 {
        let sums = (0..self.workers).map(|w| self.cell(w, sum as usize)).filter(|&s| s > 0);
        let (total, count) = sums.fold((0, 0), |(total, count), s| (total + s, count + 1));
        total.checked_div(count).map_or(0, |average| average.div_ceil(AVERAGE_SAMPLES))
    }

    fn rate_of(self, worker: usize, rate: Count, now: Now) -> u64 {
        let at = rate as usize;
        let (second, part) = (now.mono_us / 1_000_000, now.mono_us % 1_000_000);
        let (current, previous) = match second.checked_sub(self.cell(worker, at)) {
            Some(0) => (self.cell(worker, at + 1), self.cell(worker, at + 2)),
            Some(1) => (0, self.cell(worker, at + 1)),
            _ => (0, 0),
        };
        current + previous * (1_000_000 - part) / 1_000_000
    }

    fn own(&self, column: usize) -> &AtomicU64 {
        &self.words[self.worker * ROW_WORDS + column]
    }

    fn cell(&self, worker: usize, column: usize) -> u64 {
        self.words[worker * ROW_WORDS + column].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
