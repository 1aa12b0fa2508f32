//! States that are one for all workers: what one of them is told, all do, and one of them checks the servers.

use std::io::Write;
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::crew::{Crew, all_who_answer, epoxy, tell, text};
use crate::servers::answers;
use crate::service::PATIENCE;
use crate::support::place::{loopback_address, wait_until};
use crate::support::service;
use crate::turn;

pub const GLOBAL: &str = "    nbproc 3\n    stats socket DIR/stats level admin";

/// What the runtime socket says to these commands.
pub fn ask(crew: &Crew, commands: &str) -> String {
    service::ask(&crew.dir.path().join("stats"), &format!("{commands}\n"))
}

/// How many of some connections succeed.
fn connects(address: SocketAddrV4) -> usize {
    (0..12).filter(|_| TcpStream::connect_timeout(&address.into(), PATIENCE).is_ok()).count()
}

#[test]
fn an_order_holds_for_all_workers_when_it_is_answered() {
    let _turn = turn();
    let second = SocketAddrV4::new(loopback_address(), 8002);
    let crew = Crew::start(GLOBAL, &format!("\nfrontend g\n    bind {second}\n"));
    // All workers are there, so that nobody is waited for.
    assert!(wait_until(PATIENCE, || connects(second) == 12));
    let mut fastest = PATIENCE;
    for _ in 0..10 {
        let begun = Instant::now();
        assert_eq!(ask(&crew, "disable frontend g"), "\n");
        assert_eq!(connects(second), 0);
        assert_eq!(ask(&crew, "enable frontend g"), "\n");
        fastest = fastest.min(begun.elapsed());
        assert_eq!(connects(second), 12);
    }
    // A second is how long who does not follow is waited for.
    assert!(fastest < Duration::from_millis(700), "{fastest:?}");
    assert_eq!(ask(&crew, "set maxconn global 77; set maxconn frontend g 55"), "\n\n");
    for _ in 0..8 {
        assert!(ask(&crew, "show info").contains("\nMaxconn: 77\n"));
    }
    assert_eq!(crew.supervisor.stderr().matches("Paused frontend g.").count(), 10, "each is told once");
}

