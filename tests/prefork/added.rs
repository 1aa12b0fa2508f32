//! Servers that are added and taken away while several workers serve: by all of them, by who replaces them, and over
//! reloads.

use std::net::{Ipv4Addr, SocketAddrV4};

use nix::sys::signal::Signal;

use crate::crew::{Crew, all_who_answer, tell};
use crate::servers::answers;
use crate::service::PATIENCE;
use crate::states::{GLOBAL, ask, reload};
use crate::support::place::{loopback_address, wait_until};
use crate::turn;

/// Frontends that say who they are, and one that leads to `b`.
fn text(ip: Ipv4Addr, servers: &str) -> (String, SocketAddrV4) {
    let [a, b, through] = [8003, 8004, 8005].map(|port| SocketAddrV4::new(ip, port));
    let more = format!(
        "listen through\n    bind {through}\n    use_backend b\nbackend b\n    default-server weight 3\n{servers}{}{}",
        answers("one", a),
        answers("two", b),
    );
    (more, through)
}

/// Names and states of the servers of `b`.
fn servers(crew: &Crew) -> String {
    let states = ask(crew, "show servers state b");
    let fields = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        Some(format!("{}:{}:{}:{} ", fields.get(2)?, fields.get(3)?, fields.get(6)?, fields.get(7)?))
    };
    states.lines().skip(2).filter_map(fields).collect()
}

#[test]
fn servers_come_and_go_in_all_workers_and_over_reloads() {
    let _turn = turn();
    let ip = loopback_address();
    let (more, through) = text(ip, "    server s 127.0.0.1:1 disabled\n");
    let mut crew = Crew::start(GLOBAL, &more);
    assert_eq!(servers(&crew), "1:s:5:3 ");
    assert_eq!(ask(&crew, &format!("add server b/one {ip}:8003 check inter 50")), "New server registered.\n\n");
    for _ in 0..6 {
        assert_eq!(servers(&crew), "1:s:5:3 2:one:1:3 ", "each worker knows it");
    }
    ask(&crew, "enable health b/one; enable server b/one");
    assert_eq!(all_who_answer(through, 24), ["one"]);
    let checked = || ask(&crew, "show stat").lines().any(|line| line.starts_with("b,one,") && line.contains(",L4OK,"));
    assert!(wait_until(PATIENCE, checked), "one worker checks it");
    ask(&crew, &format!("add server b/two {ip}:8004 weight 2; enable server b/two; set server b/one weight 1"));
    assert_eq!(
        ask(&crew, "del server b/s; del server b/one"),
        "Server deleted.\nOnly servers in maintenance mode can be deleted.\n"
    );
    for number in [1, 2, 3] {
        let old = crew.worker(number);
        tell(old, Signal::SIGKILL);
        crew.successor(number, old);
    }
    for _ in 0..6 {
        assert_eq!(servers(&crew), "2:one:0:1 3:two:0:2 ", "who comes later knows them, too");
    }
    assert_eq!(all_who_answer(through, 24), ["one", "two"]);
    // The file is read anew: `s` is there again, and what was added is there still.
    reload(&mut crew, "", &more);
    assert_eq!(servers(&crew), "1:s:5:3 2:one:0:1 3:two:0:2 ");
    assert_eq!(all_who_answer(through, 24), ["one", "two"]);
    assert_eq!(ask(&crew, "disable server b/two"), "\n");
    assert!(wait_until(PATIENCE, || ask(&crew, "del server b/two") == "Server deleted.\n"));
    assert_eq!(all_who_answer(through, 24), ["one"]);
    // The file has one of its name.
    let (more, _) = text(ip, &format!("    server s 127.0.0.1:1 disabled\n    server one {ip}:8004\n"));
    reload(&mut crew, "", &more);
    assert_eq!(servers(&crew), "1:s:5:3 2:one:0:3 ", "at another address it is another server");
    assert_eq!(all_who_answer(through, 24), ["two"]);
    reload(&mut crew, "no carry-over", &more);
    assert_eq!(servers(&crew), "1:s:5:3 2:one:0:3 ");
}
