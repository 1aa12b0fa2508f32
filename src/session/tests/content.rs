//! Rules of contents: how long they wait, and for what.

use super::*;

/// A frontend and a backend in TCP mode, with lines of their own.
fn inspecting(front: &str, back: &str) -> Sim {
    Sim::tcp(&format!(
        "frontend fe\n bind 127.0.0.1:80\n default_backend be\n {front}\n\
         backend be\n server s1 10.0.0.1:3389\n server s2 10.0.0.2:3389\n {back}\n"
    ))
}

#[test]
fn an_inspection_lasts_as_long_as_its_delay() {
    let front = "tcp-request inspect-delay 3s\n tcp-request content accept if WAIT_END";
    let mut sim = inspecting(front, "");
    let client = sim.client_sends("hello");
    sim.pass(2_999);
    assert!(sim.try_server().is_none());
    sim.pass(1);
    let server = sim.server();
    assert_eq!(sim.got(server), "hello");
    sim.close(client);
    sim.close(server);
    assert_eq!(sim.line(), "fe be/s1 3000/0/3000 0 -- 1/1/0/0/0 0/0");
}

#[test]
fn what_decides_ends_the_wait() {
    let front = "tcp-request inspect-delay 10s\n tcp-request content reject if { req.payload(0,4) -m str evil }\n \
                 tcp-request content accept if { req.len ge 4 }";
    let mut sim = inspecting(front, "");
    let good = sim.client_sends("goo");
    sim.pass(5_000);
    sim.send(good, "d");
    let server = sim.server();
    assert_eq!(sim.got(server), "good");
    let evil = sim.client_sends("ev");
    sim.pass(5_000);
    assert!(!sim.is_closed(evil));
    sim.send(evil, "il");
    assert!(sim.is_closed(evil) && !sim.is_reset(evil));
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/5000 0 PR 2/2/0/0/0 0/0");
}

#[test]
fn a_silent_client_is_lost_by_its_own_timeout() {
    let front = "timeout client 4s\n tcp-request inspect-delay 10s\n tcp-request content accept if { req.len ge 9 }";
    let mut sim = inspecting(front, "");
    let client = sim.client_sends("a");
    sim.pass(3_000);
    sim.send(client, "b");
    assert_eq!(sim.after_exactly(4_000, client), "");
    assert_eq!(sim.line(), "fe be/<NOSRV> -1/-1/7000 0 cR 1/1/0/0/0 0/0");
}

#[test]
fn frontend_and_backend_wait_one_after_the_other() {
    let front = "tcp-request inspect-delay 3s\n tcp-request content accept if WAIT_END";
    let back = "tcp-request inspect-delay 2s\n tcp-request content reject if { req.len eq 2 } WAIT_END";
    let mut sim = inspecting(front, back);
    let client = sim.client_sends("ab");
    assert_eq!(sim.after_exactly(5_000, client), "");
    assert_eq!(sim.line(), "fe be/<NOSRV> -1/-1/5000 0 PR 1/1/0/0/0 0/0");
}

#[test]
fn an_answer_is_held_back_and_the_request_is_not() {
    let back = "tcp-response inspect-delay 3s\n tcp-response content reject if { res.payload(0,4) -m str evil }";
    let mut sim = inspecting("", back);
    let client = sim.client_sends("a");
    let server = sim.server();
    sim.send(server, "ev");
    sim.send(client, "b");
    assert_eq!(sim.got(server), "ab");
    sim.pass(2_999);
    assert_eq!(sim.got(client), "");
    sim.pass(1);
    assert_eq!(sim.got(client), "ev");
    sim.send(server, "il");
    assert_eq!(sim.got(client), "il");
}

