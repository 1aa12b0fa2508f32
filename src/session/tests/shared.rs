//! Workers over one segment: what one of them orders, all of them do.

use super::*;
use crate::check::Operation;
use crate::proxy::{BackendId, FrontendId, ServerId};
use crate::session::places::Pick;
use crate::shm::{SlotState, SlotWord};
use std::sync::atomic::Ordering::Relaxed;

const TWO: &str = "option redispatch\nfrontend fe\n bind :8001\n default_backend be\nbackend be\n balance source\n \
                   server s1 127.0.0.1:1 maxconn 5\n server s2 127.0.0.1:2 weight 3\n";

const FE: u32 = 0;
const BE: u32 = 0;
const S1: u32 = 0;
const S2: u32 = 1;

fn pair(text: &str) -> (Sim, Sim) {
    let mut both = Sim::workers(2, text);
    let two = both.pop().expect("the second");
    (both.pop().expect("the first"), two)
}

fn maintain(sim: &mut Sim, server: u32) {
    sim.core.services.change_server(ServerId(server), |state, now| state.order_maintenance(now).into());
    sim.settle();
}

fn word(sim: &Sim, server: u32) -> String {
    sim.core.services.servers[server as usize].status_word()
}

#[test]
fn an_order_to_one_worker_holds_for_all_and_is_told_once() {
    let (mut a, mut b) = pair(TWO);
    maintain(&mut a, S1);
    b.settle();
    for n in 0..20 {
        assert_eq!(b.core.services.choose(BackendId(BE), Some(n), None), Pick::Server(ServerId(S2)));
        b.core.services.vacate(ServerId(S2));
    }
    b.pass(5_000);
    maintain(&mut b, S2);
    a.settle();
    assert_eq!(a.core.services.choose(BackendId(BE), Some(1), None), Pick::Nobody);
    let backends = [&a, &b].map(|sim| sim.core.services.states.backends[BE as usize]);
    assert!(!backends[0].up);
    assert_eq!((backends[0].changed_at, backends[0].up), (backends[1].changed_at, backends[1].up));
    let lines = [a.log(), b.log()].concat();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].contains("has no server available"), "{lines:?}");
    let downs = a.core.services.counters.server(ServerId(S2)).get(crate::stats::Count::CheckDowns);
    assert_eq!(downs, 1);
}

#[test]
fn who_tracks_follows_in_all_workers() {
    let text = TWO.to_owned() + "backend late\n server t2 127.0.0.1:4 track t1\n server t1 127.0.0.1:3 track be/s1\n";
    let text = text.replace("maxconn 5", "check");
    let (mut a, mut b) = pair(&text);
    let words = |sim: &Sim| [3, 2].map(|id| sim.core.services.status_word(ServerId(id)));
    assert_eq!(words(&a), ["UP 1/3", "UP 1/3"]);
    maintain(&mut a, S1);
    b.settle();
    assert_eq!(words(&a), ["MAINT (via be/s1)", "MAINT (via late/t1)"]);
    assert_eq!(words(&b), words(&a));
    assert_eq!(b.core.services.choose(BackendId(1), None, None), Pick::Nobody);
    b.core.services.change_server(ServerId(S1), |state, now| state.order_drain(now).into());
    a.settle();
    assert_eq!(words(&a), ["DRAIN 1/3", "DRAIN 1/3"]);
    a.core.services.change_server(ServerId(S1), |state, now| state.order_ready(now).into());
    a.core.services.change_server(ServerId(S1), |state, now| state.order_health(Operation::Stopped, now).into());
    b.settle();
    assert_eq!(words(&b), ["DOWN", "DOWN"]);
    // Each change was told once, by who made it.
    let lines = [a.log(), b.log()].concat();
    assert_eq!(lines.iter().filter(|line| line.contains("t2 is DOWN via late/t1")).count(), 1, "{lines:?}");
}

