//! Timeouts and ends of tunnels: TCP mode, and HTTP after an upgrade.
//!
//! A side whose timeout fires is taken for one that ended its direction; the other side is told so and lives
//! on until its own end or timeout. The first cause is logged.

use super::*;

/// A client and a server that are connected.
fn connected(settings: &str) -> (Sim, Far, Far) {
    let mut sim = Sim::simple_tcp(settings);
    let client = sim.client();
    let server = sim.server();
    (sim, client, server)
}

#[test]
fn a_silent_client_is_taken_for_one_that_ended() {
    let (mut sim, client, server) = connected("timeout client 5s\n timeout server 15s");
    sim.send(client, "x");
    assert_eq!(sim.got(server), "x");
    assert_eq!(sim.after_exactly(5_000, server), "");
    assert!(sim.is_closed(server) && !sim.is_closed(client));
    assert_eq!(sim.after_exactly(10_000, client), "");
    assert_eq!(sim.line(), "fe be/s1 0/0/15000 0 cD 1/1/0/0/0 0/0");
}

#[test]
fn a_silent_server_is_taken_for_one_that_ended() {
    let (mut sim, client, server) = connected("timeout client 15s\n timeout server 5s");
    sim.send(client, "x");
    assert_eq!(sim.got(server), "x");
    assert_eq!(sim.after_exactly(5_000, client), "");
    // The client goes on as long as it likes.
    sim.pass(9_000);
    sim.send(client, "y");
    assert_eq!(sim.got(server), "y");
    assert_eq!(sim.after_exactly(15_000, server), "");
    assert_eq!(sim.line(), "fe be/s1 0/0/29000 0 sD 1/1/0/0/0 0/0");
}

#[test]
fn bytes_hold_the_timeouts_of_both_sides_up() {
    let (mut sim, client, server) = connected("timeout client 5s\n timeout server 5s");
    for _ in 0..4 {
        sim.pass(4_000);
        sim.send(server, "x");
    }
    assert_eq!(sim.got(client), "xxxx");
    assert_eq!(sim.after_exactly(5_000, client), "");
    assert!(sim.is_closed(server));
    assert_eq!(sim.line(), "fe be/s1 0/0/21000 4 cD 1/1/0/0/0 0/0");
}

#[test]
fn a_side_that_has_ended_has_no_timeout() {
    let (mut sim, client, server) = connected("timeout client 5s\n timeout server 15s");
    sim.fin(client);
    assert!(sim.is_closed(server));
    assert_eq!(sim.after_exactly(15_000, client), "");
    assert_eq!(sim.outcome(), "sD");
    let (mut sim, client, server) = connected("timeout client 5s\n timeout server 2s");
    sim.fin(server);
    assert!(sim.is_closed(client));
    assert_eq!(sim.after_exactly(5_000, server), "");
    assert_eq!(sim.outcome(), "cD");
}

#[test]
fn the_fin_timeouts_are_those_of_the_side_that_is_told() {
    let (mut sim, client, _server) = connected("timeout client-fin 3s\n timeout server-fin 9s");
    sim.pass(1_000);
    sim.fin(client);
    assert_eq!(sim.after_exactly(9_000, client), "");
    assert_eq!(sim.outcome(), "sD");
    let (mut sim, _client, server) = connected("timeout client-fin 9s\n timeout server-fin 3s");
    sim.pass(1_000);
    sim.fin(server);
    assert_eq!(sim.after_exactly(9_000, server), "");
    assert_eq!(sim.outcome(), "cD");
}

#[test]
fn bytes_hold_a_fin_timeout_up() {
    let (mut sim, client, server) = connected("timeout server-fin 6s");
    sim.fin(client);
    for _ in 0..3 {
        sim.pass(4_000);
        sim.send(server, "y");
    }
    assert_eq!(sim.got(client), "yyy");
    assert_eq!(sim.after_exactly(6_000, client), "");
    assert_eq!(sim.line(), "fe be/s1 0/0/18000 3 sD 1/1/0/0/0 0/0");
}

#[test]
fn timeout_tunnel_replaces_both_and_yields_to_the_fin_timeouts() {
    let tunnel = "timeout tunnel 15s\n timeout client 6s\n timeout server 6s";
    let (mut sim, client, _) = connected(tunnel);
    assert_eq!(sim.after_exactly(15_000, client), "");
    assert_eq!(sim.outcome(), "cD");
    let (mut sim, client, _) = connected(tunnel);
    sim.fin(client);
    assert_eq!(sim.after_exactly(15_000, client), "");
    assert_eq!(sim.outcome(), "sD");
    let (mut sim, _, server) = connected(&format!("{tunnel}\n timeout client-fin 3s"));
    sim.fin(server);
    assert_eq!(sim.after_exactly(3_000, server), "");
    assert_eq!(sim.outcome(), "cD");
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    for settings in ["timeout client 5s\n timeout server 15s", "timeout client 25s\n timeout server 15s"] {
        let mut sim = Sim::simple_tcp(settings);
        sim.capacity(100);
        let client = sim.client();
        let server = sim.server();
        sim.stop_reading(server);
        sim.send(client, "x".repeat(100_000));
        assert_eq!(sim.after_exactly(15_000, client), "");
        assert_eq!(sim.outcome(), "sD");
    }
}

