//! Settings whose effect shows in the process itself rather than on the wire: it does not sleep, it opens pipes, its
//! workers are not of one mind.

mod support;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::place::{TempDir, bind_patiently, loopback_address, wait_until};
use support::process::Running;
use support::service::{info, serve};

/// Longer than anything takes on the slowest machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Octets of an answer: far more than a buffer.
const BODY_BYTES: usize = 2_000_000;

/// A running epoxy with these lines in `global` and in its listen section on port 8001, whose server is on 9001.
fn start(dir: &Path, ip: Ipv4Addr, global: &str, listen: &str) -> Running {
    let config = format!(
        "global
    stats socket {}/sock
    {global}
defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
listen fe
    bind {ip}:8001
    {listen}
    server s1 {ip}:9001
",
        dir.display()
    );
    serve(dir, &config, SocketAddr::from((ip, 8001)), None)
}

/// Processor time of a process so far, in the kernel's ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold blanks; what follows its parenthesis begins with the third field.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum()
}

#[test]
fn busy_polling_never_sleeps() {
    let (dir, ip) = (TempDir::new("busy").expect("directory"), loopback_address());
    let mut process = start(dir.path(), ip, "busy-polling", "");
    let before = ticks(process.pid());
    // Half a second of work, which an idle process would not have in a minute.
    assert!(wait_until(LIMIT, || ticks(process.pid()) >= before + 50), "it slept");
    process.kill();
}

/// How often a process has waited so far.
fn waits(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn who_comes_while_there_are_no_descriptors_is_served_once_there_are() {
    let (dir, ip) = (TempDir::new("want").expect("directory"), loopback_address());
    let mut process = start(dir.path(), ip, "", "monitor-uri /up");
    let limit = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &process.pid().to_string(), &format!("--nofile={limit}:")]);
        assert!(command.status().expect("prlimit").success());
    };
    limit("3");
    let before = waits(process.pid());
    let mut client = TcpStream::connect((ip, 8001)).expect("connect");
    client.set_read_timeout(Some(LIMIT)).expect("timeout");
    client.write_all(b"GET /up HTTP/1.0\r\n\r\n").expect("request");
    let mut operator = UnixStream::connect(dir.path().join("sock")).expect("connect");
    operator.set_read_timeout(Some(LIMIT)).expect("timeout");
    operator.write_all(b"show info\n").expect("command");
    // It has looked for both.
    assert!(wait_until(LIMIT, || waits(process.pid()) > before + 3), "it sleeps");
    limit("1000");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer.clear();
    operator.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("Pid:"), "{answer}");
    process.kill();
}

/// Lets one large answer pass, and says how many pipes there are then.
fn pipes_after(listen: &str) -> u64 {
    let (dir, ip) = (TempDir::new("pipes").expect("directory"), loopback_address());
    let node = bind_patiently(|| TcpListener::bind((ip, 9001))).expect("node");
    let serving = thread::spawn(move || {
        let (mut peer, _) = node.accept().expect("accept");
        let mut room = [0; 1000];
        let got = peer.read(&mut room).expect("request");
        assert!(got > 0);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
        peer.write_all(head.as_bytes()).and_then(|()| peer.write_all(&vec![b'x'; BODY_BYTES])).expect("answer");
        peer
    });
    let mut process = start(dir.path(), ip, "", listen);
    let mut client = TcpStream::connect((ip, 8001)).expect("connect");
    client.set_read_timeout(Some(LIMIT)).expect("timeout");
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").expect("request");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("answer");
    assert!(answer.len() > BODY_BYTES);
    let count = |field: &str| info(&dir.path().join("sock"), "", field).parse::<u64>().expect("a number");
    let pipes = count("PipesFree") + count("PipesUsed");
    drop(serving.join().expect("node"));
    process.kill();
    pipes
}

#[test]
fn large_answers_pass_through_a_pipe_where_an_option_says_so() {
    assert!(pipes_after("option splice-response") > 0);
    assert!(pipes_after("option splice-auto") > 0);
    assert_eq!(pipes_after("option splice-request"), 0);
    assert_eq!(pipes_after("option splice-response\n    no option splice-response"), 0);
}

/// What the service answers on a connection of its own.
fn body(ip: Ipv4Addr) -> String {
    let mut client = TcpStream::connect((ip, 8001)).expect("connect");
    client.set_read_timeout(Some(LIMIT)).expect("timeout");
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").expect("request");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("answer");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

#[test]
fn no_two_workers_make_the_same_identifier() {
    let (dir, ip) = (TempDir::new("uuid").expect("directory"), loopback_address());
    let rule = "http-request return status 200 content-type text/plain lf-string \"%[uuid]\"";
    let mut process = start(dir.path(), ip, "nbproc 4", rule);
    let made: HashSet<String> = (0..64).map(|_| body(ip)).collect();
    assert_eq!(made.len(), 64, "{made:?}");
    assert!(made.iter().all(|text| text.len() == 36));
    process.kill();
}
