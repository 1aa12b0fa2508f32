//! Hundreds of hostile conversations with the real program; afterwards it has the sockets that it had before.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use support::place::{TempDir, bind_patiently, loopback_address, wait_until};
use support::service::{info, serve};

/// Conversations of each client thread.
const ROUNDS: usize = 60;

/// Client threads.
const CLIENTS: usize = 8;

/// Octets of a body that arrives whole: far more than a buffer, so that it must go through a pipe.
const SOUND_BYTES: usize = 2_000_000;

/// Longer than any timeout of the configuration.
const LIMIT: Duration = Duration::from_secs(20);

fn config(ip: Ipv4Addr, socket: &Path) -> String {
    let socket = socket.display();
    format!(
        "global
    stats socket {socket} mode 600 level admin
defaults
    timeout connect 300ms
    timeout client 300ms
    timeout server 300ms
    timeout http-request 300ms
    option splice-auto
    retries 1
frontend http
    mode http
    bind {ip}:8001
    default_backend nodes
backend nodes
    mode http
    server n1 {ip}:9001 maxconn 5 pool-max-conn 0
    server n2 {ip}:9002
    server n3 {ip}:9003
listen tcp
    mode tcp
    bind {ip}:8002
    server n1 {ip}:9001
listen sound
    mode http
    bind {ip}:8003
    timeout connect 10s
    timeout client 10s
    timeout server 10s
    server n4 {ip}:9004
"
    )
}

/// A node that does something else with each connection. Port 9002 closes at once, on 9003 nobody listens,
/// 9004 answers as it should.
fn node(listener: TcpListener) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    for (number, stream) in listener.incoming().flatten().enumerate() {
        thread::spawn(move || {
            let _ = match port {
                9001 => misbehave(stream, number),
                9004 => behave(stream),
                _ => Ok(()),
            };
        });
    }
}

fn behave(mut stream: TcpStream) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 4096])?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {SOUND_BYTES}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&vec![b'x'; SOUND_BYTES])
}

fn misbehave(mut stream: TcpStream, number: usize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut room = [0; 4096];
    let _ = stream.read(&mut room)?;
    let large = vec![b'x'; 300_000];
    match number % 11 {
        0 => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
        1 => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le")?,
        2 => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")?,
        3 => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdezz\r\n")?,
        4 => stream.write_all(b"\0\x01\xffnonsense\r\n\r\n")?,
        5 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n")?;
            stream.write_all(&large)?;
        }
        6 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            stream.write_all(&large)?;
        }
        // It stalls for longer than the proxy waits.
        7 => thread::sleep(Duration::from_millis(500)),
        8 => {
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")?;
            thread::sleep(Duration::from_millis(100));
        }
        9 => stream.shutdown(Shutdown::Write)?,
        _ => {}
    }
    if number.is_multiple_of(3) {
        // The close is a reset.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

fn converse(ip: Ipv4Addr, number: usize) -> std::io::Result<()> {
    let port = if number.is_multiple_of(4) { 8002 } else { 8001 };
    let mut stream = TcpStream::connect((ip, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let get: &[u8] = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n";
    let mut words = match number % 7 {
        0 | 1 => get.to_vec(),
        2 => get[..number % get.len()].to_vec(),
        3 => b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\nabc".to_vec(),
        4 => b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab".to_vec(),
        5 => b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc".to_vec(),
        _ => [get, get, b"\0nonsense\r\n\r\n"].concat(),
    };
    if number % 21 == 3 {
        words.extend_from_slice(&vec![b'x'; 100_000]);
    }
    stream.write_all(&words)?;
    match number % 5 {
        0 => {}
        1 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?,
        2 => stream.shutdown(Shutdown::Write)?,
        _ => drop(stream.read(&mut [0; 1000])?),
    }
    if number % 5 > 1 {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    Ok(())
}

/// One conversation in which nobody misbehaves; the octets of its answer.
fn sound(ip: Ipv4Addr) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect((ip, 8003))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())
}

/// Sockets that a process has open.
fn sockets(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn hostile_conversations_leave_nothing_open() {
    let ip = loopback_address();
    let dir = TempDir::new("leaks").expect("directory");
    let socket = dir.path().join("sock");
    for port in [9001, 9002, 9004] {
        let listener = bind_patiently(|| TcpListener::bind((ip, port))).expect("node");
        thread::spawn(move || node(listener));
    }
    // It listens on its addresses in their order.
    let mut proxy = serve(dir.path(), &config(ip, &socket), SocketAddr::new(ip.into(), 8003), None);
    let before = sockets(proxy.pid());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let _ = converse(ip, client * ROUNDS + round);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("client");
    }
    assert!(proxy.ended().is_none(), "{}", proxy.stderr());
    // Whether a broken transfer leaves its pipe fit for the next depends on when it broke; this one's is.
    assert!(sound(ip).expect("whole answer") > SOUND_BYTES);
    let pid = proxy.pid();
    let at_rest = wait_until(LIMIT, || sockets(pid) == before);
    assert!(at_rest, "{before} sockets before, {} after", sockets(pid));
    assert_eq!(info(&socket, "", "PipesUsed"), "0");
    assert_ne!(info(&socket, "", "PipesFree"), "0", "a large body was spliced");
    // The connection that asks is counted by neither.
    assert_eq!(info(&socket, "", "CurrConns"), "0");
    assert!(info(&socket, "", "CumConns").parse().unwrap_or(0) >= CLIENTS * ROUNDS);
}
