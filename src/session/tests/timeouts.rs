//! Every timeout: that it fires, when exactly, and what holds it up (manual 4, `timeout …`).

use super::*;

#[test]
fn a_server_that_says_nothing_gets_504() {
    let mut sim = Sim::simple("timeout server 31s");
    let client = sim.client_sends(GET);
    let server = sim.server();
    assert!(sim.got(server).starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(status(&sim.after_exactly(31_000, client)), "504");
    assert!(sim.is_closed(server) && !sim.is_closed(client));
    assert_eq!(sim.line(), "fe be/s1 0/0/0/-1/31000 504 198 - - sH-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
}

#[test]
fn half_a_head_is_no_answer_and_does_not_hold_the_server_timeout_up() {
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.pass(20_000);
    sim.send(server, "HTTP/1.1 200 OK\r\nContent-");
    assert_eq!(status(&sim.after_exactly(30_000, client)), "504");
    assert_eq!(sim.outcome(), "504 sH");
}

#[test]
fn a_server_that_stops_in_the_body_is_given_up() {
    let mut sim = Sim::simple("");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    sim.pass(49_000);
    sim.send(server, "def");
    assert!(sim.got(client).ends_with("abcdef"));
    assert_eq!(sim.after_exactly(50_000, client), "");
    assert!(sim.is_closed(client));
    assert_eq!(sim.line(), "fe be/s1 0/0/0/0/99000 200 56 - - sD-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
}

#[test]
fn the_client_timeout_does_not_hold_while_the_server_works() {
    let mut sim = Sim::simple("timeout client 3s");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.pass(49_999);
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
    assert_eq!(sim.line(), "fe be/s1 0/0/0/49999/49999 200 51 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let mut sim = Sim::simple("timeout server 3s");
    sim.capacity(1000);
    let client = sim.client();
    sim.stop_reading(client);
    sim.send(client, GET);
    let server = sim.server();
    sim.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    sim.send(server, "x".repeat(100_000));
    sim.pass(29_999);
    assert_eq!(sim.log(), Vec::<String>::new());
    sim.pass(1);
    assert_eq!(sim.outcome(), "200 cD");
    assert!(sim.is_closed(server));
}

#[test]
fn a_server_that_does_not_accept_gets_503() {
    let mut sim = Sim::simple("timeout connect 7s");
    sim.network(SimConnect::Silence);
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(7_000, client)), "503");
    assert!(!sim.is_closed(client));
    assert_eq!(sim.line(), "fe be/s1 0/0/-1/-1/7000 503 217 - - sC-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
}

#[test]
fn each_retry_has_the_whole_connect_timeout() {
    let mut sim = Sim::simple("timeout connect 7s\n retries 2");
    sim.network(SimConnect::Silence);
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(21_000, client)), "503");
    assert!(sim.line().contains(" 0/0/-1/-1/21000 503 217 - - sC-- 1/1/0/0/2 "));
}

#[test]
fn a_refused_connection_is_tried_again_a_second_later() {
    let mut sim = Sim::simple("retries 3");
    sim.network(SimConnect::Refuse);
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(3_000, client)), "503");
    assert!(sim.line().contains(" 503 217 - - SC-- 1/1/0/0/3 "));
}

#[test]
fn a_late_refusal_is_a_refusal_all_the_same() {
    let mut sim = Sim::simple("timeout connect 7s");
    sim.network(SimConnect::Silence);
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.pass(3_000);
    sim.refuse(server);
    assert_eq!(status(&sim.got(client)), "503");
    assert_eq!(sim.outcome(), "503 SC");
    assert!(!sim.is_reset(client));
}

#[test]
fn a_late_handshake_is_in_time() {
    let mut sim = Sim::simple("timeout connect 7s");
    sim.network(SimConnect::Silence);
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.pass(6_999);
    sim.establish(server);
    assert!(sim.got(server).starts_with("GET / "));
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
    assert!(sim.line().starts_with("fe be/s1 0/0/6999/0/6999 200 "));
}

const ONE_PLACE: &str = "frontend fe
 bind 127.0.0.1:8001
 default_backend be
backend be
 server s1 127.0.0.1:9001 maxconn 1
";

