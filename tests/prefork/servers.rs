//! What traffic and agents tell of servers, and what servers are reached by, is one for all workers and over reloads.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use crate::crew::{Crew, all_who_answer, epoxy, tell, text, who_answers, workers_of};
use crate::service::PATIENCE;
use crate::support::place::{loopback_address, wait_until};
use crate::support::process::Running;
use crate::support::service;
use crate::turn;

pub const GLOBAL: &str = "    nbproc 3\n    stats socket DIR/stats level admin";

/// Connections that are enough to meet every worker.
pub const MANY: usize = 24;

pub fn ask(crew: &Crew, command: &str) -> String {
    service::ask(&crew.dir.path().join("stats"), &format!("{command}\n"))
}

/// Goes on with the same configuration; the old process may stay for connections that it has.
pub fn reload(crew: &mut Crew, more: &str) -> Running {
    let global = GLOBAL.replace("DIR", &crew.dir.path().display().to_string());
    std::fs::write(crew.dir.path().join("a.cfg"), text(crew.address, &global, more)).expect("configuration");
    let old = crew.supervisor.pid().to_string();
    let new = epoxy(crew.dir.path(), &["-db", "-f", "a.cfg", "-sf", &old]);
    assert!(wait_until(PATIENCE, || workers_of(new.pid()).len() == 3), "{}", new.stderr());
    std::mem::replace(&mut crew.supervisor, new)
}

/// A section that answers by its name.
pub fn answers(name: &str, address: SocketAddrV4) -> String {
    let rule = "http-request return status 200 content-type text/plain string";
    format!("listen {name}\n    bind {address}\n    {rule} \"worker {name}\"\n")
}

/// Serves each connection by a function, one after the other.
fn serve(mut each: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((loopback_address(), 0)).expect("bind");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(&mut each));
    address
}

/// A column of a line of the statistics.
pub fn column(crew: &Crew, backend: &str, server: &str, name: &str) -> String {
    let table = ask(crew, "show stat");
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').position(|column| column == name);
    let line = lines.find(|line| line.starts_with(&format!("{backend},{server},"))).unwrap_or_default();
    line.split(',').nth(header.expect("a column")).unwrap_or_default().to_owned()
}

#[test]
fn what_an_agent_says_holds_for_all_workers() {
    let _turn = turn();
    let words = Arc::new(Mutex::new("ready up 100%\n"));
    let said = Arc::clone(&words);
    let agent = serve(move |mut connection| {
        let _ = connection.write_all(said.lock().expect("words").as_bytes());
    });
    let [server, backup, through] = [8002, 8003, 8004].map(|port| SocketAddrV4::new(loopback_address(), port));
    let agent = format!("agent-check agent-addr {} agent-port {} agent-inter 50ms", agent.ip(), agent.port());
    let more = format!(
        "listen through\n    bind {through}\n    use_backend b\nbackend b\n    server s {server} weight 10 {agent}\n    \
         server t {backup} backup\n{}{}",
        answers("server", server),
        answers("backup", backup)
    );
    let mut crew = Crew::start(GLOBAL, &more);
    let says = |text| *words.lock().expect("words") = text;
    let weighs = |crew: &Crew, weight| (0..6).all(|_| ask(crew, "get weight b/s").starts_with(weight));
    let answering = |name: &str| wait_until(PATIENCE, || all_who_answer(through, MANY) == [name]);
    assert!(answering("server"));
    says("50%\n");
    assert!(wait_until(PATIENCE, || weighs(&crew, "5 (")));
    says("down # too hot\n");
    assert!(answering("backup"));
    // Whoever runs the checks, they go on, and what was said last holds.
    for number in [1, 2, 3] {
        let old = crew.worker(number);
        tell(old, Signal::SIGKILL);
        crew.successor(number, old);
    }
    assert!(answering("backup"));
    says("up\n");
    assert!(answering("server"));
    says("drain\n");
    assert!(answering("backup"));
    says("\n");
    let mut old = reload(&mut crew, &more);
    assert!(old.wait(PATIENCE).is_some(), "the old one goes");
    assert_eq!(all_who_answer(through, MANY), ["backup"], "an agent's words outlive a reload");
    assert!(weighs(&crew, "5 ("));
    says("ready 100%\n");
    assert!(answering("server"));
}

