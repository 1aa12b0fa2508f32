//! The sessions that `appsession` remembers: every worker knows them, and so does the next process.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::crew::{tell, workers_of};
use crate::service::PATIENCE;
use crate::support::place::{TempDir, loopback_address, sandbox_line, wait_until};
use crate::support::process::Running;
use crate::support::service::serve;
use crate::turn;

const SESSIONS: usize = 40;

fn text(address: SocketAddrV4, workers: u32, timeout: &str) -> String {
    let ip = address.ip();
    let node = |number: u32| {
        format!(
            "frontend n{number}\n    bind {ip}:810{number}\n    http-request return status 200 content-type text/plain string n{number}\n"
        )
    };
    format!(
        "global\n{}    nbproc {workers}\ndefaults\n    mode http\n    timeout client 5s\n    timeout connect 5s\n    \
         timeout server 5s\n{}{}listen l\n    bind {address}\n    balance roundrobin\n    appsession JSESSIONID len 52 \
         timeout {timeout} request-learn\n    server s1 {ip}:8101\n    server s2 {ip}:8102\n",
        sandbox_line(),
        node(1),
        node(2)
    )
}

fn start(dir: &TempDir, address: SocketAddrV4, config: &str, old: Option<&Running>) -> Running {
    serve(dir.path(), config, address.into(), old)
}

/// The node that answers this session's request, on a connection of its own.
fn node_of(address: SocketAddrV4, session: usize) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let request =
        format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: x=1; JSESSIONID=s{session}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    let _reset_after_the_answer = stream.read_to_string(&mut answer);
    answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
}

fn all(address: SocketAddrV4) -> Vec<String> {
    (0..SESSIONS).map(|session| node_of(address, session)).collect()
}

#[test]
fn a_session_stays_on_its_server_over_workers_reloads_and_deaths() {
    let _turn = turn();
    let address = SocketAddrV4::new(loopback_address(), 8001);
    let dir = TempDir::new("sessions").expect("directory");
    let mut first = start(&dir, address, &text(address, 3, "5h"), None);
    assert!(wait_until(PATIENCE, || workers_of(first.pid()).len() == 3));
    let known = all(address);
    let on_first = known.iter().filter(|node| *node == "n1").count();
    assert!(on_first > 5 && on_first < SESSIONS - 5, "both nodes have sessions: {known:?}");
    for _ in 0..3 {
        assert_eq!(all(address), known, "whichever worker takes the connection");
    }
    let killed = workers_of(first.pid())[1].1;
    tell(killed, Signal::SIGKILL);
    assert!(wait_until(PATIENCE, || {
        let workers = workers_of(first.pid());
        workers.len() == 3 && workers.iter().all(|worker| worker.1 != killed)
    }));
    assert_eq!(all(address), known, "a worker died");
    let second = start(&dir, address, &text(address, 2, "5h"), Some(&first));
    assert!(first.wait(PATIENCE).is_some(), "the old process ends");
    assert_eq!(workers_of(second.pid()).len(), 2);
    for _ in 0..2 {
        assert_eq!(all(address), known, "after the reload");
    }
}

#[test]
fn a_session_that_is_not_used_is_forgotten() {
    let _turn = turn();
    let address = SocketAddrV4::new(loopback_address(), 8001);
    let dir = TempDir::new("sessions").expect("directory");
    let _running = start(&dir, address, &text(address, 1, "2s"), None);
    let first = node_of(address, 1);
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(node_of(address, 1), first, "each use extends its time");
    }
    // Round robin: of two that are asked for anew, one changes its node.
    let before = [first, node_of(address, 2)];
    let changed = wait_until(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(2100));
        // A third one's number of requests is odd, so that the turns of the others change.
        let other = node_of(address, 3);
        let after = [node_of(address, 1), node_of(address, 2)];
        assert!(after.iter().chain([&other]).all(|node| !node.is_empty()), "all are answered");
        after != before
    });
    assert!(changed, "{before:?}");
}