#[test]
fn whoever_waits_too_long_for_a_server_gets_503() {
    let mut sim = Sim::http(&format!("timeout queue 4s\n{ONE_PLACE}"));
    let first = sim.client_sends(GET);
    let server = sim.server();
    let second = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(4_000, second)), "503");
    assert_eq!(sim.line(), "fe be/<NOSRV> 0/4000/-1/-1/4000 503 217 - - sQ-- 2/2/1/0/0 0/1 \"GET / HTTP/1.1\"");
    sim.send(server, OK);
    assert!(sim.got(first).ends_with("ok"));
}

#[test]
fn without_timeout_queue_the_connect_timeout_holds() {
    let mut sim = Sim::http(ONE_PLACE);
    let _first = sim.client_sends(GET);
    let second = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(5_000, second)), "503");
    assert_eq!(sim.outcome(), "503 sQ");
}

#[test]
fn a_place_that_gets_free_in_time_ends_the_wait() {
    let mut sim = Sim::http(&format!("timeout queue 4s\n{ONE_PLACE}"));
    let first = sim.client_sends(GET);
    let server = sim.server();
    let second = sim.client_sends(GET);
    sim.pass(3_999);
    sim.send(server, OK);
    assert!(sim.got(first).ends_with("ok"));
    // The connection of the first one is used again or a new one made.
    sim.pass(1_000);
    let server = sim.try_server().unwrap_or(server);
    sim.send(server, OK);
    assert!(sim.got(second).ends_with("ok"));
    let lines = sim.log();
    assert!(lines[1].starts_with("fe be/s1 0/3999/0/1000/4999 200 "), "{lines:?}");
}

#[test]
fn a_silent_client_gets_408() {
    let mut sim = Sim::simple("timeout http-request 10s");
    let client = sim.client();
    assert_eq!(status(&sim.after_exactly(10_000, client)), "408");
    assert!(sim.is_closed(client));
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/-1/-1/10000 408 0 - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\"");
}

#[test]
fn a_slow_client_gets_408() {
    let mut sim = Sim::simple("timeout http-request 10s");
    let client = sim.client();
    // The clock starts with the first byte, and no other byte sets it back.
    sim.pass(4_000);
    for byte in ["G", "E", "T", " "] {
        sim.send(client, byte);
        sim.pass(2_000);
    }
    assert_eq!(status(&sim.after_exactly(2_000, client)), "408");
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/-1/-1/10000 408 0 - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\"");
}

#[test]
fn without_timeout_http_request_each_byte_holds_the_client_timeout_up() {
    let mut sim = Sim::simple("timeout client 6s");
    let client = sim.client();
    for byte in ["G", "E", "T"] {
        sim.pass(3_000);
        sim.send(client, byte);
    }
    assert_eq!(status(&sim.after_exactly(6_000, client)), "408");
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/-1/-1/-1/12000 408 0 - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\"");
}

#[test]
fn the_client_timeout_holds_beside_a_longer_timeout_http_request() {
    for start in ["", "GET / H"] {
        let mut sim = Sim::simple("timeout client 6s\n timeout http-request 15s");
        let client = sim.client_sends(start);
        assert_eq!(status(&sim.after_exactly(6_000, client)), "408");
        assert_eq!(sim.outcome(), "408 cR");
    }
}

/// A client that has had one answer.
fn served(settings: &str) -> (Sim, Far) {
    let mut sim = Sim::simple(settings);
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
    assert_eq!(sim.outcome(), "200 --");
    (sim, client)
}

#[test]
fn an_idle_client_is_closed_without_a_word() {
    let settings = [
        ("timeout http-keep-alive 8s\n timeout http-request 3s", 8_000),
        ("timeout http-request 9s", 9_000),
        ("timeout client 7s", 7_000),
        ("timeout client 7s\n timeout http-keep-alive 20s", 7_000),
    ];
    for (settings, ms) in settings {
        let (mut sim, client) = served(settings);
        assert_eq!(sim.after_exactly(ms, client), "");
        assert_eq!(sim.log(), Vec::<String>::new());
    }
}

