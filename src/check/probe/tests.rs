//! Checks driven by hand: their steps, times and results.

use super::*;
use crate::stats::Counters;

/// A check by the lines of a backend, driven by hand.
struct Check {
    config: &'static Config,
    counters: Counters,
    live: Vec<LiveServer>,
    probe: Probe,
    now_ms: u64,
    is_up: bool,
}

impl Check {
    fn new(lines: &str) -> Check {
        let text = format!(
            "defaults\n timeout client 1s\n timeout server 1s\n timeout connect 300ms\n\
             backend be\n{lines}\n server s 127.0.0.1:1 check inter 1s\n"
        );
        let config: &'static Config =
            Box::leak(Box::new(crate::config::load_text("c.cfg", &text).config.expect("valid")));
        let (counters, live) = (Counters::private(config), LiveServer::all(config));
        let probe = Probe::new(Tick(1000), Millis(1000), None);
        Check { config, counters, live, probe, now_ms: 1000, is_up: true }
    }

    fn does(&mut self, step: impl FnOnce(&mut Probe, &World<'_>) -> Next) -> Next {
        let world = World {
            now: Now { mono_us: self.now_ms * 1000, wall_us: 0 },
            script: &self.config.backends[0].check,
            agent_send: "",
            timeouts: &self.config.backends[0].timeouts,
            config: self.config,
            counters: &self.counters,
            servers: &self.live,
            server: ServerId(0),
            backend: BackendId(0),
            is_up: self.is_up,
        };
        step(&mut self.probe, &world)
    }

    /// Connects, sends, and hears all of `answer` an octet at a time, then the close.
    fn hears(&mut self, answer: &str) -> (Status, i16, String) {
        let mut next = self.does(Probe::begin);
        let mut octets = answer.as_bytes().chunks(1);
        loop {
            next = match next {
                Next::Connect(_) => self.does(Probe::connected),
                Next::Send => self.does(Probe::sent),
                Next::Wait => match octets.next() {
                    Some(octet) => self.does(|probe, world| probe.received(octet, false, world)),
                    None => self.does(|probe, world| probe.received(b"", true, world)),
                },
                Next::End(outcome) => return (outcome.status, outcome.code, text(outcome.info)),
            };
        }
    }
}

fn text(info: Vec<u8>) -> String {
    String::from_utf8(info).expect("text")
}

fn outcome(next: Next) -> (Status, i16, String, u64) {
    match next {
        Next::End(Outcome { status, code, info, duration }) => (status, code, text(info), duration.0),
        other => panic!("{other:?}"),
    }
}

const OK: &str = "HTTP/1.0 200 OK\r\n\r\nhello";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn a_tcp_check_ends_with_the_connection() {
    let mut check = Check::new("");
    assert_eq!(check.does(Probe::begin), Next::Connect(Attempt::default()));
    check.now_ms = 1003;
    assert_eq!(outcome(check.does(Probe::connected)), (Status::L4Passed, 0, String::new(), 3));
    let mut check = Check::new("");
    check.does(Probe::begin);
    let end = check.does(|probe, world| probe.failed("Connection refused", world));
    assert_eq!(outcome(end), (Status::L4Failed, 0, "Connection refused".into(), 0));
}

#[test]
fn without_timeout_check_the_interval_limits_everything() {
    let mut check = Check::new(" option httpchk");
    check.does(Probe::begin);
    assert_eq!(check.probe.deadline(), Tick(2000));
    check.now_ms = 1500;
    assert_eq!(check.does(Probe::connected), Next::Send);
    assert_eq!(check.probe.output(), b"OPTIONS / HTTP/1.0\r\n\r\n");
    assert_eq!(check.probe.deadline(), Tick(2000));
    check.now_ms = 2000;
    assert_eq!(outcome(check.does(Probe::expired)), (Status::L7Timeout, 0, String::new(), 1000));
}

#[test]
fn timeout_check_begins_with_each_connection() {
    let mut check = Check::new(
        " timeout check 100ms\n option tcp-check\n tcp-check connect\n tcp-check expect string a\n tcp-check connect",
    );
    check.does(Probe::begin);
    assert_eq!(check.probe.deadline(), Tick(1300));
    check.now_ms = 1200;
    check.does(Probe::connected);
    assert_eq!(check.probe.deadline(), Tick(1300));
    check.now_ms = 1250;
    let next = check.does(|probe, world| probe.received(b"a", false, world));
    assert!(matches!(next, Next::Connect(_)));
    assert_eq!(check.probe.deadline(), Tick(1550));
}

#[test]
fn an_answer_may_come_in_pieces_or_never() {
    assert_eq!(Check::new(" option httpchk").hears(OK), (Status::L7Passed, 200, String::new()));
    assert_eq!(Check::new(" option httpchk").hears(""), (Status::L7Invalid, 0, String::new()));
    let words = "Server Error";
    let answer = format!("HTTP/1.1 500 {words}\r\n\r\n");
    assert_eq!(Check::new(" option httpchk").hears(&answer), (Status::L7Status, 500, words.into()));
}

#[test]
fn a_404_can_take_a_running_server_out_softly() {
    let lines = " option httpchk\n http-check disable-on-404\n http-check expect string hello";
    assert_eq!(Check::new(lines).hears(MISSING), (Status::L7Conditional, 404, String::new()));
    let mut down = Check { is_up: false, ..Check::new(lines) };
    assert_eq!(down.hears(MISSING), (Status::L7Invalid, 0, "HTTP content check did not match".into()));
}

#[test]
fn long_details_are_cut_where_they_reach_the_limit() {
    let answer = format!("HTTP/1.1 500 {}\r\n\r\n", "x".repeat(200));
    assert_eq!(Check::new(" option httpchk").hears(&answer).2, "x".repeat(127));
}

#[test]
fn what_comes_before_the_step_that_expects_it_counts() {
    let mut check = Check::new(" option tcp-check\n tcp-check connect\n tcp-check send x\n tcp-check expect string a");
    check.does(Probe::begin);
    assert_eq!(check.does(Probe::connected), Next::Send);
    assert_eq!(check.does(|probe, world| probe.received(b"a", true, world)), Next::Wait);
    assert_eq!(outcome(check.does(Probe::sent)).0, Status::L7Passed);
}

#[test]
fn errors_speak_as_the_system_does() {
    let text = |number| error_text(&std::io::Error::from_raw_os_error(number));
    assert_eq!(text(libc::ECONNREFUSED), "Connection refused");
    assert_eq!(text(libc::ECONNRESET), "Connection reset by peer");
    assert_eq!(text(libc::EHOSTUNREACH), "No route to host");
    assert_eq!(text(libc::ENETUNREACH), "Network is unreachable");
}

#[test]
fn what_came_before_a_reset_is_judged() {
    let mut check = Check::new(" option tcp-check\n tcp-check connect\n tcp-check expect string a");
    check.does(Probe::begin);
    check.does(Probe::connected);
    assert_eq!(check.does(|probe, world| probe.received(b"b", false, world)), Next::Wait);
    let end = outcome(check.does(|probe, world| probe.failed("Connection reset by peer", world)));
    assert_eq!((end.0, end.2.as_str()), (Status::L7Invalid, "TCPCHK did not match content 'a' at step 2"));
}

#[test]
fn nothing_has_the_status_and_the_comment_of_its_step() {
    let mut check = Check::new(" option tcp-check\n tcp-check expect error-status L7STS on-error x comment c string a");
    let (status, code, info) = check.hears("");
    assert_eq!((status, code), (Status::L7Status, 0));
    assert_eq!(info, "TCPCHK got an empty response at step 1 comment: 'c'");
}

#[test]
fn protocols_have_words_and_codes_of_their_own() {
    let hears = |lines: &str, answer: &str| Check::new(lines).hears(answer);
    let text = |text: &str| text.to_owned();
    let smtp = " option smtpchk";
    assert_eq!(hears(smtp, "421  come later \r\n"), (Status::L7Status, 421, text("")));
    assert_eq!(hears(smtp, "hello\r\n").0, Status::L7Invalid);
    let mysql = " option mysql-check";
    assert_eq!(hears(mysql, "\x06\0\0\0\x0a5.1\0a"), (Status::L7Passed, 0, text("5.1")));
    assert_eq!(hears(" option redis-check", "-ERR a\r\n+PONG\r"), (Status::L7Status, 0, text("-ERR a")));
    assert_eq!(hears(" option redis-check", "+PONG\r\n"), (Status::L7Passed, 0, text("Redis server is ok")));
    assert_eq!(hears(" option ldap-check", "x"), (Status::L7Invalid, 0, text("Not LDAPv3 protocol")));
    assert_eq!(hears(" option spop-check", ""), {
        (Status::L7Invalid, 0, text("TCPCHK got an empty response at step 2"))
    });
    assert_eq!(hears(" option ssl-hello-chk", "HTTP/"), (Status::L6Invalid, 0, text("")));
    let pgsql = " option pgsql-check user a";
    assert_eq!(hears(pgsql, "E\0\0\0\x09no\0").0, Status::L7Invalid);
    assert_eq!(hears(pgsql, "R\0\0\0\x08\0\0\0\x03"), (Status::L7Passed, 0, text("PostgreSQL server is ok")));
}

#[test]
fn an_answer_without_end_is_judged_by_its_beginning() {
    for (lines, status) in [
        (" option redis-check", Status::L7Status),
        (" option mysql-check", Status::L7Invalid),
        (" option ldap-check", Status::L7Invalid),
        (" option spop-check", Status::L7Invalid),
        (" option pgsql-check user a", Status::L7Status),
    ] {
        let mut check = Check::new(lines);
        check.does(Probe::begin);
        if check.does(Probe::connected) == Next::Send {
            check.does(Probe::sent);
        }
        let end = (0..4000).map(|_| check.does(|probe, world| probe.received(&[0x33; 4096], false, world)));
        let end = end.into_iter().find(|next| matches!(next, Next::End(_))).map(outcome);
        assert_eq!(end.map(|end| end.0), Some(status), "{lines}");
        assert!(check.probe.input.len() <= 16384);
    }
}

#[test]
fn the_hello_of_ssl_is_whole_and_has_the_time() {
    let mut check = Check::new(" option ssl-hello-chk");
    check.does(Probe::begin);
    assert_eq!(check.does(Probe::connected), Next::Send);
    let hello = check.probe.output();
    assert_eq!(hello.len(), 126);
    let head = b"\x16\x03\0\0\x79\x01\0\0\x75\x03\0\0\0\0\0HAPROXYSSLCHK\nHAPROXYSSLCHK\n\0\0\x4e\0\x01";
    assert!(hello.starts_with(head) && hello.ends_with(b"\0\x3a\x01\0"));
    assert_eq!(check.does(Probe::sent), Next::Wait);
    let alert = b"\x15\x03\0\0\x02\x02\x28";
    assert_eq!(outcome(check.does(|probe, world| probe.received(alert, false, world))).0, Status::L6Passed);
}
