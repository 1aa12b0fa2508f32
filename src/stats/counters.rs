//! Counters in memory that all workers share.
//!
//! Every frontend, backend, server and listening address is an object of the segment, found by its name, and
//! has a row in each worker's slot; only the slot's worker writes it (a load and a store, no locked
//! instruction), anyone sums over the slots. Rows outlive their workers: who takes over a slot goes on from
//! its totals, so that nothing that was counted is ever lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::count::{COUNTS, NAMES, Nature};
use super::{Count, Row};
use crate::dns::Tallied;
use crate::proxy::{BackendId, Config, FrontendId, ResolversId, Server, ServerId};
use crate::shm::{self, Cells, Full, List, Object, Ports, PortsOfServers, Segment, Slot, Table};

/// Where the objects are that are not a proxy's.
const BULLETIN: usize = 1;
const FIRST_FRONTEND: usize = 2;

/// All rows of the service, as one of its workers sees them. A copy refers to the same tables.
#[derive(Clone)]
pub struct Counters {
    pub(super) segment: Segment,
    pub(super) slot: Slot,
    /// The rows of `slot`.
    pub(super) own: &'static [Cells],
    /// The slots of this worker's generation.
    pub(super) among: Arc<[Slot]>,
    /// Reads this slot alone.
    pub(super) only: Option<Slot>,
    /// Process, bulletin, frontends, backends, listening addresses; then servers, which may become more.
    objects: Arc<[Object]>,
    frontends: usize,
    backends: usize,
    first_server: usize,
    first_listener: Arc<[usize]>,
    app_sessions: Arc<[Option<Table>]>,
    ports: PortsOfServers,
    added: Option<List>,
    /// Name servers, by section.
    name_servers: Arc<[Vec<Object>]>,
}

