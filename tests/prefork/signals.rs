//! What is asked of the supervisor is asked of the workers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::crew::{Crew, all_who_answer, epoxy, tell, text, who_answers, workers_of};
use crate::service::PATIENCE;
use crate::support::place::{TempDir, loopback_address, wait_until};
use crate::support::service::is_alive;
use crate::turn;

#[test]
fn a_soft_stop_ends_when_the_last_request_has() {
    let _turn = turn();
    let mut crew = Crew::start("    nbproc 3", "");
    let workers = crew.workers();
    let mut busy = TcpStream::connect(crew.address).expect("connect");
    busy.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").expect("half a request");
    // Somebody has accepted it.
    std::thread::sleep(Duration::from_millis(100));
    crew.supervisor.signal(Signal::SIGUSR1);
    let left = || crew.workers().len();
    assert!(wait_until(PATIENCE, || left() == 1), "{:?}", crew.workers());
    assert_eq!(who_answers(crew.address, Duration::from_millis(200)), None);
    busy.write_all(b"\r\n").expect("the other half");
    let mut answer = String::new();
    busy.read_to_string(&mut answer).expect("answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(crew.supervisor.wait(PATIENCE).is_some_and(|status| status.success()));
    assert!(!workers.iter().any(|worker| is_alive(worker.1)));
}

/// How long a service takes to end by SIGUSR1, the shortest of some times: a busy machine makes it longer.
fn shortest_stop(global: &str, more: &str) -> Duration {
    let stop = |_| {
        let mut crew = Crew::start(global, more);
        let mut busy = TcpStream::connect(crew.address).expect("connect");
        busy.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
        if !more.contains("tarpit") {
            // Its end is behind us before the stop begins.
            assert_ne!(busy.read(&mut [0; 1]).expect("an answer"), 0);
            drop(busy);
        }
        let begun = Instant::now();
        crew.supervisor.signal(Signal::SIGUSR1);
        assert!(crew.supervisor.wait(PATIENCE).is_some_and(|status| status.success()));
        begun.elapsed()
    };
    (0..3).map(stop).min().unwrap_or_default()
}

#[test]
fn a_soft_stop_becomes_a_hard_one() {
    let _turn = turn();
    let took = shortest_stop("    nbproc 2\n    hard-stop-after 300ms", "    http-request tarpit\n");
    // A second would be how long it waits for what resists.
    assert!(took < Duration::from_millis(1200), "{took:?}");
}

#[test]
fn a_stop_after_its_grace_needs_no_other_event() {
    let _turn = turn();
    let took = shortest_stop("    nbproc 3\n    grace 200ms", "");
    assert!((200..1200).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_proxy_with_a_grace_of_its_own_goes_on_through_it() {
    let _turn = turn();
    let mut crew = Crew::start("    nbproc 2", "    grace 2s\n");
    let begun = Instant::now();
    crew.supervisor.signal(Signal::SIGUSR1);
    std::thread::sleep(Duration::from_millis(200));
    assert!(who_answers(crew.address, PATIENCE).is_some());
    assert!(crew.supervisor.wait(PATIENCE).is_some_and(|status| status.success()));
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(who_answers(crew.address, Duration::from_millis(200)).is_none());
}

#[test]
fn a_termination_ends_all_at_once() {
    let _turn = turn();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut crew = Crew::start("    nbproc 2", "");
        let workers = [crew.worker(1), crew.worker(2)];
        crew.supervisor.signal(signal);
        let status = crew.supervisor.wait(PATIENCE).expect("an end");
        assert_eq!(status.signal(), Some(signal as i32));
        assert!(!workers.into_iter().any(is_alive));
    }
}

#[test]
fn a_paused_service_refuses_until_it_is_resumed() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 2", "");
    crew.supervisor.signal(Signal::SIGTTOU);
    assert!(wait_until(PATIENCE, || TcpStream::connect(crew.address).is_err()));
    let old = crew.worker(1);
    tell(old, Signal::SIGKILL);
    crew.successor(1, old);
    std::thread::sleep(Duration::from_millis(100));
    assert!(TcpStream::connect(crew.address).is_err(), "a successor is paused as well");
    crew.supervisor.signal(Signal::SIGTTIN);
    assert!(wait_until(PATIENCE, || TcpStream::connect(crew.address).is_ok()));
    let both = || all_who_answer(crew.address, 64) == ["1/0", "2/0"];
    assert!(wait_until(PATIENCE, both), "{}", crew.supervisor.stderr());
}

#[test]
fn one_worker_tells_of_the_servers() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 3", "");
    crew.worker(3);
    crew.supervisor.signal(Signal::SIGHUP);
    let line = "SIGHUP received, dumping servers states.";
    assert!(wait_until(PATIENCE, || crew.supervisor.stderr().contains(line)));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(crew.supervisor.stderr().matches(line).count(), 1);
}

