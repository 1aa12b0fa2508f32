//! `program` sections.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;

use crate::service::{PATIENCE, Service, is_alive};
use crate::support::place::wait_until;

#[test]
fn programs_come_and_go_with_the_service() {
    let more = "program echo
    command sh -c \"env > DIR/env.txt; exec sleep '1000'\"
program once
    command sleep 2000
    no option start-on-reload
program absent
    command /nonexistent/program
";
    let service = Service::start("", more);
    let pids = |kind: &str| -> Vec<i32> {
        let rows = service.processes("programs");
        rows.into_iter().filter(|row| row.1 == kind).map(|row| row.0).collect()
    };
    let (echo, once) = (pids("echo"), pids("once"));
    assert_eq!((echo.len(), once.len(), pids("absent").len()), (1, 1, 0));
    assert!(service.said("Cannot start program 'absent': No such file or directory."), "{}", service.master.stderr());
    let env = || fs::read_to_string(service.dir.path().join("env.txt")).unwrap_or_default();
    assert!(wait_until(PATIENCE, || env().contains("HAPROXY_MWORKER=1\n")), "{}", env());
    assert!(env().contains("HAPROXY_CFGFILES=a.cfg\n") && env().contains("HAPROXY_MASTER_CLI=unix@m.sock\n"));
    service.reload();
    assert!(!env().contains("EPOXY_MASTER_STATE"));
    // The new one begins, the old ones get SIGUSR1.
    assert!(wait_until(PATIENCE, || !is_alive(echo[0]) && !is_alive(once[0])), "{}", service.master.stderr());
    assert_eq!((pids("echo").len(), pids("once").len()), (1, 0));
    assert!(service.said(&format!("Former program 'echo' ({}) exited with code 138", echo[0])));
    let last = pids("echo")[0];
    assert_eq!(service.stop(Signal::SIGTERM), Some(0));
    assert!(!is_alive(last));
}

#[test]
fn a_program_has_its_user_and_its_end_is_told() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let more =
        "program p\n    command sleep 1000\n    user nobody\n    group nogroup\nprogram short\n    command false\n";
    let service = Service::start("", more);
    let rows = service.processes("programs");
    let pid = rows.iter().find(|row| row.1 == "p").map(|row| row.0).expect("it runs");
    let owner = fs::metadata(format!("/proc/{pid}")).expect("process");
    assert_eq!((owner.uid(), owner.gid()), (65534, 65534));
    service.await_times("Current program 'short'", 1);
    assert!(service.said("exited with code 1 (Exit)"), "{}", service.master.stderr());
    assert!(service.ask("show proc\n").contains("# workers\n"), "the service goes on");
}