/// What is counted of a name server, by [`crate::dns::Tallied`]: all workers and generations together.
#[derive(Clone, Copy)]
pub struct NameServerCounts(&'static [AtomicU64]);

impl NameServerCounts {
    /// Counts so many.
    pub fn add(self, what: Tallied, number: u64) {
        // Several workers may: what is counted here is rare.
        self.0[what as usize].fetch_add(number, Relaxed);
    }

    /// How many there are.
    pub fn get(self, what: Tallied) -> u64 {
        self.0[what as usize].load(Relaxed)
    }
}

impl Counters {
    /// Objects that `config` has.
    pub fn objects_needed(config: &Config) -> usize {
        let listeners: usize = config.frontends.iter().map(|f| f.binds.len()).sum();
        let name_servers: usize = config.resolvers.iter().map(|section| section.nameservers.len()).sum();
        2 + config.frontends.len() + config.backends.len() + config.servers.len() + listeners + name_servers
    }

    /// What the words of a row mean: processes with another layout cannot share a segment.
    pub fn layout() -> u64 {
        shm::fnv(NAMES.iter().flat_map(|name| name.bytes().chain([0]))) as u64
    }

    /// The rows of `config`'s objects, looked up by their names, for the worker that has `slot`. `among` are
    /// all slots of its generation, that one included; they have been taken before.
    ///
    /// # Errors
    /// The segment is full.
    pub fn new(config: &Config, segment: Segment, slot: Slot, among: Vec<Slot>) -> Result<Counters, Full> {
        let mut directory = segment.directory(segment.generation(slot));
        let mut seen = HashSet::new();
        let mut objects = Vec::with_capacity(Counters::objects_needed(config));
        for (kind, name) in names(config) {
            let mut object = directory.object(kind, &name)?.object;
            // HAProxy only warns of two servers with one name.
            let mut twins = 1;
            while !seen.insert(object) {
                twins += 1;
                object = directory.object(kind, format!("{name:?} {twins}").as_bytes())?.object;
            }
            objects.push(object);
        }
        let mut name_servers = Vec::with_capacity(config.resolvers.len());
        for section in &config.resolvers {
            let names = section.nameservers.iter().map(|server| format!("{}/{}", section.name, server.name));
            let found = names.map(|name| Ok(directory.object("name server", name.as_bytes())?.object));
            name_servers.push(found.collect::<Result<Vec<Object>, Full>>()?);
        }
        let app_sessions = super::segment::app_sessions(config, segment, &mut directory)?;
        let ports = super::segment::ports(config, segment, slot, &mut directory)?;
        let added = super::segment::added(segment, &mut directory);
        let mut listeners = FIRST_FRONTEND + config.frontends.len() + config.backends.len();
        let first_listener = config.frontends.iter().map(|f| {
            listeners += f.binds.len();
            listeners - f.binds.len()
        });
        let first_listener = first_listener.collect();
        Ok(Counters {
            segment,
            slot,
            own: segment.rows(slot),
            among: among.into(),
            only: None,
            objects: objects.into(),
            first_listener,
            first_server: listeners,
            frontends: config.frontends.len(),
            backends: config.backends.len(),
            app_sessions: app_sessions.into(),
            ports: ports.into(),
            name_servers: name_servers.into(),
            added,
        })
    }

    /// Rows on memory of their own, for tests and simulations; it is never given back.
    pub fn private(config: &Config) -> Counters {
        // A few servers may be added.
        let segment = Segment::private(Counters::objects_needed(config) + 4, 1).expect("memory");
        let slot = segment.slots().take(segment.begin_generation(), 1).expect("there is one");
        Counters::new(config, segment, slot, vec![slot]).expect("there is room for all")
    }

    /// The same for another worker of the generation.
    pub fn of_slot(&self, slot: Slot) -> Counters {
        Counters { slot, own: self.segment.rows(slot), ..self.clone() }
    }

    /// A view that reads one worker's share of everything.
    pub fn only(&self, slot: Slot) -> Counters {
        Counters { only: Some(slot), ..self.clone() }
    }

    /// The one worker whose share is read, if it is one only.
    pub fn shown(&self) -> Option<Slot> {
        self.only
    }

    /// The sessions that a backend remembers (`appsession`).
    pub fn app_sessions(&self, id: BackendId) -> Option<Table> {
        self.app_sessions[id.0 as usize]
    }

    /// The ports to come from towards a server that has a range of them (`source`).
    pub fn ports(&self, id: ServerId) -> Option<Ports> {
        self.ports[id.0 as usize].as_ref().map(|ports| ports.of_slot(self.slot))
    }

    /// Makes room for a server that comes while the process runs, by its id, which is the next one or was another's. It
    /// has the object of its name, whoever else may know it by that.
    ///
    /// # Errors
    /// The segment is full.
    pub fn seat(&mut self, id: ServerId, config: &Config, server: &Server) -> Result<(), Full> {
        let mut directory = self.segment.directory(self.segment.generation(self.slot));
        let object = directory.object("server", &name_of(config, server))?.object;
        let ports = super::segment::ports_of(config, server, self.segment, self.slot, &mut directory)?;
        let at = id.0 as usize;
        self.objects = with(&self.objects, self.first_server + at, object);
        self.ports = with(&self.ports, at, ports);
        Ok(())
    }

    /// Lets others have the room of a server that was taken away, of which there are no sessions and no connections.
    pub fn release_server(&self, id: ServerId) {
        self.segment.directory(self.segment.generation(self.slot)).release(self.server(id).object());
    }

    /// Sets everything to zero that was counted of a server but what there is now: one of its name was taken away.
    pub fn begin_server(&self, id: ServerId) {
        let object = self.server(id).object();
        let slots = (0..self.segment.high_water() as u16).map(Slot);
        for row in slots.map(|slot| self.segment.row(slot, object)) {
            let counted = COUNTS.iter().filter(|(_, nature)| *nature != Nature::Gauge);
            counted.for_each(|(column, _)| row[*column as usize].store(0, Relaxed));
        }
    }

    /// The servers that were added and taken away; none where there is no room for such.
    pub fn added(&self) -> Option<List> {
        self.added
    }

    /// The memory that they stand in.
    pub fn segment(&self) -> Segment {
        self.segment
    }

    /// The slot of the worker that writes here.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// All slots of this worker's generation.
    pub fn among(&self) -> &[Slot] {
        &self.among
    }

    /// Words in which workers tell each other what has changed (see `session::boards`).
    pub fn bulletin(&self) -> &'static [AtomicU64] {
        self.segment.shared(self.objects[BULLETIN])
    }

    /// Sets the gauges of a slot without a worker to zero: what it had is gone. Its totals stay.
    pub fn bury(segment: Segment, slot: Slot) {
        for object in segment.objects() {
            let row = segment.row(slot, object);
            let gauges = COUNTS.iter().filter(|(_, nature)| *nature == Nature::Gauge);
            gauges.for_each(|(column, _)| row[*column as usize].store(0, Relaxed));
        }
    }

    /// Sets the maxima of all objects to zero, or with `all` everything but gauges and rates (`clear
    /// counters`): this worker's share, and that of slots without a worker. Every worker has to do it.
    pub fn clear_everything(&self, all: bool) {
        let slots: Vec<Slot> = self.segment.slots().vacant().chain([self.slot]).collect();
        for (index, object) in self.objects.iter().enumerate() {
            // HAProxy counts how often a backend was without servers beside what it clears.
            let first = FIRST_FRONTEND + self.frontends;
            let backend = (first..first + self.backends).contains(&index);
            let cleared = COUNTS.iter().filter(|(column, nature)| match nature {
                Nature::Max => true,
                Nature::Total | Nature::Average | Nature::Latest => all && !(backend && *column == Count::CheckDowns),
                Nature::Gauge | Nature::Rate | Nature::Kept => false,
            });
            for (column, _) in cleared {
                slots.iter().for_each(|slot| self.segment.row(*slot, *object)[*column as usize].store(0, Relaxed));
            }
        }
        for object in self.name_servers.iter().flatten().filter(|_| all) {
            self.segment.shared(*object).iter().for_each(|word| word.store(0, Relaxed));
        }
    }

    /// The row of the whole process.
    pub fn process(&self) -> Row<'_> {
        self.row(0)
    }

    /// A frontend's row.
    pub fn frontend(&self, id: FrontendId) -> Row<'_> {
        self.row(FIRST_FRONTEND + id.0 as usize)
    }

    /// A backend's row.
    pub fn backend(&self, id: BackendId) -> Row<'_> {
        self.row(FIRST_FRONTEND + self.frontends + id.0 as usize)
    }

    /// A server's row.
    pub fn server(&self, id: ServerId) -> Row<'_> {
        self.row(self.first_server + id.0 as usize)
    }

    /// The row of the `bind`-th listening address of a frontend.
    pub fn listener(&self, id: FrontendId, bind: usize) -> Row<'_> {
        self.row(self.first_listener[id.0 as usize] + bind)
    }

    /// What is counted of a name server, by its place in the section.
    pub fn name_server(&self, section: ResolversId, place: usize) -> NameServerCounts {
        NameServerCounts(self.segment.shared(self.name_servers[section.0 as usize][place]))
    }

    #[inline]
    fn row(&self, index: usize) -> Row<'_> {
        Row::new(self, self.objects[index])
    }
}