#[test]
fn a_server_grows_in_all_workers() {
    let text =
        TWO.replace("balance source", "balance roundrobin").replace("weight 3", "weight 16 slowstart 10s maxconn 50");
    let (mut a, mut b) = pair(&text);
    maintain(&mut a, S2);
    b.settle();
    b.core.services.change_server(ServerId(S2), |state, now| state.order_ready(now).into());
    let shares = |sim: &Sim| sim.core.services.live[S2 as usize].effective;
    let both_pass = |a: &mut Sim, b: &mut Sim, ms| (a.pass(ms), b.pass(ms));
    both_pass(&mut a, &mut b, 1);
    assert_eq!((shares(&a), shares(&b)), (1, 1));
    both_pass(&mut a, &mut b, 5_500);
    assert_eq!((shares(&a), shares(&b)), (9, 9));
    // Half of the limit is there, over both.
    let taken = take(&mut a, &mut b, S2);
    assert_eq!(taken[0] + taken[1], 25);
    both_pass(&mut a, &mut b, 6_000);
    assert_eq!((shares(&a), shares(&b)), (16, 16));
    let more = take(&mut a, &mut b, S2);
    assert_eq!(more[0] + more[1], 25);
    let lines = [a.log(), b.log()].concat();
    assert_eq!(lines.iter().filter(|line| line.contains("s2 is UP.")).count(), 1, "{lines:?}");
    (0..taken[0] + more[0]).for_each(|_| a.core.services.vacate(ServerId(S2)));
    (0..taken[1] + more[1]).for_each(|_| b.core.services.vacate(ServerId(S2)));
}

/// Takes all places that a server has, from both workers in turn; how many each got.
fn take(a: &mut Sim, b: &mut Sim, server: u32) -> [usize; 2] {
    let mut taken = [0, 0];
    for n in 0..60 {
        let sim = if n % 2 == 0 { &mut *a } else { &mut *b };
        taken[n % 2] += usize::from(sim.core.services.occupy(ServerId(server)));
    }
    taken
}

#[test]
fn the_load_of_all_workers_raises_the_limit() {
    let text = TWO.replace("s1 127.0.0.1:1 maxconn 5", "s1 127.0.0.1:1 minconn 2 maxconn 8");
    let (mut a, mut b) = pair(&text.replace("balance source", "fullconn 20"));
    let load = |sim: &Sim, n| {
        sim.core.services.counters.backend(BackendId(BE)).set(crate::stats::Count::SessionsCurrent, n);
    };
    let mut taken = [0, 0];
    for (sessions, places) in
        [([0, 0], 2), ([5, 0], 2), ([5, 5], 4), ([5, 6], 4), ([10, 9], 7), ([10, 10], 8), ([20, 9], 8)]
    {
        for (sim, n) in [&a, &b].into_iter().zip(sessions) {
            load(sim, n);
        }
        let more = take(&mut a, &mut b, S1);
        taken = [taken[0] + more[0], taken[1] + more[1]];
        assert_eq!(taken[0] + taken[1], places, "{sessions:?}");
    }
    (0..taken[0]).for_each(|_| a.core.services.vacate(ServerId(S1)));
    (0..taken[1]).for_each(|_| b.core.services.vacate(ServerId(S1)));
    [&a, &b].into_iter().for_each(|sim| load(sim, 0));
}

#[test]
fn requests_that_wait_at_another_worker_choose_again() {
    let text = TWO.replace("weight 3", "maxconn 5").replace("maxconn 5", "maxconn 1");
    let (mut a, mut b) = pair(&text);
    let _first = b.client_sends(GET);
    let busy = b.server();
    let second = b.client_sends(GET);
    assert!(b.try_server().is_none(), "it waits for the server that its address leads to");
    let waiting = [S1, S2].into_iter().find(|id| b.core.services.queues.server_len(ServerId(*id)) > 0);
    maintain(&mut a, waiting.expect("a queue"));
    b.settle();
    let other = b.server();
    b.send(other, OK);
    assert_eq!(status(&b.got(second)), "200");
    b.send(busy, OK);
}