#[test]
fn a_refused_answer_reaches_nobody() {
    let back = "tcp-response inspect-delay 3s\n tcp-response content reject if { res.payload(0,4) -m str evil }";
    let mut sim = inspecting("", back);
    let client = sim.client_sends("a");
    let server = sim.server();
    sim.send(server, "ev");
    sim.send(server, "il");
    assert_eq!(sim.got(client), "");
    assert!(sim.is_closed(client) && sim.is_closed(server));
    assert_eq!(sim.line(), "fe be/s1 0/0/0 4 PD 1/1/0/0/0 0/0");
}

#[test]
fn a_full_buffer_is_not_waited_for() {
    let back = "tcp-response inspect-delay 30s\n tcp-response content accept if { res.len gt 1000000 }";
    let front = "tcp-request inspect-delay 30s\n tcp-request content accept if { req.len gt 1000000 }";
    let mut sim = inspecting(front, back);
    let client = sim.client_sends(&"a".repeat(100_000));
    let server = sim.server();
    assert_eq!(sim.got(server).len(), 100_000);
    sim.send(server, "b".repeat(100_000));
    assert_eq!(sim.got(client).len(), 100_000);
}

#[test]
fn a_server_that_is_to_be_closed_has_the_last_word() {
    let back = "tcp-response inspect-delay 3s\n tcp-response content close if { res.len ge 4 }";
    let mut sim = inspecting("", back);
    let client = sim.client_sends("a");
    let server = sim.server();
    sim.send(server, "done");
    assert_eq!(sim.got(client), "done");
    assert!(sim.is_closed(client) && sim.is_closed(server));
    assert_eq!(sim.outcome(), "--");
}

#[test]
fn a_terminal_client_finds_its_server_again() {
    let back = "persist rdp-cookie\n tcp-request inspect-delay 5s\n tcp-request content accept if RDP_COOKIE";
    // 10.0.0.2 and 3389, each read in the other order of octets.
    let hello = "\x03\0\0\x2a\x25\u{60}\0\0\0\0\0Cookie: msts=33554442.15629.0000\r\n";
    let mut bytes = hello.as_bytes().to_vec();
    bytes[5] = 0xe0;
    for _ in 0..2 {
        let mut sim = inspecting("", back);
        let client = sim.client();
        sim.send(client, &bytes[..30]);
        assert!(sim.try_server().is_none());
        sim.send(client, &bytes[30..]);
        let server = sim.server();
        sim.close(client);
        sim.close(server);
        assert!(sim.line().starts_with("fe be/s2 "));
    }
}

#[test]
fn a_backends_wait_counts_as_the_requests() {
    let text = "frontend fe\n bind 127.0.0.1:80\n default_backend be\n backend be\n server s1 10.0.0.1:80\n \
                tcp-request inspect-delay 3s\n tcp-request content accept if WAIT_END\n";
    let mut sim = Sim::http(text);
    let client = sim.client_sends(POST);
    sim.pass(3_000);
    let server = sim.server();
    sim.send(client, "defghij");
    sim.send(server, OK);
    assert_eq!(status(&sim.got(client)), "200");
    assert!(sim.line().starts_with("fe be/s1 3000/0/0/0/3000 200 "));
}

#[test]
fn requests_wait_for_their_bodies_where_rules_do() {
    let text = "frontend fe\n bind 127.0.0.1:80\n default_backend be\n tcp-request inspect-delay 3s\n \
                tcp-request content reject if { path /no } WAIT_END\n backend be\n server s1 10.0.0.1:80\n";
    let mut sim = Sim::http(text);
    let client = sim.client_sends("POST /no HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(sim.after_exactly(3_000, client), "");
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/-1/-1/3000 -1 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"");
    let client = sim.client_sends("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    let server = sim.server();
    sim.send(server, OK);
    assert_eq!(status(&sim.got(client)), "200");
}

#[test]
fn guards_let_nobody_in_whom_they_refuse() {
    let front = "tcp-request connection reject";
    let mut sim = inspecting(front, "");
    let client = sim.client();
    assert!(sim.is_reset(client) || sim.is_closed(client));
    assert_eq!(sim.log(), Vec::<String>::new());
}
