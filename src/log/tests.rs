//! Lines as haproxy 2.6 sends them for the same exchanges, addresses and dates aside.

use std::net::UdpSocket;

use super::format::{Format, Moment, Purpose};
use super::{LogLine, LogSettings, LogTarget, Logger, date, line};
use crate::facts::{Cause, Concurrent, Facts, Phase, Responder, Termination};
use crate::h1::Body;
use crate::proxy::{BackendId, Config, FrontendId, Mode, ServerId};
use crate::sample::{Client, Ctx, Place, Scope, Vars};
use crate::stats::Counters;
use crate::time::Now;

/// 2026-11-21 01:41:40.442 UTC.
const START_US: u64 = 1_795_225_300_442_000;

fn at(ms: u64) -> Now {
    Now { mono_us: 1_000_000 + ms * 1000, wall_us: START_US + ms * 1000 }
}

struct World {
    config: Config,
    counters: Counters,
    client: Client,
    facts: Facts,
    vars: Vars,
    now: Now,
    backend: Option<BackendId>,
    server: Option<ServerId>,
}

impl World {
    /// A request for `/p` that server be/s1 answered with 200 and 58 bytes within 2 ms.
    fn new(mode: Mode) -> World {
        let word = if mode == Mode::Http { "http" } else { "tcp" };
        let text = format!(
            "defaults\n mode {word}\n timeout client 1s\n timeout server 1s\n timeout connect 1s\nfrontend fe\n \
             bind 127.0.0.1:39200\n bind /x\n default_backend be\nbackend be\n server s1 127.0.0.1:39190\n"
        );
        let config = crate::config::load_text("c.cfg", &text).config.expect("valid");
        let counters = Counters::private(&config);
        let client = Client {
            outside: [None; 2],
            frontend: FrontendId(0),
            bind: 0,
            source: Some("127.0.0.1:37120".parse().expect("address")),
            destination: Some("127.0.0.1:39200".parse().expect("address")),
            requests: 1,
        };
        let facts = Facts {
            accepted: at(0),
            idle_since: at(0),
            first_byte: Some(at(0)),
            request_received: Some(at(0)),
            queue_left: Some(at(0)),
            connected: Some(at(0)),
            response_received: Some(at(2)),
            ended: Some(at(2)),
            bytes_in: 64,
            bytes_out: 58,
            status: Some(200),
            concurrent: Concurrent { process: 1, frontend: 1, backend: 0, server: 0 },
            upstream_local: Some("127.0.0.1:41064".parse().expect("address")),
            upstream_peer: Some("127.0.0.1:39190".parse().expect("address")),
            responder: Responder::Server,
            request_line: b"GET /p?a=b\\\"]x HTTP/1.1".to_vec(),
            ..Facts::default()
        };
        World {
            config,
            counters,
            client,
            facts,
            vars: Vars::default(),
            now: at(2),
            backend: Some(BackendId(0)),
            server: Some(ServerId(0)),
        }
    }

    /// A connection that never made a request: nothing came within `ms`, or nothing valid.
    fn bad(ms: u64, cause: Cause, status: u16) -> World {
        let mut world = World::new(Mode::Http);
        world.facts = Facts {
            accepted: at(0),
            idle_since: at(0),
            ended: Some(at(ms)),
            status: Some(status),
            bad_request: true,
            termination: Termination { cause, phase: Phase::Request, ..Termination::default() },
            concurrent: world.facts.concurrent,
            ..Facts::default()
        };
        (world.backend, world.server) = (None, None);
        world
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            now: self.now,
            config: &self.config,
            counters: &self.counters,
            client: self.client,
            request: None,
            kept_request: None,
            response: None,
            request_bytes: b"",
            response_bytes: b"",
            request_framing: Body::None,
            response_framing: Body::None,
            upstream: None,
            inspection: None,
            backend: self.backend,
            server: self.server,
            servers: &[],
            stopping: false,
            vars: &self.vars,
            session_vars: &self.vars,
            facts: &self.facts,
            raw: None,
        }
    }

    fn write(&self, format: &Format) -> String {
        let mut out = Vec::new();
        format.write(&self.ctx(), &mut out);
        String::from_utf8(out).expect("text")
    }

    fn line(&self, text: &str) -> String {
        self.write(&parsed(text, Purpose::Log))
    }
}

fn parse(text: &str, purpose: Purpose, mode: Mode) -> Result<Format, String> {
    let place = if purpose == Purpose::Log { Place::Log } else { Place::FrontRequest };
    Format::parse(text, purpose, mode, &mut Scope::new(place.only(), "c.cfg".into(), 1))
}

