//! Random conversations: several clients and servers, pipelined and broken messages, sockets that hold a few
//! bytes, and time. Nothing is expected of the answers but that they are answers; that nothing panics, turns
//! for ever or stays behind is looked at by [`Sim`].

use proptest::prelude::*;

use super::answers::{Answer, read_answer};
use super::*;

/// Something that happens; peers are chosen among those that are there, modulo their number.
#[derive(Clone, Debug)]
enum Event {
    Connect,
    ClientSends { client: usize, what: usize, from: usize, bytes: usize },
    ServerSends { server: usize, what: usize, from: usize, bytes: usize },
    End { far: usize, how: u8 },
    StopReading { far: usize },
    ReadAgain { far: usize },
    Pass { ms: u64 },
    Capacity { bytes: usize },
    Network { how: u8 },
    Handshake { far: usize, refused: bool },
}

const REQUESTS: [&str; 6] = [
    GET,
    "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 30\r\n\r\n012345678901234567890123456789",
    "POST /b HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n1e\r\n012345678901234567890123456789\r\n0\r\nX: y\r\n\r\n",
    "GET /c HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    "GET /d HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc",
    "GET /1 HTTP/1.1\r\nHost: t\r\n\r\nGET /2 HTTP/1.1\r\nHost: t\r\n\r\nGET /3 HTTP/1.0\r\n\r\n",
];

const RESPONSES: [&str; 6] = [
    OK,
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n3;x\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-Long: 0123456789012345678901234567890123456789\r\n\r\n0123456789",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234trailing nonsense",
];

const TWO: &str = "frontend fe
 bind 127.0.0.1:8001
 default_backend be
backend be
 server s1 127.0.0.1:9001 maxconn 1
 server s2 127.0.0.1:9002 maxconn 2
";

const SETTINGS: [&str; 6] = [
    "",
    "retries 2\n option redispatch\n timeout queue 3s\n timeout http-request 4s",
    "option abortonclose\n http-reuse never\n timeout server 2s",
    "option http-server-close\n timeout http-keep-alive 1s",
    "http-reuse always\n timeout client 2s\n timeout tunnel 3s\n timeout client-fin 1s",
    "http-reuse aggressive\n option httpclose\n option abortonclose",
];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let small = 0usize..6;
    let piece = || {
        (
            0usize..8,
            0usize..6,
            prop_oneof![3 => Just(0usize), 1 => 0usize..60],
            prop_oneof![3 => Just(1000usize), 1 => 1usize..60],
        )
    };
    let event = prop_oneof![
        3 => Just(Event::Connect),
        6 => piece().prop_map(|(client, what, from, bytes)| Event::ClientSends { client, what, from, bytes }),
        6 => piece().prop_map(|(server, what, from, bytes)| Event::ServerSends { server, what, from, bytes }),
        2 => (small.clone(), 0u8..3).prop_map(|(far, how)| Event::End { far, how }),
        1 => small.clone().prop_map(|far| Event::StopReading { far }),
        1 => small.clone().prop_map(|far| Event::ReadAgain { far }),
        2 => (1u64..4_000).prop_map(|ms| Event::Pass { ms }),
        1 => (1usize..100).prop_map(|bytes| Event::Capacity { bytes }),
        1 => (0u8..6).prop_map(|how| Event::Network { how }),
        1 => (small, any::<bool>()).prop_map(|(far, refused)| Event::Handshake { far, refused }),
    ];
    prop::collection::vec(event, 1..60)
}

/// The conversation and who takes part.
struct Stage {
    sim: Sim,
    clients: Vec<Far>,
    servers: Vec<Far>,
}

impl Stage {
    fn play(&mut self, event: &Event) {
        match *event {
            Event::Connect => self.clients.push(self.sim.client()),
            Event::ClientSends { client, what, from, bytes } => {
                self.send(self.clients.get(client % self.clients.len().max(1)).copied(), REQUESTS[what], from, bytes);
            }
            Event::ServerSends { server, what, from, bytes } => {
                self.send(self.servers.get(server % self.servers.len().max(1)).copied(), RESPONSES[what], from, bytes);
            }
            Event::End { far, how } => self.end(far, how),
            Event::StopReading { far } => self.with(far, Sim::stop_reading),
            Event::ReadAgain { far } => self.with(far, Sim::read_again),
            Event::Pass { ms } => self.sim.pass(ms),
            Event::Capacity { bytes } => self.sim.capacity(bytes),
            Event::Network { how } => self.sim.network(match how {
                0 => SimConnect::Silence,
                1 => SimConnect::Refuse,
                _ => SimConnect::Accept,
            }),
            Event::Handshake { far, refused } => {
                if let Some(&server) = self.servers.get(far % self.servers.len().max(1)) {
                    if refused { self.sim.refuse(server) } else { self.sim.establish(server) }
                }
            }
        }
        while let Some(server) = self.sim.try_server() {
            self.servers.push(server);
        }
    }

    fn send(&mut self, far: Option<Far>, words: &str, from: usize, bytes: usize) {
        if let Some(far) = far {
            let from = from.min(words.len());
            self.sim.send(far, &words[from..words.len().min(from + bytes)]);
        }
    }

    fn with(&mut self, at: usize, what: fn(&mut Sim, Far)) {
        let count = self.clients.len() + self.servers.len();
        if let Some(&far) = self.clients.iter().chain(&self.servers).nth(at % count.max(1)) {
            what(&mut self.sim, far);
        }
    }

    fn end(&mut self, at: usize, how: u8) {
        match how {
            0 => return self.with(at, Sim::fin),
            1 => self.with(at, Sim::close),
            _ => self.with(at, Sim::reset),
        }
        let count = self.clients.len() + self.servers.len();
        let at = at % count.max(1);
        if at < self.clients.len() {
            self.clients.remove(at);
        } else if at < count {
            self.servers.remove(at - self.clients.len());
        }
    }

    /// In the end whoever is still there has had answers and was told of the end.
    fn finish(&mut self) {
        for client in self.clients.clone() {
            self.sim.read_again(client);
        }
        self.sim.pass(1_000_000);
        for client in self.clients.clone() {
            assert!(self.sim.is_closed(client), "a client waits for ever");
            let got = self.sim.got(client);
            let mut rest = got.as_str();
            while let Answer::Whole { bytes } = read_answer(rest, false) {
                rest = &rest[bytes..];
            }
            assert_ne!(read_answer(rest, false), Answer::Nonsense, "{got:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_stays_behind(events in events(), settings in 0usize..6, tcp in prop::bool::weighted(0.2)) {
        let text = format!("{}\n{TWO}", SETTINGS[settings]);
        let sim = if tcp { Sim::tcp(&text.replace("option httpclose\n", "")) } else { Sim::http(&text) };
        let mut stage = Stage { sim, clients: vec![], servers: vec![] };
        for event in &events {
            stage.play(event);
        }
        if !tcp {
            stage.finish();
        }
    }
}
