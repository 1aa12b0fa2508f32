//! What a soft stop does to clients (manual 3.1 `close-spread-time`, 4.2 `option idle-close-on-response`).

use super::*;

/// A client with an answered request, silent since.
fn kept(sim: &mut Sim) -> (Far, Far) {
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
    (client, server)
}

/// Whether the next answer announces the end.
fn next_answer_ends(sim: &mut Sim, client: Far, server: Far) -> bool {
    sim.send(client, GET);
    let server = sim.try_server().unwrap_or(server);
    sim.send(server, OK);
    let answer = sim.got(client);
    assert!(answer.ends_with("ok"), "{answer:?}");
    let announced = answer.to_ascii_lowercase().contains("connection: close\r\n");
    assert_eq!(announced, sim.is_closed(client));
    announced
}

#[test]
fn who_goes_on_at_once_is_told_by_the_answer() {
    let mut sim = Sim::simple("");
    let (client, server) = kept(&mut sim);
    sim.pass(100);
    sim.soft_stop();
    assert!(!sim.is_closed(client));
    sim.pass(100);
    assert!(next_answer_ends(&mut sim, client, server));
}

#[test]
fn who_does_not_go_on_is_closed_soon() {
    let mut sim = Sim::simple("");
    let (client, _) = kept(&mut sim);
    sim.pass(100);
    sim.soft_stop();
    assert_eq!(sim.after_exactly(150, client), "");
    assert!(sim.is_closed(client));
}

#[test]
fn who_has_been_silent_is_closed_at_once() {
    let mut sim = Sim::simple("");
    let (client, _) = kept(&mut sim);
    sim.pass(300);
    sim.soft_stop();
    assert!(sim.is_closed(client));
}

#[test]
fn a_first_request_is_waited_for() {
    let mut sim = Sim::simple("");
    let client = sim.client();
    sim.pass(300);
    sim.soft_stop();
    sim.pass(1000);
    assert!(!sim.is_closed(client));
    sim.send(client, GET);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.is_closed(client));
}

#[test]
fn a_request_under_way_is_answered() {
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.soft_stop();
    sim.pass(20_000);
    sim.send(server, OK);
    let answer = sim.got(client);
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("ok"), "{answer:?}");
    assert!(sim.is_closed(client));
}

#[test]
fn a_window_spreads_the_ends() {
    let mut sim = Sim::simple("global\n close-spread-time 10s");
    let clients: Vec<(Far, Far)> = (0..100).map(|_| kept(&mut sim)).collect();
    sim.soft_stop();
    let mut closed = Vec::new();
    for _ in 0..4 {
        sim.pass(2_500);
        closed.push(clients.iter().filter(|(client, _)| sim.is_closed(*client)).count());
    }
    assert!((5..45).contains(&closed[0]) && (30..70).contains(&closed[1]), "{closed:?}");
    assert_eq!(closed[3], 100);
}

#[test]
fn without_an_end_nothing_changes_for_clients() {
    let mut sim = Sim::simple("global\n close-spread-time infinite");
    let (client, server) = kept(&mut sim);
    sim.soft_stop();
    sim.pass(5_000);
    assert!(!sim.is_closed(client));
    assert!(!next_answer_ends(&mut sim, client, server));
}

#[test]
fn idle_connections_may_be_left_to_their_next_answer() {
    let mut sim = Sim::simple("option idle-close-on-response");
    let (client, server) = kept(&mut sim);
    sim.soft_stop();
    sim.pass(5_000);
    assert!(!sim.is_closed(client));
    assert!(next_answer_ends(&mut sim, client, server));
}
