//! However many workers there are, the node sees one checker.

use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fleet::{Fleet, Form};
use crate::support::node::{Mood, Node, Programs};
use crate::support::place::loopback_address;
use crate::turn;

const INTERVAL_MS: u64 = 100;
const WATCHED: Duration = Duration::from_secs(2);

fn checked() -> (Node, String) {
    let address = SocketAddrV4::new(loopback_address(), 8004);
    let node = Node::start("checked", address.into(), Mood::Listens, Programs::default()).expect("a node");
    let more =
        format!("backend watched\n    option httpchk GET /alive\n    server s {address} check inter {INTERVAL_MS}ms\n");
    (node, more)
}

/// A node sees in a while the checks of one worker; connections for nothing else come to it.
fn assert_one_checker(node: &Node, who: &str) {
    let (begun, before) = (Instant::now(), node.connections().len());
    thread::sleep(WATCHED);
    let seen = node.connections().len() - before;
    let expected = (begun.elapsed().as_millis() as u64 / INTERVAL_MS) as usize;
    assert!((expected / 2..=expected + 2).contains(&seen), "{who}: {seen} checks, {expected} expected");
}

#[test]
fn the_node_sees_one_checker_whatever_the_number_of_workers() {
    let _turn = turn();
    for workers in [1, 2, 4, 8] {
        let (node, more) = checked();
        let _fleet = Fleet::start(Form::Finish, workers, &more);
        assert_one_checker(&node, &format!("{workers} workers"));
    }
}

#[test]
fn a_killed_checker_and_a_reloaded_one_have_one_successor() {
    let _turn = turn();
    let (node, more) = checked();
    let mut fleet = Fleet::start(Form::Finish, 3, &more);
    for victim in fleet.workers() {
        kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("kill");
        thread::sleep(Duration::from_millis(100));
    }
    fleet.wait_for_workers(3);
    assert_one_checker(&node, "after kills");
    for workers in [1, 4, 2] {
        fleet.reload(workers);
        assert_one_checker(&node, &format!("after a reload to {workers}"));
        assert_eq!(fleet.stat("watched", "s", "chkfail"), 0);
    }
}