/// `values` with another value in one place, which may be the next one.
fn with<T: Clone>(values: &[T], at: usize, value: T) -> Arc<[T]> {
    let rest = values.get(at + 1..).unwrap_or_default();
    values[..at].iter().cloned().chain([value]).chain(rest.iter().cloned()).collect()
}

/// The name of a server's object.
fn name_of(config: &Config, server: &Server) -> Vec<u8> {
    format!("{}/{}", config[server.backend].name, server.name).into()
}

/// Kind and name of every object, in the order of [`Counters::objects`].
fn names(config: &Config) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let frontends = config.frontends.iter().map(|frontend| ("frontend", frontend.name.clone().into()));
    let backends = config.backends.iter().map(|backend| ("backend", backend.name.clone().into()));
    let servers = config.servers.written().iter().map(|server| ("server", name_of(config, server)));
    let listeners = config.frontends.iter().flat_map(|frontend| {
        frontend.binds.iter().map(|bind| {
            let own = bind.name.clone().unwrap_or_else(|| format!("{:?}", bind.address));
            ("listener", format!("{}/{own}", frontend.name).into())
        })
    });
    [("process", Vec::new()), ("bulletin", Vec::new())]
        .into_iter()
        .chain(frontends)
        .chain(backends)
        .chain(listeners)
        .chain(servers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::SlotState;
    use crate::stats::Among;

    const FRONTEND: FrontendId = FrontendId(0);

    fn config() -> Config {
        let text = "defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\nfrontend x\n \
             bind :1234\n bind :1235\n default_backend x\nbackend x\n server s 127.0.0.1:1\n server t 127.0.0.1:2\n";
        crate::config::load_text("c.cfg", text).config.expect("valid")
    }

    fn start(config: &Config, segment: Segment, workers: usize) -> Vec<Counters> {
        let generation = segment.begin_generation();
        let slots: Vec<Slot> = (1..=workers).filter_map(|n| segment.slots().take(generation, n)).collect();
        let first = Counters::new(config, segment, slots[0], slots.clone()).expect("room");
        slots.iter().map(|slot| first.of_slot(*slot)).collect()
    }

    #[test]
    fn every_object_has_a_row_of_its_own() {
        let mut config = config();
        config.servers[ServerId(1)].name = config[ServerId(0)].name.clone();
        let counters = Counters::private(&config);
        let rows = [counters.process(), counters.frontend(FRONTEND), counters.backend(BackendId(0))];
        let more = [ServerId(0), ServerId(1)].map(|id| counters.server(id));
        let listeners = [0, 1].map(|bind| counters.listener(FRONTEND, bind));
        let objects: HashSet<Object> = rows.into_iter().chain(more).chain(listeners).map(Row::object).collect();
        let bulletin = 1;
        let name_servers = counters.name_servers.iter().flatten().count();
        assert_eq!(objects.len() + bulletin + name_servers, Counters::objects_needed(&config));
    }

    #[test]
    fn workers_count_together() {
        let config = config();
        let segment = Segment::private(64, 4).expect("segment");
        let workers = start(&config, segment, 2);
        for (worker, n) in workers.iter().zip([3, 4]) {
            let row = worker.frontend(FRONTEND);
            row.add(Count::RequestsTotal, n);
            (0..n).for_each(|_| row.enter(Count::SessionsCurrent, Count::SessionsMax));
            row.sub(Count::SessionsCurrent, 1);
        }
        let row = workers[0].frontend(FRONTEND);
        assert_eq!((row.here(Count::RequestsTotal), row.get(Count::RequestsTotal)), (3, 7));
        assert_eq!((row.get(Count::SessionsCurrent), row.max(Count::SessionsMax)), (5, 6));
        let second = workers[0].only(workers[1].slot());
        assert_eq!(second.frontend(FRONTEND).get(Count::RequestsTotal), 4);
    }

    #[test]
    fn a_new_generation_goes_on_where_the_old_one_is() {
        let config = config();
        let segment = Segment::private(64, 4).expect("segment");
        let old = start(&config, segment, 1);
        let enter =
            |counters: &Counters| counters.server(ServerId(1)).enter(Count::SessionsCurrent, Count::SessionsMax);
        old[0].server(ServerId(1)).add(Count::RequestsTotal, 5);
        enter(&old[0]);
        let mut reordered = config;
        let name = std::mem::take(&mut reordered.servers[ServerId(0)].name);
        reordered.servers[ServerId(0)].name = std::mem::replace(&mut reordered.servers[ServerId(1)].name, name);
        let new = start(&reordered, segment, 2);
        enter(&old[0]);
        new.iter().for_each(|counters| counters.server(ServerId(0)).enter(Count::SessionsCurrent, Count::SessionsMax));
        let row = new[1].server(ServerId(0));
        assert_eq!((row.get(Count::RequestsTotal), row.get(Count::SessionsCurrent)), (5, 4));
        assert_eq!(row.sum(Count::SessionsCurrent, Among::Generation), 2);
        assert_eq!(new[0].server(ServerId(1)).get(Count::RequestsTotal), 0);
        Counters::bury(segment, old[0].slot());
        segment.slots().free(old[0].slot());
        assert_eq!((row.get(Count::RequestsTotal), row.get(Count::SessionsCurrent)), (5, 2));
        let third = start(&reordered, segment, 1);
        assert_eq!(third[0].slot(), old[0].slot());
        third[0].server(ServerId(0)).add(Count::RequestsTotal, 1);
        assert_eq!(row.get(Count::RequestsTotal), 6);
    }

    #[test]
    fn each_worker_clears_its_own_and_that_of_the_gone() {
        let config = config();
        let segment = Segment::private(64, 4).expect("segment");
        let workers = start(&config, segment, 3);
        for worker in &workers {
            worker.backend(BackendId(0)).add(Count::CheckDowns, 1);
            worker.process().add(Count::BytesIn, 10);
            worker.process().enter(Count::SessionsCurrent, Count::SessionsMax);
        }
        Counters::bury(segment, workers[2].slot());
        segment.set_state(workers[2].slot(), SlotState::Free);
        let row = workers[0].process();
        workers[0].clear_everything(false);
        assert_eq!((row.get(Count::BytesIn), row.max(Count::SessionsMax)), (30, 2));
        workers[0].clear_everything(true);
        assert_eq!(row.get(Count::BytesIn), 10);
        workers[1].clear_everything(true);
        assert_eq!((row.get(Count::BytesIn), row.max(Count::SessionsMax)), (0, 0));
        assert_eq!(row.get(Count::SessionsCurrent), 2);
        assert_eq!(workers[0].backend(BackendId(0)).get(Count::CheckDowns), 3);
    }
}
