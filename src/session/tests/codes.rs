//! The termination codes of the log that are not timeouts (manual 8.5), with the statuses that come along.

use super::*;

/// Frontend with rules, backend with rules.
fn with_rules(frontend: &str, backend: &str) -> Sim {
    Sim::http(&format!(
        "frontend fe\n bind 127.0.0.1:8001\n {frontend}\n default_backend be\nbackend be\n {backend}\n server s1 127.0.0.1:9001\n"
    ))
}

/// The outcome of a request that a server answers with `response`, then `ends` the connection in its way.
fn served(response: &str, ends: fn(&mut Sim, Far)) -> (String, String, bool) {
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, response);
    ends(&mut sim, server);
    (sim.outcome(), sim.got(client), sim.is_closed(client))
}

#[test]
fn normal_ends() {
    let nothing = |_: &mut Sim, _: Far| {};
    let (outcome, got, closed) = served(OK, nothing);
    assert_eq!((outcome.as_str(), status(&got), closed), ("200 --", "200", false));
    let (outcome, got, closed) = served("HTTP/1.1 200 OK\r\n\r\nall", Sim::fin);
    assert_eq!((outcome.as_str(), status(&got), closed), ("200 --", "200", true));
    assert!(got.ends_with("all"));
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    sim.fin(client);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok") && sim.is_closed(client));
    assert_eq!(sim.outcome(), "200 --");
}

#[test]
fn a_client_that_goes_before_its_request_is_whole_cr() {
    for (sent, leaves) in [("", Sim::close as fn(&mut Sim, Far)), ("GET / H", Sim::close), ("GET / H", Sim::reset)] {
        let mut sim = Sim::simple("");
        let client = sim.client_sends(sent);
        sim.pass(1_000);
        leaves(&mut sim, client);
        assert_eq!(sim.outcome(), "400 CR");
    }
}

#[test]
fn a_client_that_goes_in_the_queue_cq() {
    let two =
        "frontend fe\n bind 127.0.0.1:8001\n default_backend be\nbackend be\n server s1 127.0.0.1:9001 maxconn 1\n";
    let mut sim = Sim::http(&format!("option abortonclose\n{two}"));
    let _first = sim.client_sends(GET);
    let second = sim.client_sends(GET);
    sim.pass(200);
    sim.fin(second);
    assert!(sim.is_closed(second));
    assert_eq!(sim.line(), "fe be/<NOSRV> 0/200/-1/-1/200 -1 0 - - CQ-- 2/2/1/0/0 0/1 \"GET / HTTP/1.1\"");
}

#[test]
fn a_client_that_goes_while_the_server_is_tried_again_cc() {
    let mut sim = Sim::simple("option abortonclose\n retries 3");
    sim.network(SimConnect::Refuse);
    let client = sim.client_sends(GET);
    sim.pass(200);
    sim.close(client);
    assert_eq!(sim.line(), "fe be/s1 0/0/-1/-1/200 -1 0 - - CC-- 1/1/0/0/1 0/0 \"GET / HTTP/1.1\"");
    // Without abortonclose it goes on.
    let mut sim = Sim::simple("retries 3");
    sim.network(SimConnect::Refuse);
    let client = sim.client_sends(GET);
    sim.pass(200);
    sim.reset(client);
    sim.pass(3_000);
    assert!(sim.outcome().starts_with("503 SC"));
}

#[test]
fn a_client_that_goes_while_the_server_works_ch_or_cd() {
    let mut sim = Sim::simple("option abortonclose");
    let client = sim.client_sends(GET);
    sim.fin(client);
    assert_eq!(status(&sim.got(client)), "400");
    assert_eq!(sim.line(), "fe be/s1 0/0/0/-1/0 400 206 - - CH-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
    let mut sim = Sim::simple("option abortonclose");
    let client = sim.client_sends(GET);
    sim.reset(client);
    assert_eq!(sim.outcome(), "-1 CD");
    // Without abortonclose the answer is awaited, and cannot be sent.
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.reset(client);
    assert_eq!(sim.log(), Vec::<String>::new());
    sim.send(server, OK);
    assert_eq!(sim.outcome(), "200 CD");
}

#[test]
fn a_client_that_goes_in_a_body_cd() {
    for leaves in [Sim::fin, Sim::close, Sim::reset] {
        let mut sim = Sim::simple("");
        let client = sim.client_sends(POST);
        let server = sim.server();
        leaves(&mut sim, client);
        assert_eq!(sim.line(), "fe be/s1 0/0/0/-1/0 -1 0 - - CD-- 1/1/0/0/0 0/0 \"POST / HTTP/1.1\"");
        assert!(sim.is_closed(server));
    }
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    sim.close(client);
    assert_eq!(sim.log(), Vec::<String>::new());
    sim.send(server, "d");
    sim.send(server, "e");
    assert_eq!(sim.outcome(), "200 CD");
}

#[test]
fn a_server_that_cannot_be_reached_sc() {
    let mut sim = Sim::simple("");
    sim.network(SimConnect::Refuse);
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.got(client)), "503");
    assert_eq!(sim.line(), "fe be/s1 0/0/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
    let mut sim = Sim::simple("");
    sim.network(SimConnect::Silence);
    let client = sim.client_sends(GET);
    sim.pass(3_000);
    let server = sim.server();
    sim.refuse(server);
    assert_eq!(status(&sim.got(client)), "503");
    assert_eq!(sim.outcome(), "503 SC");
    let mut sim = Sim::http("frontend fe\n bind 127.0.0.1:8001\n default_backend be\nbackend be\n");
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.got(client)), "503");
    assert_eq!(sim.outcome(), "503 SC");
}

