//! Checks by programs: each worker has a process that runs them, and one of the workers checks.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::crew::{Crew, epoxy, tell, text, title};
use crate::service::PATIENCE;
use crate::support::place::{sandbox_line, wait_until};
use crate::support::service::{self, children};
use crate::turn;

/// Servers that are well while a file is there, checked by programs beside workers in their sandbox.
fn start(processes: u32) -> Crew {
    let global = format!(
        "{}    nbproc {processes}\n    stats socket DIR/stats level admin\n    external-check\n    insecure-fork-wanted",
        sandbox_line()
    );
    Crew::start(&global, MORE)
}

const MORE: &str = concat!(
    "    default_backend b\nbackend b\n    option external-check\n    external-check command ",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/programs/check.sh\n    server file1 unix@DIR/well check inter 50ms fall 1 rise 1\nfrontend g\n    \
     bind unix@DIR/other\n"
);

fn flag(crew: &Crew) -> PathBuf {
    crew.dir.path().join("well")
}

/// Whether the server comes to be seen so.
fn comes_to(crew: &Crew, status: &str) -> bool {
    wait_until(PATIENCE, || {
        let rows = service::ask(&crew.dir.path().join("stats"), "show stat b 4 -1\n");
        rows.lines().any(|row| row.contains(",file1,") && row.contains(&format!(",{status},")))
    })
}

/// Follows the file both ways.
fn follows(crew: &Crew) {
    fs::write(flag(crew), "").expect("file");
    assert!(comes_to(crew, "UP"), "{}", crew.supervisor.stderr());
    fs::remove_file(flag(crew)).expect("file");
    assert!(comes_to(crew, "DOWN"), "{}", crew.supervisor.stderr());
}

/// What runs programs for a process.
fn spawner(worker: i32) -> i32 {
    let mut found = None;
    let is_there = || {
        found = children(worker as u32).into_iter().find(|pid| title(*pid as i32).contains("[spawner]"));
        found.is_some()
    };
    assert!(wait_until(PATIENCE, is_there), "no spawner");
    found.unwrap_or_default() as i32
}

/// Whether a process has ended; who became its parent may not have looked.
fn is_over(pid: i32) -> bool {
    wait_until(PATIENCE, || title(pid).is_empty())
}

#[test]
fn one_worker_has_its_servers_checked() {
    let _turn = turn();
    let mut crew = start(1);
    follows(&crew);
    let beside = spawner(crew.supervisor.pid() as i32);
    // Not for it: it ends with its worker.
    tell(beside, Signal::SIGTERM);
    tell(beside, Signal::SIGUSR1);
    follows(&crew);
    tell(crew.supervisor.pid() as i32, Signal::SIGTERM);
    assert!(crew.supervisor.wait(PATIENCE).is_some());
    assert!(is_over(beside));
}

#[test]
fn checks_go_on_whoever_dies() {
    let _turn = turn();
    let crew = start(2);
    follows(&crew);
    for number in [1, 2] {
        let worker = crew.worker(number);
        let beside = spawner(worker);
        tell(worker, Signal::SIGKILL);
        crew.successor(number, worker);
        assert!(is_over(beside), "it ends with its worker");
        follows(&crew);
    }
    let workers = [1, 2].map(|number| crew.worker(number));
    let beside = workers.map(spawner);
    tell(crew.supervisor.pid() as i32, Signal::SIGTERM);
    assert!(beside.into_iter().chain(workers).all(is_over));
}

#[test]
fn what_is_beside_a_worker_goes_with_a_reload() {
    let _turn = turn();
    let mut crew = start(2);
    follows(&crew);
    let before = [1, 2].map(|number| spawner(crew.worker(number)));
    let old = crew.supervisor.pid().to_string();
    let next = epoxy(crew.dir.path(), &["-db", "-f", "a.cfg", "-sf", &old]);
    let old = std::mem::replace(&mut crew.supervisor, next);
    assert!(before.into_iter().all(is_over), "{}", old.stderr());
    follows(&crew);
    // A configuration without programs needs nobody.
    let plain = text(crew.address, "    nbproc 2\n    stats socket DIR/stats level admin", "");
    let plain = plain.replace("DIR", &crew.dir.path().display().to_string());
    fs::write(crew.dir.path().join("b.cfg"), plain).expect("configuration");
    let before = [1, 2].map(|number| spawner(crew.worker(number)));
    let old = crew.supervisor.pid().to_string();
    let next = epoxy(crew.dir.path(), &["-db", "-f", "b.cfg", "-sf", &old]);
    let _old = std::mem::replace(&mut crew.supervisor, next);
    assert!(before.into_iter().all(is_over));
    let workers = [1, 2].map(|number| crew.worker(number));
    assert!(workers.into_iter().all(|worker| children(worker as u32).is_empty()));
}

#[test]
fn the_first_process_of_a_container_reaps_what_was_beside_its_workers() {
    let _turn = turn();
    let mut crew = start(2);
    // Its configuration is what is wanted of it.
    tell(crew.supervisor.pid() as i32, Signal::SIGTERM);
    assert!(crew.supervisor.wait(PATIENCE).is_some());
    let mut unshare = std::process::Command::new("unshare");
    let first = unshare.args(["--pid", "--fork", "--kill-child"]).arg(service::program());
    let Ok(mut container) = first.args(["-db", "-f", "a.cfg"]).current_dir(crew.dir.path()).spawn() else {
        return eprintln!("skipped: no unshare");
    };
    let is_supervisor = |pid: &u32| title(*pid as i32).contains("[supervisor]");
    let mut first = None;
    wait_until(PATIENCE, || {
        first = children(container.id()).into_iter().find(is_supervisor);
        first.is_some() || container.try_wait().is_ok_and(|ended| ended.is_some())
    });
    let Some(first) = first else { return eprintln!("skipped: no namespaces of processes") };
    let workers = || crate::crew::workers_of(first);
    assert!(wait_until(PATIENCE, || workers().len() == 2));
    for _ in 0..3 {
        let (_, worker) = workers()[0];
        let beside = spawner(worker);
        tell(worker, Signal::SIGKILL);
        let is_gone = || !std::path::Path::new(&format!("/proc/{beside}")).exists();
        assert!(wait_until(PATIENCE, is_gone), "it is reaped");
        assert!(wait_until(PATIENCE, || workers().len() == 2));
    }
    container.kill().expect("there");
    container.wait().expect("there");
}
