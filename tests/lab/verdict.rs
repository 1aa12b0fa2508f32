//! What may fail while a service moves from one director to another, and what may not.

use std::env;
use std::time::{Duration, Instant};

use crate::expect;
use crate::load::{End, Record};

/// A request under way when a failure came began at most this long before it.
const BEFORE: Duration = Duration::from_millis(500);
/// After a move, a connection that waits finds out with its next packet.
const AFTER: Duration = Duration::from_secs(1);

/// Longest time in which requests may fail. Checks: two in a row fail, one a second, each ended after a second.
/// VRRP: silence is noticed after three seconds and a bit. Then the next try of a connection whose first packet
/// met nobody.
const OUTAGE_MAX: Duration = Duration::from_secs(8);

/// From a failure, or an order, until the service has moved.
pub struct Span {
    from: Instant,
    until: Instant,
    /// How many requests may fail; they may be cut, and nothing else, if the move was on purpose.
    failures_max: Option<usize>,
    /// Longest time in which requests may fail.
    outage_max: Duration,
}

impl Span {
    /// The time that `work` takes; it gives the moment of the move.
    pub fn of(work: impl FnOnce() -> Result<Instant, String>) -> Result<Span, String> {
        let from = Instant::now();
        Ok(Span { from, until: work()?, failures_max: None, outage_max: OUTAGE_MAX })
    }

    /// A move on purpose: nobody is refused, at most so many connections are cut.
    pub fn that_cuts_at_most(self, failures_max: usize) -> Span {
        Span { failures_max: Some(failures_max), ..self }
    }

    /// Requests may fail for longer than usual.
    pub fn that_lasts_at_most(self, outage_max: Duration) -> Span {
        Span { outage_max, ..self }
    }

    fn covers(&self, record: &Record) -> bool {
        record.began + BEFORE > self.from && record.began < self.until + AFTER
    }

    /// How long requests failed.
    fn outage(&self, failed: &[&Record]) -> Duration {
        failed.iter().map(|record| record.began.saturating_duration_since(self.from)).max().unwrap_or_default()
    }

    fn figures(&self, failed: &[&Record]) -> String {
        let cut = failed.iter().filter(|record| record.end == End::Closed).count();
        format!(
            "moved after {:?}; {} requests failed in {:?}, {cut} of them cut; the last: {:?}",
            self.until - self.from,
            failed.len(),
            self.outage(failed),
            failed.last().map(|record| &record.end)
        )
    }
}

/// Requests may fail between a failure and the move, and only there: those that were under way, and those that
/// found nobody. A connection that the old director had is over for good: that costs one request each.
///
/// `EPOXY_LAB_FIGURES` in the environment shows how it went.
pub fn judge(records: &[Record], spans: &[Span]) -> Result<(), String> {
    let bad: Vec<&Record> = records.iter().filter(|record| !record.end.is_good()).collect();
    if let Some(record) = bad.iter().find(|record| !spans.iter().any(|span| span.covers(record))) {
        return Err(format!("a request failed while nothing had: {:?}", record.end));
    }
    for span in spans {
        let failed: Vec<&Record> = bad.iter().copied().filter(|record| span.covers(record)).collect();
        if env::var_os("EPOXY_LAB_FIGURES").is_some() {
            eprintln!("{}", span.figures(&failed));
        }
        let refused = failed.iter().any(|record| record.end != End::Closed);
        let too_many = span.failures_max.is_some_and(|most| refused || failed.len() > most);
        if span.outage(&failed) > span.outage_max || too_many {
            return Err(span.figures(&failed));
        }
    }
    let last = spans.last().map(|span| span.until);
    let after = records.iter().filter(|record| record.end.is_good() && last.is_none_or(|last| record.began > last));
    expect("clients went on after the last move", after.count() > 100, true)
}
