//! Document 003: the three ways of keeping a client on its server, and its load test.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use crate::cluster::PATIENCE;
use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::nginx::Nginx;
use crate::{expect, expect_in};

const CONFIGURATION: &str = include_str!("../fixtures/mission/003-session-affinity.cfg");
const PROXY: Ipv4Addr = Ipv4Addr::new(192, 168, 18, 1);
const NODES: [(&str, &str); 2] = [("realsrv_70", "127.0.0.70:80"), ("realsrv_120", "127.0.0.120:80")];

/// Clients of the document's `webbench -c 100 -t 30`, and seconds: fewer, for a test.
const BENCH_CLIENTS: usize = 100;
const BENCH_SECONDS: u64 = 3;

struct Site {
    machine: Machine,
    client: Host,
    _nodes: Nginx,
    _switch: Switch,
}

impl Site {
    fn start() -> Result<Site, String> {
        let switch = Switch::start()?;
        let client = Host::start("client")?;
        switch.plug(&client, Ipv4Addr::new(192, 168, 18, 100))?;
        let machine = Machine::plugged(&switch, "BlackGhost", PROXY, CONFIGURATION)?;
        let nodes = Nginx::start(&machine.host, &NODES)?;
        machine.start_proxy()?;
        Ok(Site { machine, client, _nodes: nodes, _switch: switch })
    }

    fn get(&self, arguments: &str) -> Result<String, String> {
        curl(&self.client, &format!("-i {arguments}"))
    }

    /// Which node an answer comes from.
    fn node_of(answer: &str) -> Result<&str, String> {
        let body = answer.split("\r\n\r\n").nth(1).and_then(|body| body.lines().next());
        body.filter(|name| name.starts_with("realsrv_")).ok_or(format!("no node in {answer}"))
    }
}

/// The cookie of the proxy: given once, kept to, hidden from the node, and kept from caches.
pub fn by_cookie() -> Result<(), String> {
    let site = Site::start()?;
    let mut seen = HashSet::new();
    for _ in 0..4 {
        let answer = site.get("http://192.168.18.1:1080/cookie/cached")?;
        let node = Site::node_of(&answer)?.to_owned();
        let value = if node == "realsrv_70" { "11" } else { "12" };
        let given = format!("\r\nset-cookie: session_cookie={value}; path=/\r\n");
        expect_in("insert", &answer.to_lowercase(), &given)?;
        expect_in("nocache", &answer.to_lowercase(), "\r\ncache-control: private\r\n")?;
        for _ in 0..4 {
            let cookies = format!("-H 'Cookie: jsessionid=0bc588656ca05ecf; SESSION_COOKIE={value}'");
            let again = site.get(&format!("{cookies} http://192.168.18.1:1080/cookie/again"))?;
            expect("the same server", Site::node_of(&again)?, node.as_str())?;
            expect_in("indirect: the node does not see it", &again, "\ncookie=jsessionid=0bc588656ca05ecf\n")?;
            expect("not given again", again.to_lowercase().contains("set-cookie"), false)?;
        }
        seen.insert(node);
    }
    expect("both servers had their turns", seen.len(), 2)
}

/// The hash of the client's address, from two dozen addresses.
pub fn by_source() -> Result<(), String> {
    let site = Site::start()?;
    let mut seen = HashSet::new();
    for last in 101..=124 {
        site.client.shell(&format!("ip addr add 192.168.18.{last}/24 dev eth0"))?;
        let ask = || site.get(&format!("--interface 192.168.18.{last} http://192.168.18.1:1080/source/1"));
        let node = Site::node_of(&ask()?)?.to_owned();
        for _ in 0..3 {
            expect(&format!("192.168.18.{last} stays"), Site::node_of(&ask()?)?, node.as_str())?;
        }
        expect("no cookie", ask()?.to_lowercase().contains("set-cookie"), false)?;
        seen.insert(node);
    }
    expect("both servers have clients", seen.len(), 2)
}

