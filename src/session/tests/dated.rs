//! Directives that HAProxy had once: filters by lines, `option http-tunnel`, `option http_proxy`, `dispatch`.

use super::*;

/// One proxy with `rules`, its server on port 9001.
fn with(rules: &str) -> Sim {
    Sim::http(&format!(
        "frontend fe\n bind 127.0.0.1:8001\n {rules}\n default_backend be\nbackend be\n server s1 127.0.0.1:9001\n"
    ))
}

/// What the server sees of `request`.
fn seen(rules: &str, request: &str) -> String {
    let mut sim = with(rules);
    let _client = sim.client_sends(request);
    let server = sim.server();
    sim.got(server)
}

/// What the client gets of `answer`.
fn answered(rules: &str, answer: &str) -> String {
    let mut sim = with(rules);
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, answer);
    sim.got(client)
}

/// What the client gets without any server being asked.
fn refused(rules: &str, request: &str) -> (String, String) {
    let mut sim = with(rules);
    let client = sim.client_sends(request);
    assert!(sim.try_server().is_none());
    let got = sim.got(client);
    (status(&got).to_owned(), sim.outcome())
}

#[test]
fn filters_see_lines_and_replace_them_whole() {
    let request = "GET /a/b HTTP/1.1\r\nHost: t\r\nX-A: one\r\nX-B: two\r\n\r\n";
    assert_eq!(
        seen("reqrep ^X-(.):\\ (...) Y-\\1:\\ \\2\\2", request),
        "GET /a/b HTTP/1.1\r\nHost: t\r\nY-A: oneone\r\nY-B: twotwo\r\n\r\n"
    );
    assert_eq!(
        seen("reqirep ^get\\ /A/(.*)\\ (.*) PUT\\ /\\1\\ \\2", request),
        "PUT /b HTTP/1.1\r\nHost: t\r\nX-A: one\r\nX-B: two\r\n\r\n"
    );
    // What stands beyond the match is gone: it is the line that is replaced.
    assert_eq!(seen("reqrep one X-A:\\ 1", request), "GET /a/b HTTP/1.1\r\nHost: t\r\nX-A: 1\r\nX-B: two\r\n\r\n");
    // A line end of the configuration begins another field.
    assert_eq!(
        seen("reqrep ^X-A:(.*) X-A:\\1\\r\\nX-C:\\ 3", request),
        "GET /a/b HTTP/1.1\r\nHost: t\r\nX-A: one\r\nX-B: two\r\nX-C: 3\r\n\r\n"
    );
}

