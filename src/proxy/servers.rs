//! All servers by id, and those of each backend: those that were written, and those that are added and taken away
//! while the process runs (management manual 9.3, `add server`, `del server`).
//!
//! What was written stands in one row and is found without detour. What is added is never freed, so that whoever
//! looks at a server may keep looking; what comes back as it was is the same. A server that was taken away leaves
//! its id and its seat behind, for one that comes once nobody uses them any more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::{Index, IndexMut, Range};

use super::{Server, ServerId};

/// The servers of all backends.
#[derive(Debug, Default)]
pub struct Servers {
    written: Vec<Server>,
    added: RefCell<Vec<&'static Server>>,
    /// All that were ever added, by the hash of what they are.
    known: RefCell<HashMap<u64, Vec<&'static Server>>>,
}

/// The servers of one backend. Its algorithm knows each by its seat: a number from 0 that goes with its id.
#[derive(Clone, Debug, Default)]
pub struct Members {
    written: Range<u32>,
    /// By seat, beyond those that were written.
    seats: RefCell<Vec<ServerId>>,
    /// Those of them that are there, in the order in which they came.
    added: RefCell<Vec<ServerId>>,
    /// Those that were written and taken away.
    gone: RefCell<Vec<ServerId>>,
}

/// Puts what is known of a server in its place by id or by seat, which may be the next one.
pub fn put<T>(all: &mut Vec<T>, at: u32, value: T) {
    match all.get_mut(at as usize) {
        Some(place) => *place = value,
        None => all.push(value),
    }
}

impl Servers {
    /// Appends a server that was written. Those that are added come after all of them.
    pub fn push(&mut self, server: Server) {
        debug_assert!(self.added.borrow().is_empty());
        self.written.push(server);
    }

    /// Adds a server while the process runs; gives its id.
    pub fn add(&self, server: Server) -> ServerId {
        let server = self.known(server);
        let mut added = self.added.borrow_mut();
        added.push(server);
        ServerId((self.written.len() + added.len() - 1) as u32)
    }

    /// Gives the id of one that was added and taken away to another server.
    pub fn replace(&self, id: ServerId, server: Server) {
        let server = self.known(server);
        self.added.borrow_mut()[id.0 as usize - self.written.len()] = server;
    }

    fn known(&self, server: Server) -> &'static Server {
        let text = format!("{server:?}");
        let mut known = self.known.borrow_mut();
        let alike = known.entry(BuildHasherDefault::<DefaultHasher>::default().hash_one(&text)).or_default();
        if let Some(same) = alike.iter().find(|other| format!("{other:?}") == text) {
            return same;
        }
        let server = Box::leak(Box::new(server));
        alike.push(server);
        server
    }

    /// Whether a server came while the process ran.
    pub fn is_added(&self, id: ServerId) -> bool {
        id.0 as usize >= self.written.len()
    }

    /// How many ids there are, those that nobody has at the moment included.
    pub fn len(&self) -> usize {
        self.written.len() + self.added.borrow().len()
    }

    /// Whether there never was a server.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All ids that were ever given out.
    pub fn ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..self.len() as u32).map(ServerId)
    }

    /// The servers that were written.
    pub fn written(&self) -> &[Server] {
        &self.written
    }
}

impl Index<ServerId> for Servers {
    type Output = Server;

    #[inline]
    fn index(&self, id: ServerId) -> &Server {
        let at = id.0 as usize;
        self.written.get(at).unwrap_or_else(|| self.added.borrow()[at - self.written.len()])
    }
}

/// What a configuration is made of is still being written.
impl IndexMut<ServerId> for Servers {
    fn index_mut(&mut self, id: ServerId) -> &mut Server {
        &mut self.written[id.0 as usize]
    }
}

impl Members {
    /// Those that were written, which have ids in a row.
    pub fn new(written: Range<u32>) -> Members {
        Members { written, ..Members::default() }
    }

    /// Ids in the order of the statistics: as written, then as added.
    pub fn ids(&self) -> impl Iterator<Item = ServerId> + '_ {
        // Looked at one by one: whoever goes through them may take one away.
        let is_there = |id: &ServerId| {
            let gone = self.gone.borrow();
            gone.is_empty() || !gone.contains(id)
        };
        self.written.clone().map(ServerId).filter(is_there).chain(self.added())
    }

    /// Those of them that were added.
    pub fn added(&self) -> impl Iterator<Item = ServerId> + '_ {
        (0..).map_while(|at| self.added.borrow().get(at).copied())
    }

    /// The server in a seat.
    #[inline]
    pub fn at(&self, seat: u32) -> ServerId {
        let written = self.written.len() as u32;
        if seat < written {
            ServerId(self.written.start + seat)
        } else {
            self.seats.borrow()[(seat - written) as usize]
        }
    }

    /// The seat that nobody has had so far.
    pub fn next_seat(&self) -> u32 {
        (self.written.len() + self.seats.borrow().len()) as u32
    }

    /// Takes in a server, in its seat: [`Members::next_seat`], or the one that its id had before.
    pub fn add(&self, id: ServerId, seat: u32) {
        if seat == self.next_seat() {
            self.seats.borrow_mut().push(id);
        }
        self.added.borrow_mut().push(id);
    }

    /// Takes a server away; its seat stays empty.
    pub fn remove(&self, id: ServerId) {
        if self.written.contains(&id.0) {
            self.gone.borrow_mut().push(id);
        }
        self.added.borrow_mut().retain(|other| *other != id);
    }

    /// Whether a server was taken away.
    pub fn is_gone(&self, id: ServerId) -> bool {
        let is_among = |list: &RefCell<Vec<ServerId>>| list.borrow().contains(&id);
        if self.written.contains(&id.0) { is_among(&self.gone) } else { !is_among(&self.added) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.written.len() - self.gone.borrow().len() + self.added.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_comes_after_what_was_written_and_what_goes_leaves_its_seat() {
        let text = "backend a\n server a1 127.0.0.1:1\nbackend b\n server b1 127.0.0.1:1\n server b2 127.0.0.1:2\n";
        let config = crate::config::load_text("c.cfg", text).config.expect("valid");
        let members = &config.backends[1].servers;
        assert_eq!((members.ids().collect::<Vec<_>>(), members.at(1)), (vec![ServerId(1), ServerId(2)], ServerId(2)));
        let name = |id: ServerId| config.servers[id].name.clone();
        let new = Server { name: "b3".into(), seat: members.next_seat(), ..config.servers[ServerId(2)].clone() };
        let id = config.servers.add(new.clone());
        members.add(id, 2);
        assert_eq!((id, config.servers[id].seat, members.at(2)), (ServerId(3), 2, id));
        members.remove(ServerId(1));
        assert_eq!(members.ids().map(name).collect::<Vec<_>>(), ["b2", "b3"]);
        members.remove(id);
        assert_eq!((members.len(), members.next_seat(), config.servers.len()), (1, 3, 4));
        assert_eq!(config.backends[0].servers.ids().collect::<Vec<_>>(), [ServerId(0)]);
        let first: *const Server = &config.servers[id];
        config.servers.replace(id, Server { name: "b4".into(), ..new.clone() });
        members.add(id, 2);
        assert_eq!((members.ids().map(name).collect::<Vec<_>>(), members.at(2)), (vec!["b2".into(), "b4".into()], id));
        config.servers.replace(id, new);
        assert_eq!(&raw const config.servers[id], first, "what comes back as it was is the same");
    }
}
