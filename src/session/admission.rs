//! Which connections are accepted, and when: limits of the whole, of a frontend and of a listening address, on
//! how many there are and how many come in a second, over all workers of the generation.
//!
//! A place is reserved before the connection is taken from the kernel, so that no limit is exceeded. A worker
//! that found none says so in its slot before it looks a last time; whoever gives one back rings those.

use std::sync::atomic::Ordering::SeqCst;

use super::{Guard, Services};
use crate::proxy::{Config, FrontendId};
use crate::shm::{SlotWord, WAITS_ACCEPT};
use crate::stats::{Among, Count, Row};
use crate::time::Tick;

/// Limits of what the whole service takes in a second; no limit when absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Connections (`maxconnrate`).
    pub connections: Option<u32>,
    /// Sessions (`maxsessrate`).
    pub sessions: Option<u32>,
}

impl Rates {
    pub(super) fn of(config: &Config) -> Rates {
        Rates { connections: config.global.maxconnrate, sessions: config.global.maxsessrate }
    }
}

/// Whether a connection may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may: its place is reserved.
    Reserved,
    /// A limit of connections is reached.
    Full,
    /// A limit of a rate is reached; the next may come then.
    Later(Tick),
}

/// A limited gauge or rate, with its row.
type Limited<'a> = (Row<'a>, Count, u64);

impl Services {
    /// Reserves what a connection to a listening address needs. [`Services::count_opened`] uses it,
    /// [`Services::withdraw`] gives it back in the same turn.
    #[must_use]
    pub fn admit(&self, frontend: FrontendId, bind: usize) -> Admission {
        let now = self.now;
        for (at, (row, rate, limit)) in self.rate_limits(frontend).into_iter().flatten().enumerate() {
            if !row.try_tick(rate, limit, now) {
                self.untick(frontend, at);
                return Admission::Later(now.tick() + row.delay(rate, limit, now));
            }
        }
        for (at, (row, limit)) in self.places(frontend, bind).into_iter().enumerate() {
            if !row.try_reserve(Count::SessionsCurrent, limit, Among::Generation) {
                self.places(frontend, bind)[..at].iter().for_each(|(row, _)| row.leave(Count::SessionsCurrent));
                self.untick(frontend, usize::MAX);
                return Admission::Full;
            }
        }
        Admission::Reserved
    }

    /// Gives back what [`Services::admit`] reserved: no connection came.
    pub fn withdraw(&mut self, frontend: FrontendId, bind: usize) {
        self.untick(frontend, usize::MAX);
        self.count_closed(frontend, bind);
    }

    fn untick(&self, frontend: FrontendId, first: usize) {
        let ticked = self.rate_limits(frontend).into_iter().flatten().take(first);
        ticked.for_each(|(row, rate, _)| row.untick(rate));
    }

    /// The limits of rates that are set.
    fn rate_limits(&self, frontend: FrontendId) -> [Option<Limited<'_>>; 3] {
        let limited = |row, rate, limit: Option<u32>| limit.map(|limit| (row, rate, u64::from(limit)));
        let (process, own) = (self.counters.process(), self.counters.frontend(frontend));
        [
            limited(process, Count::ConnectionRate, self.rates.connections),
            limited(process, Count::SessionRate, self.rates.sessions),
            limited(own, Count::SessionRate, self.config[frontend].rate_limit),
        ]
    }

    /// The gauges that a connection enters, with their limits.
    fn places(&self, frontend: FrontendId, bind: usize) -> [(Row<'_>, u64); 3] {
        let listener = self.config[frontend].binds[bind].options.maxconn;
        [
            (self.counters.process(), u64::from(self.maxconn)),
            (self.counters.frontend(frontend), u64::from(self.frontend_maxconn(frontend))),
            (self.counters.listener(frontend, bind), listener.map_or(u64::MAX, u64::from)),
        ]
    }

    /// Counts a connection accepted, which has been admitted.
    pub fn count_opened(&mut self, frontend: FrontendId, bind: usize) {
        let limited = self.rate_limits(frontend);
        for (row, _) in self.places(frontend, bind) {
            row.raise(Count::SessionsMax, row.get(Count::SessionsCurrent));
            row.add(Count::SessionsTotal, 1);
            row.add(Count::ConnectionsTotal, 1);
            for (rate, max) in
                [(Count::SessionRate, Count::SessionRateMax), (Count::ConnectionRate, Count::ConnectionRateMax)]
            {
                let is_this = |limited: &Limited<'_>| limited.0.object() == row.object() && limited.1 == rate;
                if limited.iter().flatten().any(is_this) {
                    row.raise_rate(rate, max, self.now);
                } else {
                    row.tick_rate(rate, max, self.now);
                }
            }
        }
    }

    /// Counts a connection that rules refused before it became a session, and gives back what was reserved.
    pub fn count_refused(&mut self, frontend: FrontendId, bind: usize, guard: Guard) {
        let column = match guard {
            Guard::Connection => Count::DeniedConnections,
            Guard::Session => Count::DeniedSessions,
            Guard::Silent => Count::DeniedRequests,
        };
        let limited = self.rate_limits(frontend);
        for (row, _) in self.places(frontend, bind) {
            row.raise(Count::SessionsMax, row.get(Count::SessionsCurrent));
            row.add(Count::ConnectionsTotal, 1);
            row.add(column, 1);
        }
        self.counters.listener(frontend, bind).add(Count::SessionsTotal, 1);
        for row in [self.counters.process(), self.counters.frontend(frontend)] {
            let is_this = |limit: &Limited<'_>| limit.0.object() == row.object() && limit.1 == Count::ConnectionRate;
            if limited.iter().flatten().any(is_this) {
                row.raise_rate(Count::ConnectionRate, Count::ConnectionRateMax, self.now);
            } else {
                row.tick_rate(Count::ConnectionRate, Count::ConnectionRateMax, self.now);
            }
        }
        let of_sessions = |limit: &&Limited<'_>| limit.1 == Count::SessionRate;
        limited.iter().flatten().filter(of_sessions).for_each(|(row, rate, _)| row.untick(*rate));
        self.count_closed(frontend, bind);
    }

    /// Counts a connection closed, and tells those who may have one more now.
    pub fn count_closed(&mut self, frontend: FrontendId, bind: usize) {
        self.places(frontend, bind).into_iter().for_each(|(row, _)| row.leave(Count::SessionsCurrent));
        self.ring_acceptors();
    }

    /// Tells the workers that cannot accept that a place may be free.
    pub fn ring_acceptors(&mut self) {
        let segment = self.counters.segment();
        for at in 0..self.counters.among().len() {
            let slot = self.counters.among()[at];
            let waits = || segment.word(slot, SlotWord::Waits).load(SeqCst) & WAITS_ACCEPT != 0;
            if slot != self.counters.slot() && waits() {
                self.ring(slot);
            }
        }
    }

    /// Whether others of the generation share the limits of connections.
    pub fn shares_limits(&self) -> bool {
        self.counters.among().len() > 1
    }

    /// Tells the others whether this worker waits for a place. Says whether that is new: places that were
    /// given back before they knew are to be looked for once more.
    pub fn wait_to_accept(&self, waits: bool) -> bool {
        let word = self.counters.segment().word(self.counters.slot(), SlotWord::Waits);
        let before = word.load(SeqCst);
        let after = if waits { before | WAITS_ACCEPT } else { before & !WAITS_ACCEPT };
        if before != after {
            word.store(after, SeqCst);
        }
        before != after
    }
}
