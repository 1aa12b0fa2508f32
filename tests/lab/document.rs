//! The document's own steps: what its reader types on lb-node1, and what must be seen.

use regex::Regex;

use crate::cluster::{CLIENT, Lab};
use crate::{expect, expect_in};

/// The fields of `show info` that the document shows.
const INFO_FIELDS: &[&str] = &[
    "Name",
    "Version",
    "Release_date",
    "Nbproc",
    "Process_num",
    "Pid",
    "Uptime",
    "Uptime_sec",
    "Memmax_MB",
    "Ulimit-n",
    "Maxsock",
    "Maxconn",
    "Hard_maxconn",
    "CurrConns",
    "CumConns",
    "CumReq",
    "Maxpipes",
    "PipesUsed",
    "PipesFree",
    "ConnRate",
    "ConnRateLimit",
    "MaxConnRate",
    "SessRate",
    "SessRateLimit",
    "MaxSessRate",
    "CompressBpsIn",
    "CompressBpsOut",
    "CompressBpsRateLim",
    "Tasks",
    "Run_queue",
    "Idle_pct",
    "node",
    "description",
];

const NO_SERVER: &str = "backend proxy_xuliangwei_com_backend has no server available!";

/// Chapter 3, from the first curl to the last socat.
pub fn transcript(lab: &Lab) -> Result<(), String> {
    both_nodes_in_turn(lab)?;
    for _ in 0..3 {
        let body = lab.lb.shell("curl -sS proxy.xuliangwei.com")?;
        expect("the host name of node 2", body.as_str(), "web-node2.com\n")?;
    }
    let page = lab.lb.shell("curl -sSi 'http://192.168.90.203/haproxy?stats'")?;
    for part in ["200 OK", "text/html", "Statistics Report", "web-node1", "web-node2"] {
        expect_in("the statistics page", &page, part)?;
    }

    let help = lab.runtime("help")?;
    for command in ["show info", "disable server", "enable server", "show stat", "set weight"] {
        expect_in("help", &help, command)?;
    }
    let info = lab.runtime("show info")?;
    for field in INFO_FIELDS {
        expect_in("show info", &info, &format!("\n{field}: "))
            .or_else(|error| if info.starts_with(&format!("{field}: ")) { Ok(()) } else { Err(error) })?;
    }
    expect_in("show info", &info, "Name: HAProxy\n")?;
    expect_in("show info", &info, "\nnode: lb-node1.com\n")?;
    let pid = lab.lb.shell("cat /run/haproxy.pid")?;
    expect_in("show info", &info, &format!("\nPid: {}\n", pid.trim()))?;

    maintenance(lab)
}

fn both_nodes_in_turn(lab: &Lab) -> Result<(), String> {
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(lab.lb.shell("curl -sS http://192.168.90.203/")?);
    }
    let nodes = ["web-node1.com\n", "web-node2.com\n"];
    let first = bodies[0].clone();
    let start = nodes.iter().position(|node| *node == first);
    let start = start.ok_or(format!("not a node's page: {first:?}"))?;
    let turns: Vec<String> = (start..start + 4).map(|turn| nodes[turn % 2].to_string()).collect();
    expect("four requests", bodies, turns)
}