#[test]
fn the_first_byte_ends_the_keep_alive_wait() {
    let (mut sim, client) = served("timeout http-keep-alive 8s\n timeout http-request 12s");
    sim.pass(7_999);
    sim.send(client, "GET /");
    assert_eq!(status(&sim.after_exactly(12_000, client)), "408");
    assert_eq!(sim.outcome(), "408 cR");
}

#[test]
fn the_server_timeout_ends_the_wait_for_a_body_that_does_not_come() {
    for settings in ["timeout client 6s\n timeout server 15s", "timeout client 30s\n timeout server 15s"] {
        let mut sim = Sim::simple(settings);
        let client = sim.client_sends(POST);
        let answer = sim.after_exactly(15_000, client);
        assert_eq!(status(&answer), "504");
        assert!(answer.contains("onnection: close"));
        assert_eq!(sim.outcome(), "504 sH");
    }
}

#[test]
fn a_body_that_dribbles_holds_the_server_timeout_up() {
    let mut sim = Sim::simple("timeout client 6s\n timeout server 10s");
    let client = sim.client_sends("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..5 {
        sim.pass(4_000);
        sim.send(client, "x");
    }
    assert_eq!(status(&sim.after_exactly(10_000, client)), "504");
    assert_eq!(sim.line(), "fe be/s1 0/0/0/-1/30000 504 198 - - sH-- 1/1/0/0/0 0/0 \"POST / HTTP/1.1\"");
}

#[test]
fn a_body_that_does_not_come_while_the_answer_does_is_the_servers_affair() {
    let mut sim = Sim::simple("timeout client 6s\n timeout server 15s");
    let client = sim.client_sends(POST);
    let server = sim.server();
    sim.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok");
    assert!(sim.got(client).ends_with("ok"));
    assert_eq!(sim.after_exactly(15_000, client), "");
    assert_eq!(sim.outcome(), "200 sD");
}

#[test]
fn a_client_that_was_answered_is_not_waited_for_for_ever() {
    // HAProxy would wait: nobody is served by that.
    for late_ms in [0, 10_000] {
        let mut sim = Sim::simple("timeout client 6s\n timeout server 15s");
        let client = sim.client_sends(POST);
        let server = sim.server();
        sim.pass(late_ms);
        sim.send(server, OK);
        assert!(sim.got(client).ends_with("ok"));
        assert_eq!(sim.after_exactly(6_000, client), "");
        assert_eq!(sim.outcome(), "200 cD");
    }
}

#[test]
fn an_early_answer_leaves_the_rest_of_the_body_its_way() {
    let mut sim = Sim::simple("timeout client 6s");
    let client = sim.client_sends(POST);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
    sim.pass(5_999);
    sim.send(client, "defghij");
    assert!(sim.got(server).ends_with("defghij"));
    assert_eq!(sim.outcome(), "200 --");
    sim.send(client, GET);
    assert!(sim.got(server).starts_with("GET / "));
}

const TRAP: &str = "frontend fe
 bind 127.0.0.1:8001
 http-request tarpit if { path / }
 default_backend be
backend be
 server s1 127.0.0.1:9001
";

#[test]
fn a_tarpitted_request_gets_500_when_its_time_has_come() {
    let mut sim = Sim::http(&format!("timeout tarpit 9s\n{TRAP}"));
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(9_000, client)), "500");
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/9000/-1/-1/9000 500 208 - - PT-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
    assert!(!sim.is_closed(client));
}

#[test]
fn a_client_that_leaves_the_trap_is_counted_all_the_same() {
    let mut sim = Sim::http(&format!("timeout tarpit 9s\n{TRAP}"));
    let client = sim.client_sends(GET);
    sim.reset(client);
    sim.pass(8_999);
    assert_eq!(sim.log(), Vec::<String>::new());
    sim.pass(1);
    assert_eq!(sim.outcome(), "500 PT");
}

#[test]
fn abortonclose_lets_a_client_out_of_the_trap() {
    let mut sim = Sim::http(&format!("timeout tarpit 9s\n option abortonclose\n{TRAP}"));
    let client = sim.client_sends(GET);
    sim.pass(200);
    sim.close(client);
    assert_eq!(sim.line(), "fe fe/<NOSRV> -1/200/-1/-1/200 500 208 - - PT-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"");
}