#[test]
fn limits_and_frontends_follow() {
    let (mut a, mut b) = pair(TWO);
    a.core.services.set_server_maxconn(ServerId(S1), Some(9));
    a.core.services.set_server_weight(ServerId(S2), 0);
    a.core.services.set_maxconn(Some(77));
    let refused = a.core.services.change_frontend(FrontendId(FE), |state| {
        (state.paused, state.maxconn) = (true, Some(0));
        Ok::<_, ()>(())
    });
    assert_eq!(refused, Ok(()));
    b.settle();
    let services = &mut b.core.services;
    assert_eq!((services.server_maxconn(ServerId(S1)), services.maxconn), (Some(9), 77));
    assert_eq!((services.servers[S2 as usize].weight, services.live[S2 as usize].weight), (0, 0));
    assert_eq!((services.frontend_maxconn(FrontendId(FE)), services.states.frontends[0].paused), (0, true));
    assert_eq!(std::mem::take(&mut services.states.moved), [FrontendId(FE)]);
    let refused = b.core.services.change_frontend(FrontendId(FE), |_| Err("no"));
    assert_eq!(refused, Err("no"));
    // More changes than are remembered one by one.
    (0..200).for_each(|n| a.core.services.set_server_weight(ServerId(S1), n % 3 + 5));
    b.settle();
    assert_eq!(b.core.services.servers[S1 as usize].weight, 6);
}

#[test]
fn an_answer_waits_for_workers_that_live() {
    let (mut a, b) = pair(TWO);
    let (segment, slot) = (b.core.services.counters.segment(), b.core.services.counters.slot());
    let awaits = |a: &Sim| a.core.services.boards.is_awaited(a.core.services.boards.posted());
    maintain(&mut a, S1);
    assert!(!awaits(&a), "the other has not begun yet");
    segment.set_state(slot, SlotState::Serving);
    assert!(awaits(&a));
    let mut b = b;
    b.settle();
    b.core.services.boards.tell_seen();
    assert!(!awaits(&a));
    maintain(&mut a, S2);
    assert!(awaits(&a));
    let nobody = crate::sys::process::in_child(|| 0);
    assert_eq!(nobody, 0);
    // No process has such a number.
    segment.word(slot, SlotWord::Pid).store(i32::MAX as u64, Relaxed);
    assert!(!awaits(&a), "the dead see nothing");
}

#[test]
fn a_new_generation_goes_on_where_the_old_one_is() {
    let (mut old, _) = pair(TWO);
    maintain(&mut old, S1);
    old.core.services.set_server_weight(ServerId(S2), 100);
    old.core.services.change_server(ServerId(S2), |s, n| s.order_health(Operation::Stopped, n).into());
    old.settle();
    drop(old.log());
    let kept = old.successor(TWO);
    assert_eq!((word(&kept, S1), word(&kept, S2)), ("MAINT".into(), "DOWN".into()));
    assert_eq!(kept.core.services.servers[S2 as usize].weight, 100);
    assert!(!kept.core.services.states.backends[BE as usize].up);
    drop(kept);
    let text =
        TWO.replace("weight 3", "weight 4").replace("127.0.0.1:1 ", "127.0.0.1:11 ") + " server s3 127.0.0.1:3\n";
    let mut new = old.successor(&text);
    assert_eq!((word(&new, S1), word(&new, S2), word(&new, 2)), ("no check".into(), "DOWN".into(), "no check".into()));
    assert_eq!(new.core.services.servers[S2 as usize].weight, 4);
    assert!(new.core.services.states.backends[BE as usize].up);
    // The old one follows the new one's orders while it finishes.
    maintain(&mut new, S1);
    old.settle();
    assert_eq!(word(&old, S1), "MAINT");
    assert!(old.log().is_empty());
}

#[test]
fn the_checks_are_run_by_one_worker() {
    let text = TWO.replace("maxconn 5", "check inter 60s").replace("weight 3", "check inter 60s");
    let (mut a, mut b) = pair(&text);
    let on = |sims: &[&Sim]| sims.iter().map(|sim| sim.core.checks.are_on()).collect::<Vec<_>>();
    b.core.claim_checks();
    a.core.claim_checks();
    b.settle();
    assert_eq!(on(&[&a, &b]), [true, false]);
    a.network(SimConnect::Silence);
    a.core.expire();
    let _check = a.server();
    assert!(a.core.services.boards.check(ServerId(S1)).is_under_way());
    b.settle();
    assert!(b.core.services.boards.check(ServerId(S1)).is_under_way());
    let dates = [S1, S2].map(|id| a.core.services.boards.next_check(ServerId(id)).load(Relaxed));
    let mut new = a.successor(&text);
    new.core.claim_checks();
    let kept = [S1, S2].map(|id| new.core.services.boards.next_check(ServerId(id)).load(Relaxed));
    assert_eq!(kept, dates);
    assert!(!new.core.services.boards.check(ServerId(S1)).is_under_way());
    a.settle();
    b.settle();
    assert_eq!(on(&[&a, &b, &new]), [false, false, true]);
    assert!(!b.core.services.boards.check(ServerId(S1)).is_under_way());
    // A replacement of the older generation leaves it that way.
    a.core.claim_checks();
    assert_eq!(on(&[&a, &new]), [false, true]);
}