/// `disable server` of the only server, then `enable server`.
fn maintenance(lab: &Lab) -> Result<(), String> {
    let reply = lab.runtime("disable server proxy_xuliangwei_com_backend/web-node2")?;
    expect("disable server", reply.trim(), "")?;
    let line = lab.wait_for_log(NO_SERVER)?;
    let form = Regex::new(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ haproxy\[\d+\]: backend ").expect("regex");
    expect(&format!("the form of the log line: {line}"), form.is_match(&line), true)?;
    lab.wait_for("the message in the second log", |lab| {
        lab.severity_log().iter().any(|line| line.starts_with(&format!("local3.emerg {NO_SERVER}")))
    })?;
    let status = "curl -s -o /dev/null -w '%{http_code}' ";
    let code = lab.client.shell(&format!("{status} -H 'Host: proxy.xuliangwei.com' 192.168.90.203"))?;
    expect("without its only server", code.as_str(), "503")?;
    let code = lab.client.shell(&format!("{status} 192.168.90.203"))?;
    expect("the other backend", code.as_str(), "200")?;

    let reply = lab.runtime("enable server proxy_xuliangwei_com_backend/web-node2")?;
    expect("enable server", reply.trim(), "")?;
    lab.wait_for("node 2 to serve its name again", |lab| {
        lab.lb.shell("curl -sS proxy.xuliangwei.com").is_ok_and(|body| body == "web-node2.com\n")
    })
}

/// `chroot`, `user`, `group`, `daemon` and the socket's mode.
pub fn daemon(lab: &Lab) -> Result<(), String> {
    let pid = lab.lb.shell("cat /run/haproxy.pid")?;
    let pid = pid.trim();
    let root = lab.lb.shell(&format!("readlink /proc/{pid}/root"))?;
    expect("chroot", root.trim(), "/var/lib/haproxy")?;
    let owner = lab.lb.shell(&format!("stat -c '%U %G' /proc/{pid}"))?;
    expect("user and group", owner.trim(), "haproxy haproxy")?;
    let parent = lab.lb.shell(&format!("ps -o ppid= -p {pid}"))?;
    expect("a daemon's parent", parent.trim(), "1")?;
    let mode = lab.lb.shell("stat -c '%a %F' /var/lib/haproxy/haproxy.sock")?;
    expect("the socket's mode", mode.trim(), "600 socket")?;

    lab.lb.shell(&format!("kill -USR1 {pid}"))?;
    lab.wait_for("the daemon to finish", |lab| {
        // The first process of the host does not reap: what has ended may stay as a zombie.
        lab.lb.shell(&format!("ps -o stat= -p {pid}")).map_or(true, |state| state.starts_with('Z'))
    })
}

/// `option forwardfor header`, `option httpchk` and `option httplog`.
pub fn headers_and_log(lab: &Lab) -> Result<(), String> {
    let seen = lab.log().len();
    lab.client.shell("curl -sS http://192.168.90.203/index.html?a=1")?;
    let line = lab.wait_for_new_log(seen, "?a=1")?;
    let form = Regex::new(
        r#" haproxy\[\d+\]: 192\.168\.90\.1:\d+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] ha_xuliangwei_com ha_xuliangwei_com_backend/web-node[12] \d+/\d+/\d+/\d+/\d+ 200 \d+ - - ---- \d+/\d+/\d+/\d+/0 0/0 "GET /index\.html\?a=1 HTTP/1\.1"$"#,
    )
    .expect("regex");
    expect(&format!("httplog: {line}"), form.is_match(&line), true)?;
    lab.wait_for("the line's severity", |lab| {
        let lines = lab.severity_log();
        lines.iter().any(|line| line.starts_with("local3.info ") && line.contains("?a=1"))
    })?;

    lab.client.shell("curl -sS -H 'Host: proxy.xuliangwei.com' http://192.168.90.203/?b=2")?;
    let at_node2 = format!("192.168.90.203 \"GET /?b=2 HTTP/1.1\" 200 host=proxy.xuliangwei.com x-real-ip={CLIENT}");
    lab.wait_for("the request in node 2's log", |lab| lab.node2.requests().contains(&at_node2))?;
    lab.wait_for("health checks of both backends", |lab| {
        let checks = lab.node2.requests();
        checks.iter().filter(|line| line.contains("\"GET /index.html HTTP/1.0\" 200")).count() >= 2
    })
}

/// The last server of the main backend: the message, 503 with HAProxy's log code, and the way back.
pub fn last_server(lab: &Lab) -> Result<(), String> {
    lab.runtime("disable server ha_xuliangwei_com_backend/web-node1")?;
    for _ in 0..2 {
        let body = lab.client.shell("curl -sS http://192.168.90.203/")?;
        expect("with one node left", body.as_str(), "web-node2.com\n")?;
    }
    lab.runtime("disable server ha_xuliangwei_com_backend/web-node2")?;
    lab.wait_for_log("backend ha_xuliangwei_com_backend has no server available!")?;
    let answer = lab.client.shell("curl -sSi http://192.168.90.203/nobody")?;
    expect_in("with no node left", &answer, "HTTP/1.1 503 Service Unavailable\r\n")?;
    let line = lab.wait_for_log("/nobody")?;
    expect_in("the log", &line, " ha_xuliangwei_com_backend/<NOSRV> ")?;
    expect_in("the log", &line, " 503 ")?;
    expect_in("the log", &line, " SC-- ")?;
    let csv = lab.client.shell("curl -sS 'http://192.168.90.203/haproxy?stats;csv'")?;
    let node1 = csv.lines().find(|line| line.starts_with("ha_xuliangwei_com_backend,web-node1,"));
    expect_in("the statistics", node1.unwrap_or(&csv), ",MAINT,")?;

    lab.runtime("enable server ha_xuliangwei_com_backend/web-node1")?;
    lab.wait_for("node 1 to serve again", |lab| {
        let body = lab.client.shell("curl -sS http://192.168.90.203/");
        body.is_ok_and(|body| body == "web-node1.com\n")
    })
}
