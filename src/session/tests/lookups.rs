//! Exchanges that wait for the address of a name.

use super::*;
use crate::proxy::ResolversId;

const FORWARD: &str = "resolvers r\n nameserver a 127.0.0.1:53\n timeout retry 2s\n resolve_retries 3\nfrontend fe\n \
     bind 127.0.0.1:80\n http-request do-resolve(txn.ip,r,ipv4) hdr(host)\n http-request set-dst var(txn.ip)\n \
     default_backend be\nbackend be\n server any 0.0.0.0:8080\n";

const INSPECT: &str = "resolvers r\n nameserver a 127.0.0.1:53\n timeout retry 2s\nfrontend fe\n bind 127.0.0.1:80\n \
     tcp-request inspect-delay 5s\n tcp-request content do-resolve(txn.ip,r,ipv4) str(web.test)\n \
     tcp-request content set-dst var(txn.ip)\n default_backend be\nbackend be\n server any 0.0.0.0:8080\n";

const FOUND: [u8; 4] = [10, 0, 0, 7];

/// The questions that were sent since the last call.
fn asked(sim: &mut Sim) -> Vec<Vec<u8>> {
    sim.pass(0);
    sim.datagrams()
}

/// The name server answers with an address, or that there is no such name.
fn answer(sim: &mut Sim, question: &[u8], address: Option<[u8; 4]>) {
    // Without the OPT record.
    let mut reply = question[..question.len() - 11].to_vec();
    reply[2..4].copy_from_slice(if address.is_some() { &[0x81, 0x80] } else { &[0x81, 0x83] });
    reply[6..8].copy_from_slice(&[0, u8::from(address.is_some())]);
    reply[10..12].copy_from_slice(&[0, 0]);
    if let Some(address) = address {
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend_from_slice(&address);
    }
    let now = sim.core.services.now.tick();
    sim.core.services.names.received(ResolversId(0), 0, &reply, now);
    sim.pass(0);
}

fn is_idle(sim: &Sim) -> bool {
    sim.core.services.names.is_idle()
}

#[test]
fn a_request_goes_where_its_name_leads() {
    let mut sim = Sim::http(FORWARD);
    let client = sim.client_sends(GET);
    let questions = asked(&mut sim);
    assert_eq!(questions.len(), 1);
    sim.pass(700);
    assert!(sim.try_server().is_none());
    answer(&mut sim, &questions[0], Some(FOUND));
    assert_eq!(sim.leads_to(), Some(([10, 0, 0, 7], 8080).into()));
    let server = sim.server();
    sim.send(server, OK);
    assert_eq!(status(&sim.got(client)), "200");
    assert_eq!(sim.line(), "fe be/any 700/0/0/0/700 200 51 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
    assert!(is_idle(&sim));
}

#[test]
fn without_an_answer_it_goes_on_in_the_end() {
    let mut sim = Sim::http(
        &FORWARD.replace("default_backend", "http-request deny unless { var(txn.ip) -m found }\n default_backend"),
    );
    let client = sim.client_sends(GET);
    let mut asked = asked(&mut sim).len();
    let got = sim.after_exactly(6_000, client);
    asked += sim.datagrams().len();
    assert_eq!((status(&got), asked), ("403", 3));
    assert!(is_idle(&sim));
    sim.client_sends("GET / HTTP/1.1\r\nHost: no..name\r\n\r\n");
    sim.pass(0);
    assert_eq!((sim.datagrams().len(), sim.log().len()), (0, 2));
}

#[test]
fn two_ask_once() {
    let mut sim = Sim::http(FORWARD);
    let both = [sim.client_sends(GET), sim.client_sends(GET)];
    let questions = asked(&mut sim);
    assert_eq!(questions.len(), 1);
    answer(&mut sim, &questions[0], Some(FOUND));
    for client in both {
        let server = sim.server();
        sim.send(server, OK);
        assert_eq!(status(&sim.got(client)), "200");
    }
}

#[test]
fn who_gives_up_asks_no_more() {
    let mut sim = Sim::http(&format!("option abortonclose\n{FORWARD}"));
    let client = sim.client_sends(GET);
    assert_eq!(asked(&mut sim).len(), 1);
    sim.pass(100);
    sim.close(client);
    assert!(is_idle(&sim));
}

#[test]
fn a_client_that_stays_silent_in_its_body_is_late() {
    let mut sim = Sim::http(&format!("timeout client 3s\n{FORWARD}"));
    let client = sim.client_sends(POST);
    sim.pass(1_000);
    sim.send(client, "d");
    assert_eq!(sim.after_exactly(3_000, client), "");
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/-1/-1/4000 -1 0 - - cR-- 1/1/0/0/0 0/0 \"POST / HTTP/1.1\"");
    assert!(is_idle(&sim));
}

#[test]
fn contents_wait_no_longer_than_their_delay() {
    let mut sim = Sim::tcp(INSPECT);
    let client = sim.client_sends("ping");
    let questions = asked(&mut sim);
    sim.fin(client);
    sim.pass(1_000);
    assert!(sim.try_server().is_none());
    answer(&mut sim, &questions[0], Some(FOUND));
    assert_eq!(sim.leads_to(), Some(([10, 0, 0, 7], 8080).into()));
    let server = sim.server();
    assert_eq!(sim.got(server), "ping");
    sim.close(server);

    sim.client_sends("ping");
    sim.pass(4_999);
    assert!(sim.try_server().is_none());
    sim.pass(1);
    assert!(sim.try_server().is_some());
    assert!(is_idle(&sim));
}

#[test]
fn a_broken_connection_waits_for_no_name() {
    let mut sim = Sim::tcp(INSPECT);
    let client = sim.client_sends("ping");
    assert_eq!(asked(&mut sim).len(), 1);
    sim.reset(client);
    assert!(is_idle(&sim));
    assert_eq!(sim.line(), "fe be/<NOSRV> -1/-1/0 0 CR 1/1/0/0/0 0/0");
}
