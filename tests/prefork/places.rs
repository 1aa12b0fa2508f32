//! Which worker listens where, and runs on which processor.

use std::fs;
use std::net::SocketAddrV4;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::crew::{Crew, all_who_answer, tell, title, who_answers};
use crate::service::PATIENCE;
use crate::support::place::loopback_address;
use crate::turn;

#[test]
fn all_workers_serve_and_are_named() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 2", "");
    assert_eq!(all_who_answer(crew.address, 64), ["1/0", "2/0"]);
    let pids = [crew.supervisor.pid() as i32, crew.worker(1), crew.worker(2)];
    let titles: Vec<String> = pids.iter().map(|pid| title(*pid)).collect();
    let expected = ["supervisor", "worker 1", "worker 2"].map(|role| format!("epoxy [{role}] -db -f a.cfg"));
    assert_eq!(titles, expected);
    // By which killall and pidof find them.
    for pid in pids {
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).expect("name"), "epoxy\n");
    }
}

#[test]
fn nbthread_makes_workers_too() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 1\n    nbthread 2", "");
    assert_eq!(all_who_answer(crew.address, 64), ["1/0", "1/1"]);
}

#[test]
fn one_worker_needs_no_supervisor() {
    let _turn = turn();
    for global in ["", "    nbproc 1", "    nbthread 1"] {
        let crew = Crew::start(global, "");
        assert_eq!((crew.workers(), all_who_answer(crew.address, 4)), (vec![], vec!["1/0".to_owned()]));
        assert_eq!(title(crew.supervisor.pid() as i32), "epoxy -db -f a.cfg");
    }
}

#[test]
fn workers_listen_where_they_are_told_to() {
    let _turn = turn();
    let at = |port| SocketAddrV4::new(loopback_address(), port);
    let (odd, two, of_three) = (at(8002), at(8003), at(8004));
    let more = format!(
        "    bind {two} process 2\nfrontend odd\n    bind-process odd\n    bind {odd}\nfrontend g\n    bind-process 2-3\n    \
         bind {of_three} process 1 process 3-\n"
    );
    let crew = Crew::start("    nbproc 3", &more);
    assert_eq!(all_who_answer(crew.address, 96), ["1/0", "2/0", "3/0"]);
    assert_eq!(all_who_answer(odd, 64), ["1/0", "3/0"]);
    assert_eq!(all_who_answer(two, 16), ["2/0"]);
    assert_eq!(all_who_answer(of_three, 16), ["3/0"]);
}

#[test]
fn runtime_sockets_are_answered_by_the_workers_named() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 2\n    stats bind-process 2\n    stats socket DIR/s.sock level admin", "");
    let socket = crew.dir.path().join("s.sock");
    for _ in 0..8 {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("connect");
        std::io::Write::write_all(&mut stream, b"show info\n").expect("command");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).expect("answer");
        assert!(answer.contains(&format!("\nPid: {}\n", crew.worker(2))), "{answer}");
    }
}

#[test]
fn one_socket_is_shared_where_an_address_may_have_one_only() {
    let _turn = turn();
    for global in ["    nbproc 2\n    noreuseport", "    nbthread 2\n    noreuseport"] {
        let crew = Crew::start(global, "");
        // Whoever is not there leaves the queue to the other.
        tell(crew.worker(1), Signal::SIGSTOP);
        assert!((0..8).all(|_| who_answers(crew.address, PATIENCE).is_some()));
        tell(crew.worker(1), Signal::SIGCONT);
    }
}

/// The processors that a process may run on.
fn processors(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("a list").trim().to_owned()
}

#[test]
fn workers_run_where_they_are_told_to() {
    let _turn = turn();
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return eprintln!("one processor: nothing to choose from");
    }
    let before = processors(std::process::id() as i32);
    let crew = Crew::start("    nbproc 3\n    cpu-map auto:1-2 0-1", "");
    let of = |number| processors(crew.worker(number));
    assert_eq!([of(1), of(2), of(3)], ["0", "1", &before]);
    let old = crew.worker(2);
    tell(old, Signal::SIGKILL);
    assert_eq!(processors(crew.successor(2, old)), "1", "its successor, too");
    assert_eq!(processors(crew.supervisor.pid() as i32), before);
    std::thread::sleep(Duration::from_millis(10));
    let alone = Crew::start("    cpu-map 1 1", "");
    assert_eq!(processors(alone.supervisor.pid() as i32), "1");
}
