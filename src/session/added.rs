//! Servers that come and go while the process runs (management manual 9.3, `add server`, `del server`).
//!
//! What was added and taken away stands in a list that all workers share ([`List`]), as words: each worker makes its
//! servers of them, beside its own configuration, and so does whoever replaces it and every later generation. A
//! server that was added is there as long as its backend is, until a configuration has one of its name; one that
//! was written and taken away is so for its generation alone.

use std::collections::HashMap;

use super::Services;
use super::boards::Thing;
use super::reactions::Reaction;
use super::servers;
use crate::balance::{Member, Weight};
use crate::check::{Admin, Place, ServerState};
use crate::config::added;
use crate::notice as stderr;
use crate::proxy::backend::Beyond;
use crate::proxy::servers::put;
use crate::proxy::{BackendId, Server, ServerId};
use crate::sample::LiveServer;
use crate::shm::{Entry, Generation, List, NO_END};
use crate::stats::Count;

/// Divides the words of an entry, none of which has it.
const BETWEEN: char = '\0';

/// What a worker has made of the list.
#[derive(Debug, Default)]
pub struct Added {
    version: u64,
    /// By serial; none where nothing could be made of the words.
    servers: HashMap<u64, Option<ServerId>>,
    /// Ids of servers that were added and have gone, while somebody may still use them.
    leaving: Vec<ServerId>,
    /// Those that nobody uses any more.
    vacant: Vec<ServerId>,
}

/// An entry in words.
enum Note {
    Added { backend: String, name: String, words: Vec<String> },
    Gone { backend: String, name: String },
}

impl Note {
    fn read(entry: &Entry) -> Option<Note> {
        let text = std::str::from_utf8(&entry.text).ok()?;
        let mut words = text.split(BETWEEN).map(str::to_owned);
        let (backend, name) = (words.next()?, words.next()?);
        let words: Vec<String> = words.collect();
        Some(if words.is_empty() { Note::Gone { backend, name } } else { Note::Added { backend, name, words } })
    }

    fn text(backend: &str, name: &str, words: &[String]) -> String {
        let mut text = format!("{backend}{BETWEEN}{name}");
        for word in words {
            text.push(BETWEEN);
            text.push_str(word);
        }
        text
    }
}

impl Services {
    /// Adds a server to a backend whose algorithm takes such, `words` from its address on.
    ///
    /// # Errors
    /// What is wrong, in words that end with a line feed.
    pub fn add_server(&mut self, backend: BackendId, name: &str, words: &[String]) -> Result<(), String> {
        const NO_ROOM: &str = "Cannot register the new server : out of memory.\n";
        let _guard = self.lock_state();
        let server = added::server(self.config, backend, name, words)?;
        let list = self.counters.added().ok_or(NO_ROOM)?;
        let text = Note::text(&self.config[backend].name, name, words);
        let uuid = server.uuid;
        let id = self.install(server).map_err(|_| NO_ROOM)?;
        self.counters.begin_server(id);
        self.boards.begin_server(id);
        self.publish_new(id);
        self.post_backend(backend);
        let serial = self.note(list, (Generation(0), NO_END), uuid, &text);
        if serial.is_none() {
            self.uninstall(id);
            self.counters.release_server(id);
            return Err(NO_ROOM.into());
        }
        self.added.servers.extend(serial.map(|serial| (serial, Some(id))));
        self.added.version = list.version();
        Ok(())
    }

    /// Whether servers can be added to a backend: its algorithm chooses among those that there are.
    pub fn takes_servers(&self, backend: BackendId) -> bool {
        self.config[backend].beyond == Beyond::Nowhere && self.balancers[backend.0 as usize].is_dynamic()
    }

