//! The conditions that document 001 explains: hosts, URLs and paths choose among six backends.

use std::net::Ipv4Addr;

use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::nginx::Nginx;
use crate::{expect, expect_in};

const CONFIGURATION: &str = include_str!("../fixtures/mission/001-acl-examples.cfg");
const NODES: [(&str, &str); 6] = [
    ("web1", "127.0.0.1:8080"),
    ("app1", "127.0.0.1:8081"),
    ("bbs1", "127.0.0.1:8082"),
    ("static1", "127.0.0.1:8083"),
    ("www1", "127.0.0.1:8084"),
    ("cache1", "127.0.0.1:8085"),
];

/// Host, path with query, and the backend and server that they lead to.
const CASES: &[(&str, &str, &str)] = &[
    ("www.z.cn", "/1", "server_www/web1"),
    ("Z.CN", "/2", "server_www/web1"),
    ("www.z.cn.example.com", "/3", "server_www/web1"),
    ("a.z.cn", "/4?buy_sid=7", "server_app/app1"),
    ("a.z.cn", "/5?BUY_SID=7", "server_app/app1"),
    ("a.z.cn", "/buy_sid=/6", "server_app/app1"),
    ("www.z.cn", "/7?buy_sid=7", "server_www/web1"),
    ("bbs.z.cn", "/8", "server_bbs/bbs1"),
    ("a.BBS.z.cn:81", "/9", "server_bbs/bbs1"),
    ("abbs.z.cn", "/10", "server_cache/cache1"),
    ("img.example.com", "/11", "static/static1"),
    ("Download.example.com", "/12", "static/static1"),
    ("www.example.com", "/13.gif", "static/static1"),
    ("www.example.com", "/14.GIF", "www/www1"),
    ("www.example.com", "/15.css?a=b", "static/static1"),
    ("WWW.example.com", "/16", "www/www1"),
    ("example.com", "/17.gif", "server_cache/cache1"),
    ("example.com", "/18", "server_cache/cache1"),
];

/// Every condition of the file, each rule, and the options of its defaults.
pub fn choose() -> Result<(), String> {
    let switch = Switch::start()?;
    let client = Host::start("client")?;
    switch.plug(&client, Ipv4Addr::new(192, 168, 66, 1))?;
    let machine = Machine::plugged(&switch, "haproxy", Ipv4Addr::new(192, 168, 66, 10), CONFIGURATION)?;
    let nodes = Nginx::start(&machine.host, &NODES)?;
    machine.start_proxy()?;
    for (host, path, server) in CASES {
        let answer = curl(&client, &format!("-i -H 'Host: {host}' 'http://192.168.66.10:5000{path}'"))?;
        let node = server.split('/').nth(1).unwrap_or_default();
        expect_in(&format!("{host} {path}"), &answer, &format!("\r\n\r\n{node}\n"))?;
        expect_in("option httpclose", &answer.to_lowercase(), "\r\nconnection: close\r\n")?;
        expect_in("option forwardfor", &answer, "\nx-forwarded-for=192.168.66.1\n")?;
        machine.wait_for_log(&["local0.info", &format!(" main {server} "), &format!("\"GET {path} HTTP/1.1\"")])?;
    }
    let answer = curl(&client, "-H 'Host: www.z.cn' -H 'Cookie: SERVERID=server1' http://192.168.66.10:5000/kept")?;
    expect_in("cookie SERVERID", &answer, "web1\n")?;
    machine.wait_for("checks of /index.php", || {
        let requests = nodes.requests();
        requests.iter().filter(|line| *line == "web1 \"GET /index.php HTTP/1.0\" 200").count() >= 2
    })?;
    abort(&machine, &client, &nodes)
}

/// `option abortonclose`: nobody waits for a server whose client has given up.
fn abort(machine: &Machine, client: &Host, nodes: &Nginx) -> Result<(), String> {
    nodes.signal(&machine.host, "STOP")?;
    client.shell("printf 'GET /left HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | socat -t 0.2 - TCP:192.168.66.10:5000")?;
    let line = machine.wait_for_log(&["\"GET /left HTTP/1.1\""])?;
    let given_up = [" CC-- ", " CH-- "].iter().any(|code| line.contains(code));
    expect(&format!("option abortonclose: {line}"), given_up, true)?;
    nodes.signal(&machine.host, "CONT")
}
