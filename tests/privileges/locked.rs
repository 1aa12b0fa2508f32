//! The sandbox of the real program: what it does must go on, and what takes a worker's place is locked in, too.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::crew::{Crew, tell, who_answers, workers_of};
use crate::service::{Form, PATIENCE, Program, Service};
use crate::support::place::wait_until;
use crate::{status, turn_as_root};

/// Whether this machine has both.
fn has_sandbox() -> bool {
    let both = epoxy::process::sandbox::has_landlock() && epoxy::process::sandbox::has_seccomp();
    if !both {
        eprintln!("skipped: the kernel lacks landlock or seccomp");
    }
    both
}

/// Both filters are in force.
fn is_locked(pid: i32) -> bool {
    status(pid, "Seccomp") == "2" && status(pid, "NoNewPrivs") == "1"
}

#[test]
fn whoever_takes_a_place_is_locked_in() {
    let Some(_turn) = turn_as_root().filter(|_| has_sandbox()) else { return };
    let global = "    nbproc 2\n    sandbox seccomp landlock\n    user nobody\n    chroot DIR\n    \
                  stats socket DIR/s.sock level admin";
    let crew = Crew::start(global, "");
    let old = crew.worker(1);
    assert!(wait_until(PATIENCE, || is_locked(old)));
    tell(old, Signal::SIGKILL);
    let new = crew.successor(1, old);
    assert!(wait_until(PATIENCE, || is_locked(new)));
    assert_eq!(status(crew.supervisor.pid() as i32, "Seccomp"), "0");
    assert!((0..16).all(|_| who_answers(crew.address, PATIENCE).is_some()));
    for command in ["show info", "show stat", "show sess", "show servers state", "clear counters all", "show errors"] {
        let mut stream = UnixStream::connect(crew.dir.path().join("s.sock")).expect("connect");
        stream.write_all(format!("{command}\n").as_bytes()).expect("command");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        assert!(answer.ends_with('\n'), "{command}: {answer}");
    }
    assert_eq!(crew.worker(1), new, "{}", crew.supervisor.stderr());
}

#[test]
fn a_forbidden_call_is_told() {
    let Some(_turn) = turn_as_root().filter(|_| has_sandbox()) else { return };
    let crew = Crew::start("    nbproc 2\n    sandbox seccomp", "");
    let old = crew.worker(2);
    // What the kernel does to a worker that makes one.
    tell(old, Signal::SIGSYS);
    crew.successor(2, old);
    let line = format!("Worker #2 ({old}) made a system call that its sandbox forbids");
    assert!(wait_until(PATIENCE, || crew.supervisor.stderr().contains(&line)), "{}", crew.supervisor.stderr());
}

#[test]
fn a_reload_leads_out_of_the_sandbox_and_into_it() {
    let Some(_turn) = turn_as_root().filter(|_| has_sandbox()) else { return };
    for count in [1, 2] {
        let global = format!("    nbproc {count}\n    sandbox seccomp landlock\n    user nobody\n    group nogroup");
        let mut service = Service::start(Program::Epoxy, &global);
        let path = service.dir().join("a.cfg");
        let locked = fs::read_to_string(&path).expect("configuration");
        for text in [locked.replace("sandbox ", "#"), locked.clone(), locked.clone()] {
            fs::write(&path, &text).expect("configuration");
            service.reload(Program::Epoxy, Form::Plain);
            let pid = service.current.pid();
            let workers = || match count {
                1 => vec![pid as i32],
                _ => workers_of(pid).into_iter().map(|worker| worker.1).collect(),
            };
            assert!(wait_until(PATIENCE, || workers().len() == count));
            assert!(wait_until(PATIENCE, || workers().into_iter().all(|pid| is_locked(pid) == (text == locked))));
            assert!(who_answers_at_all(&service));
        }
    }
}

fn who_answers_at_all(service: &Service) -> bool {
    let mut stream = std::net::TcpStream::connect(service.address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answer");
    answer.starts_with(b"HTTP/1.")
}
