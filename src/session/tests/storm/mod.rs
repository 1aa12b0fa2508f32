//! A storm: 500 servers flap at random for a minute of virtual time, under clients that come, wait and leave.
//!
//! Servers refuse, are silent, answer checks with errors, cut or forget what they have under way, and are well again.
//! After each turn of a worker [`watch`] looks that no request has gone to a server that is down, that no server has
//! more than its maxconn, and that queues drain in order; in between, that nobody waits where there is a place, and
//! that workers know the servers as they are. In the end everybody has had an answer and nothing is left.
//!
//! Every retry goes elsewhere (`option redispatch 1`): one that goes to the same server does so after its pause even if
//! the server is down by then, as HAProxy's does.

mod nodes;
mod watch;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

use super::{OK, status};
use crate::event::core::{Core, Peer as Addresses, Readiness};
use crate::proxy::{Config, FrontendId, ServerId};
use crate::session::{Admission, Services};
use crate::shm::Segment;
use crate::stats::Counters;
use crate::time::{Now, Tick};
use crate::token::{Kind, Token};
use crate::transport::net::{Net, SimConnect, SimNet};
use crate::transport::sim::{End, pair};
use crate::transport::{Stream, sim::Event as SocketEvent};
use nodes::{Mood, Node};
use watch::Seen;

const NODES: usize = 500;
/// The first of those that a hash chooses among.
const FIRST_HASHED: usize = 300;
/// Added to a node's port for its checks.
const CHECKS: usize = 20_000;

const SECOND_US: u64 = 1_000_000;
const STORM_US: u64 = 60 * SECOND_US;
/// How long the last ones may take to get their answers.
const CALM_US: u64 = 40 * SECOND_US;
/// From one client to the next, on average.
const BETWEEN_CLIENTS_US: u64 = 6_000;
/// How long a node is well, or ill, on average.
const MOOD_US: u64 = 4 * SECOND_US;
/// Turns without time in between after which they are taken for endless.
const IDLE_TURNS_MAX: u32 = 10_000;
/// An answer takes up to this.
const SERVICE_US: u64 = 2_800_000;

const SETTINGS: &str = "defaults
 mode http
 timeout client 20s
 timeout server 4s
 timeout connect 300ms
 timeout check 300ms
 timeout queue 3s
 retries 2
 option redispatch 1
 default-server check inter 1s fastinter 300ms downinter 500ms rise 2 fall 2
frontend fe
 bind :8001
 use_backend hashed if { path_beg /hashed/ }
 default_backend web
";

/// A generator whose numbers a seed decides (xorshift, G. Marsaglia).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Whether something happens that happens `percent` times of a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time with this average, never nothing.
    fn about(&mut self, average_us: u64) -> u64 {
        let share = (self.below(1 << 20) + 1) as f64 / (1u64 << 20) as f64;
        1 + (-share.ln() * average_us as f64) as u64
    }
}

/// What is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    /// A client connects and sends a request.
    Arrive,
    /// A client loses its patience.
    Leave(Id),
    /// A node sees a connection attempt.
    Handshake(Id),
    /// A node answers what it was asked last.
    Answer(Id),
    /// A node falls ill, or is well again.
    Flip(usize),
    /// It is time to look at everything.
    Inspect,
}

/// A far end: its worker, its place and who had the place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    worker: usize,
    slot: usize,
    generation: u32,
}

/// The far end of a connection.
struct Far {
    end: End,
    generation: u32,
    got: Vec<u8>,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client {
        /// Requests that it may still send after this one.
        more: u32,
    },
    Check {
        node: usize,
    },
    Traffic {
        node: usize,
        /// A connection is being made, or a request is not answered yet.
        busy: bool,
    },
}

struct Worker {
    core: Core,
    net: SimNet,
    fars: Slab<Far>,
    seen: Seen,
}

struct Storm {
    workers: Vec<Worker>,
    nodes: Vec<Node>,
    agenda: BinaryHeap<Reverse<(u64, u64, Plan)>>,
    planned: u64,
    now_us: u64,
    dice: Dice,
    generation: u32,
    requests: u64,
    /// Answers of these statuses.
    answers: std::collections::BTreeMap<String, u64>,
    /// Clients that left, and those whose connection ended without an answer.
    left: u64,
    cut: u64,
}

/// How much a node may be given at a time.
fn maxconn(number: usize) -> usize {
    if number < FIRST_HASHED { 1 } else { 1 + number % 2 }
}

