//! Checks on virtual time: connections are made and served by hand, time passes when told.

use std::collections::VecDeque;

use super::super::core::Core;
use super::Readiness;
use crate::check::Status;
use crate::proxy::ServerId;
use crate::session::Services;
use crate::session::places::Pick;
use crate::stats::{Count, Counters};
use crate::time::Now;
use crate::transport::Net;
use crate::transport::net::{SimConnect, SimNet};
use crate::transport::sim::End;

struct World {
    core: Core,
    net: SimNet,
    now_ms: u64,
}

fn at(ms: u64) -> Now {
    Now { mono_us: 1_000_000 + ms * 1000, wall_us: 1_795_225_300_000_000 + ms * 1000 }
}

impl World {
    fn new(backend: &str) -> World {
        let text = format!(
            "defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 300ms\n\
             backend be\n{backend}\n"
        );
        let config = Box::leak(Box::new(crate::config::load_text("c.cfg", &text).config.expect("valid")));
        let net = SimNet::default();
        net.behaviour.set(SimConnect::Silence);
        let services = Services::new(config, Counters::private(config), at(0), Net::Sim(net.clone()), "haproxy");
        let mut world = World { core: Core::new(services), net, now_ms: 0 };
        world.core.claim_checks();
        world.settle();
        world
    }

    /// Lets time pass, a millisecond at a time.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            self.settle();
        }
    }

    /// Delivers events and deadlines of this moment.
    fn settle(&mut self) {
        self.core.set_now(at(self.now_ms));
        self.core.expire();
        loop {
            let event = self.net.events.borrow_mut().pop_front();
            let Some((token, readable, writable, hangup)) = event else { return };
            self.core.check_event(token, Readiness { readable, writable, hangup });
        }
    }

    /// The connection attempts since the last call, as (port, server's end).
    fn attempts(&mut self) -> VecDeque<(u16, End)> {
        let attempts = std::mem::take(&mut *self.net.accepted.borrow_mut());
        attempts.into_iter().map(|(address, end)| (address.expect("address").port(), end)).collect()
    }

    fn attempt(&mut self) -> End {
        let mut attempts = self.attempts();
        assert_eq!(attempts.len(), 1);
        attempts.remove(0).expect("one").1
    }

    fn word(&self, server: usize) -> String {
        self.core.services.servers[server].status_word()
    }

    fn last(&self, server: usize) -> (Status, i16, u64) {
        let last = &self.core.services.servers[server].last;
        (last.status, last.code, last.duration.0)
    }

    fn picks(&mut self) -> Pick {
        let backend = self.core.services.config[ServerId(0)].backend;
        self.core.services.choose(backend, None, None)
    }
}

#[test]
fn first_checks_are_spread_and_later_ones_follow_the_interval() {
    let mut world = World::new(
        " default-server inter 300ms fall 1\n server a 127.0.0.1:1 check\n server b 127.0.0.1:2 check port 7\n server c 127.0.0.1:3",
    );
    let mut seen = Vec::new();
    for _ in 0..1000 {
        for (port, end) in world.attempts() {
            seen.push((world.now_ms, port));
            end.establish();
        }
        world.settle();
        world.pass(1);
    }
    let expected = [(0, 1), (150, 7), (300, 1), (450, 7), (600, 1), (750, 7), (900, 1)];
    assert_eq!(seen, expected);
    assert_eq!((world.word(0), world.last(0)), ("UP".into(), (Status::L4Passed, 0, 0)));
    assert_eq!(world.word(2), "no check");
}

#[test]
fn a_silent_server_goes_down_and_a_new_one_takes_its_clients() {
    let mut world = World::new(" server a 127.0.0.1:1 check inter 200ms fall 2\n server b 127.0.0.1:2 backup");
    assert_eq!(world.picks(), Pick::Server(ServerId(0)));
    world.pass(199);
    assert_eq!(world.word(0), "UP 1/2");
    world.pass(1);
    assert_eq!((world.word(0), world.last(0)), ("DOWN".into(), (Status::L4Timeout, 0, 200)));
    assert_eq!(world.picks(), Pick::Server(ServerId(1)));
    let row = world.core.services.counters.server(ServerId(0));
    assert_eq!((row.get(Count::CheckFailures), row.get(Count::CheckDowns)), (1, 1));
    world.attempts();
    world.pass(200);
    world.attempt().establish();
    world.settle();
    assert_eq!((world.word(0).as_str(), world.picks()), ("DOWN 1/2", Pick::Server(ServerId(1))));
    world.pass(200);
    world.attempt().establish();
    world.settle();
    assert_eq!((world.word(0).as_str(), world.picks()), ("UP", Pick::Server(ServerId(0))));
}

