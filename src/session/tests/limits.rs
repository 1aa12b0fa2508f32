//! What must stay bounded, fair and well framed, whatever the peers and the operator do.

use super::*;
use crate::check::server::Operation;
use crate::proxy::ServerId;

#[test]
fn timers_of_moved_deadlines_die_out() {
    let mut sim = Sim::simple("timeout http-keep-alive 1s\n timeout client 60s\n timeout server 60s");
    let client = sim.client();
    sim.send(client, GET);
    let server = sim.server();
    for _ in 0..200 {
        sim.pass(1_500);
        sim.send(server, OK);
        sim.pass(500);
        sim.send(client, GET);
    }
    assert!(sim.core.services.timers.len() < 60, "{} timers", sim.core.services.timers.len());
}

#[test]
fn the_queue_does_not_feed_a_backup_that_is_not_needed() {
    let mut sim = Sim::http(
        "frontend fe\n bind :8001\n default_backend be\nbackend be\n server s1 127.0.0.1:1 maxconn 1\n \
         server b1 127.0.0.1:2 maxconn 1 backup\n",
    );
    sim.core.services.change_server(ServerId(0), |s, n| s.order_health(Operation::Stopped, n).into());
    let _first = sim.client_sends(GET);
    let backup = sim.server();
    sim.core.services.change_server(ServerId(0), |s, n| s.order_health(Operation::Running, n).into());
    let _second = sim.client_sends(GET);
    let primary = sim.server();
    let _third = sim.client_sends(GET);
    sim.send(backup, OK);
    sim.settle();
    assert_eq!(sim.got(backup).matches("GET /").count(), 1);
    assert!(sim.try_server().is_none());
    sim.send(primary, OK);
    sim.settle();
    let more = sim.got(primary).matches("GET /").count() + usize::from(sim.try_server().is_some());
    assert!(more >= 2, "the third request reached the primary");
}

#[test]
fn a_pipelining_client_does_not_overtake_those_who_wait() {
    let mut sim =
        Sim::http("frontend fe\n bind :8001\n default_backend be\nbackend be\n server s1 127.0.0.1:1 maxconn 1\n");
    let greedy = sim.client();
    sim.send(greedy, GET.repeat(10));
    let server = sim.server();
    let patient = sim.client_sends(GET);
    sim.send(server, OK);
    sim.settle();
    let next = sim.try_server().unwrap_or(server);
    sim.send(next, OK);
    sim.settle();
    assert_eq!(status(&sim.got(patient)), "200");
}

#[test]
fn rules_cannot_change_where_a_body_ends() {
    let chunked = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
    for (rule, request, expected) in [
        ("del-header transfer-encoding", chunked, "transfer-encoding: chunked"),
        (
            "set-header content-length 9",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde",
            "content-length: 5",
        ),
        (
            "del-header content-length",
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde",
            "content-length: 5",
        ),
        ("set-header transfer-encoding chunked", "GET / HTTP/1.1\r\nHost: t\r\n\r\n", "host: t"),
    ] {
        let mut sim = Sim::http(&format!(
            "frontend fe\n bind :8001\n http-request {rule}\n default_backend be\nbackend be\n server s1 127.0.0.1:1\n"
        ));
        let client = sim.client_sends(request);
        let server = sim.server();
        let seen = sim.got(server).to_ascii_lowercase();
        let lengths = seen.matches("content-length").count() + seen.matches("transfer-encoding").count();
        assert!(seen.contains(expected), "{rule}: {seen}");
        assert_eq!(lengths, usize::from(!expected.starts_with("host")), "{rule}: {seen}");
        sim.send(server, OK);
        assert_eq!(status(&sim.got(client)), "200", "{rule}");
    }
}

#[test]
fn a_request_that_rules_falsify_reaches_no_server() {
    let chunked = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
    for request in [chunked, "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde"] {
        let mut sim = Sim::http(
            "frontend fe\n bind :8001\n http-request set-header content-length 3\n default_backend be\nbackend be\n \
             server s1 127.0.0.1:1\n",
        );
        let client = sim.client_sends(request);
        let server = sim.server();
        assert_eq!(sim.got(server), "");
        assert_eq!(status(&sim.got(client)), "500");
    }
}

#[test]
fn an_answer_keeps_its_framing_under_rules() {
    let mut sim = Sim::http(
        "frontend fe\n bind :8001\n default_backend be\nbackend be\n http-response del-header content-length\n \
         server s1 127.0.0.1:1\n",
    );
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.got(client).to_ascii_lowercase().contains("content-length: 2\r\n"));
}

