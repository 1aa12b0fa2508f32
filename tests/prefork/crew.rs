//! A running service and its workers, as the system shows them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use crate::support::place::{TempDir, loopback_address, wait_listening, wait_until};
use crate::support::process::Running;
use crate::support::service::children;
pub use crate::support::service::{PATIENCE, epoxy, tell, title};

/// A service in the foreground that answers by itself, each answer telling the worker's number.
pub struct Crew {
    pub dir: TempDir,
    /// Port 8001 of the test's address; others are the test's own.
    pub address: SocketAddrV4,
    pub supervisor: Running,
}

impl Crew {
    /// Starts it, and waits until it listens.
    pub fn start(global: &str, more: &str) -> Crew {
        let address = SocketAddrV4::new(loopback_address(), 8001);
        let dir = TempDir::new("prefork").expect("directory");
        let text = text(address, global, more).replace("DIR", &dir.path().display().to_string());
        fs::write(dir.path().join("a.cfg"), text).expect("configuration");
        let supervisor = epoxy(dir.path(), &["-db", "-f", "a.cfg"]);
        let crew = Crew { dir, address, supervisor };
        assert!(wait_listening(address.into(), PATIENCE), "{}", crew.supervisor.stderr());
        crew
    }

    /// The workers' pids, by number.
    pub fn workers(&self) -> Vec<(u32, i32)> {
        workers_of(self.supervisor.pid())
    }

    /// The pid of a worker, once there is one.
    pub fn worker(&self, number: u32) -> i32 {
        self.successor(number, 0)
    }

    /// The pid of a worker other than `old`, once there is one.
    pub fn successor(&self, number: u32, old: i32) -> i32 {
        let mut found = None;
        let is_there = || {
            found = self.workers().into_iter().find(|worker| worker.0 == number && worker.1 != old);
            found.is_some()
        };
        assert!(wait_until(PATIENCE, is_there), "no worker {number}: {}", self.supervisor.stderr());
        found.map_or(0, |worker| worker.1)
    }
}

/// A configuration with these lines in `global` and in the frontend behind its own address; further frontends may
/// follow.
pub fn text(address: SocketAddrV4, global: &str, more: &str) -> String {
    let rule = "    http-request return status 200 content-type text/plain lf-string \"worker %[proc]/%[thread]\"\n";
    let more = more.replace("\nfrontend ", &format!("\n{rule}frontend "));
    // What the sandbox refuses shows wherever several workers are tried.
    let sandbox = if global.contains("insecure-") { "" } else { crate::support::place::sandbox_line() };
    format!(
        "global\n{sandbox}{global}\ndefaults\n    mode http\n    timeout client 5s\n    timeout connect 5s\n    timeout server 5s\n\
         frontend f\n    bind {address}\n{more}\n{rule}"
    )
}

/// The workers of a supervisor by number, from what `ps` would show; none before all of them are up, for until then
/// the end of one ends the start.
pub fn workers_of(supervisor: u32) -> Vec<(u32, i32)> {
    let role = title(supervisor as i32);
    if !["[supervisor]", "[master]"].iter().any(|known| role.contains(known)) {
        return Vec::new();
    }
    let number = |pid: i32| Some((title(pid).split_once("[worker ")?.1.split(']').next()?.parse().ok()?, pid));
    let mut workers: Vec<(u32, i32)> = children(supervisor).into_iter().filter_map(|pid| number(pid as i32)).collect();
    workers.sort_unstable();
    workers
}

/// The worker that answers on a new connection, as `proc/thread`; `None` if nobody does within `limit`.
pub fn who_answers(address: SocketAddrV4, limit: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(address), limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("worker ")?.1.trim().to_owned())
}

/// All workers that answer in so many connections, sorted.
pub fn all_who_answer(address: SocketAddrV4, connections: usize) -> Vec<String> {
    let answers = (0..connections).map(|_| who_answers(address, PATIENCE).expect("an answer"));
    let mut all: Vec<String> = answers.collect();
    all.sort();
    all.dedup();
    all
}
