//! Idle connections that the server closes just as they are used.

use super::*;
use crate::proxy::{ServerAddress, ServerId};

/// A session whose first request was answered, and the server's end of the connection that is idle now.
fn idle(sim: &mut Sim) -> (Far, Far) {
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert_eq!(status(&sim.got(client)), "200");
    (client, server)
}

#[test]
fn a_get_goes_out_once_more() {
    let mut sim = Sim::simple("");
    let (client, stale) = idle(&mut sim);
    sim.send(client, GET);
    sim.close(stale);
    let fresh = sim.server();
    assert!(sim.got(fresh).starts_with("GET / "));
    sim.send(fresh, OK);
    assert_eq!(status(&sim.got(client)), "200");
    assert_eq!(sim.gauges().iter().filter(|(name, _)| name.contains("Queue")).map(|(_, n)| n).sum::<u64>(), 0);
    // A second death is an answer that did not come.
    sim.send(client, GET);
    sim.close(fresh);
    let third = sim.server();
    sim.close(third);
    assert!(sim.is_closed(client) || status(&sim.got(client)) == "502");
}

#[test]
fn a_post_is_left_to_the_client() {
    let mut sim = Sim::simple("");
    let (client, stale) = idle(&mut sim);
    sim.send(client, "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    sim.close(stale);
    assert!(sim.is_closed(client));
    assert_eq!(sim.got(client), "");
    assert!(sim.try_server().is_none());
}

/// A client whose second request is on a connection that was kept, and that connection.
fn second_request(settings: &str) -> (Sim, Far, Far) {
    let mut sim = Sim::simple(settings);
    let (client, server) = idle(&mut sim);
    sim.got(server);
    sim.send(client, GET);
    assert_eq!(sim.got(server).matches("GET /").count(), 1);
    (sim, client, server)
}

#[test]
fn a_request_that_goes_out_again_waits_for_its_connection_only() {
    let (mut sim, client, server) = second_request("timeout server 3s\n timeout connect 5s");
    sim.pass(2_000);
    sim.network(SimConnect::Silence);
    sim.reset(server);
    // The time for the first answer passes; a worker that took it for due would find nothing to do, again and again.
    sim.pass(4_000);
    let fresh = sim.server();
    sim.establish(fresh);
    sim.send(fresh, OK);
    assert_eq!(status(&sim.got(client)), "200");
}

#[test]
fn a_request_does_not_go_out_again_to_a_server_that_is_down() {
    use crate::check::Operation;
    use crate::proxy::ServerId;
    let (mut sim, client, server) = second_request("");
    sim.core.services.change_server(ServerId(0), |state, now| state.order_health(Operation::Stopped, now).into());
    sim.reset(server);
    assert!(sim.try_server().is_none());
    assert!(sim.is_closed(client));
}

#[test]
fn what_was_lent_when_its_server_moved_is_not_kept() {
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let before = sim.server();
    let elsewhere = ServerAddress::Ip(([10, 0, 0, 77], 80).into());
    sim.core.services.change_place(ServerId(0), |place| place.order_address(elsewhere));
    sim.send(before, OK);
    assert_eq!(status(&sim.got(client)), "200");
    assert!(sim.is_closed(before) || sim.is_reset(before));
    sim.send(client, GET);
    assert_eq!(sim.leads_to(), Some(([10, 0, 0, 77], 80).into()));
    let after = sim.server();
    sim.send(after, OK);
    assert_eq!(status(&sim.got(client)), "200");
}