/// The application's own session, learnt from answers and from requests, and told apart by 64 bytes.
pub fn by_session() -> Result<(), String> {
    let site = Site::start()?;
    let with = |session: &str| {
        let answer = site.get(&format!("-H 'Cookie: a=b; JSESSIONID={session}' http://192.168.18.1:1080/app"))?;
        expect_in("the node sees its cookie", &answer, &format!("\ncookie=a=b; JSESSIONID={session}\n"))?;
        Ok::<_, String>(Site::node_of(&answer)?.to_owned())
    };
    let mut seen = HashSet::new();
    for number in 0..4 {
        let session = format!("learnt-from-the-answer-{number}");
        let answer = site.get(&format!("'http://192.168.18.1:1080/set?JSESSIONID={session};path=/'"))?;
        let node = Site::node_of(&answer)?.to_owned();
        for _ in 0..5 {
            expect("the server that gave the session", with(&session)?, node.clone())?;
        }
        seen.insert(node);
    }
    for number in 0..4 {
        let session = format!("learnt-from-the-request-{number}");
        let node = with(&session)?;
        for _ in 0..5 {
            expect("request-learn", with(&session)?, node.clone())?;
        }
        seen.insert(node);
    }
    let long = "l".repeat(64);
    let node = with(&format!("{long}-1"))?;
    for number in 2..6 {
        expect("len 64", with(&format!("{long}-{number}"))?, node.clone())?;
    }
    expect("both servers had sessions", seen.len(), 2)
}

/// The statistics at port 8888, and `ps -e|grep haproxy`.
pub fn statistics() -> Result<(), String> {
    let site = Site::start()?;
    let page = site.get("http://192.168.18.1:8888/haproxy-stats")?;
    for part in ["HTTP/1.1 200 OK\r\n", "COOKIE_srv", "SOURCE_srv", "APPSESSION_srv", "REALsrv_120"] {
        expect_in("the page", &page, part)?;
    }
    expect("no form", page.contains("name=\"action\""), false)?;
    expect_in("maxconn", &page, "<b>maxconn =</b> 4000;")?;
    let seen = site.machine.host.shell("ps -e|grep haproxy")?;
    expect_in("ps", &seen, " haproxy")
}

/// What webbench does: a hundred clients, each a connection with an HTTP/1.0 request after the other; then `ab`, wrk.
pub fn under_load() -> Result<(), String> {
    let site = Site::start()?;
    let until = Instant::now() + Duration::from_secs(BENCH_SECONDS);
    let clients: Vec<_> = (0..BENCH_CLIENTS).map(|_| site.client.thread(move || webbench(until))).collect();
    let (mut good, mut failed) = (0, Vec::new());
    for client in clients {
        let (pages, failure) = client.join().map_err(|_| "a client died")?;
        good += pages;
        failed.extend(failure);
    }
    expect(&format!("failures after {good} pages"), failed, Vec::<String>::new())?;
    expect(&format!("pages of {BENCH_CLIENTS} clients: {good}"), good > BENCH_CLIENTS, true)?;

    let ab = site.client.shell("ab -l -q -n 1000 -c 50 http://192.168.18.1:1080/phpinfo.php")?;
    for part in ["Complete requests:      1000\n", "Failed requests:        0\n"] {
        expect_in("ab", &ab, part)?;
    }
    expect("ab: other statuses", ab.contains("Non-2xx"), false)?;
    let wrk = site.client.shell("wrk -t1 -c50 -d2s --timeout 20s http://192.168.18.1:1080/phpinfo.php")?;
    expect_in("wrk", &wrk, " requests in ")?;
    for trouble in ["Non-2xx", "Socket errors"] {
        expect(&format!("wrk: {wrk}"), wrk.contains(trouble), false)?;
    }
    Ok(())
}

/// One client of webbench; how many pages it got, and why it ended early.
fn webbench(until: Instant) -> (usize, Option<String>) {
    let mut pages = 0;
    while Instant::now() < until {
        match page() {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\nrealsrv_") => pages += 1,
            Ok(answer) => return (pages, Some(answer)),
            Err(error) => return (pages, Some(error.to_string())),
        }
    }
    (pages, None)
}

fn page() -> std::io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddrV4::new(PROXY, 1080))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /phpinfo.php HTTP/1.0\r\nUser-Agent: WebBench 1.5\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