#[test]
fn requests_of_any_worker_are_sent_again() {
    let _turn = turn();
    let silent = serve(|mut connection| {
        let _ = connection.read(&mut [0; 1024]);
    });
    let [server, through] = [8002, 8004].map(|port| SocketAddrV4::new(loopback_address(), port));
    let more = format!(
        "listen through\n    bind {through}\n    use_backend b\nbackend b\n    retries 1\n    option redispatch 1\n    \
         retry-on empty-response\n    server silent {silent}\n    server s {server}\n{}",
        answers("server", server)
    );
    let mut crew = Crew::start(GLOBAL, &more);
    let number = |crew: &Crew, server, name| column(crew, "b", server, name).parse::<usize>().unwrap_or_default();
    for round in 1..=2 {
        for _ in 0..MANY {
            assert_eq!(who_answers(through, PATIENCE).as_deref(), Some("server"));
        }
        assert_eq!(number(&crew, "BACKEND", "req_tot"), MANY * round);
        assert_eq!(number(&crew, "BACKEND", "hrsp_2xx"), MANY * round);
        let again = number(&crew, "silent", "stot");
        assert!(again >= 3 * round, "each worker begins with the first server");
        assert_eq!(number(&crew, "silent", "wredis"), again, "each of them went elsewhere");
        assert_eq!(number(&crew, "s", "stot"), MANY * round);
        let mut old = reload(&mut crew, &more);
        assert!(old.wait(PATIENCE).is_some(), "the old one goes");
    }
}

#[test]
fn errors_of_all_workers_in_a_row_take_a_server_down() {
    let _turn = turn();
    let failing = serve(|mut connection| {
        let _ = connection.read(&mut [0; 1024]);
        let _ = connection.write_all(b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 9\r\n\r\nworker no");
    });
    let [through, other] = [8004, 8005].map(|port| SocketAddrV4::new(loopback_address(), port));
    let more = format!(
        "listen through\n    bind {through}\n    use_backend b\nbackend b\n    server s {failing} check inter 1h \
         observe layer7 error-limit 12 on-error mark-down\n{}",
        answers("other", other)
    );
    let mut crew = Crew::start(GLOBAL, &more);
    assert!(wait_until(PATIENCE, || column(&crew, "b", "s", "check_status") == "L4OK"));
    for answered in 1..=12 {
        assert_eq!(column(&crew, "b", "s", "status"), "UP", "after {}", answered - 1);
        assert_eq!(who_answers(through, PATIENCE).as_deref(), Some("no"));
    }
    let is_down = |crew: &Crew| (0..6).all(|_| column(crew, "b", "s", "status") == "DOWN");
    assert!(wait_until(PATIENCE, || is_down(&crew)));
    assert!((0..MANY).all(|_| who_answers(through, PATIENCE).is_none()), "no worker asks it any more");
    assert_eq!(column(&crew, "b", "s", "hanafail"), "1", "one of them tells");
    let mut old = reload(&mut crew, &more);
    assert!(old.wait(PATIENCE).is_some(), "the old one goes");
    assert!(is_down(&crew), "it is down for who comes after, too");
    assert!((0..MANY).all(|_| who_answers(through, PATIENCE).is_none()));
}

#[test]
fn no_port_of_a_range_is_given_twice() {
    let _turn = turn();
    const PORTS: u16 = 6;
    let held = Arc::new(Mutex::new(Vec::new()));
    let new = Arc::clone(&held);
    let node = serve(move |mut connection| {
        let _ = connection.write_all(b"x");
        new.lock().expect("connections").push(connection);
    });
    let (own, first) = (loopback_address(), 20_000);
    let through = SocketAddrV4::new(own, 8004);
    let more = format!(
        "listen through\n    bind {through}\n    mode tcp\n    retries 0\n    timeout client 1m\n    timeout server 1m\n    \
         server s {node} source {own}:{first}-{}\n",
        first + PORTS - 1
    );
    let mut crew = Crew::start(GLOBAL, &more);
    // A client that is served; one that is not is closed without a byte.
    let client = || {
        let mut client = TcpStream::connect(through).ok()?;
        client.set_read_timeout(Some(PATIENCE)).ok()?;
        matches!(client.read(&mut [0; 1]), Ok(1)).then_some(client)
    };
    let fill = |clients: &mut Vec<TcpStream>| {
        wait_until(PATIENCE, || {
            clients.extend(client());
            clients.len() == usize::from(PORTS)
        })
    };
    let ports = || {
        let mut ports: Vec<u16> = Vec::new();
        let held = held.lock().expect("connections");
        ports.extend(held.iter().filter_map(|held| Some(held.peer_addr().ok()?.port())));
        ports.sort_unstable();
        ports
    };
    let all: Vec<u16> = (first..first + PORTS).collect();
    let mut clients = Vec::new();
    assert!(fill(&mut clients));
    assert_eq!(ports(), all, "whichever workers have them");
    assert!((0..MANY).all(|_| client().is_none()), "there is none left");
    let mut old = reload(&mut crew, &more);
    assert!((0..MANY).all(|_| client().is_none()), "none for those who come after, as long as the old ones have them");
    assert!(old.ended().is_none());
    held.lock().expect("connections").clear();
    clients.clear();
    assert!(old.wait(PATIENCE).is_some(), "the old one goes with its connections");
    assert!(fill(&mut clients), "what it had is free again");
    assert_eq!(ports(), all);
    held.lock().expect("connections").clear();
    for number in [1, 2, 3] {
        let old = crew.worker(number);
        tell(old, Signal::SIGKILL);
        crew.successor(number, old);
    }
    clients.clear();
    assert!(fill(&mut clients), "the dead hold no port");
}
