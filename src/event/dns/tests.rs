//! Questions and answers on sockets of the loopback, name servers played by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::super::core::{Core, Readiness};
use crate::dns::{Name, Requester, Tallied, Verdict, Wanted};
use crate::event::Clock;
use crate::proxy::resolvers::{Family, ResolversId};
use crate::session::Services;
use crate::stats::Counters;
use crate::time::Now;
use crate::token::{Kind, Token};
use crate::transport::Net;
use crate::transport::net::SimNet;

const HERE: ResolversId = ResolversId(0);
/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    core: Core,
    poll: mio::Poll,
}

impl World {
    fn new(section: &str) -> World {
        let text = format!("resolvers dns\n{section}\nlisten l\n bind 127.0.0.1:1\n");
        let config = Box::leak(Box::new(crate::config::load_text("c.cfg", &text).config.expect("valid")));
        let poll = mio::Poll::new().expect("epoll");
        let net = Net::Real(poll.registry().try_clone().expect("registry"));
        let services = Services::new(config, Counters::private(config), Clock.now(), net, "haproxy");
        World { core: Core::new(services), poll }
    }

    fn ask(&mut self, host: &str, number: u64) {
        self.core.set_now(Clock.now());
        let now = self.core.services.now.tick();
        let (name, who) = (Name::parse(host.as_bytes()).expect("a name"), Requester::Session(Token(number)));
        let wanted = Wanted::Addresses(Family::V4);
        assert!(self.core.services.names.ask(HERE, name, wanted, who, now).is_none());
        self.carry();
    }

    /// Sends what there is to be sent, without taking reports away.
    fn carry(&mut self) {
        self.core.name_servers.flush(&mut self.core.services);
    }

    /// Takes events until a report comes.
    fn report(&mut self) -> (Requester, Verdict, Vec<IpAddr>) {
        let begun = Instant::now();
        loop {
            if let Some(report) = self.core.services.names.report() {
                let addresses = report.answer.map_or_else(Vec::new, |answer| answer.addresses.clone());
                return (report.who, report.verdict, addresses);
            }
            assert!(begun.elapsed() < PATIENCE, "no report");
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut events = mio::Events::with_capacity(16);
        self.poll.poll(&mut events, Some(Duration::from_millis(5))).expect("poll");
        self.core.set_now(Clock.now());
        for event in &events {
            let token = Token::from(event.token());
            let hangup = event.is_read_closed() || event.is_error();
            let ready = Readiness { readable: event.is_readable(), writable: event.is_writable(), hangup };
            match token.kind() {
                Some(Kind::NameServer) => self.core.name_server_event(token),
                Some(Kind::NameStream) => self.core.name_stream_event(token, ready),
                kind => panic!("{kind:?}"),
            }
        }
        let now = self.core.services.now.tick();
        self.core.services.names.expire(now);
        self.core.name_servers.streams.sweep(&mut self.core.services);
        self.carry();
    }

    fn counted(&mut self, what: Tallied) -> u64 {
        let mut sum = 0;
        self.core.services.names.take_tallies(|_, _, tally| sum += tally.get(what));
        sum
    }
}

/// The answer to a question about an IPv4 address.
fn answer(question: &[u8], last: u8) -> Vec<u8> {
    let mut answer = question[..question.len() - 11].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, last]);
    answer
}

fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

fn session(number: u64) -> Requester {
    Requester::Session(Token(number))
}

fn ip(last: u8) -> Vec<IpAddr> {
    vec![[10, 0, 0, last].into()]
}

#[test]
fn datagrams_come_and_go_and_strangers_are_not_heard() {
    let (server, address) = udp();
    let mut world = World::new(&format!(" nameserver a {address}"));
    world.ask("one.example", 1);
    let mut question = [0; 512];
    let (length, asker) = server.recv_from(&mut question).expect("a question");
    let question = &question[..length];
    let (stranger, _) = udp();
    stranger.send_to(&answer(question, 9), asker).expect("sent");
    server.send_to(&answer(question, 1), asker).expect("sent");
    assert_eq!(world.report(), (session(1), Verdict::Valid, ip(1)));
    world.ask("two.example", 2);
    let mut question = [0; 512];
    let (length, again) = server.recv_from(&mut question).expect("a question");
    assert_eq!(again, asker, "the socket is kept");
    let mut long = answer(&question[..length], 2);
    long.resize(600, 0);
    server.send_to(&long, asker).expect("sent");
    server.send_to(&answer(&question[..length], 3), asker).expect("sent");
    assert_eq!(world.report(), (session(2), Verdict::Valid, ip(3)));
    assert_eq!(world.counted(Tallied::TooBig), 1);
}

