//! What follows from what traffic shows of servers, and from servers going down and coming up.

use super::*;
use crate::check::{Operation, Outcome, Status};
use crate::proxy::ServerId;
use crate::stats::Count;

const BAD: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";

fn watched(how: &str) -> String {
    format!(
        "frontend fe\n bind :8001\n default_backend be\nbackend be\n http-reuse never\n \
         server s1 127.0.0.1:1 check inter 100s rise 2 fall 3 observe layer7 error-limit 3 on-error {how}\n"
    )
}

/// The server has passed all the checks that it needs.
fn well(sim: &mut Sim) {
    sim.core.services.change_server(ServerId(0), |state, now| state.order_health(Operation::Running, now).into());
    sim.settle();
}

fn word(sim: &Sim, server: usize) -> String {
    sim.core.services.servers[server].status_word()
}

/// A request that is answered so.
fn exchange(sim: &mut Sim, answer: &str) {
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, answer);
    sim.close(client);
    sim.close(server);
}

#[test]
fn errors_in_a_row_are_those_of_all_workers() {
    let mut both = Sim::workers(2, &watched("mark-down"));
    well(&mut both[0]);
    both[1].settle();
    for (worker, answer) in [(0, BAD), (1, BAD), (0, OK), (1, BAD), (0, BAD)] {
        exchange(&mut both[worker], answer);
        assert_eq!([word(&both[0], 0), word(&both[1], 0)], ["UP", "UP"]);
    }
    exchange(&mut both[1], BAD);
    both[0].settle();
    assert_eq!([word(&both[0], 0), word(&both[1], 0)], ["DOWN", "DOWN"]);
    let row = both[0].core.services.counters.server(ServerId(0));
    assert_eq!([Count::ObservedFailures, Count::CheckFailures, Count::CheckDowns].map(|count| row.get(count)), [1; 3]);
    let last = &both[0].core.services.servers[0].last;
    let info = "Detected 3 consecutive errors, last one was: Wrong http response";
    assert_eq!((last.status, last.info.as_slice()), (Status::Observed, info.as_bytes()));
    let lines: Vec<String> = both.iter_mut().flat_map(Sim::log).filter(|line| line.contains("is DOWN")).collect();
    let said = format!("Server be/s1 is DOWN, reason: Health analyze, info: \"{info}\". 0 active");
    assert!(lines.len() == 1 && lines[0].contains(&said), "{lines:?}");
}

#[test]
fn each_consequence_leaves_another_health() {
    for (how, after) in
        [("fastinter", "UP"), ("fail-check", "UP 2/3"), ("sudden-death", "UP 1/3"), ("mark-down", "DOWN")]
    {
        let mut sim = Sim::http(&watched(how));
        well(&mut sim);
        (0..3).for_each(|_| exchange(&mut sim, BAD));
        assert_eq!(word(&sim, 0), after, "{how}");
    }
}

#[test]
fn a_check_repairs_what_traffic_has_spoilt() {
    let mut sim = Sim::http(&watched("sudden-death"));
    well(&mut sim);
    (0..3).for_each(|_| exchange(&mut sim, BAD));
    let passed = Outcome { status: Status::L4Passed, ..Outcome::default() };
    sim.core.services.change_server(ServerId(0), |state, now| state.checked(passed, now));
    assert_eq!(word(&sim, 0), "UP");
    (0..2).for_each(|_| exchange(&mut sim, BAD));
    assert_eq!(word(&sim, 0), "UP", "the row began anew");
}

const MARKED: &str = "frontend fe\n bind :8001\n default_backend be\nbackend be\n \
                      server s1 127.0.0.1:1 on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions\n \
                      server b1 127.0.0.1:2 backup\n";

fn order(sim: &mut Sim, operation: Operation) {
    sim.core.services.change_server(ServerId(0), |state, now| state.order_health(operation, now).into());
    sim.core.run_promoted();
    sim.settle();
}

