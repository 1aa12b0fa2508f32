//! Reloads that cannot be: the old process goes on serving, and one message says why.

use std::fs;
use std::net::{SocketAddrV4, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Duration;

use crate::load::{Habit, Load};
use crate::service::{Form, PATIENCE, Program, Service};
use crate::support::place::wait_until;
use crate::support::process::Running;
use crate::turn;

const STEADY: Habit = Habit { path: "/", requests: 3, pause: Duration::from_millis(3) };

/// Tries to reload under load with these arguments; gives what was printed.
fn refused(service: &mut Service, args: &[&str]) -> String {
    let load = Load::start(service.address, &[STEADY; 4]);
    let mut new = service.beside(Program::Epoxy, args);
    let status = new.wait(PATIENCE);
    new.kill();
    let printed = new.stderr();
    let count = load.finish();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{printed}");
    assert_eq!((count.failed_connects, count.failed_requests, count.retried), (0, 0, 0), "{:?}", count.reasons);
    assert!(count.answered > 0);
    assert!(service.current.ended().is_none());
    assert_eq!(service.current.stderr(), "", "the old process was not troubled");
    // And it can still be replaced.
    service.reload(Program::Epoxy, Form::Plain);
    printed
}

/// The messages that matter, less the two that introduce the program.
fn messages(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| !line.starts_with("[NOTICE]")).collect()
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let _turn = turn();
    let mut service = Service::start(Program::Epoxy, "");
    fs::write(service.dir().join("bad.cfg"), "frontend g\n    bind 127.0.0.1:1\n    nonsense\n").expect("file");
    let pid = service.current.pid().to_string();
    let printed = refused(&mut service, &["-f", "bad.cfg", "-sf", &pid]);
    assert!(printed.contains("unknown keyword 'nonsense'"), "{printed}");
}

#[test]
fn an_address_of_another_program_changes_nothing() {
    let _turn = turn();
    let mut service = Service::start(Program::Epoxy, "");
    let held = TcpListener::bind(SocketAddrV4::new(*service.address.ip(), 0)).expect("bind");
    let address = held.local_addr().expect("address");
    let more = format!("frontend g\n    mode http\n    timeout client 1s\n    bind {address}\n    http-request deny\n");
    fs::write(service.dir().join("b.cfg"), more).expect("file");
    let pid = service.current.pid().to_string();
    let printed = refused(&mut service, &["-f", "b.cfg", "-sf", &pid]);
    let (port, ip) = (address.port(), address.ip());
    let binding = format!("[b.cfg:4] for frontend g: cannot bind socket (Address already in use) for [{ip}:{port}]");
    let messages = messages(&printed);
    assert!(messages.len() == 2 && messages[0].ends_with(&binding), "{printed}");
    assert!(messages[1].ends_with("Some protocols failed to start their listeners! Exiting."), "{printed}");
}

#[test]
fn a_socket_that_nobody_answers_on_changes_nothing() {
    let _turn = turn();
    let mut service = Service::start(Program::Epoxy, "");
    let pid = service.current.pid().to_string();
    let printed = refused(&mut service, &["-x", "nobody.sock", "-sf", &pid]);
    assert!(printed.contains("Failed to get the sockets from the old process!"), "{printed}");
}

/// Starts a second process with `-sf PID` and lets both serve for a while.
fn start_after(pid: u32) -> (Service, Running) {
    let service = Service::start(Program::Epoxy, "");
    let second = service.beside(Program::Epoxy, &["-sf", &pid.to_string()]);
    let load = Load::start(service.address, &[STEADY; 4]);
    std::thread::sleep(Duration::from_millis(300));
    let count = load.finish();
    assert_eq!((count.failed_connects, count.failed_requests), (0, 0), "{:?}", count.reasons);
    (service, second)
}

fn sleeping() -> Child {
    Command::new("sleep").arg("60").spawn().expect("sleep")
}

#[test]
fn a_stale_pid_is_told_once() {
    let _turn = turn();
    let mut gone = sleeping();
    gone.kill().expect("kill");
    gone.wait().expect("wait");
    let (_service, mut second) = start_after(gone.id());
    let expected = format!("Old process {} cannot be told to leave (No such process).", gone.id());
    assert!(wait_until(PATIENCE, || second.stderr().contains(&expected)), "{}", second.stderr());
    assert!(second.ended().is_none(), "{}", second.stderr());
    let printed = second.stderr();
    assert!(messages(&printed).len() == 1 && printed.contains(&expected), "{printed}");
}

/// HAProxy signals whatever pid it is given, and so do we: a wrapper around it may want to know. But nothing is
/// taken from a program that is no proxy.
#[test]
fn another_programs_pid_is_signalled_and_told() {
    let _turn = turn();
    let mut other = sleeping();
    let service = Service::start(Program::Epoxy, "");
    let mut second = service.beside(Program::Epoxy, &["-sf", &other.id().to_string()]);
    let status = other.wait().expect("wait");
    assert_eq!(status.signal(), Some(nix::libc::SIGUSR1));
    let expected =
        format!("Old process {} runs another program ('sleep'): no listening sockets are taken from it.", other.id());
    assert!(wait_until(PATIENCE, || second.stderr().contains(&expected)), "{}", second.stderr());
    assert!(second.ended().is_none(), "{}", second.stderr());
    let printed = second.stderr();
    assert!(messages(&printed).len() == 1 && printed.contains(&expected), "{printed}");
}
