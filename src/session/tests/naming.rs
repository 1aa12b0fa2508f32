//! What answers to names make of servers, in all workers and over reloads.

use std::net::IpAddr;
use std::rc::Rc;

use super::*;
use crate::dns::{Answer, Name, Report, Requester, Service, Verdict};
use crate::proxy::{ResolversId, ServerId};

const TWO: &str = "resolvers r\n nameserver a 127.0.0.1:53\nbackend be\n \
                   server s1 app.test:80 resolvers r init-addr none\n \
                   server s2 app.test:80 resolvers r init-addr none\n";

const PARTS: &str = "resolvers r\n nameserver a 127.0.0.1:53\nbackend be\n \
                     server-template s 3 _http._tcp.app.test resolvers r init-addr none check\n";

const S1: u32 = 0;
const S2: u32 = 1;

/// Two workers; the first one asks for names.
fn pair(text: &str) -> (Sim, Sim) {
    let mut both = Sim::workers(2, text);
    let (two, mut one) = (both.pop().expect("the second"), both.pop().expect("the first"));
    one.core.claim_checks();
    one.settle();
    (one, two)
}

fn report(
    who: Requester,
    verdict: Verdict,
    is_held: bool,
    answer: Option<Answer>,
    nameserver: Option<usize>,
) -> Report {
    Report { who, section: ResolversId(0), verdict, is_held, answer: answer.map(Rc::new), nameserver }
}

/// Servers hear of addresses, the first of them from a name server.
fn told(sim: &mut Sim, servers: &[u32], addresses: &[&str]) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().expect("address")).collect();
    let mut nameserver = Some(0);
    for server in servers {
        let answer = Answer { addresses: addresses.clone(), ..Answer::default() };
        let who = Requester::Server(ServerId(*server));
        sim.core.services.named(&report(who, Verdict::Valid, true, Some(answer), nameserver.take()));
    }
    sim.settle();
}

fn failed(sim: &mut Sim, server: u32, verdict: Verdict, is_held: bool) {
    let who = Requester::Server(ServerId(server));
    sim.core.services.named(&report(who, verdict, is_held, None, Some(0)));
    sim.settle();
}

/// The service is in these parts: host, port, weight, address beside.
fn parts(sim: &mut Sim, parts: &[(&str, u16, u16, Option<&str>)]) {
    let service = |(host, port, weight, address): &(&str, u16, u16, Option<&str>)| Service {
        target: Name::parse(host.as_bytes()).expect("name"),
        port: *port,
        weight: *weight,
        priority: 0,
        address: address.map(|ip| ip.parse().expect("address")),
    };
    let answer = Answer { services: parts.iter().map(service).collect(), ..Answer::default() };
    sim.core.services.named(&report(Requester::Service(0), Verdict::Valid, true, Some(answer), Some(0)));
    sim.settle();
}

/// Address, name and state of a server.
fn seen(sim: &Sim, server: u32) -> String {
    let place = &sim.core.services.places[server as usize];
    let (address, port) = place.listed();
    let state = &sim.core.services.servers[server as usize];
    let name = place.name.as_deref().unwrap_or("-");
    format!("{address}:{port} {name} {} {}", state.status_word(), state.admin.bits())
}

const NOWHERE: &str = "0.0.0.0:80 app.test MAINT (resolution) 32";

const READY_S1: &str = "Server be/s1 administratively READY thanks to valid DNS answer.";

#[test]
fn servers_of_one_name_take_different_addresses_in_all_workers() {
    let (mut a, mut b) = pair(TWO);
    assert_eq!((seen(&a, S1).as_str(), seen(&b, S2).as_str()), (NOWHERE, NOWHERE));
    told(&mut a, &[S1, S2], &["10.0.0.2", "10.0.0.1"]);
    b.settle();
    for sim in [&a, &b] {
        assert_eq!(seen(sim, S1), "10.0.0.2:80 app.test no check 0");
        assert_eq!(seen(sim, S2), "10.0.0.1:80 app.test no check 0");
    }
    assert_eq!(
        a.log(),
        [
            "be/s1 changed its IP from (none) to 10.0.0.2 by r/a.",
            "Server be/s1 ('app.test') is UP/READY (resolves again).",
            "Server be/s1 administratively READY thanks to valid DNS answer.",
            "be/s2 changed its IP from (none) to 10.0.0.1 by DNS cache.",
            "Server be/s2 ('app.test') is UP/READY (resolves again).",
            "Server be/s2 administratively READY thanks to valid DNS answer.",
        ]
    );
    // Nobody moves while his address is there, however the rest changes.
    told(&mut a, &[S2, S1], &["10.0.0.3", "10.0.0.1", "10.0.0.2"]);
    assert!(a.log().is_empty());
    told(&mut a, &[S1, S2], &["10.0.0.1"]);
    b.settle();
    assert_eq!((seen(&b, S1).as_str(), seen(&b, S2).as_str()), (NOWHERE, "10.0.0.1:80 app.test no check 0"));
    let lines = a.log();
    assert!(
        lines[0].starts_with("Server be/s1 is going DOWN for maintenance (No IP for server ). 1 active"),
        "{lines:?}"
    );
    told(&mut a, &[S1, S2], &["10.0.0.4", "10.0.0.5"]);
    assert_eq!((&seen(&a, S1)[..8], &seen(&a, S2)[..8]), ("10.0.0.4", "10.0.0.5"));
    assert!(a.log().contains(&"be/s2 changed its IP from 10.0.0.1 to 10.0.0.5 by DNS cache.".to_owned()));
    assert!(b.log().is_empty());
}

