//! Reloads under load: a new process takes the place of the old one, and no client notices.
//!
//!     cargo test --test reload
//!     cargo test --test reload -- --ignored --nocapture    # the figures, beside HAProxy's
//!
//! The tests take turns: each one measures what clients see, and the machine should be theirs.

mod load;
mod refused;
mod service;
#[path = "../support/mod.rs"]
mod support;
mod taken;

use std::thread;
use std::time::Duration;

use load::{Count, Habit, Load, crowd};
use service::{Form, Program, Service};
use support::service::turn;

const RELOADS: u32 = 20;

/// How long each process serves before it is replaced.
const SERVICE_TIME: Duration = Duration::from_millis(60);

/// Reloads under load; `programs` take turns.
fn reload_often(programs: &[Program], form: Form, habits: &[Habit]) -> Count {
    let mut service = Service::start(programs[0], "");
    let load = Load::start(service.address, habits);
    for program in programs.iter().cycle().skip(1).take(RELOADS as usize) {
        thread::sleep(SERVICE_TIME);
        service.reload(*program, form);
    }
    thread::sleep(SERVICE_TIME);
    load.finish()
}

/// As many requests as may meet the closing of their connection: clients that go on at once should meet none, but
/// the machine may be busy with something else just then.
const RETRIES_MAX: u64 = RELOADS as u64 / 4;

#[test]
fn a_plain_reload_loses_nothing() {
    let _turn = turn();
    let count = reload_often(&[Program::Epoxy], Form::Plain, &crowd());
    count.assert_nothing_lost();
    assert!(count.retried <= RETRIES_MAX, "{count:?}");
}

#[test]
fn a_reload_by_the_runtime_socket_loses_nothing() {
    let _turn = turn();
    let count = reload_often(&[Program::Epoxy], Form::Exposed, &crowd());
    count.assert_nothing_lost();
    assert!(count.retried <= RETRIES_MAX, "{count:?}");
}

#[test]
fn haproxy_and_epoxy_hand_over_to_each_other() {
    let _turn = turn();
    reload_often(&[Program::Haproxy, Program::Epoxy, Program::Epoxy], Form::Exposed, &crowd()).assert_nothing_lost();
}

/// `-st` cuts what is under way, and nothing else: every connection finds somebody.
#[test]
fn a_termination_refuses_no_connection() {
    let _turn = turn();
    let habits = [Habit { path: "/", requests: 5, pause: Duration::from_millis(10) }; 32];
    let count = reload_often(&[Program::Epoxy], Form::Terminate, &habits);
    eprintln!("{count:?}");
    assert_eq!(count.failed_connects, 0, "{:?}", count.reasons);
    assert!(count.failed_requests <= u64::from(RELOADS) * 32 && count.answered > 1000, "{count:?}");
}

/// The last resort: sockets beside the old ones. What waits in the old process's queues it serves.
#[test]
fn a_reload_beside_an_opaque_process_goes_on() {
    let _turn = turn();
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("not root: nobody to become");
    }
    let count = reload_often(&[Program::Opaque], Form::Plain, &crowd());
    eprintln!("{count:?}");
    // Only handshakes that the old kernel socket had not finished may be lost.
    assert!((count.failed_connects + count.failed_requests) * 1000 < count.answered, "{count:?}");
}

/// 32 clients that open a connection for each request.
fn reconnecting() -> Vec<Habit> {
    vec![Habit { path: "/", requests: 1, pause: Duration::ZERO }; 32]
}

#[test]
#[ignore = "figures for the eye"]
fn figures() {
    let _turn = turn();
    for (name, habits) in [("mixed", crowd()), ("reconnecting", reconnecting())] {
        for (program, form) in [
            (Program::Haproxy, Form::Plain),
            (Program::Haproxy, Form::Exposed),
            (Program::Epoxy, Form::Plain),
            (Program::Epoxy, Form::Exposed),
            (Program::Opaque, Form::Plain),
        ] {
            let count = reload_often(&[program], form, &habits);
            eprintln!("{name} {program:?} {form:?}: {count:?}");
        }
    }
}
