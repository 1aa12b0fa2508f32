//! Who waits for a server: a queue a server and a queue a backend.
//!
//! A request waits in its backend's queue when every server is full, and in one server's queue when only
//! that server will do (a hash or a cookie chose it). A freed place goes to whoever has waited longer.

use std::collections::VecDeque;

use crate::proxy::{BackendId, ServerId};
use crate::time::Tick;

/// One that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its session's slot.
    pub session: usize,
    /// Its place in the order of arrival, unique; a stale entry is told by it.
    pub ticket: u64,
    /// Since when.
    pub since: Tick,
}

/// All queues of one worker.
#[derive(Debug, Default)]
pub struct Queues {
    servers: Vec<VecDeque<Waiting>>,
    backends: Vec<VecDeque<Waiting>>,
    tickets: u64,
}

impl Queues {
    /// Empty queues.
    pub fn new(backends: usize, servers: usize) -> Queues {
        Queues { servers: vec![VecDeque::new(); servers], backends: vec![VecDeque::new(); backends], tickets: 0 }
    }

    /// Requests waiting for this server.
    pub fn server_len(&self, server: ServerId) -> usize {
        self.servers[server.0 as usize].len()
    }

    /// Requests waiting for any server of this backend.
    pub fn backend_len(&self, backend: BackendId) -> usize {
        self.backends[backend.0 as usize].len()
    }

    /// Joins a server's queue, or the backend's; gives the ticket.
    pub fn join(&mut self, backend: BackendId, server: Option<ServerId>, session: usize, since: Tick) -> u64 {
        self.tickets += 1;
        let waiting = Waiting { session, ticket: self.tickets, since };
        self.queue(backend, server).push_back(waiting);
        self.tickets
    }

    /// Leaves a queue before its turn.
    pub fn leave(&mut self, backend: BackendId, server: Option<ServerId>, ticket: u64) {
        let queue = self.queue(backend, server);
        if let Ok(at) = queue.binary_search_by_key(&ticket, |w| w.ticket) {
            queue.remove(at);
        }
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
        Some((queue.pop_front()?, from_own))
    }

    /// Takes the next one that waits for `server` and no other; always from the server's own queue.
    pub fn next_own(&mut self, server: ServerId) -> Option<(Waiting, bool)> {
        Some((self.servers[server.0 as usize].pop_front()?, true))
    }

    /// Empties a server's queue, for those in it to choose again.
    pub fn drain_server(&mut self, server: ServerId) -> VecDeque<Waiting> {
        std::mem::take(&mut self.servers[server.0 as usize])
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
        queues.join(backend, None, 10, Tick(0));
        queues.join(backend, Some(one), 11, Tick(1));
        let ticket = queues.join(backend, None, 12, Tick(2));
        queues.join(backend, None, 13, Tick(3));
        assert_eq!(queues.next_for(backend, one).map(|(w, own)| (w.session, own)), Some((10, false)));
        assert_eq!(queues.next_for(backend, one).map(|(w, own)| (w.session, own)), Some((11, true)));
        queues.leave(backend, None, ticket);
        assert_eq!(queues.next_for(backend, two).map(|(w, own)| (w.session, own)), Some((13, false)));
        assert_eq!(queues.next_for(backend, two), None);
    }
}