#[test]
fn the_pidfile_names_the_supervisor() {
    let _turn = turn();
    let dir = TempDir::new("prefork").expect("directory");
    let address = SocketAddrV4::new(loopback_address(), 8001);
    let config = text(address, "    daemon\n    nbproc 2\n    pidfile p", "");
    fs::write(dir.path().join("a.cfg"), config).expect("configuration");
    let pid = || fs::read_to_string(dir.path().join("p")).expect("pidfile").trim_end().to_owned();
    let mut first = epoxy(dir.path(), &["-f", "a.cfg"]);
    assert!(first.wait(PATIENCE).is_some_and(|status| status.success()), "{}", first.stderr());
    let old = pid();
    let old_workers = workers_of(old.parse().expect("one pid"));
    assert_eq!(old_workers.len(), 2);
    let mut second = epoxy(dir.path(), &["-f", "a.cfg", "-sf", &old]);
    assert!(second.wait(PATIENCE).is_some_and(|status| status.success()), "{}", second.stderr());
    let new: i32 = pid().parse().expect("one pid");
    assert!(wait_until(PATIENCE, || !old_workers.iter().any(|worker| is_alive(worker.1))));
    assert_eq!(all_who_answer(address, 64), ["1/0", "2/0"]);
    let workers = workers_of(new as u32);
    tell(new, Signal::SIGUSR1);
    assert!(wait_until(PATIENCE, || !is_alive(new) && !workers.iter().any(|worker| is_alive(worker.1))));
}

/// What a runtime command answers.
fn command(crew: &Crew, words: &str) -> String {
    let mut stream = UnixStream::connect(crew.dir.path().join("s.sock")).expect("connect");
    stream.write_all(words.as_bytes()).expect("command");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}

/// Whoever is asked, the sockets of all workers follow, and those of a successor.
#[test]
fn a_frontend_is_disabled_enabled_and_shut_down_in_all_workers() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 2\n    stats socket DIR/s.sock level admin", "    bind DIR/f.sock");
    let refuses = || (0..8).all(|_| TcpStream::connect(crew.address).is_err());
    let replace = || {
        let old = crew.worker(2);
        tell(old, Signal::SIGKILL);
        crew.successor(2, old);
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(command(&crew, "disable frontend f\n"), "\n");
    assert!(wait_until(PATIENCE, refuses));
    replace();
    assert!(refuses());
    assert_eq!(command(&crew, "enable frontend f\n"), "\n");
    assert!(wait_until(PATIENCE, || all_who_answer(crew.address, 64) == ["1/0", "2/0"]));
    assert_eq!(command(&crew, "shutdown frontend f\n"), "\n");
    let unix = || (0..8).all(|_| UnixStream::connect(crew.dir.path().join("f.sock")).is_err());
    assert!(wait_until(PATIENCE, || refuses() && unix()));
    replace();
    assert!(refuses() && unix());
}