#[test]
fn an_http_check_talks_and_listens() {
    let mut world = World::new(" option httpchk GET /up\n server a 127.0.0.1:1 check inter 200ms fall 1");
    let end = world.attempt();
    world.pass(5);
    end.establish();
    world.settle();
    assert_eq!(end.drain().0, b"GET /up HTTP/1.0\r\n\r\n");
    end.send(b"HTTP/1.0 503 Down").expect("room");
    world.pass(5);
    assert_eq!(world.last(0).0, Status::Initializing);
    end.send(b" for now\r\n\r\n").expect("room");
    world.pass(1);
    assert_eq!((world.word(0), world.last(0)), ("DOWN".into(), (Status::L7Status, 503, 11)));
    assert_eq!(world.core.services.servers[0].last.info, b"Down for now");
    assert_eq!(world.picks(), Pick::Nobody);
    world.pass(200);
    let end = world.attempt();
    end.establish();
    world.settle();
    // Unread bytes would make the close a reset.
    end.drain();
    drop(end);
    world.settle();
    assert_eq!(world.last(0).0, Status::L7Invalid);
}

#[test]
fn maintenance_stops_checks_and_the_next_one_decides() {
    let mut world = World::new(" server a 127.0.0.1:1 check inter 100ms disabled");
    world.pass(350);
    assert!(world.attempts().is_empty());
    world.core.services.change_server(ServerId(0), |state, now_s| state.order_ready(now_s).into());
    assert_eq!((world.word(0).as_str(), world.picks()), ("UP 1/3", Pick::Server(ServerId(0))));
    world.pass(50);
    world.attempt().refuse(std::io::ErrorKind::ConnectionRefused);
    world.settle();
    assert_eq!((world.word(0), world.last(0)), ("DOWN".into(), (Status::L4Failed, 0, 0)));
}

#[test]
fn errors_in_traffic_bring_the_next_check_forward() {
    let mut world = World::new(" server a 127.0.0.1:1 check inter 100s fastinter 200ms observe layer4 error-limit 1");
    world.attempt().establish();
    world.pass(1_000);
    assert!(world.attempts().is_empty());
    let now = world.core.services.now.tick();
    world.core.services.change_server(ServerId(0), |state, _| {
        state.check_by = now + crate::time::Millis(200);
        crate::check::server::CheckEffect::default()
    });
    world.core.run_promoted();
    world.pass(199);
    assert!(world.attempts().is_empty());
    world.pass(1);
    world.attempt().establish();
    world.pass(99_999);
    assert!(world.attempts().is_empty(), "the timer of the check that was put forward is void");
}

#[test]
fn an_agent_is_asked_beside_the_checks() {
    let mut world =
        World::new(" server a 127.0.0.1:1 weight 10 check inter 10s agent-check agent-port 9 agent-inter 1s");
    world.attempts();
    world.pass(5000);
    let (port, end) = world.attempts().remove(0).expect("one");
    assert_eq!(port, 9);
    end.establish();
    world.settle();
    end.send(b"dow").expect("room");
    world.pass(3);
    assert_eq!(world.picks(), Pick::Server(ServerId(0)));
    end.send(b"n 50% #hot\n").expect("room");
    world.pass(1);
    assert_eq!((world.word(0).as_str(), world.picks()), ("DOWN (agent)", Pick::Nobody));
    let state = &world.core.services.servers[0];
    assert_eq!((state.weight, state.agent.last.info.as_slice()), (5, &b"via agent : down (hot)"[..]));
    world.core.services.order_agent(ServerId(0), |orders| (orders.port, orders.send) = (Some(8), Some("hi".into())));
    world.pass(1000);
    let (port, end) = world.attempts().remove(0).expect("one");
    end.establish();
    world.settle();
    assert_eq!((port, end.drain().0), (8, b"hi".to_vec()));
    world.core.services.enable_agent(ServerId(0), false);
    end.send(b"up\n").expect("room");
    world.pass(1);
    assert_eq!((world.word(0).as_str(), world.picks()), ("DOWN", Pick::Nobody));
    world.core.services.enable_agent(ServerId(0), true);
    world.pass(1000);
    let end = world.attempts().remove(0).expect("one").1;
    end.establish();
    world.settle();
    end.send(b"up\n").expect("room");
    world.pass(1);
    assert_eq!(world.picks(), Pick::Server(ServerId(0)));
}

