//! Names that requests tell: every worker asks on its own, what is counted is the service's, and those who wait while
//! another process takes over are answered by the one that they came to.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use crate::crew::workers_of;
use crate::service::PATIENCE;
use crate::support::dns::{NameServer, parse_lines};
use crate::support::place::{TempDir, loopback_address, sandbox_line, wait_until};
use crate::support::process::Running;
use crate::support::service::{ask, serve};
use crate::turn;

const WORKERS: usize = 3;
const CLIENTS: usize = 12;

fn start(dir: &TempDir, address: SocketAddrV4, old: Option<&Running>) -> Running {
    let text = format!(
        "global\n{}    nbproc {WORKERS}\n    stats socket {}/sock level admin\nresolvers lab\n    nameserver one {}:5301\n    \
         timeout retry 1s\n    resolve_retries 60\ndefaults\n    mode http\n    timeout client 30s\n    timeout connect 5s\n    timeout server 5s\n\
         frontend f\n    bind {address}\n    http-request do-resolve(txn.ip,lab,ipv4) hdr(host)\n    http-request return \
         status 200 content-type text/plain lf-string \"%[var(txn.ip)]\"\n",
        sandbox_line(),
        dir.path().display(),
        address.ip(),
    );
    let process = serve(dir.path(), &text, address.into(), old);
    assert!(wait_until(PATIENCE, || workers_of(process.pid()).len() == WORKERS), "{}", process.stderr());
    process
}

fn request(address: SocketAddrV4, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("send");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
}

/// The count of a name server, as the runtime socket tells it.
fn counted(dir: &TempDir, what: &str) -> usize {
    let text = ask(&dir.path().join("sock"), "show resolvers lab\n");
    let line = text.lines().find_map(|line| line.trim().strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("no {what} in {text}"))
}

#[test]
fn every_worker_asks_and_a_reload_leaves_nobody_waiting() {
    let _turn = turn();
    let address = SocketAddrV4::new(loopback_address(), 8001);
    let dir = TempDir::new("lookups").expect("directory");
    let lines = |text: &str| parse_lines([text]).expect("lines");
    let at = SocketAddrV4::new(*address.ip(), 5301).into();
    let names = NameServer::start("dns", at, lines("* A is 192.0.2.1")).expect("a name server");
    let first = start(&dir, address, None);

    for number in 0..CLIENTS {
        assert_eq!(answer(request(address, &format!("n{number}.lab"))), "192.0.2.1");
    }
    assert_eq!([counted(&dir, "sent"), counted(&dir, "valid")], [CLIENTS; 2]);
    assert_eq!(names.asked().len(), CLIENTS);

    names.play(lines("* A silent"));
    let waiting: Vec<TcpStream> = (0..CLIENTS).map(|number| request(address, &format!("w{number}.lab"))).collect();
    assert!(wait_until(PATIENCE, || names.asked().len() >= 2 * CLIENTS));
    let mut second = start(&dir, address, Some(&first));
    names.play(lines("* A is 192.0.2.2"));
    let fresh: Vec<String> = (0..CLIENTS).map(|number| answer(request(address, &format!("f{number}.lab")))).collect();
    assert_eq!(fresh, vec!["192.0.2.2"; CLIENTS]);
    // The old process asks once more, and then goes.
    let answers: Vec<String> = waiting.into_iter().map(answer).collect();
    assert_eq!(answers, vec!["192.0.2.2"; CLIENTS]);
    let mut first = first;
    assert!(first.wait(PATIENCE).is_some_and(|status| status.success()), "{}", first.stderr());
    second.kill();
}
