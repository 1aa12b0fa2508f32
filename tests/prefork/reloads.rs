//! Reloads that change the number of workers: no connection that waits in the queue of a socket is lost.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::crew::workers_of;
use crate::load::{Count, Habit, Load};
use crate::service::{Form, PATIENCE, Program, Service};
use crate::support::place::wait_until;
use crate::turn;

const SERVICE_TIME: Duration = Duration::from_millis(80);

/// Rewrites the number of workers of a service that was started with `nbproc`.
fn change_count(service: &Service, count: u32) {
    let path = service.dir().join("a.cfg");
    let text = fs::read_to_string(&path).expect("configuration");
    let change = |line: &str| match line.trim_start().starts_with("nbproc ") {
        true => format!("    nbproc {count}\n"),
        false => format!("{line}\n"),
    };
    fs::write(&path, text.lines().map(change).collect::<String>()).expect("configuration");
}

fn reload_through(counts: &[u32], form: Form) -> Count {
    let habit = |path, requests, pause| Habit { path, requests, pause: Duration::from_millis(pause) };
    let kinds = [habit("/", u32::MAX, 0), habit("/", 10, 5), habit("/", 1, 1), habit("/slow", u32::MAX, 5)];
    let habits: Vec<Habit> = kinds.iter().flat_map(|habit| [*habit; 6]).collect();
    let mut service = Service::start(Program::Epoxy, "    nbproc 1");
    let load = Load::start(service.address, &habits);
    for count in counts.iter().copied() {
        thread::sleep(SERVICE_TIME);
        change_count(&service, count);
        service.reload(Program::Epoxy, form);
        let workers = if count > 1 { count as usize } else { 0 };
        assert!(wait_until(PATIENCE, || workers_of(service.current.pid()).len() == workers));
    }
    thread::sleep(SERVICE_TIME);
    load.finish()
}

const COUNTS: [u32; 12] = [4, 2, 1, 4, 3, 2, 4, 1, 2, 8, 2, 1];

#[test]
fn any_number_follows_any_number() {
    let _turn = turn();
    reload_through(&COUNTS, Form::Plain).assert_nothing_lost();
}

#[test]
fn any_number_follows_any_number_by_the_runtime_socket() {
    let _turn = turn();
    reload_through(&COUNTS, Form::Exposed).assert_nothing_lost();
}