#[test]
fn an_agent_that_is_silent_or_says_no_line_changes_nothing() {
    let mut world = World::new(" server a 127.0.0.1:1 agent-check agent-port 9 agent-inter 100ms");
    let last = |world: &World| world.core.services.servers[0].agent.last.clone();
    let end = world.attempt();
    world.pass(100);
    assert_eq!(last(&world).status, Status::L4Timeout);
    drop(end);
    for (answer, status, info) in [
        (&b"do"[..], Status::L7Timeout, ""),
        (b"", Status::L7Invalid, "TCPCHK got an empty response at step 2"),
        (b"bogus\n", Status::Checked, "agent reports an error : bogus"),
    ] {
        world.pass(100);
        let end = world.attempt();
        end.establish();
        world.settle();
        end.send(answer).expect("room");
        drop(end);
        world.settle();
        assert_eq!((last(&world).status, last(&world).info.as_slice()), (status, info.as_bytes()));
    }
    world.pass(100);
    let end = world.attempt();
    end.establish();
    world.settle();
    end.send(&[b'x'; 40_000]).ok();
    world.pass(100);
    assert_eq!((world.word(0).as_str(), world.picks()), ("no check", Pick::Server(ServerId(0))));
}

#[test]
fn first_checks_are_spread_over_no_more_than_was_said() {
    let mut world = World::new(
        " default-server check inter 10s\n server a 127.0.0.1:1\n server b 127.0.0.1:2\nglobal\n max-spread-checks 100",
    );
    assert_eq!(world.attempts().len(), 1);
    world.pass(49);
    assert_eq!(world.attempts().len(), 0);
    world.pass(1);
    assert_eq!(world.attempts().len(), 1);
}

#[test]
fn who_speaks_without_listening_is_not_listened_to() {
    let mut world = World::new(" option httpchk GET /up\n server a 127.0.0.1:1 check inter 200ms fall 1");
    // The second check's connection holds few bytes.
    world.net.capacity.set(8);
    drop(world.attempt());
    world.pass(400);
    let end = world.attempt();
    end.establish();
    world.settle();
    for _ in 0..3 {
        while end.send(b"HTTP/1.0").is_ok_and(|taken| taken > 0) {}
        world.settle();
        assert!(end.send(b"x").is_err(), "what it says waits until the request has gone");
    }
    let mut request = Vec::new();
    for _ in 0..10 {
        request.extend(end.drain().0);
        world.settle();
    }
    assert_eq!(request, b"GET /up HTTP/1.0\r\n\r\n");
    assert!(end.send(b" 200 OK\r").is_ok(), "then it is heard");
}

/// A world whose servers are checked by a program, and the end of the socket where the spawner would be.
fn with_program(backend: &str) -> (World, socket2::Socket) {
    let (spawner, theirs) = crate::process::spawner::Spawner::pair().expect("pair");
    theirs.set_nonblocking(true).expect("socket");
    let text = format!(
        "global\n external-check\n insecure-fork-wanted\ndefaults\n mode http\n timeout client 1s\n timeout server 1s\n \
         timeout connect 300ms\nbackend be\n option external-check\n external-check command /check\n{backend}\n"
    );
    let mut world = World::of(&text);
    world.core.checks.employ(spawner);
    world.core.claim_checks();
    world.settle();
    (world, theirs)
}

impl World {
    fn of(text: &str) -> World {
        let config = Box::leak(Box::new(crate::config::load_text("c.cfg", text).config.expect("valid")));
        let net = SimNet::default();
        net.behaviour.set(SimConnect::Silence);
        let services = Services::new(config, Counters::private(config), at(0), Net::Sim(net.clone()), "haproxy");
        World { core: Core::new(services), net, now_ms: 0 }
    }

    fn reported(&mut self, socket: &socket2::Socket, id: &str, event: &str) {
        socket.send(format!("{event}\0{id}\0{}", if event == "began" { "1" } else { "0" }).as_bytes()).expect("sent");
        self.core.programs_reported();
    }
}

/// The orders since the last call, as words.
fn orders(socket: &socket2::Socket) -> Vec<Vec<String>> {
    let mut orders = Vec::new();
    let mut packet = Vec::with_capacity(1000);
    while crate::sys::socket::recv_append(socket, &mut packet).is_ok_and(|count| count > 0) {
        let text = String::from_utf8(std::mem::take(&mut packet)).expect("text");
        orders.push(text.split('\0').map(str::to_owned).collect());
        packet.reserve(1000);
    }
    orders
}