#[test]
fn errors_count_once_they_are_not_held_any_more() {
    let (mut a, mut b) = pair(TWO);
    told(&mut a, &[S1], &["10.0.0.1"]);
    a.log();
    for (verdict, why) in [
        (Verdict::NxDomain, "DNS NX status"),
        (Verdict::Timeout, "DNS timeout status"),
        (Verdict::Refused, "DNS refused status"),
        (Verdict::Other, "unspecified DNS error"),
    ] {
        failed(&mut a, S1, verdict, true);
        assert_eq!((seen(&a, S1).as_str(), a.log().len()), ("10.0.0.1:80 app.test no check 0", 0));
        failed(&mut a, S1, verdict, false);
        failed(&mut a, S1, Verdict::Other, false);
        b.settle();
        assert_eq!((seen(&a, S1).as_str(), seen(&b, S1).as_str()), (NOWHERE, NOWHERE));
        let lines = a.log();
        assert!(
            lines[0].starts_with(&format!("Server be/s1 is going DOWN for maintenance ({why}). 0 active")),
            "{lines:?}"
        );
        assert_eq!(lines[1..], ["backend be has no server available!"]);
        told(&mut a, &[S1], &["10.0.0.1"]);
        assert_eq!(a.log().len(), 3);
    }
}

#[test]
fn parts_of_a_service_go_to_free_servers() {
    let (mut a, mut b) = pair(PARTS);
    let free = "0.0.0.0:0 - MAINT (resolution)";
    parts(&mut a, &[("h1.test", 8001, 10, None), ("h2.test", 8002, 512, Some("10.0.0.2"))]);
    assert_eq!(seen(&a, 0), "0.0.0.0:8001 h1.test MAINT (resolution) 96");
    told(&mut a, &[0], &["10.0.0.1"]);
    b.settle();
    for sim in [&a, &b] {
        assert_eq!(seen(sim, 0), "10.0.0.1:8001 h1.test UP 1/3 64");
        assert_eq!(seen(sim, 1), "10.0.0.2:8002 h2.test UP 1/3 64");
        assert_eq!(seen(sim, 2), format!("{free} 32"));
        assert_eq!([0, 1, 2].map(|id| sim.core.services.servers[id].weight), [1, 2, 1]);
    }
    assert_eq!(
        a.log(),
        [
            "be/s1 changed its FQDN from (null) to h1.test by 'SRV record'",
            "be/s2 changed its IP from (none) to 10.0.0.2 by DNS additional record.",
            "be/s2 changed its FQDN from (null) to h2.test by 'SRV record'",
            "Server be/s2 ('h2.test') is UP/READY (resolves again).",
            "be/s1 changed its IP from (none) to 10.0.0.1 by r/a.",
            "Server be/s1 ('h1.test') is UP/READY (resolves again).",
            "Server be/s1 administratively READY thanks to valid DNS answer.",
        ]
    );
    // The first part is gone, the second one has moved and weighs more, a third one is there.
    parts(&mut a, &[("h3.test", 8003, 0, Some("10.0.0.3")), ("h2.test", 8002, 2000, Some("10.0.0.4"))]);
    b.settle();
    assert_eq!(seen(&b, 0), format!("{free} 96"));
    assert_eq!(seen(&b, 1), "10.0.0.4:8002 h2.test UP 1/3 64");
    assert_eq!(seen(&b, 2), "10.0.0.3:8003 h3.test UP 1/3 64");
    assert_eq!([1, 2].map(|id| b.core.services.servers[id].weight), [8, 0]);
    let lines = a.log();
    assert!(
        lines[0].starts_with("Server be/s1 is going DOWN for maintenance (entry removed from SRV record). 1 active"),
        "{lines:?}"
    );
    // An answer for a server that is not asked for any more changes nothing.
    told(&mut a, &[0], &["10.0.0.9"]);
    assert_eq!(seen(&a, 0), format!("{free} 96"));
    a.core.services.named(&report(Requester::Service(0), Verdict::Timeout, true, None, None));
    assert_eq!(seen(&a, 1), "10.0.0.4:8002 h2.test UP 1/3 64");
    a.core.services.named(&report(Requester::Service(0), Verdict::Timeout, false, None, None));
    assert_eq!(seen(&a, 1), format!("{free} 96"));
    // Who lost his part first is the first to have one again.
    parts(&mut a, &[("h4.test", 8004, 1, Some("10.0.0.5"))]);
    assert_eq!(seen(&a, 0), "10.0.0.5:8004 h4.test UP 1/3 64");
}