#[test]
fn bytes_behind_an_answer_are_nobodys() {
    let mut sim = Sim::simple("http-reuse never");
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"));
    assert!(sim.got(client).ends_with("ok"));
    sim.send(client, GET);
    let fresh = sim.server();
    sim.send(fresh, OK);
    assert!(sim.got(client).ends_with("ok"));
}

#[test]
fn any_number_of_interim_answers_costs_no_memory() {
    let mut sim = Sim::simple("timeout server 5s\n timeout client 60s");
    sim.capacity(1000);
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.stop_reading(client);
    for _ in 0..2_000 {
        sim.send(server, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
    }
    assert!(sim.core.services.buffers.lent() <= 4);
    let held: usize = sim.core.sessions.iter().map(|(_, session)| session.client.pending()).sum();
    assert!(held < 20_000, "{held} bytes wait for the client");
    sim.read_again(client);
}

#[test]
fn interim_answers_that_nobody_sees_take_turns_too() {
    let mut sim = Sim::simple("");
    sim.capacity(4 << 20);
    let client = sim.client_sends("GET / HTTP/1.0\r\n\r\n");
    let server = sim.server();
    // A client of HTTP/1.0 gets none of them, so none of them waits for it.
    sim.send(server, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".repeat(20_000));
    assert!(sim.pauses > 0, "others have their turn in between");
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
}

#[test]
fn a_server_that_leaves_after_an_early_answer_ends_the_exchange() {
    let mut sim = Sim::simple("timeout server 60s\n timeout client 60s");
    let client = sim.client_sends("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\nabc");
    let server = sim.server();
    sim.send(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    sim.reset(server);
    assert_eq!(status(&sim.got(client)), "413");
    assert!(sim.is_closed(client));
}

#[test]
fn a_line_end_of_a_chunk_finds_room_in_a_full_buffer() {
    use crate::buffer::Pool;
    use crate::h1::{Body, BodyDecoder, Limits};
    use crate::session::exchange::Flow;
    use crate::session::forward::Forward;
    use crate::transport::sim::{Events, pair};
    use crate::transport::splice::Pipes;
    use crate::transport::{Connection, Stream};
    let events = Events::default();
    let ((a, _far_a), (b, _far_b)) = (pair(&events, 1000), pair(&events, 1000));
    let (mut from, mut to) = (Connection::new(Stream::Sim(a)), Connection::new(Stream::Sim(b)));
    let (mut buffers, mut pipes, mut budget) = (Pool::new(16), Pipes::new(0, None), 1000);
    buffers.attach(&mut from.input).fill(b"9\r\n123456789\r\n1\n");
    let mut flow = Flow { decoder: BodyDecoder::new(Body::Chunked), chunked: true, ..Flow::default() };
    let mut got = Vec::new();
    for _ in 0..3 {
        let (buffers, pipes, budget) = (&mut buffers, &mut pipes, &mut budget);
        let limits = Limits::default();
        let mut forward = Forward {
            from: &mut from,
            to: &mut to,
            flow: &mut flow,
            splice: false,
            limits,
            spellings: None,
            buffers,
            pipes,
            budget,
        };
        forward.run().expect("a valid body");
        got.extend_from_slice(to.output.as_ref().map_or(&[], |output| output.bytes()));
        let bytes = to.pending();
        if let Some(output) = &mut to.output {
            output.consume(bytes);
        }
    }
    assert_eq!(got, b"9\r\n123456789\r\n1\r\n");
    from.release(&mut buffers);
    to.release(&mut buffers);
}

#[test]
fn a_connection_serves_as_often_as_max_reuse_says() {
    for (reuse, limit, exchanges) in [("always", 2, 3), ("never", 1, 2), ("safe", 0, 1)] {
        let mut sim = Sim::http(&format!(
            "frontend fe\n bind :8001\n default_backend be\nbackend be\n http-reuse {reuse}\n \
             server s1 127.0.0.1:1 max-reuse {limit}\n"
        ));
        let client = sim.client();
        for round in 0..3 {
            sim.send(client, GET);
            let server = sim.server();
            for exchange in 1..=exchanges {
                assert!(!sim.is_closed(server), "{reuse}, round {round}: before exchange {exchange}");
                sim.send(server, OK);
                sim.settle();
                assert_eq!(status(&sim.got(client)), "200");
                if exchange < exchanges {
                    sim.send(client, GET);
                    assert!(sim.try_server().is_none(), "{reuse}, round {round}: one connection");
                }
            }
            assert!(sim.is_closed(server), "{reuse}, round {round}");
        }
    }
}