fn config() -> &'static Config {
    let mut text = SETTINGS.to_owned();
    for number in 0..NODES {
        match number {
            0 => text += "backend web\n option httpchk GET /check\n",
            FIRST_HASHED => text += "backend hashed\n balance uri\n hash-type consistent\n",
            _ => {}
        }
        let (port, maxconn) = (number + 1, maxconn(number));
        text += &format!(" server s{number} 127.0.0.1:{port} check port {} maxconn {maxconn}\n", port + CHECKS);
    }
    let loaded = crate::config::load_text("storm.cfg", &text);
    Box::leak(Box::new(loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.findings))))
}

impl Storm {
    fn new(seed: u64, count: usize) -> Storm {
        // Thousands of lines about servers would hide the one that matters.
        crate::notice::set_modes(true, false);
        let config = config();
        let segment = Segment::private(2 * Counters::objects_needed(config), count).expect("memory");
        let generation = segment.begin_generation();
        let slots: Vec<_> = (1..=count).filter_map(|number| segment.slots().take(generation, number)).collect();
        let worker = |slot| {
            let counters = Counters::new(config, segment, slot, slots.clone()).expect("room");
            let net = SimNet::default();
            net.behaviour.set(SimConnect::Silence);
            let services = Services::new(config, counters, now(SECOND_US), Net::Sim(net.clone()), "epoxy");
            Worker { core: Core::new(services), net, fars: Slab::new(), seen: Seen::default() }
        };
        let mut storm = Storm {
            workers: slots.iter().copied().map(worker).collect(),
            nodes: (0..NODES).map(|number| Node::new(maxconn(number), SECOND_US)).collect(),
            agenda: BinaryHeap::new(),
            planned: 0,
            now_us: SECOND_US,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            generation: 0,
            requests: 0,
            answers: Default::default(),
            left: 0,
            cut: 0,
        };
        storm.turn(0, Core::claim_checks);
        storm.plan(0, Plan::Arrive);
        storm.plan(0, Plan::Inspect);
        for node in 0..NODES {
            let first = storm.dice.about(MOOD_US);
            storm.plan(first, Plan::Flip(node));
        }
        storm
    }

    fn plan(&mut self, in_us: u64, plan: Plan) {
        self.planned += 1;
        self.agenda.push(Reverse((self.now_us + in_us, self.planned, plan)));
    }

    /// The storm, and the calm after it.
    fn run(&mut self) {
        self.run_until(SECOND_US + STORM_US);
        self.calm_down();
        self.run_until(SECOND_US + STORM_US + CALM_US);
    }

    fn run_until(&mut self, end_us: u64) {
        let mut idle_turns = 0;
        loop {
            assert!(idle_turns < IDLE_TURNS_MAX, "deadlines never come to rest at {} us", self.now_us);
            let deadlines = self.workers.iter_mut().map(|worker| worker.core.next_deadline());
            let (worker, Tick(deadline)) =
                deadlines.enumerate().min_by_key(|(_, deadline)| *deadline).expect("a worker");
            let due_us = deadline.saturating_mul(1000).max(self.now_us);
            let planned_us = self.agenda.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            if due_us.min(planned_us) > end_us {
                return self.now_us = end_us;
            }
            idle_turns = if due_us.min(planned_us) > self.now_us { 0 } else { idle_turns + 1 };
            self.now_us = due_us.min(planned_us);
            if planned_us < due_us {
                let Some(Reverse((_, _, plan))) = self.agenda.pop() else { return };
                self.happen(plan);
            } else {
                // Of what is due at the same moment, a connection may be made before a check fails.
                let Worker { core, seen, .. } = &mut self.workers[worker];
                seen.remember(core);
                self.turn(worker, Core::expire);
                self.workers[worker].seen.forget();
            }
        }
    }

    fn happen(&mut self, plan: Plan) {
        match plan {
            Plan::Arrive => self.arrive(),
            Plan::Inspect => {
                self.inspect();
                self.plan(SECOND_US / 10, Plan::Inspect);
            }
            Plan::Flip(node) => self.flip(node),
            Plan::Leave(id) => {
                if self.far(id).is_some() {
                    self.left += 1;
                    self.drop_far(id);
                }
            }
            Plan::Handshake(id) => self.shake_hands(id),
            Plan::Answer(id) => self.answer(id),
        }
        self.settle();
    }

    fn arrive(&mut self) {
        if self.now_us > STORM_US {
            return;
        }
        let worker = self.dice.below(self.workers.len() as u64) as usize;
        let (ours, theirs) = pair(&self.workers[worker].net.events, 1 << 16);
        let more = if self.dice.chance(20) { 1 } else { 0 };
        let id = self.adopt(worker, theirs, Role::Client { more });
        let at = |port: u64| Some(([127, 0, 0, 1], port as u16).into());
        let peer = Addresses { source: at(1024 + self.requests % 60_000), destination: at(8001) };
        self.request(id);
        self.turn(worker, |core| {
            assert_eq!(core.services.admit(FrontendId(0), 0), Admission::Reserved);
            core.open(Stream::Sim(ours), FrontendId(0), 0, peer);
        });
        if self.dice.chance(5) {
            let patience = self.dice.below(2 * SECOND_US);
            self.plan(patience, Plan::Leave(id));
        }
        let next = self.dice.about(BETWEEN_CLIENTS_US);
        self.plan(next, Plan::Arrive);
    }

