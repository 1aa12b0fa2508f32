//! Peers that close, reset, stall or talk nonsense at any byte of any message. Whatever they do, the client
//! gets a correct answer or sees that its connection ends, and nothing stays behind: the latter is looked at
//! when a [`Sim`] is dropped.

use super::answers::{Answer, read_answer};
use super::*;

/// What a peer does in the middle of a message.
#[derive(Clone, Copy, Debug)]
enum Mischief {
    HalfClose,
    Close,
    Reset,
    Stall,
    Nonsense,
    NonsenseAndClose,
}

const ALL: [Mischief; 6] = [
    Mischief::HalfClose,
    Mischief::Close,
    Mischief::Reset,
    Mischief::Stall,
    Mischief::Nonsense,
    Mischief::NonsenseAndClose,
];

const NONSENSE: &[u8] = b"\0\x01\x7f\r\n\r\n:\r\nHTTP/1.1 2x0\r\n\r\nGET\tgarbage \n\nzzzz\r\n\r\n";

impl Mischief {
    fn happens(self, sim: &mut Sim, far: Far) {
        match self {
            Mischief::HalfClose => sim.fin(far),
            Mischief::Close => sim.close(far),
            Mischief::Reset => sim.reset(far),
            Mischief::Stall => sim.stop_reading(far),
            Mischief::Nonsense => sim.send(far, NONSENSE),
            Mischief::NonsenseAndClose => {
                sim.send(far, NONSENSE);
                sim.close(far);
            }
        }
    }
}

/// Tells what was going on when a test fails.
struct Scene(String);

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it happened here: {}", self.0);
        }
    }
}

/// A conversation: name, the client's words, the server's.
type Conversation = (&'static str, &'static str, &'static str);

const CONVERSATIONS: [Conversation; 9] = [
    ("length", GET, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-A: b\r\n\r\n0123456789"),
    ("head only", "HEAD / HTTP/1.1\r\nHost: t\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    (
        "chunks",
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\na;x=y\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
    ),
    ("until the end", GET, "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n0123456789"),
    ("old", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n0123456789"),
    (
        "interim",
        "POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n01234",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ),
    (
        "chunked request",
        "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        OK,
    ),
    (
        "upgrade",
        "GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nworld",
    ),
    (
        "two requests",
        "GET /1 HTTP/1.1\r\nHost: t\r\n\r\nPOST /2 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
    ),
];

const KINDS: [&str; 4] = ["", "option abortonclose", "http-reuse never", "option http-server-close\n retries 1"];

#[test]
fn a_server_may_fail_at_any_byte() {
    for (name, request, response) in CONVERSATIONS {
        for cut in 0..=response.len() {
            for mischief in ALL {
                let settings = KINDS[cut % KINDS.len()];
                let _scene = Scene(format!("server, {name}, after {cut} bytes: {mischief:?}, {settings:?}"));
                let mut sim = Sim::simple(settings);
                let client = sim.client_sends(request);
                let server = sim.server();
                sim.send(server, &response[..cut]);
                mischief.happens(&mut sim, server);
                check_client(&mut sim, client, request.starts_with("HEAD"));
            }
        }
    }
}

#[test]
fn a_client_may_fail_at_any_byte() {
    for (name, request, response) in CONVERSATIONS {
        for cut in 0..=request.len() {
            for mischief in ALL {
                for answers in [false, true] {
                    let settings = KINDS[cut % KINDS.len()];
                    let _scene = Scene(format!("client, {name}, after {cut} bytes: {mischief:?}, {settings:?}"));
                    let mut sim = Sim::simple(settings);
                    let client = sim.client();
                    sim.send(client, &request[..cut]);
                    serve(&mut sim, response, answers);
                    mischief.happens(&mut sim, client);
                    serve(&mut sim, response, answers);
                    if !matches!(mischief, Mischief::Close | Mischief::Reset | Mischief::NonsenseAndClose) {
                        sim.read_again(client);
                        check_client(&mut sim, client, request.starts_with("HEAD"));
                    }
                }
            }
        }
    }
}

/// Servers that answer every connection, or never.
fn serve(sim: &mut Sim, response: &str, answers: bool) {
    while let Some(server) = sim.try_server() {
        if answers {
            sim.send(server, response);
        }
    }
}

/// Time passes; then the client has had whole answers, or its connection is closed.
/// `head_only` tells that the first answer, if its request was understood, has no body.
fn check_client(sim: &mut Sim, client: Far, mut head_only: bool) {
    sim.pass(200_000);
    let (got, closed) = (sim.got(client), sim.is_closed(client));
    let mut rest = got.as_str();
    while !rest.is_empty() {
        let head_only = std::mem::take(&mut head_only) && !rest.starts_with("HTTP/1.1 4");
        match read_answer(rest, head_only) {
            Answer::Whole { bytes } => rest = &rest[bytes..],
            Answer::UntilClose | Answer::Cut => {
                assert!(closed, "neither whole nor closed: {got:?}");
                break;
            }
            Answer::Nonsense => panic!("no answer: {got:?}"),
        }
    }
    assert!(closed, "the client's connection is still there: {got:?}");
}

#[test]
fn a_tcp_peer_may_fail_at_any_byte() {
    let words = "0123456789abcdef";
    for cut in 0..=words.len() {
        for mischief in ALL {
            for server_fails in [false, true] {
                let _scene = Scene(format!("tcp, server {server_fails}, after {cut} bytes: {mischief:?}"));
                let mut sim = Sim::simple_tcp("");
                sim.capacity(5);
                let client = sim.client();
                let server = sim.server();
                let (bad, good) = if server_fails { (server, client) } else { (client, server) };
                sim.send(bad, &words[..cut]);
                mischief.happens(&mut sim, bad);
                sim.send(good, words);
                assert!(sim.got(good).starts_with(&words[..cut]));
                sim.pass(200_000);
                assert!(sim.is_closed(good));
            }
        }
    }
}
