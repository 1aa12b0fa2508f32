//! The distribution's example file of document 001: everything on one machine, nodes on ports of its own.

use std::net::Ipv4Addr;

use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::nginx::Nginx;
use crate::{expect, expect_in};

const CONFIGURATION: &str = include_str!("../fixtures/mission/001-distribution-default.cfg");
const NODES: [(&str, &str); 5] = [
    ("static", "127.0.0.1:4331"),
    ("app1", "127.0.0.1:5001"),
    ("app2", "127.0.0.1:5002"),
    ("app3", "127.0.0.1:5003"),
    ("app4", "127.0.0.1:5004"),
];

struct Site {
    machine: Machine,
    client: Host,
    nodes: Nginx,
    _switch: Switch,
}

impl Site {
    fn start() -> Result<Site, String> {
        let switch = Switch::start()?;
        let client = Host::start("client")?;
        switch.plug(&client, Ipv4Addr::new(192, 168, 66, 1))?;
        let machine = Machine::plugged(&switch, "haproxy", Ipv4Addr::new(192, 168, 66, 10), CONFIGURATION)?;
        let nodes = Nginx::start(&machine.host, &NODES)?;
        machine.start_proxy()?;
        Ok(Site { machine, client, nodes, _switch: switch })
    }

    fn get(&self, path: &str) -> Result<String, String> {
        curl(&self.client, &format!("-i 'http://192.168.66.10:5000{path}'"))
    }
}

/// Paths choose the backend, the four applications take turns, fields and log are as the file says.
pub fn serves() -> Result<(), String> {
    let site = Site::start()?;
    let to_static = [
        "/static/x",
        "/IMAGES/1",
        "/javascript",
        "/stylesheets/a/b",
        "/a.jpg",
        "/b.GIF",
        "/c.png?d=e",
        "/f.css",
        "/g.js",
    ];
    for path in to_static {
        expect_in(path, &site.get(path)?, "\r\n\r\nstatic\n")?;
        site.machine.wait_for_log(&["local2.info", " main static/static ", " 200 ", &format!("\"GET {path} ")])?;
    }
    let mut turns = Vec::new();
    for path in ["/", "/a/static", "/a.jpg.txt", "/x?y=.jpg"] {
        let answer = site.get(path)?;
        turns.push(answer.split("\r\n\r\n").nth(1).and_then(|body| body.lines().next()).unwrap_or_default().to_owned());
        expect_in("option http-server-close", &answer, "\nconnection=close\n")?;
        expect("the client's connection stays", answer.to_lowercase().contains("\r\nconnection:"), false)?;
        expect_in("option forwardfor", &answer, "\nx-forwarded-for=192.168.66.1\n")?;
    }
    expect("roundrobin", turns, ["app1", "app2", "app3", "app4"].map(String::from).to_vec())?;
    let local = site.machine.curl("http://127.0.0.1:5000/")?;
    expect_in("forwardfor except", &local, "\nx-forwarded-for=\n")?;

    // A connection without a request is no line of the log; half a request is.
    site.client.shell("socat -u /dev/null TCP:192.168.66.10:5000")?;
    site.client.shell("printf 'GET /half' | socat -t 5 - TCP:192.168.66.10:5000")?;
    let line = site.machine.wait_for_log(&["<BADREQ>"])?;
    expect_in("half a request", &line, " main main/<NOSRV> -1/-1/-1/-1/")?;
    let bad = site.machine.log().iter().filter(|line| line.contains("<BADREQ>")).count();
    expect("option dontlognull", bad, 1)
}

/// User, group, chroot, pidfile, limits and the socket; all checks; no node is missed when all die and return.
pub fn process() -> Result<(), String> {
    let site = Site::start()?;
    let host = &site.machine.host;
    let ask = |command: &str| host.shell(&format!("echo '{command}' | socat stdio /var/lib/haproxy/stats"));
    let owner = host.shell("stat -c '%U %G' /proc/$(cat /var/run/haproxy.pid)")?;
    expect("user and group", owner.trim(), "haproxy haproxy")?;
    let root = host.shell("readlink /proc/$(cat /var/run/haproxy.pid)/root")?;
    expect("chroot", root.trim(), "/var/lib/haproxy")?;
    expect_in("maxconn", &ask("show info")?, "\nMaxconn: 4000\n")?;
    let limit = ask("show stat")?.lines().find(|line| line.starts_with("main,FRONTEND")).map(str::to_owned);
    expect("a frontend's maxconn", limit.unwrap_or_default().split(',').nth(6), Some("3000"))?;
    let seen = host.shell("ps -e | grep haproxy")?;
    expect_in("ps -e|grep haproxy", &seen, " haproxy")?;
    host.shell("killall -0 haproxy")?;

    let state = |server: &str, state: &str| {
        let stat = ask("show stat").unwrap_or_default();
        stat.lines().any(|line| line.starts_with(server) && line.split(',').nth(17) == Some(state))
    };
    site.nodes.kill(host)?;
    for server in ["static,static,", "app,app1,", "app,app2,", "app,app3,", "app,app4,"] {
        site.machine.wait_for(&format!("{server} to be found dead"), || state(server, "DOWN"))?;
    }
    site.machine.wait_for_log(&["local2.emerg", "backend app has no server available!"])?;
    expect_in("without nodes", &site.get("/")?, " 503 Service Unavailable\r\n")?;
    site.nodes.again(host)?;
    site.machine.wait_for("the static node", || state("static,static,", "UP"))?;
    expect_in("with its node again", &site.get("/static")?, "\r\n\r\nstatic\n")
}

/// What the document says on starting, on a smooth restart with `-st`, and on the end.
pub fn is_operated() -> Result<(), String> {
    let site = Site::start()?;
    let host = &site.machine.host;
    let first = host.shell("cat /var/run/haproxy.pid")?;
    host.shell("haproxy -f /etc/haproxy/haproxy.cfg -st `cat /var/run/haproxy.pid`")?;
    let second = host.shell("cat /var/run/haproxy.pid")?;
    expect("another process", first == second, false)?;
    // The first process of the host does not reap: what has ended may stay as a zombie.
    let gone = format!("ps -o stat= -p {} | grep -v Z", first.trim());
    site.machine.wait_for("the old process to end", || host.shell(&gone).is_err())?;
    expect_in("the new process", &site.get("/a.css")?, "\r\n\r\nstatic\n")?;
    host.shell("haproxy -f /etc/haproxy/haproxy.cfg -sf $(cat /var/run/haproxy.pid)")?;
    expect_in("the third process", &site.get("/a.css")?, "\r\n\r\nstatic\n")?;
    host.shell("killall -9 haproxy")?;
    site.machine.wait_for("the end", || site.get("/").is_err())?;
    expect("killall -0 haproxy", host.shell("ps -e -o stat,comm | grep haproxy | grep -v ^Z").is_err(), true)?;
    site.machine.start_proxy()?;
    expect_in("started again", &site.get("/a.css")?, "\r\n\r\nstatic\n")
}