    /// Takes a server away.
    ///
    /// # Errors
    /// Why it has to stay.
    pub fn remove_server(&mut self, id: ServerId) -> Result<(), &'static str> {
        let _guard = self.lock_state();
        let server = &self.config[id];
        if self.config.named_servers.contains(&id) || server.trackers().next().is_some() {
            return Err("This server cannot be removed at runtime due to other configuration elements pointing to it.");
        }
        if !self.servers[id.0 as usize].admin.is_maintenance() {
            return Err("Only servers in maintenance mode can be deleted.");
        }
        let gauges = [Count::SessionsCurrent, Count::UsedCurrent, Count::IdleCurrent, Count::QueueCurrent];
        if gauges.iter().any(|gauge| self.counters.server(id).get(*gauge) > 0) {
            return Err("Server still has connections attached to it, cannot remove it.");
        }
        let list = self.counters.added().ok_or("No room to note that.")?;
        let serial = self.added.servers.iter().find(|(_, known)| **known == Some(id)).map(|(serial, _)| *serial);
        match serial {
            Some(serial) => {
                self.added.servers.remove(&serial);
                self.boards.post(Thing::Whole, |board| {
                    list.end(serial, Generation(0));
                    board.change(|_| {});
                });
            }
            None => {
                let text = Note::text(&self.config[server.backend].name, &server.name, &[]);
                let own = self.boards.generation();
                let noted = self.note(list, (own, Generation(own.0 + 1)), 0, &text).ok_or("No room to note that.")?;
                self.added.servers.insert(noted, None);
            }
        }
        self.uninstall(id);
        self.counters.release_server(id);
        self.post_backend(server.backend);
        self.added.version = list.version();
        Ok(())
    }

    /// Writes an entry and tells the others.
    fn note(&mut self, list: List, of: (Generation, Generation), number: u32, text: &str) -> Option<u64> {
        let segment = self.counters.segment();
        let living = segment.slots().living().map(|slot| segment.generation(slot));
        let oldest = living.fold(self.boards.generation(), Generation::min);
        let mut serial = None;
        self.boards.post(Thing::Whole, |board| {
            serial = list.add(of, number, text.as_bytes(), oldest);
            board.change(|_| {});
        });
        serial
    }

    /// Under the lock: makes the servers of the list what they are to be; one load if it has not changed. The
    /// `first` worker of a generation says what of it is not for its configuration.
    pub(super) fn follow_list(&mut self, first: bool) {
        let Some(list) = self.counters.added().filter(|list| list.version() != self.added.version) else { return };
        let generation = self.boards.generation();
        let entries = list.entries(generation);
        let is_there = |serial: &u64| entries.binary_search_by_key(serial, |entry| entry.serial).is_ok();
        let gone: Vec<u64> = self.added.servers.keys().copied().filter(|serial| !is_there(serial)).collect();
        for serial in gone {
            if let Some(id) = self.added.servers.remove(&serial).flatten() {
                self.uninstall(id);
            }
        }
        let new = entries.iter().filter(|entry| !self.added.servers.contains_key(&entry.serial));
        for entry in new.cloned().collect::<Vec<Entry>>() {
            let made = self.make(list, &entry, first);
            self.added.servers.insert(entry.serial, made);
        }
        self.added.version = list.version();
    }

    /// Does what an entry says; gives the server that came of it.
    fn make(&mut self, list: List, entry: &Entry, first: bool) -> Option<ServerId> {
        let (of, name, words) = match Note::read(entry)? {
            Note::Added { backend, name, words } => (backend, name, words),
            Note::Gone { backend: of, name } => {
                let mut servers = self.config.servers_of(self.config.backend_named(&of)?);
                let id = servers.find(|(_, server)| server.name == name && server.written.is_some())?.0;
                self.uninstall(id);
                return None;
            }
        };
        let Some(id) = self.config.backend_named(&of) else {
            if first {
                list.end(entry.serial, self.boards.generation());
            }
            return None;
        };
        let is_written = self.config.servers_of(id).any(|(_, server)| server.name == name);
        match self.remake(id, &name, &words, entry.number) {
            Ok(server) => {
                if first {
                    list.renumber(entry.serial, server.uuid);
                }
                let id = self.install(server).ok()?;
                self.adopt_server(id, first);
                Some(id)
            }
            Err(text) => {
                if first {
                    list.end(entry.serial, self.boards.generation());
                    if !is_written {
                        let text = text.trim_end();
                        stderr::warning(format_args!("server '{of}/{name}', added at run time, is left out: {text}"));
                    }
                }
                None
            }
        }
    }

    /// The server of an entry: its number is the one that it had, unless another server has that now.
    fn remake(&self, backend: BackendId, name: &str, words: &[String], number: u32) -> Result<Server, String> {
        let is_free = |number| self.config.servers_of(backend).all(|(_, server)| server.uuid != number);
        let number = if is_free(number) { number } else { added::free_number(self.config, backend) };
        if !self.takes_servers(backend) {
            return Err("its backend has no dynamic load balancing".to_owned());
        }
        added::server(self.config, backend, name, words).map(|server| Server { uuid: number, ..server })
    }

    /// Makes room for a server everywhere: this is the one place that knows where servers stand by their ids.
    fn install(&mut self, server: Server) -> Result<ServerId, crate::shm::Full> {
        let config = self.config;
        let (backend, members) = (server.backend, &config[server.backend].servers);
        let vacant = self.added.vacant.iter().position(|id| config[*id].backend == backend);
        let (id, seat) = match vacant.map(|at| self.added.vacant[at]) {
            Some(id) => (id, config[id].seat),
            None => (ServerId(config.servers.len() as u32), members.next_seat()),
        };
        self.counters.seat(id, config, &server)?;
        let member = Member {
            id: server.uuid,
            weight: Weight::configured(server.weight),
            usable: server.starts_up(),
            backup: server.backup,
        };
        put(&mut self.servers, id.0, servers::configured(&server, self.now.wall_s()));
        put(&mut self.live, id.0, LiveServer::configured(&server));
        put(&mut self.places, id.0, Place::configured(&server));
        self.upstreams.seat(id);
        self.queues.seat(id);
        self.balancers[backend.0 as usize].seat(seat, member);
        let server = Server { seat, ..server };
        match vacant {
            Some(at) => {
                self.added.vacant.swap_remove(at);
                config.servers.replace(id, server);
            }
            None => drop(config.servers.add(server)),
        }
        members.add(id, seat);
        self.boards.seat(id, self.counters.server(id));
        self.cookies.seat(config, &self.places, backend);
        if let Some(of) = config[id].track {
            let mut trackers = config[of].tracked_by.borrow_mut();
            if !trackers.contains(&id) {
                trackers.push(id);
            }
        }
        self.reactions.push(Reaction::Added(id));
        self.follow_count(backend);
        Ok(id)
    }

    /// Publishes the state of a server that this worker has added.
    fn publish_new(&mut self, id: ServerId) {
        self.tell_balancer(id);
        // As in HAProxy, one that tracks another goes its way from the other's next change on.
        self.post_configured(id);
    }

    /// Takes a server out of everything that leads to it. Whoever still looks at it finds it as it was.
    fn uninstall(&mut self, id: ServerId) {
        let backend = self.config[id].backend;
        let state = &mut self.servers[id.0 as usize];
        let before: ServerState = state.clone();
        state.admin.insert(Admin::FORCED_MAINT);
        (state.checks_enabled, state.agent.enabled) = (false, false);
        if before != *state {
            self.tell_balancer(id);
        }
        self.leave_server(id);
        self.upstreams.close_idle(id, &self.counters, &mut self.buffers);
        self.config[backend].servers.remove(id);
        self.cookies.remove_server(id);
        self.boards.remove_server(id);
        self.forget_name(id);
        self.reactions.push(Reaction::Removed(id));
        if self.config.servers.is_added(id) {
            self.added.leaving.push(id);
        }
        self.follow_count(backend);
    }

    /// Notes which ids of servers that have gone nobody uses any more; the caller knows which exchanges do.
    pub fn vacate_ids(&mut self, is_mentioned: impl Fn(ServerId) -> bool) {
        for id in std::mem::take(&mut self.added.leaving) {
            let is_served = self.counters.server(id).here(Count::SessionsCurrent) > 0;
            let waits = self.queues.server_len(id) > 0;
            let is_used = is_served || waits || !self.upstreams.has_none_to(id) || is_mentioned(id);
            if is_used { &mut self.added.leaving } else { &mut self.added.vacant }.push(id);
        }
    }

    /// As in HAProxy, a backend that has no servers left needs none, and one that got its first waits for it.
    fn follow_count(&mut self, backend: BackendId) {
        self.states.backends[backend.0 as usize].up = self.has_server(backend);
    }
}
