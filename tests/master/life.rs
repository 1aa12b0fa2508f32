//! Start, end, and the death of workers.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::service::{PATIENCE, Service, get, is_alive, program, title};
use crate::support::place::{TempDir, loopback_address, wait_until};

#[test]
fn a_master_stands_over_a_single_worker() {
    let service = Service::start("pidfile DIR/pid", "");
    let pid = service.master.pid() as i32;
    let workers = service.workers();
    assert_eq!(workers.len(), 1);
    assert!(title(pid).contains("[master]") && title(workers[0]).contains("[worker 1]"), "{}", title(pid));
    let pidfile = fs::read_to_string(service.dir.path().join("pid")).expect("pidfile");
    assert_eq!(pidfile, format!("{pid}\n"));
    let forked = format!("[NOTICE]   ({pid}) : New worker ({}) forked\n", workers[0]);
    assert!(service.said(&forked), "{}", service.master.stderr());
    assert!(get(service.address).contains(" 200 "));
    assert_eq!(service.stop(Signal::SIGTERM), Some(0));
    assert!(!is_alive(workers[0]));
}

#[test]
fn every_signal_to_end_ends_all() {
    for signal in [Signal::SIGINT, Signal::SIGUSR1] {
        let service = Service::start("nbproc 2", "program p\n    command sleep 1000\n");
        let all = [service.workers(), service.processes("programs").into_iter().map(|row| row.0).collect()].concat();
        assert_eq!(all.len(), 3);
        assert_eq!(service.stop(signal), Some(0), "{signal}");
        assert!(!all.into_iter().any(is_alive), "{signal}");
    }
}

#[test]
fn a_dead_worker_is_replaced() {
    let service = Service::start("master-worker no-exit-on-failure", "");
    let old = service.workers()[0];
    kill(Pid::from_raw(old), Signal::SIGKILL).expect("kill");
    service.await_times("New worker", 2);
    assert!(service.said(&format!("Current worker ({old}) exited with code 137 (Killed)\n")));
    assert!(wait_until(PATIENCE, || service.workers().iter().any(|pid| *pid != old)));
    assert!(get(service.address).contains(" 200 "));
}

#[test]
fn a_death_is_noticed_beside_another_signal() {
    let service = Service::start("master-worker no-exit-on-failure\n    tune.worker.hang-timeout 0", "");
    let old = service.workers()[0];
    // Both wait when the master goes on.
    service.signal(Signal::SIGSTOP);
    kill(Pid::from_raw(old), Signal::SIGKILL).expect("kill");
    service.signal(Signal::SIGTTIN);
    assert!(wait_until(PATIENCE, || is_zombie(old)));
    service.signal(Signal::SIGCONT);
    service.await_times("New worker", 2);
}

fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn who_is_told_to_finish_reloads_no_more() {
    let mut service = Service::start("", "");
    let mut client = TcpStream::connect(service.address).expect("connect");
    client.write_all(b"GET / HTTP/1.1\r\n").expect("half a request");
    let loaded = service.times("Loading success.");
    // Whichever is read first.
    service.signal(Signal::SIGUSR2);
    service.signal(Signal::SIGUSR1);
    service.await_times("Exiting Master process...", 1);
    service.signal(Signal::SIGUSR2);
    assert!(wait_until(PATIENCE, || TcpStream::connect(service.address).is_err()));
    drop(client);
    assert_eq!(service.master.wait(PATIENCE).and_then(|status| status.code()), Some(0));
    assert_eq!(service.times("Loading success."), loaded);
}

#[test]
fn a_former_worker_that_hangs_is_killed() {
    let service = Service::start("tune.worker.hang-timeout 400ms", "    timeout client 1m");
    let old = service.workers()[0];
    // It has a client, and so outlives the reload.
    let mut client = TcpStream::connect(service.address).expect("connect");
    client.write_all(b"GET / HTTP/1.1\r\n").expect("half a request");
    service.reload();
    assert_eq!(service.processes("old workers").iter().map(|row| row.0).collect::<Vec<_>>(), [old]);
    kill(Pid::from_raw(old), Signal::SIGSTOP).expect("stop");
    service.await_times("killing it", 1);
    assert!(service.said(&format!("Former worker ({old}) is stopped for ")), "{}", service.master.stderr());
    assert!(wait_until(PATIENCE, || service.processes("old workers").is_empty()));
    assert!(get(service.address).contains(" 200 "));
    drop(client);
}

#[test]
fn a_daemon_writes_the_masters_pid_and_reloads() {
    let dir = TempDir::new("master").expect("directory");
    let address = loopback_address();
    let log = std::net::UdpSocket::bind((address, 8002)).expect("bind");
    log.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let configure = |global: &str| {
        let text = format!(
            "global\n log {address}:8002 local0\n master-worker\n quiet\n{global}defaults\n mode http\nfrontend f\n \
             bind {address}:8001\n http-request deny\n"
        );
        fs::write(dir.path().join("a.cfg"), text).expect("configuration");
    };
    configure("");
    let output = Command::new(program())
        .args(["-D", "-p", "pid", "-S", "unix@m.sock", "-f", "a.cfg"])
        .current_dir(dir.path())
        .output()
        .expect("a start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pid = || fs::read_to_string(dir.path().join("pid")).unwrap_or_default();
    let master: i32 = pid().trim().parse().expect("a pid");
    let ask = |lines: &str| crate::service::ask(&dir.path().join("m.sock"), lines);
    let before = ask("show proc\n");
    assert!(before.contains(&format!("{master} ")));
    let first = before.lines().find(|line| line.contains(" worker ")).map(|line| line[..10].to_owned());
    kill(Pid::from_raw(master), Signal::SIGUSR2).expect("signal");
    // The count goes up when the trial begins.
    let worker = |text: &str| text.lines().find(|line| line.contains(" worker ")).map(|line| line[..10].to_owned());
    let reloaded = || {
        let text = ask("show proc\n");
        text.contains(" 1 [failed: 0] ") && worker(&text).is_some_and(|now| Some(now) != first)
    };
    assert!(wait_until(PATIENCE, || std::panic::catch_unwind(std::panic::AssertUnwindSafe(reloaded)).unwrap_or(false)));
    assert_eq!(pid(), format!("{master}\n"));
    // Nobody reads its standard error: what is wrong is in the log.
    configure(" chroot /nonexistent\n");
    kill(Pid::from_raw(master), Signal::SIGUSR2).expect("signal");
    let mut heard = String::new();
    while !heard.contains("Cannot chroot(/nonexistent)") {
        let mut room = [0; 4096];
        let got = log.recv(&mut room).unwrap_or_else(|_| panic!("nothing about it in {heard}"));
        heard.push_str(&String::from_utf8_lossy(&room[..got]));
    }
    assert!(wait_until(PATIENCE, || ask("show startup-logs\n").contains("Cannot chroot(/nonexistent)")));
    kill(Pid::from_raw(master), Signal::SIGTERM).expect("signal");
    assert!(wait_until(PATIENCE, || !is_alive(master)));
}
