//! Large amounts of data pass through the real program: unharmed, both ways at once, without waiting for
//! acknowledgements, and with the connection to the server kept.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use support::place::{TempDir, bind_patiently, loopback_address};
use support::process::Running;
use support::service::serve;

/// Bytes that pass in each direction.
const BYTES: usize = 16 << 20;

/// Messages of the exchange of turns; not a multiple of any segment.
const TURN_BYTES: usize = 100_001;
const TURNS: usize = 20;

/// One delayed acknowledgement takes 40 ms, so waiting for one each turn would take longer.
const TURNS_LIMIT: Duration = Duration::from_millis(400);

struct Proxy {
    _running: Running,
    _directory: TempDir,
    address: SocketAddr,
    node: TcpListener,
}

/// Starts the program in front of a node, with `option` in the defaults.
fn proxy(name: &str, mode: &str, option: &str) -> Proxy {
    let ip: Ipv4Addr = loopback_address();
    let node = bind_patiently(|| TcpListener::bind((ip, 9001))).expect("node");
    let directory = TempDir::new(name).expect("directory");
    let config = format!(
        "defaults
    mode {mode}
    timeout connect 1s
    timeout client 20s
    timeout server 20s
    {option}
listen l
    bind {ip}:8001
    server s {ip}:9001
"
    );
    let address = SocketAddr::from((ip, 8001));
    let running = serve(directory.path(), &config, address, None);
    Proxy { _running: running, _directory: directory, address, node }
}

/// The byte at a place of a stream: a pattern without a short period.
fn byte(seed: u32, at: usize) -> u8 {
    ((at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8
}

/// Sends the stream in pieces of many sizes, from another thread.
fn send(mut stream: TcpStream, seed: u32, end: bool) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut at = 0;
        for size in [1, 100, 3000, 70_000, 300_000, 1 << 20].into_iter().cycle() {
            let size = size.min(BYTES - at);
            let piece: Vec<u8> = (at..at + size).map(|at| byte(seed, at)).collect();
            stream.write_all(&piece).expect("send");
            at += size;
            if at == BYTES {
                break;
            }
        }
        if end {
            stream.shutdown(Shutdown::Write).expect("end");
        }
    })
}

/// Receives the stream, slowly at times.
fn expect(stream: &mut TcpStream, seed: u32) {
    let mut room = vec![0; 1 << 20];
    let (mut at, mut round) = (0, 0);
    while at < BYTES {
        round += 1;
        let want = [1000, 65_536, 1 << 20][round % 3].min(BYTES - at);
        let count = stream.read(&mut room[..want]).expect("receive");
        assert!(count > 0, "it ended after {at} bytes");
        let wrong = room[..count].iter().enumerate().find(|(index, got)| **got != byte(seed, at + index));
        assert_eq!(wrong, None, "after {at} bytes");
        at += count;
        if round % 200 == 0 {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn both_ways(option: &str, name: &str) {
    let proxy = proxy(name, "tcp", option);
    let mut client = TcpStream::connect(proxy.address).expect("connect");
    let mut server = accept_skipping_probes(&proxy.node, &mut client);
    let senders =
        [send(client.try_clone().expect("clone"), 7, true), send(server.try_clone().expect("clone"), 9, true)];
    let there = thread::spawn(move || {
        expect(&mut server, 7);
        assert_eq!(server.read(&mut [0]).expect("end"), 0);
    });
    expect(&mut client, 9);
    assert_eq!(client.read(&mut [0]).expect("end"), 0);
    there.join().expect("the other direction");
    senders.into_iter().for_each(|sender| sender.join().expect("sender"));
}

/// The node's end of the client's connection: waiting for the program made others, which have ended.
fn accept_skipping_probes(node: &TcpListener, client: &mut TcpStream) -> TcpStream {
    client.write_all(b"!").expect("send");
    loop {
        let (mut stream, _) = node.accept().expect("accept");
        let mut first = [0];
        if stream.read(&mut first).is_ok_and(|count| count == 1) {
            stream.set_nodelay(true).expect("option");
            client.set_nodelay(true).expect("option");
            return stream;
        }
    }
}

fn turns(option: &str, name: &str) {
    let proxy = proxy(name, "tcp", option);
    let mut client = TcpStream::connect(proxy.address).expect("connect");
    let mut server = accept_skipping_probes(&proxy.node, &mut client);
    let node = thread::spawn(move || {
        let mut room = vec![0; TURN_BYTES];
        for _ in 0..TURNS {
            server.read_exact(&mut room).expect("receive");
            server.write_all(&room).expect("send");
        }
    });
    let mut room = vec![1; TURN_BYTES];
    let start = Instant::now();
    for _ in 0..TURNS {
        client.write_all(&room).expect("send");
        client.read_exact(&mut room).expect("receive");
    }
    let took = start.elapsed();
    node.join().expect("node");
    assert!(took < TURNS_LIMIT, "{TURNS} turns took {took:?}");
}

#[test]
fn what_is_spliced_arrives_as_it_was() {
    both_ways("option splice-auto", "splice");
}

#[test]
fn what_is_copied_arrives_as_it_was() {
    both_ways("", "copy");
}

#[test]
fn turns_do_not_wait_for_acknowledgements() {
    turns("", "turns");
}

#[test]
fn spliced_turns_do_not_wait_for_acknowledgements() {
    turns("option splice-auto", "spliced-turns");
}

#[test]
fn the_connection_of_a_spliced_body_is_kept() {
    let proxy = proxy("keep", "http", "option splice-response");
    let node = thread::spawn(move || {
        let (mut stream, _) = proxy.node.accept().expect("accept");
        for _ in 0..2 {
            let mut head = [0; 4096];
            let count = stream.read(&mut head).expect("request");
            assert!(count > 0, "the connection was closed");
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").expect("head");
            send(stream.try_clone().expect("clone"), 3, false).join().expect("body");
        }
    });
    let mut client = TcpStream::connect(proxy.address).expect("connect");
    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").expect("request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut one = [0];
            client.read_exact(&mut one).expect("head");
            head.extend_from_slice(&one);
        }
        expect(&mut client, 3);
    }
    node.join().expect("node");
}