#[test]
fn a_server_that_goes_before_its_answer_is_whole_sh() {
    for sent in ["", "HTT", "HTTP/1.1 200 OK\r\nContent-"] {
        for leaves in [Sim::fin, Sim::close, Sim::reset] {
            let (outcome, got, closed) = served(sent, leaves);
            assert_eq!((outcome.as_str(), status(&got), closed), ("502 SH", "502", false));
        }
    }
}

#[test]
fn a_server_that_goes_in_the_body_sd() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for sent in [length, chunks] {
        for leaves in [Sim::fin, Sim::close, Sim::reset] {
            let (outcome, _, closed) = served(sent, leaves);
            assert_eq!((outcome.as_str(), closed), ("200 SD", true));
        }
    }
    let (outcome, _, closed) = served(&format!("{chunks}zz\r\n"), |_, _| {});
    assert_eq!((outcome.as_str(), closed), ("200 SD", true));
}

#[test]
fn nonsense_from_a_server_ph() {
    for nonsense in ["\0\x01\r\n\r\n", "HTTP/1.1 2x0\r\n\r\n", "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n"] {
        let (outcome, got, closed) = served(nonsense, |_, _| {});
        assert_eq!((outcome.as_str(), status(&got), closed), ("502 PH", "502", false));
    }
    let (outcome, ..) = served("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", |_, _| {});
    assert_eq!(outcome, "502 PH");
    let mut sim = with_rules("", "http-response deny");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert_eq!(status(&sim.got(client)), "502");
    assert_eq!(sim.outcome(), "502 PH");
}

#[test]
fn nonsense_from_a_client_pr() {
    for nonsense in ["\0\x01\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
        let mut sim = Sim::simple("");
        let client = sim.client_sends(nonsense);
        assert_eq!(status(&sim.got(client)), "400");
        assert!(sim.is_closed(client));
        assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"");
    }
    let mut sim = with_rules("http-request deny", "");
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.got(client)), "403");
    assert_eq!(sim.outcome(), "403 PR");
}

#[test]
fn nonsense_in_a_request_body_ph_or_pd() {
    let chunks = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let mut sim = Sim::simple("");
    let client = sim.client_sends(chunks);
    sim.send(client, "zz\r\n");
    assert_eq!(status(&sim.got(client)), "400");
    assert!(sim.is_closed(client));
    assert_eq!(sim.line(), "fe be/s1 0/0/0/-1/0 400 206 - - PH-- 1/1/0/0/0 0/0 \"POST / HTTP/1.1\"");
    let mut sim = Sim::simple("");
    let client = sim.client_sends(chunks);
    let server = sim.server();
    sim.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    sim.send(client, "zz\r\n");
    assert!(sim.is_closed(client) && sim.is_closed(server));
    assert_eq!(sim.outcome(), "200 PD");
}

#[test]
fn answers_of_the_proxy_lr_and_lh() {
    for (rule, code) in [("http-request return status 200", "200"), ("http-request redirect location /x", "302")] {
        let mut sim = with_rules(rule, "");
        let client = sim.client_sends(GET);
        assert_eq!(status(&sim.got(client)), code);
        assert_eq!(sim.outcome(), format!("{code} LR"));
    }
    let mut sim = with_rules("", "http-response return status 418");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert_eq!(status(&sim.got(client)), "418");
    assert_eq!(sim.outcome(), "418 LH");
}