#[test]
fn filters_run_in_order_and_after_http_request() {
    let rules = "http-request set-header x-new 1\n reqadd X-Late:\\ 1\n reqdel ^x-new\n reqidel ^x-late";
    assert_eq!(seen(rules, GET), "GET / HTTP/1.1\r\nHost: t\r\nX-Late: 1\r\n\r\n");
    let rules = "reqrep ^Host:.* Host:\\ u\n reqadd X:\\ y if { hdr(host) u }\n reqadd Z:\\ y unless { hdr(host) u }";
    assert_eq!(seen(rules, GET), "GET / HTTP/1.1\r\nHost: u\r\nX: y\r\n\r\n");
    // Who was allowed is spared decisions, not changes.
    let rules = "reqallow ^Host:\n reqdeny ^GET\n reqdel ^Host:";
    assert_eq!(seen(rules, GET), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn filters_refuse() {
    let refusal = |status: &str, outcome: &str| (status.to_owned(), outcome.to_owned());
    assert_eq!(refused("reqideny ^HOST:\\ t", GET), refusal("403", "403 PR"));
    assert_eq!(refused("reqdeny ^GET if TRUE", GET), refusal("403", "403 PR"));
    assert_eq!(refused("block if TRUE", GET), refusal("403", "403 PR"));
    assert_eq!(refused("http-request return status 200\n block if TRUE", GET), refusal("403", "403 PR"));
    let mut sim = with("timeout tarpit 3s\n reqtarpit ^GET");
    let client = sim.client_sends(GET);
    assert_eq!(status(&sim.after_exactly(3_000, client)), "500");
    assert_eq!(sim.outcome(), "500 PT");
}

#[test]
fn a_line_that_may_not_be_sent_is_refused() {
    for rule in
        ["reqrep ^Host:.* nonsense", "reqrep ^GET.* GET", "reqrep ^GET.* GET\\ /\\ FTP", "reqrep ^Host:.* a\\ b:c"]
    {
        assert_eq!(refused(rule, GET), ("400".to_owned(), "400 PR".to_owned()), "{rule}");
    }
    for rule in ["rsprep ^HTTP.* x", "rsprep ^HTTP.* HTTP/1.1\\ 304\\ OK", "rsprep ^HTTP.* HTTP/1.1\\ 99\\ x"] {
        assert_eq!(status(&answered(rule, OK)), "502", "{rule}");
    }
}

#[test]
fn no_filter_changes_where_a_message_ends() {
    let request = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc";
    for rule in [
        "reqidel ^content-length",
        "reqirep ^content-length.* Content-Length:\\ 9",
        "reqadd Transfer-Encoding:\\ chunked",
    ] {
        let seen = seen(rule, request).to_ascii_lowercase();
        assert_eq!(seen.matches("content-length: 3\r\n").count(), 1, "{rule}: {seen}");
        assert!(!seen.contains("chunked") && seen.ends_with("abc"), "{rule}: {seen}");
    }
    assert!(answered("rspidel ^content-length", OK).to_ascii_lowercase().contains("content-length: 2\r\n"));
}

#[test]
fn answers_are_filtered_backend_first() {
    let config = "frontend fe\n bind 127.0.0.1:8001\n rsprep ^X:\\ b X:\\ f\n default_backend be\nbackend be\n rspadd X:\\ b\n rsprep ^HTTP/1.1\\ 200.* HTTP/1.1\\ 201\\ Made\n server s1 127.0.0.1:9001\n";
    let mut sim = Sim::http(config);
    let client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert_eq!(sim.got(client), "HTTP/1.1 201 Made\r\nContent-Length: 2\r\nX: f\r\n\r\nok");
    assert_eq!(status(&answered("rspideny ^content-length", OK)), "502");
}

#[test]
fn a_filter_can_choose_the_backend() {
    let config = "frontend fe\n bind 127.0.0.1:8001\n reqisetbe ^host:\\ t other\n reqsetbe ^GET be\n default_backend be\n use_backend be if TRUE\nbackend be\n server s1 127.0.0.1:9001\nbackend other\n server s2 127.0.0.1:9002\n";
    let mut sim = Sim::http(config);
    let _client = sim.client_sends(GET);
    let server = sim.server();
    sim.send(server, OK);
    assert!(sim.line().starts_with("fe other/s2 "), "the first filter that matches chooses");
}

#[test]
fn a_tunnel_begins_with_the_first_answer() {
    let mut sim = with("option http-tunnel\n http-request set-header x 1");
    let client = sim.client_sends(GET);
    let server = sim.server();
    assert_eq!(sim.got(server), "GET / HTTP/1.1\r\nHost: t\r\nx: 1\r\n\r\n");
    sim.send(server, OK);
    assert_eq!(sim.got(client), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    // No rule sees what comes now, and nobody asks what it means.
    sim.send(client, GET);
    assert_eq!(sim.got(server), GET);
    sim.send(server, "whatever");
    assert_eq!(sim.got(client), "whatever");
    sim.fin(server);
    assert!(sim.is_closed(client));
}

#[test]
fn a_forward_proxy_connects_to_the_target() {
    let config = "listen fe\n bind 127.0.0.1:8001\n option http_proxy\n";
    let mut sim = Sim::http(config);
    let client = sim.client_sends("GET http://127.0.0.1:9007/p?q HTTP/1.1\r\nHost: x\r\n\r\n");
    let server = sim.server();
    assert_eq!(sim.got(server), "GET /p?q HTTP/1.1\r\nHost: 127.0.0.1:9007\r\n\r\n");
    sim.send(server, OK);
    assert!(sim.got(client).ends_with("ok"));
    assert!(sim.line().starts_with("fe fe/<NOSRV> "));
    // The same target is reached by the same connection, another one is not.
    sim.send(client, "GET http://127.0.0.1:9007 HTTP/1.1\r\n\r\n");
    assert!(sim.try_server().is_none());
    assert_eq!(sim.got(server), "GET / HTTP/1.1\r\nhost: 127.0.0.1:9007\r\n\r\n");
    sim.send(server, OK);
    sim.send(client, "GET http://127.0.0.1:9008/ HTTP/1.1\r\nHost: x\r\n\r\n");
    let other = sim.server();
    assert!(sim.got(other).starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:9008\r\n"));
    assert!(sim.is_closed(server));
}

#[test]
fn a_forward_proxy_knows_addresses_only() {
    for target in
        ["/", "http://nowhere.invalid/", "https://127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/"]
    {
        let mut sim = Sim::http("listen fe\n bind 127.0.0.1:8001\n option http_proxy\n");
        let client = sim.client_sends(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(status(&sim.got(client)), "503", "{target}");
        assert_eq!(sim.outcome(), "503 SC");
    }
}
