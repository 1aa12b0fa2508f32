//! What tests of running services have in common: the program, its processes, its runtime sockets, and a site of
//! two nodes that it stands before.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::node::{Mood, Node, Programs, Step};
use super::place::{loopback_address, wait_listening};
use super::process::Running;

/// How long a start, a reload or an end may take. Nobody waits that long unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Tests that measure what clients see take turns: the machine should be theirs.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os("EPOXY_BIN").unwrap_or(env!("CARGO_BIN_EXE_epoxy").into()).into()
}

/// Starts it.
pub fn epoxy(dir: &Path, args: &[&str]) -> Running {
    let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
    Running::start(&program(), "epoxy", &args, dir).expect("a process")
}

/// Starts it with a configuration, in place of `old` if there is one, and waits until it listens on `address`.
pub fn serve(dir: &Path, config: &str, address: SocketAddr, old: Option<&Running>) -> Running {
    fs::write(dir.join("test.cfg"), config).expect("configuration");
    let pid = old.map(|old| old.pid().to_string());
    let mut args = vec!["-db", "-f", "test.cfg"];
    if let Some(pid) = &pid {
        args.extend(["-sf", pid]);
    }
    let process = epoxy(dir, &args);
    assert!(wait_listening(address, PATIENCE), "{}", process.stderr());
    process
}

/// What a runtime socket answers to these lines.
pub fn ask(socket: &Path, lines: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.write_all(lines.as_bytes()).expect("question");
    stream.shutdown(std::net::Shutdown::Write).expect("end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}

/// A field of `show info`; `prefix` may name one worker (`@1 `).
pub fn info(socket: &Path, prefix: &str, field: &str) -> String {
    let text = ask(socket, &format!("{prefix}show info\n"));
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

/// Sends a signal.
pub fn tell(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("signal");
}

/// Whether a process runs; one that has ended and is not reaped yet does not.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// What `ps` shows of a process.
pub fn title(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// An address for clients and two nodes behind it; the one for `/slow` thinks for a while.
pub struct Site {
    /// Where clients go: port 8001 of an address on which 8002 and 8003 are the nodes'.
    pub address: SocketAddrV4,
    _nodes: [Node; 2],
}

/// How long the slow node thinks.
const SLOW: Duration = Duration::from_millis(120);

impl Site {
    /// Starts the nodes.
    pub fn start() -> Site {
        let ip = loopback_address();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nslow\n".to_vec();
        let slow = vec![Step::ReadRequest, Step::Pause(SLOW), Step::Send(answer), Step::Loop];
        let node = |name: &str, port, default| {
            let programs = Programs { default, numbered: Vec::new() };
            Node::start(name, SocketAddrV4::new(ip, port).into(), Mood::Listens, programs).expect("a node")
        };
        let nodes = [node("quick", 8002, Vec::new()), node("slow", 8003, slow)];
        Site { address: SocketAddrV4::new(ip, 8001), _nodes: nodes }
    }
}

/// The sections of a proxy at the address of a [`Site`], with these lines in its frontend.
pub fn sections(address: SocketAddrV4, frontend: &str) -> String {
    let ip = address.ip();
    format!(
        "frontend f
    bind {address}
{frontend}
    use_backend slow if {{ path /slow }}
    default_backend quick
backend quick
    server s {ip}:8002
backend slow
    server s {ip}:8003
"
    )
}