#[test]
fn sessions_of_all_workers_end_with_their_server() {
    let mut both = Sim::workers(2, MARKED);
    let clients = [0, 1].map(|worker| both[worker].client_sends(GET));
    for sim in &mut both {
        let server = sim.server();
        sim.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    }
    order(&mut both[1], Operation::Stopped);
    both[0].settle();
    for (sim, client) in both.iter_mut().zip(clients) {
        assert!(sim.is_closed(client));
        assert!(sim.log().iter().any(|line| line.contains(" DD-- ")));
    }
    let clients = [0, 1].map(|worker| both[worker].client_sends(GET));
    assert!(both.iter_mut().all(|sim| sim.try_server().is_some()));
    // Down and up again before the other looks: it sees to both.
    order(&mut both[1], Operation::Running);
    both[0].settle();
    for (sim, client) in both.iter_mut().zip(clients) {
        assert_eq!(status(&sim.got(client)), "502");
        assert!(sim.log().iter().any(|line| line.contains(" UH-- ")));
    }
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
const POST: &str = "POST /first HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";

/// One answer after the other, each on its own connection; what the server got each time.
fn attempts(sim: &mut Sim, answers: &[&str]) -> Vec<String> {
    let mut got = Vec::new();
    for answer in answers {
        let server = sim.server();
        got.push(sim.got(server));
        sim.send(server, answer);
        if answer.is_empty() {
            sim.fin(server);
        }
    }
    got
}

#[test]
fn a_request_goes_out_again_as_it_was_and_the_next_one_behind_it_is_not_lost() {
    let mut sim = Sim::simple("retries 2\n retry-on 503 empty-response");
    let client = sim.client_sends(&format!("{POST}{GET}"));
    let got = attempts(&mut sim, &[BUSY, "", OK]);
    assert!(got[0].ends_with("\r\n\r\nhello") && got[1] == got[0] && got[2] == got[0], "{got:?}");
    assert_eq!(status(&sim.got(client)), "200");
    assert!(sim.line().contains(" 1/1/0/0/2 "));
    let row = sim.core.services.counters.server(ServerId(0));
    assert_eq!([Count::Retries, Count::ResponseErrors, Count::Http5xx].map(|count| row.get(count)), [4, 0, 0]);
    // The connection that is there takes the request that waited.
    sim.close(client);
}

#[test]
fn a_late_answer_has_the_request_sent_again_until_the_attempts_are_used_up() {
    let mut sim = Sim::simple("retries 1\n timeout server 2s\n retry-on response-timeout");
    let client = sim.client_sends(POST);
    let first = sim.server();
    sim.pass(2_000);
    assert!(sim.is_closed(first) || sim.is_reset(first));
    let second = sim.server();
    assert!(sim.got(second).ends_with("hello"));
    sim.pass(1_999);
    assert!(!sim.is_closed(second));
    sim.pass(1);
    assert_eq!(status(&sim.got(client)), "504");
    assert_eq!(sim.line(), "fe be/s1 0/0/2000/-1/4000 504 198 - - sH-- 1/1/0/0/1 0/0 \"POST /first HTTP/1.1\"");
}

#[test]
fn what_is_not_here_as_the_request_goes_out_is_not_kept() {
    let body = "x".repeat(20_000);
    let large = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n{body}");
    for request in [large.as_str(), &POST[..POST.len() - 1]] {
        let mut sim = Sim::simple("retries 2\n retry-on 503");
        let client = sim.client_sends(request);
        attempts(&mut sim, &[BUSY]);
        assert_eq!(status(&sim.got(client)), "503");
        assert!(sim.try_server().is_none());
    }
}

#[test]
fn a_server_that_answers_before_it_reads_loses_nothing_of_the_body() {
    let mut sim = Sim::simple("retries 1\n retry-on 503");
    let body = "x".repeat(9_000);
    let client = sim.client();
    sim.capacity(1_000);
    sim.send(client, format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9000\r\n\r\n{body}"));
    let first = sim.server();
    sim.stop_reading(first);
    sim.send(first, BUSY);
    let second = sim.server();
    assert!(sim.got(second).ends_with(&body));
    sim.send(second, OK);
    assert_eq!(status(&sim.got(client)), "200");
    let head = 20 + "POST/HTTP/1.1".len() + "hostt".len() + "content-length9000".len() + 1;
    let row = sim.core.services.counters.server(ServerId(0));
    assert_eq!(row.get(Count::BytesIn), (head + body.len()) as u64);
}

#[test]
fn a_body_that_rules_find_broken_is_no_reason_any_more() {
    let mut sim = Sim::http(
        "retries 2\nretry-on junk-response\nfrontend fe\n bind :8001\n default_backend be\nbackend be\n \
         http-response wait-for-body time 5s\n server s1 127.0.0.1:1\n",
    );
    let client = sim.client_sends(GET);
    attempts(&mut sim, &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nrubbish"]);
    assert_eq!(status(&sim.got(client)), "502");
    assert!(sim.try_server().is_none());
}
