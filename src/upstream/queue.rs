//! Who waits for a server: a queue a server and a queue a backend.
//!
//! A request waits in its backend's queue when every server is full, and in one server's queue when only
//! that server will do (a hash or a cookie chose it). A freed place goes to whoever has waited longer.

use std::collections::{BTreeSet, VecDeque};

use crate::proxy::{BackendId, ServerId};

/// One that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its session's slot.
    pub session: usize,
    /// Its place in the order of arrival, unique; a stale entry is told by it.
    pub ticket: u64,
    /// Since when, monotonic microseconds.
    pub since_us: u64,
}

/// All queues of one worker.
#[derive(Debug, Default)]
pub struct Queues {
    servers: Vec<VecDeque<Waiting>>,
    backends: Vec<VecDeque<Waiting>>,
    /// By backend, how many wait for it or for one of its servers.
    waiting: Vec<usize>,
    /// Backends with any.
    busy: BTreeSet<BackendId>,
    tickets: u64,
}

impl Queues {
    /// Empty queues.
    pub fn new(backends: usize, servers: usize) -> Queues {
        let empty = |count| vec![VecDeque::new(); count];
        let (servers, waiting) = (empty(servers), vec![0; backends]);
        Queues { servers, backends: empty(backends), waiting, busy: BTreeSet::new(), tickets: 0 }
    }

    /// Makes a queue for a server, unless one of that id has left an empty one.
    pub fn seat(&mut self, server: ServerId) {
        if server.0 as usize == self.servers.len() {
            self.servers.push(VecDeque::new());
        }
    }

    /// Requests waiting for this server.
    pub fn server_len(&self, server: ServerId) -> usize {
        self.servers[server.0 as usize].len()
    }

    /// Requests waiting for any server of this backend.
    pub fn backend_len(&self, backend: BackendId) -> usize {
        self.backends[backend.0 as usize].len()
    }

    /// Who has waited longest in a server's queue, or in the backend's.
    pub fn front(&self, backend: BackendId, server: Option<ServerId>) -> Option<&Waiting> {
        match server {
            Some(server) => self.servers[server.0 as usize].front(),
            None => self.backends[backend.0 as usize].front(),
        }
    }

    /// Whether anyone waits for a backend or one of its servers.
    pub fn is_busy(&self, backend: BackendId) -> bool {
        self.waiting[backend.0 as usize] > 0
    }

    /// The backends of which that is true.
    pub fn busy(&self) -> Vec<BackendId> {
        self.busy.iter().copied().collect()
    }

    /// How many have ever joined, and how many wait: if neither has changed, nobody has come or gone.
    #[cfg(test)]
    pub fn census(&self) -> (u64, usize) {
        (self.tickets, self.waiting.iter().sum())
    }

    /// Joins a server's queue, or the backend's; gives the ticket.
    pub fn join(&mut self, backend: BackendId, server: Option<ServerId>, session: usize, since_us: u64) -> u64 {
        self.tickets += 1;
        let waiting = Waiting { session, ticket: self.tickets, since_us };
        self.queue(backend, server).push_back(waiting);
        self.count(backend, 1);
        self.tickets
    }

    /// Leaves a queue before its turn; says whether it still stood there.
    pub fn leave(&mut self, backend: BackendId, server: Option<ServerId>, ticket: u64) -> bool {
        let queue = self.queue(backend, server);
        let Ok(at) = queue.binary_search_by_key(&ticket, |w| w.ticket) else { return false };
        queue.remove(at);
        self.count(backend, -1);
        true
    }

    /// Takes the next one that a free place on `server` is for; says whether it came from the server's own queue.
    pub fn next_for(&mut self, backend: BackendId, server: ServerId) -> Option<(Waiting, bool)> {
        let own = self.servers[server.0 as usize].front().map(|w| w.ticket);
        let shared = self.backends[backend.0 as usize].front().map(|w| w.ticket);
        let from_own = match (own, shared) {
            (Some(own), Some(shared)) => own < shared,
            (own, _) => own.is_some(),
        };
        let queue = if from_own { self.queue(backend, Some(server)) } else { self.queue(backend, None) };
        let next = queue.pop_front()?;
        self.count(backend, -1);
        Some((next, from_own))
    }

    /// Takes the next one that waits for `server` and no other; always from the server's own queue.
    pub fn next_own(&mut self, backend: BackendId, server: ServerId) -> Option<(Waiting, bool)> {
        let next = self.servers[server.0 as usize].pop_front()?;
        self.count(backend, -1);
        Some((next, true))
    }

    /// Empties a server's queue, for those in it to choose again.
    pub fn drain_server(&mut self, backend: BackendId, server: ServerId) -> VecDeque<Waiting> {
        let all = std::mem::take(&mut self.servers[server.0 as usize]);
        self.count(backend, -(all.len() as isize));
        all
    }

    fn count(&mut self, backend: BackendId, change: isize) {
        let waiting = &mut self.waiting[backend.0 as usize];
        let before = *waiting;
        *waiting = before.saturating_add_signed(change);
        match (before, *waiting) {
            (0, 1..) => drop(self.busy.insert(backend)),
            (1.., 0) => drop(self.busy.remove(&backend)),
            _ => {}
        }
    }

    fn queue(&mut self, backend: BackendId, server: Option<ServerId>) -> &mut VecDeque<Waiting> {
        match server {
            Some(server) => &mut self.servers[server.0 as usize],
            None => &mut self.backends[backend.0 as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_place_goes_to_whoever_has_waited_longer() {
        let (backend, one, two) = (BackendId(0), ServerId(0), ServerId(1));
        let mut queues = Queues::new(1, 2);
        queues.join(backend, None, 10, 0);
        queues.join(backend, Some(one), 11, 1);
        let ticket = queues.join(backend, None, 12, 2);
        queues.join(backend, None, 13, 3);
        assert_eq!(queues.next_for(backend, one).map(|(w, own)| (w.session, own)), Some((10, false)));
        assert_eq!(queues.next_for(backend, one).map(|(w, own)| (w.session, own)), Some((11, true)));
        assert!(queues.leave(backend, None, ticket));
        assert_eq!(queues.next_for(backend, two).map(|(w, own)| (w.session, own)), Some((13, false)));
        assert_eq!(queues.next_for(backend, two), None);
    }

    #[test]
    fn it_is_known_where_anyone_waits() {
        let (idle, busy) = (BackendId(0), BackendId(1));
        let mut queues = Queues::new(2, 2);
        let ticket = queues.join(busy, Some(ServerId(1)), 10, 5);
        assert_eq!(queues.front(busy, Some(ServerId(1))).map(|waiting| waiting.since_us), Some(5));
        assert!(!queues.is_busy(idle) && queues.is_busy(busy));
        assert_eq!(queues.busy(), [busy]);
        assert!(queues.leave(busy, Some(ServerId(1)), ticket));
        assert!(!queues.leave(busy, Some(ServerId(1)), ticket));
        assert_eq!(queues.busy(), []);
        queues.join(busy, Some(ServerId(0)), 10, 5);
        queues.join(busy, Some(ServerId(0)), 11, 5);
        assert_eq!(queues.drain_server(busy, ServerId(0)).len(), 2);
        assert!(!queues.is_busy(busy));
    }
}