fn at(ms: u64) -> Now {
    Now { mono_us: 1_000_000 + ms * 1000, wall_us: 0 }
}

/// A worker whose sessions have asked so many name servers for so many names at once.
fn crowd(nameservers: u8, names: u64) -> (Core, SimNet) {
    let nameservers: String = (1..=nameservers).map(|n| format!(" nameserver n{n} 127.0.0.{n}:53\n")).collect();
    let text = format!("resolvers dns\n{nameservers}listen l\n bind 127.0.0.1:1\n");
    let config = Box::leak(Box::new(crate::config::load_text("c.cfg", &text).config.expect("valid")));
    let net = SimNet::default();
    let services = Services::new(config, Counters::private(config), at(0), Net::Sim(net.clone()), "haproxy");
    let mut core = Core::new(services);
    for number in 0..names {
        let name = Name::parse(format!("n{number}.example").as_bytes()).expect("a name");
        core.services.names.ask(HERE, name, Wanted::Addresses(Family::V4), session(number), at(0).tick());
    }
    (core, net)
}

#[test]
fn name_servers_are_not_flooded() {
    let (mut core, net) = crowd(1, 300);
    for (ms, sent) in [(0, 200), (0, 200), (1, 220), (2, 240), (5, 300), (6, 300)] {
        core.set_now(at(ms));
        core.resolve_names();
        assert_eq!(net.datagrams.borrow().len(), sent, "after {ms} ms");
        assert_eq!(core.next_deadline() <= at(ms + 1).tick(), sent < 300, "after {ms} ms");
    }
    let counts = core.services.counters.name_server(HERE, 0);
    assert_eq!(counts.get(Tallied::Sent), 300);
}

#[test]
fn questions_that_were_given_up_while_they_waited_are_not_asked() {
    let (mut core, net) = crowd(1, 300);
    core.resolve_names();
    (200..290).for_each(|number| core.services.names.cancel(session(number)));
    core.set_now(at(1));
    core.resolve_names();
    assert_eq!(net.datagrams.borrow().len(), 210);
    assert!(core.next_deadline() > at(2).tick(), "nothing waits any more");
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let (mut core, net) = crowd(40, 2000);
    core.resolve_names();
    assert_eq!(core.name_servers.waiting.len(), super::WAITING_MAX - super::BURST as usize);
    (0..2000).for_each(|number| core.services.names.cancel(session(number)));
    let name = Name::parse(b"late.example").expect("a name");
    core.services.names.ask(HERE, name, Wanted::Addresses(Family::V4), session(9), at(0).tick());
    core.set_now(at(2));
    core.resolve_names();
    assert_eq!((core.name_servers.waiting.len(), net.datagrams.borrow().len()), (0, 240));
}

#[test]
fn a_name_server_that_floods_is_read_once_a_turn() {
    let (server, address) = udp();
    let mut world = World::new(&format!(" nameserver a {address}"));
    world.ask("one.example", 1);
    let (_, asker) = server.recv_from(&mut [0; 512]).expect("a question");
    for _ in 0..3 {
        for _ in 0..super::DATAGRAMS_MAX {
            server.send_to(&[0; 12], asker).expect("sent");
        }
        world.core.name_server_event(Token::new(Kind::NameServer, 0, 0));
    }
    assert!(world.core.name_servers.unread.len() <= 1);
}

#[test]
fn nobody_there_is_silence() {
    let (server, address) = udp();
    drop(server);
    let mut world = World::new(&format!(" nameserver a {address}\n timeout retry 20ms\n resolve_retries 2"));
    world.ask("one.example", 1);
    assert_eq!(world.report(), (session(1), Verdict::Timeout, vec![]));
}

