//! Limits of servers over all workers and generations, as the server sees them: never more connections than
//! `maxconn`, nobody is lost in a queue, and who came first is served first.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fleet::{Fleet, Form, PATIENCE};
use crate::load::{Habit, Load};
use crate::support::place::{loopback_address, wait_until};
use crate::turn;

/// What a server has seen.
#[derive(Debug, Default)]
struct Seen {
    connections_max: usize,
    paths: Vec<String>,
}

/// A connection to the server.
struct Guest {
    stream: TcpStream,
    since: Instant,
    request: Vec<u8>,
}

impl Guest {
    /// Reads what has come; false once the other side has gone.
    fn is_there(&mut self) -> bool {
        let mut room = [0; 1024];
        match self.stream.read(&mut room) {
            Ok(0) => false,
            Ok(count) => {
                self.request.extend_from_slice(&room[..count]);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn path(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.request);
        text.ends_with("\r\n\r\n").then(|| text.split(' ').nth(1).unwrap_or_default().to_owned())
    }
}

/// A server that answers one request a connection after `pause`, and counts. One thread does all: what was closed
/// before a connection came is known to be when that is counted.
fn server(address: SocketAddrV4, pause: Duration) -> Arc<Mutex<Seen>> {
    let listener = TcpListener::bind(address).expect("bind");
    listener.set_nonblocking(true).expect("non-blocking");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let counts = Arc::clone(&seen);
    thread::spawn(move || {
        let mut guests: Vec<Guest> = Vec::new();
        loop {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).expect("non-blocking");
                guests.retain_mut(Guest::is_there);
                guests.push(Guest { stream, since: Instant::now(), request: Vec::new() });
                let mut counts = counts.lock().expect("counts");
                counts.connections_max = counts.connections_max.max(guests.len());
            }
            guests.retain_mut(|guest| {
                let there = guest.is_there();
                let Some(path) = guest.path().filter(|_| there && guest.since.elapsed() >= pause) else { return there };
                counts.lock().expect("counts").paths.push(path);
                let _gone =
                    guest.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                false
            });
            thread::sleep(Duration::from_micros(300));
        }
    });
    seen
}

/// A service with a server of `maxconn` connections, and where clients reach that.
fn narrow(workers: u32, maxconn: usize, pause: Duration) -> (Fleet, SocketAddrV4, Arc<Mutex<Seen>>) {
    let at = |port| SocketAddrV4::new(loopback_address(), port);
    let (front, back) = (at(8001), at(8002));
    let seen = server(back, pause);
    let more = format!(
        "frontend narrow\n    bind {front}\n    default_backend narrow\nbackend narrow\n    option http-server-close\n    \
         timeout queue 20s\n    server s {back} maxconn {maxconn}\n"
    );
    (Fleet::start(Form::Finish, workers, &more), front, seen)
}

#[test]
fn a_server_never_has_more_than_its_limit() {
    let _turn = turn();
    const LIMIT: usize = 2;
    const CLIENTS: usize = 12;
    const KILLS: usize = 3;
    for workers in [1, 2, 4, 8] {
        let (mut fleet, front, seen) = narrow(workers, LIMIT, Duration::from_millis(4));
        let habits = [Habit { path: "/", requests: 1, pause: Duration::ZERO }; CLIENTS];
        let load = Load::start(front, &habits);
        thread::sleep(Duration::from_millis(400));
        fleet.reload(workers * 2 % 7 + 1);
        thread::sleep(Duration::from_millis(200));
        fleet.reload(workers);
        thread::sleep(Duration::from_millis(200));
        let calm = load.finish();
        eprintln!("{workers}: {calm:?}");
        assert_eq!((calm.failed_connects, calm.failed_requests), (0, 0), "{:?}", calm.reasons);
        assert!(calm.answered > 100, "nobody waits for a place that is free: {calm:?}");
        if workers > 1 {
            let load = Load::start(front, &habits);
            for _ in 0..KILLS {
                thread::sleep(Duration::from_millis(150));
                let victim = fleet.workers()[0];
                kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("kill");
            }
            thread::sleep(Duration::from_millis(400));
            let count = load.finish();
            assert_eq!(count.failed_connects, 0, "{:?}", count.reasons);
            assert!(count.failed_requests <= (KILLS * CLIENTS) as u64 && count.answered > 50, "{count:?}");
        }
        assert_eq!(seen.lock().expect("counts").connections_max, LIMIT, "with {workers} workers");
        let left = || fleet.stat("narrow", "s", "scur") + fleet.stat("narrow", "BACKEND", "qcur");
        assert!(wait_until(PATIENCE, || left() == 0), "{} left", left());
    }
}

#[test]
fn who_came_first_is_served_first_whatever_the_worker() {
    let _turn = turn();
    let (_fleet, front, seen) = narrow(4, 1, Duration::from_millis(12));
    let clients: Vec<_> = (0..30)
        .map(|number| {
            let mut stream = TcpStream::connect(front).expect("connect");
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            let request = format!("GET /{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("a request");
            thread::sleep(Duration::from_millis(6));
            stream
        })
        .collect();
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let seen = seen.lock().expect("counts");
    let order: Vec<usize> = seen.paths.iter().map(|path| path[1..].parse().expect("a number")).collect();
    // A worker that was not scheduled for a while has seen its request later.
    let late = order.iter().enumerate().filter(|(at, number)| at.abs_diff(**number) > 1).count();
    assert!(order.len() == 30 && late <= 3, "{order:?}");
}