#[test]
fn a_check_that_says_nothing_new_is_shown_and_followed_by_nobody() {
    use crate::stats::view::States;
    let text = TWO.replace("maxconn 5", "check inter 1s fall 1 rise 1").replace("weight 3", "");
    let (mut a, mut b) = pair(&text);
    a.core.claim_checks();
    a.network(SimConnect::Silence);
    let shown = |sim: &Sim| {
        let check = sim.core.services.server(ServerId(S1)).check.expect("it is checked");
        (check.word, check.duration_ms, check.running)
    };
    // The first one tells that it is well; the next ones take their time.
    let mut changes = Vec::new();
    for (rest, took) in [(0, 0), (1_000, 30), (1_000, 20)] {
        a.pass(rest);
        a.core.expire();
        let server = a.server();
        b.settle();
        assert!(shown(&a).2 && shown(&b).2);
        a.pass(took);
        a.establish(server);
        changes.push(a.core.services.counters.segment().boards());
        b.settle();
        assert_eq!([shown(&a), shown(&b)], [("L4OK", Some(took), false); 2]);
    }
    assert!(changes.iter().all(|number| *number == changes[0]), "{changes:?}");
    // A result that is news is followed.
    a.pass(1_000);
    let server = a.server();
    a.pass(10);
    a.refuse(server);
    b.settle();
    assert_eq!([shown(&a), shown(&b)], [("L4CON", Some(10), false); 2]);
    assert!(a.core.services.counters.segment().boards() > changes[0]);
    assert_eq!(word(&b, S1), "DOWN");
}

#[test]
fn orders_to_frontends_and_the_whole_go_on_unless_the_file_has_other_limits() {
    let (mut old, other) = pair(TWO);
    let segment = old.core.services.counters.segment();
    segment.slots().free(other.core.services.counters.slot());
    let states = |sim: &Sim| {
        (sim.core.services.states.frontends[FE as usize].paused, sim.core.services.frontend_maxconn(FrontendId(FE)))
    };
    old.core.services.set_maxconn(Some(77));
    let order = |state: &mut crate::session::states::FrontendState| {
        (state.paused, state.maxconn) = (true, Some(55));
        Ok::<(), ()>(())
    };
    old.core.services.change_frontend(FrontendId(FE), order).expect("ordered");
    old.settle();
    let mut new = old.successor(TWO);
    segment.slots().free(old.core.services.counters.slot());
    new.core.services.follow_maxconn();
    assert_eq!((states(&new), new.core.services.maxconn), ((true, 55), 77));
    let other_limit = TWO.replace("bind :8001", "bind :8001\n maxconn 60");
    let new = new.successor(&other_limit);
    assert_eq!(states(&new), (true, 60));
    let mut last = new.successor(&other_limit);
    let enable = |state: &mut crate::session::states::FrontendState| {
        state.paused = false;
        Ok::<(), ()>(())
    };
    last.core.services.change_frontend(FrontendId(FE), enable).expect("ordered");
    assert_eq!(states(&last.successor(&other_limit)), (false, 60));
}

#[test]
fn sessions_of_a_server_end_in_all_workers() {
    let (mut a, mut b) = pair(TWO);
    for sim in [&mut a, &mut b] {
        sim.client_sends(GET);
        sim.server();
    }
    let servers = [&a, &b].map(|sim| sim.core.exchanges.iter().next().and_then(|(_, exchange)| exchange.server));
    for id in servers.into_iter().flatten() {
        a.core.services.end_sessions(id, crate::check::server::Ending::Ordered);
    }
    for sim in [&mut a, &mut b] {
        sim.core.follow();
        sim.core.run_promoted();
        sim.settle();
        let log = sim.log();
        assert!(sim.core.exchanges.is_empty() && log[0].contains(" KH"), "{log:?}");
    }
}
