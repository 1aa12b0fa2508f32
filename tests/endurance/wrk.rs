//! The same as wrk sees it: it counts what it could not connect, read or write, and answers other than 2xx and 3xx.

use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fleet::{Fleet, Form, PATIENCE};
use crate::support::process::Running;
use crate::turn;

const LOAD_S: u64 = 6;

/// Runs wrk while `trouble` goes on; gives its report.
fn report(fleet: &mut Fleet, trouble: impl FnOnce(&mut Fleet)) -> String {
    let args = ["-t1", "-c32", &format!("-d{LOAD_S}s"), &format!("http://{}/", fleet.address)].map(str::to_owned);
    let mut wrk = Running::start(Path::new("/usr/bin/wrk"), "wrk", &args, fleet.dir()).expect("wrk");
    thread::sleep(Duration::from_millis(200));
    trouble(fleet);
    assert!(wrk.ended().is_none(), "the trouble was over before wrk");
    assert!(wrk.wait(Duration::from_secs(LOAD_S) + PATIENCE).is_some_and(|status| status.success()));
    wrk.kill();
    wrk.stdout()
}

#[test]
fn wrk_sees_nothing_of_reloads() {
    let _turn = turn();
    for form in [Form::Finish, Form::Usr2] {
        let mut fleet = Fleet::start(form, 2, "");
        let said = report(&mut fleet, |fleet| {
            for workers in [4, 1, 2].iter().cycle().take(20) {
                thread::sleep(Duration::from_millis(50));
                fleet.reload(*workers);
            }
        });
        assert!(said.contains("Requests/sec") && !said.contains("errors") && !said.contains("Non-2xx"), "{said}");
    }
}

#[test]
fn wrk_connects_whoever_is_killed() {
    let _turn = turn();
    let mut fleet = Fleet::start(Form::Finish, 4, "");
    let said = report(&mut fleet, |fleet| {
        for victim in fleet.workers() {
            kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("kill");
            thread::sleep(Duration::from_millis(300));
        }
    });
    // Requests on the killed ones are lost, at most one a connection.
    let errors =
        said.lines().find_map(|line| line.trim().strip_prefix("Socket errors: ")).unwrap_or("connect 0, read 0");
    assert!(errors.starts_with("connect 0, "), "{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
}
