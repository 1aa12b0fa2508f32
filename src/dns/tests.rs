//! Conversations of the engine with name servers, on virtual time.

mod malformed;

use std::net::IpAddr;

use super::*;
use crate::proxy::ServerId;
use crate::proxy::resolvers::{Family, Hold, NameServer, Resolvers, ResolversId, Transport};
use crate::time::{Millis, Tick};

const V4: Wanted = Wanted::Addresses(Family::V4);
const HERE: ResolversId = ResolversId(0);
const ANSWER: u16 = 0x8180;

/// An engine and what it said.
struct Scene {
    engine: Engine,
    now: Tick,
    /// Questions since the last look: the name server, and the message.
    asked: Vec<(usize, Vec<u8>)>,
}

fn scene(nameservers: usize, change: impl FnOnce(&mut Resolvers)) -> Scene {
    let nameserver = |number: usize| NameServer {
        name: format!("ns{number}"),
        address: ([127, 0, 0, 1], 53).into(),
        transport: Transport::Udp,
    };
    let mut section = Resolvers {
        name: "dns".into(),
        nameservers: (0..nameservers).map(nameserver).collect(),
        payload_bytes_max: 512,
        retries: 2,
        resolve_every: Millis(1000),
        retry_after: Millis(500),
        hold: Hold::default(),
    };
    change(&mut section);
    Scene { engine: Engine::new(&[section], 7), now: Tick(1_000_000), asked: Vec::new() }
}

