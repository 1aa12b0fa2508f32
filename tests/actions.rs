//! What rules do to sessions and sockets, seen from outside: who comes first among those that are ready at the same
//! time, and what the kernel knows of the client's connection.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::place::{TempDir, bind_patiently, loopback_address, wait_until};
use support::process::Running;
use support::receiver::Receiver;
use support::service::serve;

/// Sessions that are ready at the same time.
const SESSIONS: usize = 12;

const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    running: Running,
    _directory: TempDir,
    frontend: SocketAddr,
    node_address: SocketAddr,
    node: TcpListener,
    log: Receiver,
}

/// Starts the program with these lines in its frontend.
fn site(name: &str, rules: &str) -> Site {
    let ip: Ipv4Addr = loopback_address();
    let node = bind_patiently(|| TcpListener::bind((ip, 9001))).expect("node");
    let log = Receiver::udp((ip, 9002).into()).expect("log");
    let directory = TempDir::new(name).expect("directory");
    let config = format!(
        "defaults
    mode http
    log {ip}:9002 len 1024 local0
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen l
    bind {ip}:8001
    log-format \"%HU\"
{rules}
    server s {ip}:9001
"
    );
    let (frontend, node_address) = (SocketAddr::from((ip, 8001)), SocketAddr::from((ip, 9001)));
    let running = serve(directory.path(), &config, frontend, None);
    Site { running, _directory: directory, frontend, node_address, node, log }
}

impl Site {
    /// A client that has asked for `path`, and the node's side of that.
    fn asks(&self, path: &str) -> (TcpStream, TcpStream) {
        let mut client = TcpStream::connect(self.frontend).expect("connect");
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes()).expect("send");
        let (mut server, _) = self.node.accept().expect("accept");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut room = [0; 1024];
            let n = server.read(&mut room).expect("request");
            assert!(n > 0, "the request ended early");
            request.extend_from_slice(&room[..n]);
        }
        (client, server)
    }

    /// The lines of ss(8) about the proxy's side of its clients' connections.
    fn sockets(&self) -> String {
        let mut ss = Command::new("ss");
        ss.args(["-tneH", "--tos", "state", "established", "src"]).arg(self.frontend.to_string());
        let output = ss.output().expect("ss");
        String::from_utf8_lossy(&output.stdout).replace("\n\t", " ")
    }
}

/// Connections to the node on which an answer waits to be read.
fn answered(node: SocketAddr) -> usize {
    let SocketAddr::V4(node) = node else { return 0 };
    let [a, b, c, d] = node.ip().octets();
    let peer = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", node.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let waits = |line: &&str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.get(2) == Some(&peer.as_str()) && words.get(4).is_some_and(|queues| !queues.ends_with(":00000000"))
    };
    table.lines().filter(waits).count()
}

/// The order in which the answers are passed on that wait while the process stands still: those of /last came first.
fn order(name: &str, rules: &str) -> Vec<String> {
    let site = site(name, rules);
    let paths = ["/last", "/first"];
    let mut pairs: Vec<(TcpStream, TcpStream)> =
        (0..SESSIONS).map(|at| site.asks(paths[at / (SESSIONS / 2)])).collect();
    site.running.signal(Signal::SIGSTOP);
    let stands = || fs::read_to_string(format!("/proc/{}/stat", site.running.pid())).is_ok_and(|s| s.contains(") T "));
    assert!(wait_until(PATIENCE, stands), "the process goes on");
    for (index, (_, server)) in pairs.iter_mut().enumerate() {
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answer");
        let here = wait_until(PATIENCE, || answered(site.node_address) > index);
        assert!(here, "an answer does not arrive");
    }
    site.running.signal(Signal::SIGCONT);
    assert!(wait_until(PATIENCE, || site.log.lines().len() == SESSIONS), "{:?}", site.log.lines());
    let path = |line: &String| line.rsplit(' ').next().unwrap_or_default().trim_end().to_owned();
    site.log.lines().iter().map(path).collect()
}

#[test]
fn who_is_nice_comes_last() {
    let nice = order(
        "nice",
        "    http-request set-nice 1024 if { path /last }\n    http-request set-nice -1024 if { path /first }\n",
    );
    let (first, last) = nice.split_at(SESSIONS / 2);
    assert!(first.iter().all(|path| path == "/first"), "{nice:?}");
    assert!(last.iter().all(|path| path == "/last"), "{nice:?}");
    // Without it they come as their answers came.
    let plain = order("plain", "");
    assert!(plain[..SESSIONS / 2].iter().all(|path| path == "/last"), "{plain:?}");
}

#[test]
fn the_kernel_knows_service_and_mark() {
    if !nix::unistd::geteuid().is_root() || Command::new("ss").arg("-V").output().is_err() {
        eprintln!("skipped: needs root and ss");
        return;
    }
    let site = site(
        "tos",
        "    http-request set-tos 0x20 if { path /marked }\n    http-request set-mark 0x1d if { path /marked }\n    \
         http-response set-tos 8 if { status 201 }\n",
    );
    let plain = site.asks("/plain");
    let sockets = site.sockets();
    assert_eq!(sockets.matches("tos:0 ").count() + sockets.matches("tos:0x0").count(), 1, "{sockets}");
    drop(plain);
    assert!(wait_until(PATIENCE, || site.sockets().is_empty()));
    let (mut client, mut server) = site.asks("/marked");
    let sockets = site.sockets();
    assert!(sockets.contains("tos:0x20") && sockets.contains("fwmark:0x1d"), "{sockets}");
    server.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").expect("answer");
    client.read_exact(&mut [0; 12]).expect("answer");
    let sockets = site.sockets();
    assert!(sockets.contains("tos:0x8"), "{sockets}");
}

#[test]
fn a_dropped_connection_is_gone_here_and_open_there() {
    if !nix::unistd::geteuid().is_root() || Command::new("ss").arg("-V").output().is_err() {
        eprintln!("skipped: needs root and ss");
        return;
    }
    let site = site("drop", "    http-request silent-drop\n");
    let mut client = TcpStream::connect(site.frontend).expect("connect");
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").expect("send");
    assert!(wait_until(PATIENCE, || !site.log.lines().is_empty()), "nothing was logged");
    assert!(wait_until(PATIENCE, || site.sockets().is_empty()), "{}", site.sockets());
    client.set_nonblocking(true).expect("nonblocking");
    assert_eq!(client.read(&mut [0; 16]).expect_err("no end").kind(), std::io::ErrorKind::WouldBlock);
}