fn parsed(text: &str, purpose: Purpose) -> Format {
    parse(text, purpose, Mode::Http).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Local dates as the machine's zone has them.
fn local(ms: u64) -> String {
    let mut out = Vec::new();
    date::write_ms(&mut out, at(ms));
    String::from_utf8(out).expect("text")
}

#[test]
fn the_predefined_formats_are_haproxys() {
    let world = World::new(Mode::Http);
    let date = local(0);
    assert_eq!(
        world.write(&Format::preset(Format::HTTP)),
        format!(
            "127.0.0.1:37120 [{date}] fe be/s1 0/0/0/2/2 200 58 - - ---- 1/1/0/0/0 0/0 \"GET /p?a=b\\#22]x HTTP/1.1\""
        )
    );
    assert_eq!(
        world.write(&Format::preset(Format::HTTP_CLF)),
        "127.0.0.1 - - [21/Nov/2026:01:41:40 +0000] \"GET /p?a=b\\#22]x HTTP/1.1\" 200 58 \"\" \"\" 37120 442 \
         \"fe\" \"be\" \"s1\" 0 0 0 2 2 ---- 1 1 0 0 0 0 0 \"\" \"\" "
    );
    assert_eq!(
        World::new(Mode::Tcp).write(&Format::preset(Format::TCP)),
        format!("127.0.0.1:37120 [{date}] fe be/s1 0/0/2 58 -- 1/1/0/0/0 0/0")
    );
    assert_eq!(world.write(&Format::default()), "Connect from 127.0.0.1:37120 to 127.0.0.1:39200 (fe/HTTP)");
}

#[test]
fn unix_sockets_have_a_word_and_the_listeners_id() {
    let mut world = World::new(Mode::Tcp);
    (world.client.source, world.client.destination, world.client.bind) = (None, None, 1);
    assert_eq!(world.write(&Format::default()), "Connect to unix:2 (fe/TCP)");
    assert_eq!(world.line("%ci %cp %fi %fp %{+Q}ci %{+X}ci %{+X}cp"), "unix 2 unix 2 \"unix\" ");
}

#[test]
fn what_was_not_reached_is_minus_one() {
    let world = World::bad(300, Cause::ClientAbort, 400);
    assert_eq!(
        world.write(&Format::preset(Format::HTTP)),
        format!(
            "127.0.0.1:37120 [{}] fe fe/<NOSRV> -1/-1/-1/-1/300 400 0 - - CR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
            local(0)
        )
    );
    assert_eq!(
        world.line("%HM|%HP|%HPO|%HQ|%HU|%HV|%{+Q}r|%ST|%si|%sp|%bi|%bp|%TR|%Tq|%Ti|%Ta|%Tt|%Tr|%Tc|%Tw|%Td|%Tu|%Th"),
        "<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|\"<BADREQ>\"|400|-|-|-|-|-1|-1|0|300|300|-1|-1|-1|-1|\
         300|0"
    );
}

#[test]
fn idle_time_is_apart_and_later_requests_start_after_the_one_before() {
    const TIMERS: &str = "%TR/%Tw/%Tc/%Tr/%Td/%Ta/%Tt/%Tu/%Ti/%Th/%Tq";
    let mut world = World::new(Mode::Http);
    world.facts.first_byte = Some(at(100));
    world.facts.request_received = Some(at(200));
    world.facts.queue_left = Some(at(200));
    world.facts.connected = Some(at(200));
    world.facts.response_received = Some(at(201));
    world.facts.ended = Some(at(201));
    assert_eq!(world.line(TIMERS), "100/0/0/1/0/101/201/101/100/0/200");
    world.client.requests = 2;
    world.facts.idle_since = at(50);
    assert_eq!(world.line(TIMERS), "100/0/0/1/0/101/151/101/50/0/150");
    world.facts.response_received = None;
    world.facts.ended = Some(at(601));
    assert_eq!(world.line(TIMERS), "100/0/0/-1/-1/501/551/501/50/0/150");
    world.facts.connected = None;
    assert_eq!(world.line("%TR/%Tw/%Tc/%Tr/%Td"), "100/0/-1/-1/-1");
}

#[test]
fn early_lines_redispatches_and_statistics_are_marked() {
    let mut world = World::new(Mode::Http);
    world.facts.logged_early = true;
    assert_eq!(world.line("%Ta %Tt %Tu %B %U %Tr"), "+2 +2 +2 +58 64 2");
    (world.facts.retries, world.facts.redispatched) = (1, true);
    assert_eq!(world.line("%rc"), "+1");
    world.facts.responder = Responder::Stats;
    world.facts.termination.set_once(Cause::Local, Phase::Request);
    assert_eq!(world.line("%s %ts %tsc"), "<STATS> LR LR--");
    world.facts.status = None;
    assert_eq!(world.line("%ST"), "-1");
}

#[test]
fn flags_quote_escape_and_show_hexadecimal() {
    let mut world = World::new(Mode::Http);
    for (format, expected) in [
        ("%{+Q+X}ft %{+X+Q}ft|%{+QX}ft|%{+Q,X}ci|%{+Q, +X}ci", "fe \"fe\"|fe|\"127.0.0.1\"|7F000001"),
        ("%{+Q,-Q}ft|%{-Q,+Q}ft|%{+Q,+}ft|%{+Q }ft|%{ +Q}ft|%{+-Q}ft", "fe|\"fe\"|\"fe\"|fe|\"fe\"|fe"),
        ("%{-M}ID|%ID|%{+Q}ID|%{+Q,-M}ID|%{+Q}sslc|%sslv", "|-|\"\"|\"\"|\"\"|-"),
        ("%{+Q}o %ID %{-Q}ID %ID %{-Q}o %ID %{+Q}ID", "\"\" - \"\" - \"\""),
        ("%{+X}ci %{+X}cp %{+X}fp %{+X}Ts %{+X}lc %{+X}B", "7F000001 9100 9920 6B00F6D4 0000 58"),
        ("%{+Q}HQ %{+E}HQ %{+Q,+E}HU", "\"?a=b\\#22]x\" ?a=b\\\\#22\\]x \"/p?a=b\\\\#22\\]x\""),
        ("%{+Q}ST %{+Q}t %{+Q}ts", &format!("200 {} --", local(0))),
        (
            "%[src] %{+Q}[src] %{+X}[src] %[str('a]b')] %{+Q,+E}[str(a]b)]",
            "127.0.0.1 \"127.0.0.1\" 127.0.0.1 a]b \"a\\]b\"",
        ),
        ("%{+Q}[int(5)] %[bool(1)]", "\"5\" 1"),
    ] {
        assert_eq!(world.line(format), expected, "{format}");
    }
    world.facts.request_captures = vec![b"h|o{s\"t".to_vec(), Vec::new()];
    world.facts.response_captures = vec![b"res".to_vec()];
    world.facts.request_cookie = b"ck=vv".to_vec();
    assert_eq!(
        world.line("[%CC] [%CS] [%hr] [%hrl] [%hs] [%hsl]"),
        "[ck=vv] [-] [{h#7Co#7Bs#22t|}] [h#7Co#7Bs#22t -] [{res}] [res]"
    );
    assert_eq!(world.line("%{+Q}hr %{+Q}hrl"), "\"{h#7Co#7Bs#22t|}\" \"h#7Co#7Bs#22t\" \"\"");
}

#[test]
fn spaces_are_merged_in_logs_only() {
    let world = World::new(Mode::Http);
    assert_eq!(world.line(" %ci   %B x  "), "127.0.0.1 58 x ");
    assert_eq!(world.line("a %o b"), "a b");
    assert_eq!(world.line("a\tb  \t c"), "a\tb \t c");
    assert_eq!(world.line("a%%b%-c%_%(x)"), "a%b-c_(x)");
    assert_eq!(world.line("x%hr %hs y"), "x y");
    let http = parsed(" a  b %ID %HU %ci  x  ", Purpose::Http);
    assert_eq!(world.write(&http), " a  b  /p?a=b\\#22]x 127.0.0.1  x  ");
    let http = parsed("%[str(a%01%7f%09%ff%22),url_dec]", Purpose::Http);
    let mut out = Vec::new();
    http.write(&world.ctx(), &mut out);
    assert_eq!(out, b"a%01%7F\t\xff\"");
}

#[test]
fn long_requests_are_cut() {
    let mut world = World::new(Mode::Http);
    for (length, query, version) in [(1010, "?b", "HTTP/"), (1014, "?b", "H"), (1040, "", "HTTP/0.9")] {
        world.facts.request_line = format!("GET /{}?b HTTP/1.1", "a".repeat(length)).into_bytes();
        assert_eq!(world.line("%{-M}HQ|%HV"), format!("{query}|{version}"));
        assert_eq!(world.line("%r").len(), 1023);
    }
    world.facts.request_line = b"OPTIONS * HTTP/1.1".to_vec();
    assert_eq!(world.line("%{+Q}HQ|%HQ|%{+Q}HPO|%HPO|%HP|%HU|%HM|%HV"), "\"\"||\"\"||*|*|OPTIONS|HTTP/1.1");
    world.facts.request_line = b"GET http://h/x?y HTTP/1.1".to_vec();
    assert_eq!(world.line("%HQ|%HPO|%HP|%HU"), "?y|/x|http://h/x|http://h/x?y");
    world.facts.request_line = b"GET http://h HTTP/1.1".to_vec();
    assert_eq!(world.line("%HQ|%HPO|%HP"), "||http://h");
    world.facts.request_line = b"CONNECT a:80 HTTP/1.1".to_vec();
    assert_eq!(world.line("%HQ|%HPO|%HP|%HU"), "||a:80|a:80");
}

/// Words of haproxy 2.6.
#[test]
fn mistakes_are_told_in_haproxys_words() {
    const VERBATIM: &str = "If you wanted to emit the '%' character verbatim, you need to use '%%'.";
    for (text, expected) in [
        ("%", "truncated line after '%'.".to_owned()),
        ("%ci %", "truncated line after '%'.".to_owned()),
        ("%{", "truncated line after ''.".to_owned()),
        ("abc %{+Q", "truncated line after '+Q'.".to_owned()),
        ("%{+Q}", "parse argument modifier without variable name near '%{+Q}'.".to_owned()),
        ("%{+Q} ci", "parse argument modifier without variable name near '%{+Q}'.".to_owned()),
        ("%{+Q}1", format!("no such format variable '1'. {VERBATIM}")),
        ("%cicp", format!("no such format variable 'cicp'. {VERBATIM}")),
        ("%req.hdr", format!("no such format variable 'req'. {VERBATIM}")),
        (
            "ab % ci",
            "unexpected variable name near ' ' at position 4 line : 'ab % ci'. Maybe you want to write a single '%', \
             use the syntax '%%'."
                .to_owned(),
        ),
        ("%[", "failed to parse sample expression <> : missing fetch method.".to_owned()),
        ("%[]", "failed to parse sample expression <]> : missing fetch method.".to_owned()),
        ("%[foo]", "failed to parse sample expression <foo]> : unknown fetch method 'foo'.".to_owned()),
        ("%[src,foo]", "failed to parse sample expression <src,foo]> : unknown converter 'foo'.".to_owned()),
        ("%[src", "missing ']' after 'src'.".to_owned()),
        ("%[src ,lower]", "expected ']' after 'src', but found ' '.".to_owned()),
        (
            "%[path]",
            "sample fetch <path]> may not be reliably used here because it needs 'HTTP request headers' which is not \
             available here."
                .to_owned(),
        ),
    ] {
        assert_eq!(parse(text, Purpose::Log, Mode::Http).err().as_deref(), Some(&expected[..]), "{text}");
    }
    assert_eq!(
        parse("%ci %HM", Purpose::Log, Mode::Tcp).err().as_deref(),
        Some("format variable 'HM' is reserved for HTTP mode.")
    );
}

#[test]
fn a_line_waits_for_what_it_prints() {
    for (text, moment) in [
        ("%ci %HU %ST %s %t", Moment::Answer),
        ("%ci %B", Moment::End),
        ("%ID", Moment::End),
        ("%[src]", Moment::Answer),
    ] {
        assert_eq!(parsed(text, Purpose::Log).moment(), moment, "{text}");
    }
    let asap = LogSettings { format: Format::preset(Format::HTTP), logasap: true, ..LogSettings::default() };
    assert_eq!(asap.moment(), Moment::Answer);
    assert_eq!(LogSettings::default().moment(), Moment::Request);
}

/// Logs the world's exchange to a server on loopback and gives what arrives.
fn logged(world: &mut World, lines: &[&str], settings: LogSettings) -> Vec<String> {
    let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
    server.set_nonblocking(true).expect("nonblocking");
    let address = server.local_addr().expect("address").to_string();
    let targets = lines.iter().map(|text| target(&text.replace("UDP", &address))).collect();
    world.config.frontends[0].log = LogSettings { targets, ..settings };
    let mut logger = Logger::new(&world.config, "haproxy");
    logger.exchange(&world.ctx(), &world.config.frontends[0].log);
    assert_eq!(logger.dropped(), 0);
    let mut room = [0; 70_000];
    std::iter::from_fn(|| server.recv(&mut room).ok().map(|got| String::from_utf8_lossy(&room[..got]).into_owned()))
        .collect()
}

fn target(text: &str) -> LogTarget {
    let args: Vec<&str> = text.split(' ').collect();
    match line::parse(&args, false, false) {
        Ok(LogLine::Target(target)) => *target,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn each_target_has_its_header_level_and_length() {
    let mut world = World::new(Mode::Http);
    world.facts.request_line = format!("GET /{} HTTP/1.1", "a".repeat(99)).into_bytes();
    let settings = || LogSettings { format: parsed("%HU", Purpose::Log), ..LogSettings::default() };
    let got = logged(
        &mut world,
        &["UDP format short kern debug debug", "UDP format priority local0 notice", "UDP len 80 format raw local0"],
        settings(),
    );
    // A datagram has its line feed beyond `len`.
    assert_eq!(got, [format!("<7>/{}\n", "a".repeat(99)), format!("/{}\n", "a".repeat(79))]);
    // The message itself is bounded by the longest `len` of all, less one.
    assert_eq!(logged(&mut world, &["UDP len 80 format raw local0"], settings())[0].len(), 80);
    let got = logged(&mut world, &["UDP len 80 format short local0", "UDP len 90 format short local0"], settings());
    assert_eq!(got.iter().map(String::len).collect::<Vec<_>>(), [81, 91]);
}

#[test]
fn options_decide_what_is_logged_and_how_urgently() {
    let raw = ["UDP format short local0"];
    let with = |change: fn(&mut LogSettings)| {
        let mut settings = LogSettings { format: parsed("%ts %ST %B", Purpose::Log), ..LogSettings::default() };
        change(&mut settings);
        settings
    };
    let mut null = World::bad(300, Cause::ClientAbort, 400);
    assert_eq!(logged(&mut null, &raw, with(|s| s.dontlognull = true)), [] as [&str; 0]);
    assert_eq!(logged(&mut null, &raw, with(|s| s.separate_errors = true)), ["<3>CR 400 0\n"]);
    null.facts.first_byte = Some(at(0));
    assert_eq!(logged(&mut null, &raw, with(|s| s.dontlognull = true)), ["<6>CR 400 0\n"]);
    let mut good = World::new(Mode::Http);
    assert_eq!(logged(&mut good, &raw, with(|s| s.dontlog_normal = true)), [] as [&str; 0]);
    assert_eq!(logged(&mut good, &raw, with(|s| s.separate_errors = true)), ["<6>-- 200 58\n"]);
    good.facts.status = Some(404);
    assert_eq!(logged(&mut good, &raw, with(|s| s.dontlog_normal = true)), [] as [&str; 0]);
    good.facts.status = Some(500);
    assert_eq!(logged(&mut good, &raw, with(|s| s.separate_errors = true)), ["<3>-- 500 58\n"]);
    let mut redirected = World::new(Mode::Http);
    redirected.facts.termination.set_once(Cause::Local, Phase::Request);
    assert_eq!(logged(&mut redirected, &raw, with(|s| s.dontlog_normal = true)), [] as [&str; 0]);
    let mut denied = World::new(Mode::Http);
    denied.facts.termination.set_once(Cause::Proxy, Phase::Request);
    assert_eq!(logged(&mut denied, &raw, with(|s| s.dontlog_normal = true)), ["<6>PR 200 58\n"]);
}

#[test]
fn messages_go_to_the_targets_of_their_proxy() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let address = server.local_addr().expect("address");
    let mut config = World::new(Mode::Http).config;
    config.global.log_targets = vec![target(&format!("{address} format short local3"))];
    config.backends[0].log.targets = vec![target(&format!("{address} format priority local5"))];
    let mut logger = Logger::new(&config, "haproxy");
    logger.message(
        at(0),
        super::Level::Emerg,
        &config.backends[0].log,
        format_args!("backend {} has no server available!", "be"),
    );
    logger.global(at(0), super::Level::Warning, format_args!("Stopping."));
    let mut room = [0; 200];
    let got = server.recv(&mut room).expect("recv");
    assert_eq!(&room[..got], b"<168>backend be has no server available!\n");
    let got = server.recv(&mut room).expect("recv");
    assert_eq!(&room[..got], b"<4>Stopping.\n");
}

/// Run with `cargo test --release -- --ignored --nocapture a_line_is_cheap`.
#[test]
#[ignore = "a measurement"]
fn a_line_is_cheap() {
    let world = World::new(Mode::Http);
    let format = Format::preset(Format::HTTP);
    let mut out = Vec::with_capacity(4096);
    let rounds = 1_000_000;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        out.clear();
        format.write(&std::hint::black_box(world.ctx()), &mut out);
        std::hint::black_box(&out);
    }
    let each = start.elapsed() / rounds;
    println!("{each:?} a line of {} bytes", out.len());
    assert!(each.as_nanos() < 1000);
}
