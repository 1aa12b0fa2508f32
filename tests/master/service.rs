//! A service under a master.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::place::{TempDir, loopback_address, wait_listening, wait_until};
use crate::support::process::Running;
pub use crate::support::service::{PATIENCE, ask, is_alive, program, title};

/// A master in the foreground, its workers, and its socket `m.sock`.
pub struct Service {
    pub dir: TempDir,
    /// Port 8001 of the test's address; others are the test's own.
    pub address: SocketAddrV4,
    pub master: Running,
}

impl Service {
    /// Starts it with these lines in `global` and behind the frontend, and waits until it listens.
    pub fn start(global: &str, more: &str) -> Service {
        Service::start_as(&program(), &["-W"], global, more)
    }

    /// Starts `program` with these arguments.
    pub fn start_as(program: &Path, args: &[&str], global: &str, more: &str) -> Service {
        let address = SocketAddrV4::new(loopback_address(), 8001);
        let dir = TempDir::new("master").expect("directory");
        configure(dir.path(), address, global, more);
        let name = program.display().to_string();
        let args = [args, &["-S", "unix@m.sock", "-f", "a.cfg"]].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let master = Running::start(program, &name, &args, dir.path()).expect("a process");
        let service = Service { dir, address, master };
        assert!(wait_listening(address.into(), PATIENCE), "{}", service.master.stderr());
        assert!(wait_until(PATIENCE, || service.said("Loading success.")), "{}", service.master.stderr());
        service
    }

    /// Writes another configuration.
    pub fn configure(&self, global: &str, more: &str) {
        configure(self.dir.path(), self.address, global, more);
    }

    pub fn signal(&self, signal: Signal) {
        self.master.signal(signal);
    }

    /// Whether the master has said so.
    pub fn said(&self, text: &str) -> bool {
        self.master.stderr().contains(text)
    }

    /// How often the master has said so.
    pub fn times(&self, text: &str) -> usize {
        self.master.stderr().matches(text).count()
    }

    /// Waits until the master has said so this often.
    pub fn await_times(&self, text: &str, times: usize) {
        let done = wait_until(PATIENCE, || self.times(text) >= times);
        assert!(done, "'{text}' {times} times:\n{}", self.master.stderr());
    }

    /// Reloads by a signal and waits until the new workers serve.
    pub fn reload(&self) {
        let before = self.times("Loading success.");
        self.signal(Signal::SIGUSR2);
        self.await_times("Loading success.", before + 1);
    }

    /// What the master's socket answers to these lines.
    pub fn ask(&self, lines: &str) -> String {
        ask(&self.dir.path().join("m.sock"), lines)
    }

    /// The lines of `show proc` below a heading: pid, type, reloads.
    pub fn processes(&self, heading: &str) -> Vec<(i32, String, u32)> {
        let answer = self.ask("show proc\n");
        let below = answer.lines().skip_while(|line| *line != format!("# {heading}")).skip(1);
        let row = |line: &str| {
            let mut words = line.split_whitespace();
            let (pid, kind) = (words.next()?.parse().ok()?, words.next()?.to_owned());
            Some((pid, kind, words.next()?.parse().ok()?))
        };
        below.take_while(|line| !line.starts_with('#')).filter_map(row).collect()
    }

    /// The pids of the current workers.
    pub fn workers(&self) -> Vec<i32> {
        self.processes("workers").into_iter().map(|row| row.0).filter(|pid| *pid > 0).collect()
    }

    /// Ends it and gives its exit code.
    pub fn stop(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.master.wait(PATIENCE).and_then(|status| status.code())
    }
}

fn configure(dir: &Path, address: SocketAddrV4, global: &str, more: &str) {
    let text = format!(
        "global
    stats socket {0}/cli.sock level admin
{global}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend f
    bind {address}
    http-request return status 200 content-type text/plain string ok
{more}
",
        dir.display()
    );
    fs::write(dir.join("a.cfg"), text.replace("DIR", &dir.display().to_string())).expect("configuration");
}

/// The status line of an answer, or what went wrong.
pub fn get(address: SocketAddrV4) -> String {
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<String, std::io::Error>(answer)
    };
    exchange().map_or_else(|error| error.to_string(), |answer| answer.lines().next().unwrap_or_default().to_owned())
}