#[test]
fn a_replacement_knows_what_was_ordered() {
    let _turn = turn();
    let second = SocketAddrV4::new(loopback_address(), 8002);
    let more = format!("    default_backend b\nbackend b\n    server s {second}\nfrontend g\n    bind {second}\n");
    let crew = Crew::start(GLOBAL, &more);
    ask(&crew, "disable frontend g; set server b/s state maint; set server b/s weight 7");
    for number in [1, 2, 3] {
        let old = crew.worker(number);
        tell(old, Signal::SIGKILL);
        crew.successor(number, old);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(connects(second), 0);
    for _ in 0..8 {
        assert_eq!(state_of_server(&crew), ["0", "1", "7"]);
    }
}

/// State, orders and weight of `b/s`.
fn state_of_server(crew: &Crew) -> [String; 3] {
    let states = ask(crew, "show servers state b");
    let line = states.lines().nth(2).unwrap_or_default();
    let fields: Vec<&str> = line.split(' ').collect();
    [5, 6, 7].map(|at| fields.get(at).copied().unwrap_or_default().to_owned())
}

/// Goes on with another configuration.
pub fn reload(crew: &mut Crew, global: &str, more: &str) {
    let global = format!("{GLOBAL}\n{global}").replace("DIR", &crew.dir.path().display().to_string());
    std::fs::write(crew.dir.path().join("a.cfg"), text(crew.address, &global, more)).expect("configuration");
    let old = crew.supervisor.pid().to_string();
    let new = epoxy(crew.dir.path(), &["-db", "-f", "a.cfg", "-sf", &old]);
    let mut old = std::mem::replace(&mut crew.supervisor, new);
    assert!(old.wait(PATIENCE).is_some(), "the old one goes");
    assert!(wait_until(PATIENCE, || connects(crew.address) == 12), "the new one serves");
}

#[test]
fn a_server_that_was_taken_out_comes_back_as_a_new_one() {
    let _turn = turn();
    let without = "    default_backend b\nbackend b\n    server t 127.0.0.1:1\n";
    let with = format!("{without}    server s 127.0.0.1:1 weight 10\n");
    let mut crew = Crew::start(GLOBAL, &with);
    ask(&crew, "set server b/s state maint; set server b/t state drain");
    reload(&mut crew, "", without);
    reload(&mut crew, "", &with);
    let states = ask(&crew, "show servers state b");
    let admin: Vec<&str> = states.lines().skip(2).filter_map(|line| line.split(' ').nth(6)).collect();
    assert_eq!(admin, ["8", "0"], "{states}");
}

#[test]
fn states_of_servers_outlive_a_reload_unless_told_otherwise() {
    let _turn = turn();
    let more = "    default_backend b\nbackend b\n    server s 127.0.0.1:1 weight 10\n";
    let mut crew = Crew::start(GLOBAL, more);
    ask(&crew, "set server b/s state drain; set server b/s weight 7");
    reload(&mut crew, "", more);
    assert_eq!(state_of_server(&crew), ["2", "8", "7"]);
    reload(&mut crew, "", &more.replace("weight 10", "weight 12"));
    assert_eq!(state_of_server(&crew), ["2", "8", "12"]);
    reload(&mut crew, "no carry-over", &more.replace("weight 10", "weight 12"));
    assert_eq!(state_of_server(&crew), ["2", "0", "12"]);
}

#[test]
fn orders_to_frontends_and_the_whole_outlive_a_reload_unless_told_otherwise() {
    let _turn = turn();
    let second = SocketAddrV4::new(loopback_address(), 8002);
    let more = format!("\nfrontend g\n    bind {second}\n");
    let mut crew = Crew::start(GLOBAL, &more);
    ask(&crew, "disable frontend g; set maxconn frontend f 55; set maxconn global 77");
    let limit_of_f = |crew: &Crew| {
        let stats = ask(crew, "show stat");
        stats.lines().find(|line| line.starts_with("f,FRONTEND,")).map(|line| line.split(',').nth(6) == Some("55"))
    };
    let maxconn = |crew: &Crew| ask(crew, "show info").contains("\nMaxconn: 77\n");
    reload(&mut crew, "", &more);
    assert_eq!((connects(second), limit_of_f(&crew), maxconn(&crew)), (0, Some(true), true));
    assert_eq!(ask(&crew, "enable frontend g"), "\n");
    assert!(wait_until(PATIENCE, || connects(second) == 12));
    reload(&mut crew, "maxconn 200", &format!("    maxconn 60\n{more}"));
    assert_eq!((connects(second), limit_of_f(&crew), maxconn(&crew)), (12, Some(false), false));
}

#[test]
fn an_address_holds_for_all_workers_and_outlives_a_reload() {
    let _turn = turn();
    let [old, new, last, through] = [8003, 8004, 8006, 8005].map(|port| SocketAddrV4::new(loopback_address(), port));
    let more = format!(
        "listen through\n    bind {through}\n    use_backend b\nbackend b\n    server s {old} check inter 1h\n{}{}{}",
        answers("old", old),
        answers("new", new),
        answers("last", last),
    );
    let mut crew = Crew::start(GLOBAL, &more);
    assert_eq!(all_who_answer(through, 8), ["old"]);
    let order = format!("set server b/s addr {} port 8004; set server b/s check-port 8004", new.ip());
    let said = ask(&crew, &order);
    assert!(said.contains("port changed from '8003' to '8004'"), "{said}");
    assert_eq!(all_who_answer(through, 24), ["new"]);
    let ports = |crew: &Crew, ports: &str| ask(crew, "show servers state b").contains(ports);
    assert!(ports(&crew, " 8004 - 0 8004 - - 0"));
    reload(&mut crew, "", &more);
    assert_eq!(all_who_answer(through, 24), ["new"]);
    assert!(ports(&crew, " 8004 - 0 8004 - - 0"));
    let other = more.replace("inter 1h", "inter 1h port 7");
    reload(&mut crew, "", &other);
    assert_eq!(all_who_answer(through, 8), ["new"]);
    assert!(ports(&crew, " 8004 - 0 7 - - 7"), "the port for checks is another one in the configuration");
    let moved = more.replace(&format!("server s {old} check inter 1h"), &format!("server s {last}"));
    reload(&mut crew, "", &moved);
    assert_eq!(all_who_answer(through, 8), ["last"], "at another address it is another server");
}

#[test]
fn a_state_file_is_for_what_no_running_process_knows() {
    let _turn = turn();
    let file = |dir: &std::path::Path, weight: u32| {
        let line = format!("1 b 1 s 127.0.0.1 2 8 {weight} 10 100 1 0 2 0 0 0 0 - 1 - 0\n");
        std::fs::write(dir.join("states"), format!("1\n{line}")).expect("state file");
    };
    let more = "    default_backend b\nbackend b\n    load-server-state-from-file global\n    server s 127.0.0.1:1 weight 10\n";
    let global = "    server-state-file DIR/states";
    let mut crew = Crew::start(&format!("{GLOBAL}\n{global}"), more);
    assert_eq!(state_of_server(&crew), ["2", "0", "10"], "there is no file yet");
    file(crew.dir.path(), 7);
    reload(&mut crew, global, more);
    assert_eq!(state_of_server(&crew), ["2", "0", "10"], "what is known is newer than the file");
    reload(&mut crew, &format!("{global}\n    no carry-over"), more);
    for _ in 0..8 {
        assert_eq!(state_of_server(&crew), ["2", "8", "7"]);
    }
    let said = crew.supervisor.stderr();
    assert_eq!(said.matches("config : Server b/s remains in forced drain mode.").count(), 1, "{said}");
}

#[test]
fn memory_without_room_is_told() {
    let _turn = turn();
    let server = |n: usize| format!("    server s{n} 127.0.0.1:1\n");
    let few = format!("    default_backend b\nbackend b\n{}", server(0));
    let many: String = (1..5000).map(server).collect();
    let mut crew = Crew::start(GLOBAL, &few);
    reload(&mut crew, "", &few);
    assert!(!crew.supervisor.stderr().contains("afresh"), "{}", crew.supervisor.stderr());
    reload(&mut crew, "", &(few + &many));
    let text = "it has no room for what is configured now): counters, states of servers and limits start afresh.";
    assert!(crew.supervisor.stderr().contains(text), "{}", crew.supervisor.stderr());
}

#[test]
fn a_server_notices_one_checker_only() {
    let _turn = turn();
    const INTERVAL_MS: u64 = 250;
    let server = TcpListener::bind((loopback_address(), 0)).expect("bind");
    let address = server.local_addr().expect("address");
    let checks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&checks);
    std::thread::spawn(move || {
        for mut connection in server.incoming().flatten() {
            seen.fetch_add(1, Relaxed);
            let _ = connection.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        }
    });
    // Checks by TCP alone leave before there is a connection to count.
    let more = format!(
        "    default_backend b\nbackend b\n    option httpchk\n    server s {address} check inter {INTERVAL_MS}ms\n"
    );
    let crew = Crew::start(GLOBAL, &more);
    let rate = |during: &dyn Fn()| {
        let (begun, before) = (Instant::now(), checks.load(Relaxed));
        during();
        std::thread::sleep(Duration::from_millis(8 * INTERVAL_MS).saturating_sub(begun.elapsed()));
        let expected = begun.elapsed().as_millis() as usize / INTERVAL_MS as usize;
        (checks.load(Relaxed) - before, expected)
    };
    let (count, expected) = rate(&|| {});
    assert!(count >= expected / 2 && count <= expected + 2, "{count} checks instead of {expected}");
    let (count, expected) = rate(&|| {
        let old = crew.worker(1);
        tell(old, Signal::SIGKILL);
        crew.successor(1, old);
    });
    assert!(count >= expected / 2 && count <= expected + 3, "{count} checks instead of {expected}");
}

#[test]
fn states_are_told_once_for_all_workers() {
    let _turn = turn();
    let crew = Crew::start(GLOBAL, "");
    let said = || crew.supervisor.stderr().matches("SIGHUP received, dumping servers states.").count();
    crew.supervisor.signal(Signal::SIGHUP);
    assert!(wait_until(PATIENCE, || said() > 0));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(said(), 1);
}