    /// A client sends its next request.
    fn request(&mut self, id: Id) {
        self.requests += 1;
        let path = if self.dice.chance(40) { "/hashed" } else { "" };
        let text = format!("GET {path}/{} HTTP/1.1\r\nHost: t\r\n\r\n", self.requests);
        let far = &self.workers[id.worker].fars[id.slot];
        far.end.send(text.as_bytes()).expect("room");
    }

    fn adopt(&mut self, worker: usize, end: End, role: Role) -> Id {
        self.generation += 1;
        let fars = &mut self.workers[worker].fars;
        let id = Id { worker, slot: fars.vacant_key(), generation: self.generation };
        let token = Token::new(Kind::Listener, id.slot, id.generation);
        fars.insert(Far { end, generation: id.generation, got: Vec::new(), role });
        fars[id.slot].end.register(token);
        id
    }

    fn far(&mut self, id: Id) -> Option<&mut Far> {
        self.workers[id.worker].fars.get_mut(id.slot).filter(|far| far.generation == id.generation)
    }

    /// A far end closes.
    fn drop_far(&mut self, id: Id) {
        if self.far(id).is_some() {
            let far = self.workers[id.worker].fars.remove(id.slot);
            if let Role::Traffic { node, busy: true } = far.role {
                self.nodes[node].busy -= 1;
            }
        }
    }

    /// Lets a worker have its turn, then those that it rings.
    fn turn(&mut self, at: usize, act: impl FnOnce(&mut Core)) {
        self.one_turn(at, act);
        let mut rings = vec![at];
        while let Some(at) = rings.pop() {
            let services = &mut self.workers[at].core.services;
            let (urgent, rung) = (services.boards.take_urgent(), std::mem::take(&mut services.to_ring));
            for other in (0..self.workers.len()).filter(|other| *other != at) {
                let is_rung = rung.contains(&self.workers[other].core.services.counters.slot());
                if urgent || is_rung {
                    self.one_turn(other, |core| {
                        if is_rung {
                            core.rung()
                        }
                    });
                    rings.push(other);
                }
            }
        }
    }

    /// Lets a worker have its turn and looks at what it has done, before anyone else does anything.
    fn one_turn(&mut self, at: usize, act: impl FnOnce(&mut Core)) {
        let now = now(self.now_us);
        let worker = &mut self.workers[at];
        worker.core.set_now(now);
        worker.core.follow();
        act(&mut worker.core);
        while worker.core.run_again() {}
        worker.seen.look(&worker.core);
        self.hear(at);
    }

    /// Delivers events until nothing moves any more.
    fn settle(&mut self) {
        for at in 0..self.workers.len() {
            self.hear(at);
            while let Some(event) = self.next_event(at, |kind| kind != Kind::Listener) {
                let (token, readable, writable, hangup) = event;
                let ready = Readiness { readable, writable, hangup };
                self.turn(at, |core| match token.kind() {
                    Some(Kind::Session) => core.session_event(token, ready),
                    Some(Kind::Upstream) => core.upstream_event(token, ready),
                    _ => core.check_event(token, ready),
                });
            }
        }
    }

    fn next_event(&mut self, at: usize, of: impl Fn(Kind) -> bool) -> Option<SocketEvent> {
        let mut events = self.workers[at].net.events.borrow_mut();
        let next = events.iter().position(|(token, ..)| token.kind().is_some_and(&of))?;
        events.remove(next)
    }
}

fn now(us: u64) -> Now {
    Now { mono_us: us, wall_us: 1_795_226_400_000_000 + us }
}

/// Storms with some seeds, over this many workers. `STORM_SEEDS=9..99` asks for others.
fn storms(workers: usize, usual: std::ops::Range<u64>) {
    let asked = std::env::var("STORM_SEEDS").ok();
    let parse = |text: &str| text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    for seed in asked.as_deref().map_or(Some(usual), parse).expect("two numbers") {
        let mut storm = Storm::new(seed, workers);
        storm.run();
        storm.look_at_the_end(seed);
    }
}

#[test]
fn a_storm_leaves_everything_in_order() {
    storms(1, 1..3);
}

#[test]
fn a_storm_over_several_workers_leaves_everything_in_order() {
    storms(2, 3..4);
}