fn who(number: u32) -> Requester {
    Requester::Server(ServerId(number))
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

impl Scene {
    fn watch(&mut self, host: &str, wanted: Wanted, number: u32) {
        self.engine.watch(HERE, name(host), wanted, who(number), self.now);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(message) = self.engine.outgoing() {
            self.engine.sent(&message, true, self.now);
            self.asked.push((message.nameserver, message.bytes.to_vec()));
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Millis(ms);
        self.engine.expire(self.now);
        self.flush();
    }

    /// The last question: name server, type, message.
    fn last(&self) -> (usize, u16, &[u8]) {
        let (nameserver, message) = self.asked.last().unwrap();
        // The type stands in front of class (2 octets) and OPT record (11).
        let at = message.len() - 15;
        (*nameserver, u16::from_be_bytes([message[at], message[at + 1]]), message)
    }

    fn answer(&mut self, nameserver: usize, flags: u16, records: &[Vec<u8>]) {
        let reply = reply(self.last().2, flags, records);
        self.receive(nameserver, &reply);
    }

    fn receive(&mut self, nameserver: usize, bytes: &[u8]) {
        self.engine.received(HERE, nameserver, bytes, self.now);
        self.flush();
    }

    fn told(&mut self) -> Vec<(Requester, Verdict, bool, Vec<IpAddr>)> {
        let mut told = Vec::new();
        while let Some(report) = self.engine.report() {
            let addresses = report.answer.map_or_else(Vec::new, |answer| answer.addresses.clone());
            told.push((report.who, report.verdict, report.is_held, addresses));
        }
        told
    }

    fn counted(&mut self, what: Tallied) -> u64 {
        let mut sum = 0;
        self.engine.take_tallies(|_, _, tally| sum += tally.get(what));
        sum
    }
}

/// An answer to `question`.
fn reply(question: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut reply = question[..question.len() - 11].to_vec();
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    reply[10..12].copy_from_slice(&[0, 0]);
    records.iter().for_each(|record| reply.extend_from_slice(record));
    reply
}

/// A record of the name in the question.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    owned(&[0xc0, 12], kind, data)
}

fn owned(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend_from_slice(&kind.to_be_bytes());
    record.extend_from_slice(&[0, 1, 0, 0, 0, 5]);
    record.extend_from_slice(&(data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}

fn a(last: u8) -> Vec<u8> {
    record(1, &[10, 0, 0, last])
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn wire(host: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in host.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

#[test]
fn a_name_is_asked_of_all_and_the_first_valid_answer_counts() {
    let mut scene = scene(2, |_| ());
    scene.watch("www.example", V4, 1);
    assert_eq!(scene.asked.iter().map(|(nameserver, _)| *nameserver).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(scene.last().1, 1);
    scene.answer(0, ANSWER | 3, &[]);
    assert_eq!(scene.told(), []);
    scene.answer(1, ANSWER, &[a(1)]);
    assert_eq!(scene.told(), [(who(1), Verdict::Valid, true, vec![ip(1)])]);
    scene.answer(0, ANSWER, &[a(2)]);
    assert_eq!(scene.told(), []);
    scene.asked.clear();
    scene.pass(999);
    assert!(scene.asked.is_empty());
    scene.pass(1);
    assert_eq!(scene.asked.len(), 2);
}

#[test]
fn requesters_share_a_question_and_leave_it() {
    let mut scene = scene(1, |_| ());
    scene.watch("www.example", V4, 1);
    scene.watch("WWW.example.", V4, 2);
    assert_eq!(scene.asked.len(), 1);
    scene.engine.cancel(who(1));
    scene.answer(0, ANSWER, &[a(1)]);
    assert_eq!(scene.told(), [(who(2), Verdict::Valid, true, vec![ip(1)])]);
    scene.engine.cancel(who(2));
    assert!(scene.engine.is_idle());
    scene.counted(Tallied::Sent);
    assert_eq!(scene.engine.deadline(), Tick::NEVER);
}

#[test]
fn sessions_are_told_once_and_share_what_is_fresh() {
    let mut scene = scene(1, |_| ());
    scene.watch("a.b", V4, 1);
    scene.answer(0, ANSWER, &[a(1)]);
    scene.told();
    let session = Requester::Session(crate::token::Token(7));
    let known = scene.engine.ask(HERE, name("a.b"), V4, session, scene.now).unwrap();
    assert_eq!(known.answer.unwrap().addresses, [ip(1)]);
    assert!(scene.engine.ask(HERE, name("c.d"), V4, session, scene.now).is_none());
    scene.flush();
    scene.answer(0, ANSWER, &[a(3)]);
    assert_eq!(scene.told(), [(session, Verdict::Valid, true, vec![ip(3)])]);
    scene.engine.cancel(who(1));
    assert!(scene.engine.is_idle());
}

#[test]
fn wrong_ids_questions_and_senders_are_dropped() {
    let mut scene = scene(2, |_| ());
    scene.watch("www.example", V4, 1);
    let question = scene.last().2.to_vec();
    let mut wrong = reply(&question, ANSWER, &[a(9)]);
    wrong[0] ^= 1;
    scene.receive(0, &wrong);
    assert_eq!(scene.counted(Tallied::Outdated), 1);
    let mut wrong = reply(&question, ANSWER, &[a(9)]);
    wrong[13] = b'x';
    scene.receive(0, &wrong);
    scene.receive(0, &reply(&question, 0x0180, &[a(9)]));
    scene.receive(7, &reply(&question, ANSWER, &[a(9)]));
    assert_eq!(scene.told(), []);
    scene.receive(0, &reply(&question, ANSWER, &[a(1)]));
    assert_eq!(scene.told().len(), 1);
}

#[test]
fn nobody_there_is_a_timeout_after_the_retries_and_held_for_a_while() {
    let mut scene = scene(1, |_| ());
    scene.watch("www.example", V4, 1);
    scene.answer(0, ANSWER, &[a(1)]);
    scene.told();
    scene.pass(1000);
    let mut told = Vec::new();
    for _ in 0..100 {
        scene.pass(500);
        told.append(&mut scene.told());
    }
    assert!(told.iter().all(|(_, verdict, ..)| *verdict == Verdict::Timeout));
    assert!(told.iter().filter(|(_, _, is_held, _)| *is_held).count() > 5, "{told:?}");
    assert!(!told.last().unwrap().2);
}

#[test]
fn the_other_kind_is_asked_for_when_there_is_none_of_the_first() {
    let mut scene = scene(1, |_| ());
    scene.watch("www.example", Wanted::Addresses(Family::V6), 1);
    assert_eq!(scene.last().1, 28);
    scene.answer(0, ANSWER, &[]);
    assert_eq!(scene.last().1, 1);
    scene.answer(0, ANSWER, &[a(1)]);
    assert_eq!(scene.told(), [(who(1), Verdict::Valid, true, vec![ip(1)])]);
}

#[test]
fn services_have_ports_weights_and_addresses_beside() {
    let mut scene = scene(1, |_| ());
    scene.engine.watch(HERE, name("_http._tcp.web"), Wanted::Services, Requester::Service(0), scene.now);
    scene.flush();
    let data = |port: u16, host: &str| {
        let mut data = vec![0, 5, 0, 20];
        data.extend_from_slice(&port.to_be_bytes());
        data.extend_from_slice(&wire(host));
        data
    };
    let records = [record(33, &data(80, "One.web")), record(33, &data(81, "two.web"))];
    let mut message = reply(scene.last().2, ANSWER, &records);
    message[11] = 1;
    message.extend_from_slice(&owned(&wire("one.web"), 1, &[10, 0, 0, 1]));
    scene.receive(0, &message);
    let report = scene.engine.report().unwrap();
    let mut services = report.answer.unwrap().services.clone();
    services.sort_by_key(|service| service.port);
    let service = |port, host, address| Service { target: name(host), port, weight: 20, priority: 5, address };
    assert_eq!(services, [service(80, "one.web", Some(ip(1))), service(81, "two.web", None)]);
}

#[test]
fn time_of_the_retry_begins_when_the_question_leaves() {
    let mut scene = scene(1, |_| {});
    scene.engine.watch(HERE, name("www.lab"), V4, who(1), scene.now);
    let message = scene.engine.outgoing().unwrap();
    // Others are in front of it for longer than that.
    for _ in 0..3 {
        scene.now = scene.now + Millis(500);
        scene.engine.expire(scene.now);
        assert!(scene.engine.outgoing().is_none());
    }
    scene.now = scene.now + Millis(200);
    scene.engine.sent(&message, true, scene.now);
    scene.pass(499);
    assert!(scene.asked.is_empty());
    scene.pass(1);
    assert_eq!(scene.asked.len(), 1);
}

#[test]
fn a_question_that_waits_to_be_sent_is_no_endless_loop_without_a_time_of_retry() {
    let mut scene = scene(1, |section| section.retry_after = Millis(0));
    scene.engine.watch(HERE, name("www.lab"), V4, who(1), scene.now);
    let message = scene.engine.outgoing().unwrap();
    scene.engine.expire(scene.now);
    assert!(scene.engine.outgoing().is_none() && scene.engine.is_wanted(&message));
}