#[test]
fn whoever_asks_next_goes_on_where_the_last_one_was() {
    let (mut a, mut b) = pair(TWO);
    told(&mut a, &[S1, S2], &["10.0.0.2", "10.0.0.1"]);
    // The name is ordered where nobody asks; whoever asks follows.
    b.settle();
    b.core.services.rename_server(ServerId(S2), "Other.test");
    a.settle();
    assert_eq!(seen(&a, S2), "10.0.0.1:80 Other.test no check 64");
    told(&mut a, &[S2], &["10.0.0.2"]);
    assert_eq!(seen(&a, S2), "10.0.0.2:80 Other.test no check 64");
    let mut new = a.successor(TWO);
    new.core.claim_checks();
    new.settle();
    a.settle();
    for sim in [&a, &new] {
        assert_eq!(seen(sim, S1), "10.0.0.2:80 app.test no check 0");
        assert_eq!(seen(sim, S2), "10.0.0.2:80 Other.test no check 64");
    }
    new.log();
    told(&mut new, &[S1], &["10.0.0.1", "10.0.0.2"]);
    failed(&mut new, S2, Verdict::Timeout, true);
    assert!(new.log().is_empty());
    // The old one asks no more.
    told(&mut a, &[S1], &["10.0.0.7"]);
    assert_eq!(seen(&a, S1), "10.0.0.2:80 app.test no check 0");
    // Another name in the file is another server; one that is not asked for any more, too.
    let changed = TWO.replace("app.test:80 resolvers r init-addr none\n", "127.0.0.1:80\n");
    assert_eq!(seen(&new.successor(&changed), S1), "127.0.0.1:80 - no check 0");
}

#[test]
fn parts_and_orders_go_over_a_reload() {
    let (mut a, _) = pair(PARTS);
    parts(&mut a, &[("h1.test", 8001, 10, None), ("h2.test", 8002, 512, Some("10.0.0.2"))]);
    told(&mut a, &[0], &["10.0.0.1"]);
    let mut new = a.successor(PARTS);
    new.core.claim_checks();
    new.settle();
    assert_eq!(seen(&new, 0), "10.0.0.1:8001 h1.test UP 1/3 64");
    parts(&mut new, &[("h2.test", 8002, 512, Some("10.0.0.2")), ("h1.test", 8001, 10, None)]);
    assert_eq!((seen(&new, 0), seen(&new, 1)), (seen(&a, 0), seen(&a, 1)));
    told(&mut new, &[0], &["10.0.0.8", "10.0.0.1"]);
    assert!(new.log().is_empty());
    parts(&mut new, &[("h2.test", 8002, 512, Some("10.0.0.2"))]);
    assert_eq!(seen(&new, 0), "0.0.0.0:0 - MAINT (resolution) 96");
}

#[test]
fn maintenance_and_drain_stay_while_addresses_come_and_go() {
    let text = TWO.replace("s1 app.test:80", "s1 app.test:80 check") + " server t 127.0.0.1:80 track s1\n";
    let (mut a, _) = pair(&text);
    told(&mut a, &[S1], &["10.0.0.1"]);
    assert_eq!(a.log()[2..], ["Server be/t is UP/READY (leaving maintenance).", READY_S1]);
    failed(&mut a, S1, Verdict::NxDomain, false);
    let lines = a.log();
    let via = "Server be/t is going DOWN for maintenance (DNS NX status) via be/s1. 0";
    assert!(lines[1].starts_with(via), "{lines:?}");
    a.core.services.change_server(ServerId(S1), |state, now_s| state.order_drain(now_s).into());
    a.core.services.change_server(ServerId(S2), |state, now_s| state.order_maintenance(now_s).into());
    a.settle();
    a.log();
    told(&mut a, &[S2, S1], &["10.0.0.1", "10.0.0.2"]);
    let lines = a.log();
    for expected in [
        "be/s2 changed its IP from (none) to 10.0.0.1 by r/a.",
        "Server be/s2 ('app.test') resolves again but remains in maintenance.",
        "Server be/s2 administratively READY thanks to valid DNS answer.",
        "be/s1 changed its IP from (none) to 10.0.0.2 by DNS cache.",
        "Server be/s1 ('app.test') is UP/DRAIN (resolves again).",
        "Server be/s1 remains in forced drain mode.",
        READY_S1,
    ] {
        assert!(lines.contains(&expected.to_owned()), "{expected}: {lines:?}");
    }
    assert_eq!((&seen(&a, S1)[8..], &seen(&a, S2)[8..]), (":80 app.test DRAIN 1/3 8", ":80 app.test MAINT 1"));
}
