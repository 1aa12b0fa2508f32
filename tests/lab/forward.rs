//! Document 004: a forward proxy of four processes at 192.168.200.10, for one client.

use std::net::Ipv4Addr;

use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::nginx::Nginx;
use crate::{expect, expect_in};

const CONFIGURATION: &str = include_str!("../fixtures/mission/004-forward-proxy.cfg");

struct Site {
    machine: Machine,
    client: Host,
    stranger: Host,
    _node: (Host, Nginx),
    _switch: Switch,
}

impl Site {
    fn start() -> Result<Site, String> {
        let switch = Switch::start()?;
        let plugged = |name, last| {
            let host = Host::start(name)?;
            switch.plug(&host, Ipv4Addr::new(192, 168, 200, last))?;
            Ok::<_, String>(host)
        };
        let (client, stranger, web) = (plugged("client", 150)?, plugged("stranger", 151)?, plugged("web", 20)?);
        let node = Nginx::start(&web, &[("web", "192.168.200.20:80"), ("web8000", "192.168.200.20:8000")])?;
        let machine = Machine::plugged(&switch, "proxy", Ipv4Addr::new(192, 168, 200, 10), CONFIGURATION)?;
        machine.start_proxy()?;
        Ok(Site { machine, client, stranger, _node: (web, node), _switch: switch })
    }
}

fn through(host: &Host, arguments: &str) -> Result<String, String> {
    curl(host, &format!("-i -x http://192.168.200.10:8080 {arguments}"))
}

/// Pages of addressed nodes come through; everything that the rules forbid is refused.
pub fn fetches() -> Result<(), String> {
    let site = Site::start()?;
    for (url, node, target) in [
        ("http://192.168.200.20/page?q=1", "web", "/page?q=1"),
        ("http://192.168.200.20:8000/other", "web8000", "/other"),
        ("http://192.168.200.20", "web", "/"),
    ] {
        let answer = through(&site.client, &format!("'{url}'"))?;
        expect_in(url, &answer, "HTTP/1.1 200 OK\r\n")?;
        expect_in("the node and what it was asked", &answer, &format!("\r\n\r\n{node}\nGET {target} HTTP/1.1\n"))?;
    }
    let line = site.machine.wait_for_log(&["local0.info", " 200 ", "/page?q=1 HTTP/1.1\""])?;
    expect_in("the log", &line, " test-proxy test-proxy-srv/")?;

    let refused = [
        (&site.stranger, "http://192.168.200.20/by-a-stranger"),
        (&site.client, "http://192.168.0.7/private"),
        (&site.client, "http://172.16.0.1/private"),
        (&site.client, "http://172.31.255.254:8080/private"),
        (&site.client, "http://10.1.2.3/private"),
        (&site.client, "-d x=1 http://192.168.200.20/posted"),
        (&site.client, "-I http://192.168.200.20/headed"),
    ];
    for (host, arguments) in refused {
        let answer = through(host, arguments)?;
        expect_in(arguments, &answer, "HTTP/1.1 403 Forbidden\r\n")?;
        let path = arguments.rsplit('/').next().unwrap_or_default();
        site.machine.wait_for_log(&[" 403 ", " PR-- ", &format!("/{path} HTTP/1.1\"")])?;
    }
    let answer = through(&site.client, "http://192.168.200.20/audio")?;
    expect_in("a bad reply", &answer, "HTTP/1.1 502 Bad Gateway\r\n")?;
    site.machine.wait_for_log(&[" 502 ", " PH-- ", "/audio HTTP/1.1\""])?;
    let answer = through(&site.client, "http://192.168.200.20:81/nobody")?;
    expect_in("nobody listens there", &answer, "HTTP/1.1 503 Service Unavailable\r\n")?;
    let line = site.machine.wait_for_log(&[" 503 ", "/nobody HTTP/1.1\""])?;
    expect_in("retries 2", &line, "/2 0/0 ")
}

/// `nbproc 4`, ids by number, chroot, limits, and where it listens.
pub fn process() -> Result<(), String> {
    let site = Site::start()?;
    let host = &site.machine.host;
    // The supervisor stays what it was started as; the four drop to the user.
    let workers = || host.shell("ps -o pid= --user 200").unwrap_or_default();
    site.machine.wait_for("four processes of user 200", || workers().split_whitespace().count() == 4)?;
    let workers = workers();
    for worker in workers.split_whitespace() {
        let status = host.shell(&format!("cat /proc/{worker}/status"))?;
        expect_in("gid", &status, "\nGid:\t200\t200\t200\t200\n")?;
        let root = host.shell(&format!("readlink /proc/{worker}/root"))?;
        expect("chroot", root.trim(), "/var/empty")?;
        let limits = host.shell(&format!("cat /proc/{worker}/limits"))?;
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let limit = limit.and_then(|line| line.split_whitespace().next()).unwrap_or_default();
        expect("ulimit-n", limit, "16384")?;
    }
    let elsewhere = curl(host, "-x http://127.0.0.1:8080 http://192.168.200.20/");
    expect("bound to its address alone", elsewhere.is_err(), true)?;
    for number in 0..40 {
        let answer = through(&site.client, &format!("http://192.168.200.20/{number}"))?;
        expect_in("from whichever worker", &answer, "HTTP/1.1 200 OK\r\n")?;
        site.machine.wait_for_log(&[&format!("/{number} HTTP/1.1\"")])?;
    }
    Ok(())
}