#[test]
fn a_program_is_asked_for_each_check() {
    let (mut world, socket) = with_program(" server a 127.0.0.1:1 check inter 200ms fall 1 maxconn 9");
    let first = orders(&socket).remove(0);
    assert_eq!(
        (&first[0][..], &first[3..]),
        ("run", &["a", "1", "127.0.0.1", "1", "9", "0", "h1"].map(String::from)[..])
    );
    world.reported(&socket, &first[1], "began");
    world.pass(30);
    world.reported(&socket, &first[1], "exited");
    assert_eq!((world.word(0), world.last(0)), ("UP".into(), (Status::ProgramPassed, 0, 30)));
    assert!(world.attempts().is_empty(), "nobody connects");
    // Once more, and what is said of the first one is past.
    world.pass(200);
    let second = orders(&socket).remove(0);
    world.reported(&socket, &first[1], "killed");
    assert_eq!(world.word(0), "UP");
    world.reported(&socket, &second[1], "killed");
    assert_eq!((world.word(0), world.last(0)), ("DOWN".into(), (Status::ProgramFailed, -1, 0)));
}

#[test]
fn a_program_that_is_late_is_told_to_end_and_not_waited_for() {
    let (mut world, socket) = with_program(" timeout check 5s\n server a 127.0.0.1:1 check inter 1s fall 1");
    let first = orders(&socket).remove(0);
    world.reported(&socket, &first[1], "began");
    world.pass(299);
    assert_eq!((world.word(0), orders(&socket)), ("UP".into(), Vec::<Vec<String>>::new()));
    world.pass(1);
    assert_eq!((world.word(0), world.last(0)), ("DOWN".into(), (Status::ProgramTimeout, 0, 300)));
    assert_eq!(orders(&socket), [["end".to_owned(), first[1].clone()]]);
    world.reported(&socket, &first[1], "exited");
    assert_eq!(world.last(0).0, Status::ProgramTimeout);
    world.pass(1000);
    assert_eq!(orders(&socket).len(), 1);
}

#[test]
fn programs_end_when_another_worker_checks_and_fail_without_a_spawner() {
    let (mut world, socket) = with_program(" server a 127.0.0.1:1 check inter 1s fall 1");
    let first = orders(&socket).remove(0);
    world.core.checks.stop(&mut world.core.services);
    assert_eq!(orders(&socket), [["end".to_owned(), first[1].clone()]]);
    world.core.checks.start(&mut world.core.services);
    world.pass(1000);
    assert_eq!(orders(&socket).len(), 1);
    // Another test may have a process with a copy of it.
    socket.shutdown(std::net::Shutdown::Both).expect("open");
    world.core.programs_reported();
    assert_eq!((world.word(0), world.last(0).0), ("DOWN".into(), Status::SocketError));
    // The next one fails at once.
    world.pass(1000);
    assert!(!world.core.services.boards.check(ServerId(0)).is_under_way());
}

#[test]
fn a_server_that_comes_is_checked_once_that_is_enabled_and_no_more_when_it_has_gone() {
    let mut world = World::new(" server a 127.0.0.1:1 check disabled\n server b 127.0.0.1:2");
    let backend = world.core.services.config[ServerId(0)].backend;
    let words: Vec<String> = ["127.0.0.1:7", "check", "inter", "1s"].map(str::to_owned).into();
    for _ in 0..3 {
        world.core.services.add_server(backend, "n", &words).expect("added");
        world.core.run_promoted();
        let id = world.core.services.config[backend].servers.added().next().expect("there");
        assert_eq!(id, ServerId(2), "one id serves all that come in turn");
        world.pass(3_000);
        assert!(world.attempts().is_empty(), "not enabled yet");
        world.core.services.change_server(id, |state, now_s| {
            state.checks_enabled = true;
            state.order_ready(now_s).into()
        });
        world.pass(1_100);
        assert_eq!(world.attempts().iter().map(|(port, _)| *port).collect::<Vec<_>>(), [7]);
        world.core.services.change_server(id, |state, now_s| state.order_maintenance(now_s).into());
        world.core.services.remove_server(id).expect("removed");
        world.core.run_promoted();
        world.pass(3_000);
        assert!(world.attempts().is_empty(), "it has gone");
    }
}

#[test]
fn a_spawner_that_is_behind_gets_its_orders_later() {
    let servers: String = (0..3000).map(|n| format!(" server s{n} 127.0.0.1:1 check inter 1s\n")).collect();
    let (mut world, socket) = with_program(&servers);
    // All are asked for in the first second, and nobody reads.
    world.pass(999);
    let mut begun = 0;
    loop {
        let some = orders(&socket);
        begun += some.iter().filter(|order| order[0] == "run").count();
        let Some(last) = some.last().filter(|_| begun < 3000) else { break };
        world.reported(&socket, &last[1].clone(), "began");
    }
    assert_eq!(begun, 3000);
    assert!(world.core.services.servers.iter().all(|server| server.last.status == Status::Initializing));
}