#[test]
fn after_silence_other_sockets_are_tried() {
    let (_silent, address) = udp();
    let mut world = World::new(&format!(" nameserver a {address}\n timeout retry 20ms\n resolve_retries 1"));
    world.ask("one.example", 1);
    assert!(world.core.name_servers.sockets[0].is_some());
    let begun = Instant::now();
    while world.core.name_servers.sockets[0].is_some() {
        assert!(begun.elapsed() < PATIENCE, "the socket is kept");
        world.core.set_now(Clock.now());
        world.core.resolve_names();
    }
}

fn tcp(more: &str) -> (TcpListener, World) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    (listener, World::new(&format!(" nameserver a tcp@{address} {more}\n timeout retry 10s")))
}

fn accept(listener: &TcpListener, world: &mut World) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The connection is established in the world's eyes, too, and questions are sent.
    let begun = Instant::now();
    while world.core.name_servers.streams.has_output() {
        assert!(begun.elapsed() < PATIENCE, "nothing is sent");
        world.turn();
    }
    stream
}

fn question(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question).expect("a question");
    question
}

fn give(stream: &mut TcpStream, answer: &[u8]) {
    let mut bytes = (answer.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(answer);
    stream.write_all(&bytes).expect("sent");
}

#[test]
fn connections_carry_four_questions_and_answers_in_any_order() {
    let (listener, mut world) = tcp("");
    for number in 0..5 {
        world.ask(&format!("n{number}.example"), number);
    }
    let mut first = accept(&listener, &mut world);
    let mut second = accept(&listener, &mut world);
    let mut questions: Vec<Vec<u8>> = (0..4).map(|_| question(&mut first)).collect();
    questions.reverse();
    for (last, question) in (1..).zip(&questions) {
        give(&mut first, &answer(question, last));
    }
    for (number, last) in [(3, 1), (2, 2), (1, 3), (0, 4)] {
        assert_eq!(world.report(), (session(number), Verdict::Valid, ip(last)));
    }
    // Byte by byte.
    let fifth = answer(&question(&mut second), 5);
    let mut bytes = (fifth.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(&fifth);
    for byte in bytes {
        second.write_all(&[byte]).expect("sent");
        world.turn();
    }
    assert_eq!(world.report(), (session(4), Verdict::Valid, ip(5)));
}

#[test]
fn what_waits_for_a_connection_gets_one_when_answers_come() {
    let (listener, mut world) = tcp("maxconn 1");
    for number in 0..6 {
        world.ask(&format!("n{number}.example"), number);
    }
    let mut stream = accept(&listener, &mut world);
    for number in 0..6 {
        let question = question(&mut stream);
        give(&mut stream, &answer(&question, 1));
        assert_eq!(world.report(), (session(number), Verdict::Valid, ip(1)));
    }
}

#[test]
fn questions_on_a_connection_that_closes_are_asked_on_another() {
    let (listener, mut world) = tcp("");
    world.ask("one.example", 1);
    let mut stream = accept(&listener, &mut world);
    let asked = question(&mut stream);
    give(&mut stream, &answer(&asked, 1));
    assert_eq!(world.report(), (session(1), Verdict::Valid, ip(1)));
    world.ask("two.example", 2);
    let asked = question(&mut stream);
    drop(stream);
    // The retry is far away.
    let begun = Instant::now();
    while !world.core.name_servers.streams.has_output() && begun.elapsed() < PATIENCE {
        world.turn();
    }
    let mut stream = accept(&listener, &mut world);
    assert_eq!(question(&mut stream), asked);
    give(&mut stream, &answer(&asked, 2));
    assert_eq!(world.report(), (session(2), Verdict::Valid, ip(2)));
}

#[test]
fn an_empty_answer_is_none() {
    let (listener, mut world) = tcp("");
    world.ask("one.example", 1);
    let mut stream = accept(&listener, &mut world);
    let asked = question(&mut stream);
    give(&mut stream, &[]);
    give(&mut stream, &[asked[0], asked[1]]);
    give(&mut stream, &[1; 65535]);
    give(&mut stream, &answer(&asked, 1));
    // The second belongs to the question, so that it is answered, badly: the other kind is asked for.
    let begun = Instant::now();
    stream.set_nonblocking(true).expect("set");
    while stream.peek(&mut [0; 64]).unwrap_or(0) < 40 {
        assert!(begun.elapsed() < PATIENCE, "nothing is asked");
        world.turn();
    }
    let next = question(&mut stream);
    assert_eq!(next[..2], asked[..2]);
    assert_ne!(next, asked);
}
