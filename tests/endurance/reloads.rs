//! Reloads in every form, with numbers of workers that change.

use std::thread;
use std::time::Duration;

use crate::fleet::{Fleet, Form, PATIENCE};
use crate::load::{Load, crowd};
use crate::support::place::wait_until;
use crate::turn;

const RELOADS: usize = 100;

/// How long each set of workers serves before it is replaced.
const SERVICE_TIME: Duration = Duration::from_millis(40);

/// As many requests as may meet the closing of their connection: clients that go on at once should meet none, but
/// the machine may be busy with something else just then.
const RETRIES_MAX: u64 = RELOADS as u64 / 4;

fn reload_often(form: Form) {
    let _turn = turn();
    let mut fleet = Fleet::start(form, 1, "");
    let load = Load::start(fleet.address, &crowd());
    for workers in [4, 2, 1].iter().cycle().take(RELOADS) {
        thread::sleep(SERVICE_TIME);
        fleet.reload(*workers);
    }
    thread::sleep(SERVICE_TIME);
    let count = load.finish();
    count.assert_nothing_lost();
    assert!(count.retried <= RETRIES_MAX, "{count:?}");
    // What the old processes counted is counted once and for all, and those that end have nothing open.
    let frontend = || ["hrsp_2xx", "req_tot", "conn_tot", "scur"].map(|column| fleet.stat("f", "FRONTEND", column));
    let expected = [count.answered, count.answered, count.connects, 0];
    assert!(wait_until(PATIENCE, || frontend() == expected), "{:?} {expected:?}", frontend());
    let sum = |column| ["quick", "slow"].iter().map(|name| fleet.stat(name, "BACKEND", column)).sum::<u64>();
    let backends = || ["hrsp_2xx", "scur"].map(sum);
    assert!(wait_until(PATIENCE, || backends() == [count.answered, 0]), "{:?} {count:?}", backends());
}

#[test]
fn a_hundred_reloads_by_pid_lose_nothing() {
    reload_often(Form::Finish);
}

#[test]
fn a_hundred_reloads_by_the_runtime_socket_lose_nothing() {
    reload_often(Form::Exposed);
}

#[test]
fn a_hundred_reloads_by_sigusr2_lose_nothing() {
    reload_often(Form::Usr2);
}

#[test]
fn a_hundred_reloads_by_sighup_lose_nothing() {
    reload_often(Form::Hup);
}

#[test]
fn a_hundred_reloads_by_the_master_socket_lose_nothing() {
    reload_often(Form::Socket);
}

/// Twenty configurations that cannot be: who served before goes on, and each says why.
fn fail_often(form: Form) {
    let _turn = turn();
    let mut fleet = Fleet::start(form, 2, "");
    let workers = fleet.workers();
    let config = std::fs::read_to_string(fleet.dir().join("a.cfg")).expect("configuration");
    let load = Load::start(fleet.address, &crowd());
    let taken = std::net::TcpListener::bind((*fleet.address.ip(), 9000)).expect("bind");
    let held = format!("{config}\nfrontend g\n    bind {}\n", taken.local_addr().expect("address"));
    let broken = [
        (config.replace("mode http", "mode httq"), "unknown proxy mode 'httq'"),
        (held, "cannot bind socket"),
        (config.replace("default_backend quick", "default_backend nobody"), "nobody"),
        (String::new(), "No enabled listener found"),
    ];
    for (config, reason) in broken.iter().cycle().take(20) {
        let said = fleet.fail_to_reload(config);
        assert!(said.contains(reason), "{reason}: {said}");
    }
    load.finish().assert_nothing_lost();
    assert_eq!(fleet.workers(), workers);
    std::fs::write(fleet.dir().join("a.cfg"), config).expect("configuration");
    fleet.reload(2);
}

#[test]
fn failed_reloads_by_pid_change_nothing() {
    fail_often(Form::Finish);
}

#[test]
fn failed_reloads_of_a_master_change_nothing() {
    fail_often(Form::Usr2);
}
