//! Limits that hold for all workers together, as servers and clients see them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::crew::epoxy;
use crate::service::PATIENCE;
use crate::support::place::{TempDir, loopback_address, wait_listening};
use crate::turn;

const CLIENTS: usize = 16;
const REQUESTS_EACH: usize = 10;

/// A server that says how many requests it had at the same time, at most.
fn server(address: SocketAddrV4) -> Arc<AtomicUsize> {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind(address).expect("address of the test's own");
    let peak = Arc::clone(&most);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            thread::spawn(move || answer(connection, &now, &most));
        }
    });
    peak
}

fn answer(mut connection: TcpStream, now: &AtomicUsize, most: &AtomicUsize) {
    let mut request = [0; 4096];
    // Requests are small and come one at a time.
    while connection.read(&mut request).is_ok_and(|n| n > 0) {
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(5));
        now.fetch_sub(1, SeqCst);
        if connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// Requests that were answered 200 of those that many clients sent, each on a connection of its own.
fn load(address: SocketAddrV4, clients: usize, each: usize) -> usize {
    let get = move || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    };
    let threads: Vec<_> =
        (0..clients).map(|_| thread::spawn(move || (0..each).filter_map(|_| get()).count())).collect();
    threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
}

#[test]
fn limits_hold_for_any_number_of_workers() {
    let _turn = turn();
    for workers in [1, 2, 4, 8] {
        let loopback = loopback_address();
        let at = |port| SocketAddrV4::new(loopback, port);
        let [queued, limited, rated, one, two] = [8001, 8002, 8003, 8004, 8005].map(at);
        let text = format!(
            "global\n nbproc {workers}\ndefaults\n mode http\n timeout client 9s\n timeout connect 9s\n \
             timeout server 9s\nlisten queued\n bind {queued}\n server s1 {one} maxconn 3\nlisten limited\n \
             bind {limited}\n maxconn 4\n server s1 {two}\nfrontend rated\n bind {rated}\n rate-limit sessions 20\n \
             http-request return status 200\n"
        );
        let dir = TempDir::new("prefork").expect("directory");
        fs::write(dir.path().join("a.cfg"), text).expect("configuration");
        let peaks = [one, two].map(server);
        let running = epoxy(dir.path(), &["-db", "-f", "a.cfg"]);
        assert!(wait_listening(queued.into(), PATIENCE), "{}", running.stderr());
        assert_eq!(load(queued, CLIENTS, REQUESTS_EACH), CLIENTS * REQUESTS_EACH, "{workers} workers: queued");
        assert_eq!(
            load(limited, CLIENTS, REQUESTS_EACH / 2),
            CLIENTS * REQUESTS_EACH / 2,
            "{workers} workers: limited"
        );
        let [first, second] = peaks.map(|peak| peak.load(SeqCst));
        assert!((1..=3).contains(&first) && (1..=4).contains(&second), "{workers} workers: {first}, {second}");
        let begin = Instant::now();
        assert_eq!(load(rated, 8, 5), 40);
        assert!(begin.elapsed() >= Duration::from_millis(950), "{workers} workers: 20 at once, 20 within a second");
    }
}
