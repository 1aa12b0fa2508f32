//! Document 002's director with its site www.xulei.com: what rsyslog writes to /var/log/haproxy.log.

use std::net::Ipv4Addr;

use regex::Regex;

use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::nginx::Nginx;
use crate::{expect, expect_in};

/// The site of the document behind the global and default settings of its distribution.
const SITE: &str = "
listen www.xulei.com
    mode http
    bind *:80
    balance roundrobin
    #balance source
    server http1 192.168.122.10:80 maxconn 2000 weight 1 check inter 1s rise 2 fall 2
    server http2 192.168.122.20:80 maxconn 2000 weight 1 check inter 1s rise 2 fall 2
    server http3 192.168.122.30:80 maxconn 2000 weight 1 check inter 1s rise 2 fall 2
";

/// The lines of the document, field for field: `curl -I` goes to the three in turn.
pub fn lines() -> Result<(), String> {
    let distribution = include_str!("../fixtures/mission/001-distribution-default.cfg");
    let settings = distribution.split("frontend ").next().unwrap_or_default();
    let switch = Switch::start()?;
    let nodes = Host::start("nodes")?;
    switch.plug(&nodes, Ipv4Addr::new(192, 168, 122, 10))?;
    nodes.shell("ip addr add 192.168.122.20/24 dev eth0 && ip addr add 192.168.122.30/24 dev eth0")?;
    let _nginx = Nginx::start(
        &nodes,
        &[("http1", "192.168.122.10:80"), ("http2", "192.168.122.20:80"), ("http3", "192.168.122.30:80")],
    )?;
    let machine = Machine::plugged(&switch, "master", Ipv4Addr::new(192, 168, 122, 2), &format!("{settings}{SITE}"))?;
    machine.start_proxy()?;
    for _ in 0..3 {
        let head = curl(&nodes, "-I http://192.168.122.2/")?;
        expect_in("curl -I", &head, "HTTP/1.1 200 OK\r\n")?;
    }
    let requests = || machine.traditional_log().into_iter().filter(|line| line.contains("HEAD")).collect::<Vec<_>>();
    machine.wait_for("three lines", || requests().len() == 3)?;
    let form = Regex::new(
        r#"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ haproxy\[\d+\]: 192\.168\.122\.10:\d+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] www\.xulei\.com www\.xulei\.com/(http\d) \d+/\d+/\d+/\d+/\d+ 200 \d+ - - ---- \d+/\d+/\d+/\d+/0 0/0 "HEAD / HTTP/1\.1"$"#,
    )
    .map_err(|error| error.to_string())?;
    let servers: Vec<String> = requests()
        .iter()
        .map(|line| form.captures(line).map_or(format!("not of the form: {line}"), |found| found[1].to_owned()))
        .collect();
    expect("servers in the log", servers, ["http1", "http2", "http3"].map(String::from).to_vec())
}