#[test]
fn resets_and_ends_of_tunnels() {
    let (mut sim, client, server) = connected("");
    sim.send(client, "x");
    sim.reset(client);
    assert!(sim.is_closed(server));
    assert_eq!(sim.outcome(), "CD");

    let (mut sim, client, server) = connected("");
    sim.reset(server);
    assert!(sim.is_closed(client));
    assert_eq!(sim.outcome(), "SD");

    let (mut sim, client, server) = connected("");
    sim.close(client);
    sim.send(server, "1");
    sim.send(server, "2");
    assert_eq!(sim.outcome(), "CD");

    let (mut sim, client, server) = connected("");
    sim.fin(client);
    sim.send(server, "bye");
    sim.fin(server);
    assert_eq!(sim.got(client), "bye");
    assert_eq!(sim.line(), "fe be/s1 0/0/0 3 -- 1/1/0/0/0 0/0");
}

#[test]
fn a_tcp_client_that_leaves_before_the_server_is_there() {
    let refused = |far: fn(&mut Sim, Far), sends: &str| {
        let mut sim = Sim::simple_tcp("retries 3");
        sim.network(SimConnect::Refuse);
        let client = sim.client();
        sim.send(client, sends);
        sim.pass(200);
        far(&mut sim, client);
        sim.pass(5_000);
        sim.line()
    };
    assert_eq!(refused(Sim::close, "x"), "fe be/s1 0/-1/3000 0 SC 1/1/0/0/3 0/0");
    assert_eq!(refused(Sim::close, ""), "fe be/s1 0/-1/200 0 CC 1/1/0/0/1 0/0");
    assert_eq!(refused(Sim::reset, "x"), "fe be/s1 0/-1/200 0 CD 1/1/0/0/1 0/0");
}

#[test]
fn a_tcp_server_that_cannot_be_reached() {
    let mut sim = Sim::simple_tcp("timeout connect 4s");
    sim.network(SimConnect::Silence);
    let client = sim.client_sends("x");
    assert_eq!(sim.after_exactly(4_000, client), "");
    assert_eq!(sim.line(), "fe be/s1 0/-1/4000 0 sC 1/1/0/0/0 0/0");
    let mut sim = Sim::tcp("frontend fe\n bind 127.0.0.1:8001\n default_backend be\nbackend be\n");
    let client = sim.client();
    assert!(sim.is_closed(client));
    assert_eq!(sim.line(), "fe be/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0");
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

fn upgraded(settings: &str) -> (Sim, Far, Far) {
    let mut sim = Sim::simple(settings);
    let client = sim.client_sends(UPGRADE);
    let server = sim.server();
    sim.send(server, SWITCH);
    assert!(sim.got(client).starts_with("HTTP/1.1 101 "));
    assert!(!sim.got(server).is_empty());
    (sim, client, server)
}

#[test]
fn the_end_of_the_server_ends_an_upgraded_connection() {
    let (mut sim, client, server) = upgraded("timeout client-fin 3s");
    sim.fin(server);
    assert!(sim.is_closed(client) && sim.is_closed(server));
    assert_eq!(sim.outcome(), "101 --");
    let (mut sim, client, _) = upgraded("timeout client 15s\n timeout server 6s");
    assert_eq!(sim.after_exactly(6_000, client), "");
    assert_eq!(sim.outcome(), "101 sD");
    let (mut sim, client, server) = upgraded("");
    sim.reset(server);
    assert!(sim.is_closed(client));
    assert_eq!(sim.outcome(), "101 SD");
}

#[test]
fn the_end_of_the_client_is_passed_on_in_an_upgraded_connection() {
    let (mut sim, client, server) = upgraded("timeout tunnel 15s");
    sim.fin(client);
    assert!(sim.is_closed(server));
    sim.pass(2_000);
    sim.send(server, "later");
    assert_eq!(sim.got(client), "later");
    assert_eq!(sim.after_exactly(15_000, client), "");
    assert_eq!(sim.outcome(), "101 sD");
    let (mut sim, client, server) = upgraded("timeout client 6s\n timeout server 15s");
    assert_eq!(sim.after_exactly(6_000, server), "");
    assert_eq!(sim.after_exactly(9_000, client), "");
    assert_eq!(sim.outcome(), "101 cD");
    let (mut sim, client, server) = upgraded("");
    sim.reset(client);
    assert!(sim.is_closed(server));
    assert_eq!(sim.outcome(), "101 CD");
}
