//! What must hold in a storm.

use super::*;
use crate::proxy::BackendId;
use crate::session::{Exchange, Phase};
use crate::stats::Count;

/// How long a worker may take to see that a node is not as it was: two checks, what they wait for, and a bit.
const NOTICED_US: u64 = 2_200_000;
/// A place may be empty for as long as a worker leaves it to another one.
const UNUSED_US: u64 = 150_000;

/// One that waits.
#[derive(Clone, Copy)]
struct Waiting {
    exchange: usize,
    ticket: u64,
    backend: Option<BackendId>,
    server: Option<ServerId>,
}

/// What was seen at the end of the last turn of a worker.
#[derive(Default)]
pub struct Seen {
    census: (u64, usize),
    /// Who waited, by tickets.
    waited: Vec<Waiting>,
    /// Places that were given to those who waited.
    given: u64,
    /// Servers that were up when the turn began, for turns in which more than one thing happens.
    were_up: Vec<bool>,
    /// Since when there is a place that somebody waits for.
    unused_since_us: Option<u64>,
}

fn waiting(core: &Core) -> Vec<Waiting> {
    if core.services.queues.busy().is_empty() {
        return Vec::new();
    }
    let one = |(exchange, at): (usize, &Exchange)| match at.phase {
        Phase::Queued { ticket, server } => Some(Waiting { exchange, ticket, backend: at.backend, server }),
        _ => None,
    };
    let mut all: Vec<Waiting> = core.exchanges.iter().map(|(at, exchange)| (at, &**exchange)).filter_map(one).collect();
    all.sort_unstable_by_key(|one| one.ticket);
    all
}

impl Seen {
    /// Notes which servers are up.
    pub fn remember(&mut self, core: &Core) {
        self.were_up.extend(core.services.servers.iter().map(|server| server.is_up()));
    }

    pub fn forget(&mut self) {
        self.were_up.clear();
    }

    /// Whether a server may have been given something in this turn.
    pub fn was_up(&self, core: &Core, node: usize) -> bool {
        core.services.servers[node].is_up() || self.were_up.get(node).is_some_and(|up| *up)
    }

    /// Who got a place in this turn had waited longer than all that still wait in the same queue.
    pub fn look(&mut self, core: &Core) {
        let census = core.services.queues.census();
        if std::mem::replace(&mut self.census, census) == census {
            return;
        }
        let waited = std::mem::replace(&mut self.waited, waiting(core));
        let waits = |one: &Waiting| self.waited.binary_search_by_key(&one.ticket, |other| other.ticket).is_ok();
        for one in waited.iter().filter(|one| !waits(one)) {
            let Some(exchange) = core.exchanges.get(one.exchange) else { continue };
            let moved = exchange.facts.queue_left.is_some_and(|left| left.mono_us == core.services.now.mono_us);
            if !moved || exchange.counted_on.is_none() {
                continue;
            }
            self.given += 1;
            let same = |other: &&Waiting| (other.backend, other.server) == (one.backend, one.server);
            let overtaken = self.waited.iter().filter(same).find(|other| other.ticket < one.ticket);
            assert!(overtaken.is_none(), "{} went before {:?}", one.ticket, overtaken.map(|other| other.ticket));
        }
    }
}

impl Storm {
    /// Looks at everything from time to time.
    pub fn inspect(&mut self) {
        let now_us = self.now_us;
        for worker in &mut self.workers {
            // Time may have passed that the worker has not been told of.
            let services = &worker.core.services;
            let web = BackendId(0);
            let is_free = |node: usize| {
                let id = ServerId(node as u32);
                let taken = services.counters.server(id).get(Count::SessionsCurrent);
                assert!(taken <= self.nodes[node].maxconn, "s{node} has {taken}");
                services.servers[node].is_usable() && taken < self.nodes[node].maxconn
            };
            let unused = (0..FIRST_HASHED).filter(|node| is_free(*node)).count();
            if unused == 0 || services.queues.backend_len(web) == 0 {
                worker.seen.unused_since_us = None;
            } else {
                let since = *worker.seen.unused_since_us.get_or_insert(now_us);
                assert!(now_us - since <= UNUSED_US, "{unused} places for those who wait since {since} us");
            }
            for (number, node) in self.nodes.iter().enumerate() {
                let known = &services.servers[number];
                let late = now_us - node.since_us > NOTICED_US;
                let right = known.is_up() == (node.mood == Mood::Well);
                assert!(
                    right || !late,
                    "s{number} is {:?}, known as {} at {now_us} us",
                    node.mood,
                    known.status_word()
                );
            }
        }
    }

    /// Everybody has had an answer, and nothing is left.
    pub fn look_at_the_end(&mut self, seed: u64) {
        let count = |status: &str| self.answers.get(status).copied().unwrap_or_default();
        let (answered, refused) = (count("200"), count("503"));
        let total: u64 = self.answers.values().sum();
        let waited: u64 = self.workers.iter().map(|worker| worker.seen.given).sum();
        println!(
            "storm {seed}: {} requests, {waited} of them waited, answers {:?}, {} cut, {} clients left",
            self.requests, self.answers, self.cut, self.left
        );
        assert_eq!(total + self.cut + self.left, self.requests, "each request has one end");
        assert!(answered > self.requests / 3 && refused > 0 && waited > 300, "it was a storm, and there was service");
        for worker in &self.workers {
            let of_clients = |far: &Far| matches!(far.role, Role::Client { .. });
            assert!(!worker.fars.iter().any(|(_, far)| of_clients(far)), "a client waits for ever");
            let busy: u64 = self.nodes.iter().map(|node| node.busy).sum();
            assert_eq!((busy, worker.core.exchanges.len()), (0, 0));
            crate::session::sim::assert_at_rest(&worker.core);
        }
    }
}
