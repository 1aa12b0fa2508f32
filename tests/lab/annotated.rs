//! The long annotated example of document 002 (1.4): its sites at 192.168.16.2 and .3, the proxy beside them.

use std::net::Ipv4Addr;

use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::nginx::Nginx;
use crate::{expect, expect_in};

const CONFIGURATION: &str = include_str!("../fixtures/mission/002-full-example.cfg");
const PROXY: &str = "192.168.16.10";
/// The statistics and the form, asked for as `admin`.
const PAGE: &str = "-i -u admin:admin 'http://192.168.16.10:65532/admin?stats'";
/// The pages that the configuration names.
const PAGES: [u16; 5] = [403, 500, 502, 503, 504];

struct Site {
    proxy: Machine,
    client: Host,
    nodes: [(Host, Nginx); 2],
    _switch: Switch,
}

impl Site {
    fn start() -> Result<Site, String> {
        let switch = Switch::start()?;
        let address = |last| Ipv4Addr::new(192, 168, 16, last);
        let client = Host::start("client")?;
        switch.plug(&client, address(1))?;
        let node = |name, last| {
            let host = Host::start(name)?;
            switch.plug(&host, address(last))?;
            let nginx = Nginx::start(&host, &[(name, &format!("192.168.16.{last}:80"))])?;
            Ok::<_, String>((host, nginx))
        };
        let nodes = [node("node2", 2)?, node("node3", 3)?];
        let proxy = Machine::plugged(&switch, "www.itnihao.cn", address(10), CONFIGURATION)?;
        for page in PAGES {
            proxy.write(&format!("etc/errorfiles/{page}.http"), &error_page(page))?;
        }
        start(&proxy)?;
        let site = Site { proxy, client, nodes, _switch: switch };
        // Servers are taken to be well at the start; the first checks of all six have confirmed it.
        site.proxy.wait_for("checks of all servers", || {
            site.nodes.iter().all(|(_, nginx)| {
                nginx.requests().iter().filter(|line| line.contains("\"GET /index.html HTTP/1.0\" 200")).count() >= 3
            })
        })?;
        Ok(site)
    }

    /// What the client gets from port 80, head and body.
    fn get(&self, arguments: &str) -> Result<String, String> {
        curl(&self.client, &format!("-i http://{PROXY}{arguments}"))
    }

    /// The state of a server in the statistics.
    fn state(&self, server: &str) -> Result<String, String> {
        let csv = curl(&self.client, "-u admin1:admin1 'http://192.168.16.10:65532/admin?stats;csv'")?;
        let line = csv.lines().find(|line| line.split(',').nth(1) == Some(server)).unwrap_or_default();
        Ok(line.split(',').nth(17).unwrap_or_default().to_owned())
    }

    fn wait_for_state(&self, server: &str, state: &str) -> Result<(), String> {
        self.proxy.wait_for(&format!("{server} to be {state}"), || self.state(server).is_ok_and(|now| now == state))
    }
}

/// Starts the proxy. Where not even root may raise the limit of descriptors to what `ulimit-n` asks for, a second
/// file says that this is no reason to stop.
fn start(proxy: &Machine) -> Result<(), String> {
    if proxy.host.shell("ulimit -n 65535").is_ok() {
        return proxy.start_proxy();
    }
    proxy.write("etc/limits.cfg", "global\n    no strict-limits\n")?;
    proxy.host.shell("haproxy -c -q -f /etc/haproxy/haproxy.cfg")?;
    proxy.host.shell("haproxy -D -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/limits.cfg").map(drop)
}

fn error_page(status: u16) -> String {
    format!("HTTP/1.0 {status} Own page\r\nX-Page: {status}\r\nContent-Length: 9\r\n\r\npage {status}\n")
}

/// Ids by number, chroot, pidfile, limit of descriptors, two logs of which one takes what matters only.
pub fn process() -> Result<(), String> {
    let site = Site::start()?;
    let proxy = &site.proxy;
    expect("uid", proxy.of_process("status", "Uid:")?.as_str(), "99 99 99 99")?;
    expect("gid", proxy.of_process("status", "Gid:")?.as_str(), "99 99 99 99")?;
    let descriptors = proxy.of_process("limits", "Max open files")?;
    if proxy.host.shell("ulimit -n 65535").is_ok() {
        expect_in("ulimit-n", &descriptors, "65535 ")?;
    }
    let root = proxy.host.shell("readlink /proc/$(cat /var/run/haproxy.pid)/root")?;
    expect("chroot", root.trim(), "/var/haproxy")?;
    let page = curl(&site.client, PAGE)?;
    expect_in("maxconn", &page, "<b>maxconn =</b> 20480;")?;

    site.get("/a-request")?;
    proxy.wait_for_log(&["local0.info", " http_80_in server_bbs/bbs", "\"GET /a-request HTTP/1.1\""])?;
    site.nodes[1].1.kill(&site.nodes[1].0)?;
    for facility in ["local0.alert", "local1.alert"] {
        proxy.wait_for_log(&[facility, "Server server_web/web2 is DOWN"])?;
    }
    let requests_in_local1 = proxy.log().iter().any(|line| line.starts_with("local1.") && line.contains("a-request"));
    expect("requests in the log of notices", requests_in_local1, false)
}

/// The frontend: conditions on host and URL, `block`, redirect, default; what nodes and log see of it.
pub fn routes() -> Result<(), String> {
    let site = Site::start()?;
    let cases = [
        ("/1", "-H 'Host: www.itnihao.cn'", " server_web/web"),
        ("/2", "-H 'Host: WW1.itnihao.CN'", " server_web/web"),
        ("/3", "-H 'Host: www.itnihao.cn.example.com'", " server_bbs/bbs"),
        ("/4", "-H 'Host: blog.itnihao.cn'", " server_blog/blog"),
        ("/5", "-H 'Host: my.BLOG.itnihao.cn'", " server_blog/blog"),
        ("/6", "-H 'Host: myblog.itnihao.cn'", " server_bbs/bbs"),
        ("/7", "-H 'Host: bbs.itnihao.cn'", " server_bbs/bbs"),
        ("/allow/killall", "", " server_bbs/bbs"),
        ("/posted", "-d 12345", " server_bbs/bbs"),
    ];
    for (path, arguments, server) in cases {
        let answer = site.get(&format!("{path} {arguments}"))?;
        expect_in(path, &answer, "HTTP/1.1 200 OK\r\n")?;
        expect_in("option httpclose", &answer.to_lowercase(), "\r\nconnection: close\r\n")?;
        expect_in("option httpclose", &answer, "\nconnection=close\n")?;
        expect_in("option forwardfor", &answer, "\nx-forwarded-for=192.168.16.1\n")?;
        site.proxy.wait_for_log(&[" http_80_in", server, " 200 ", &format!(" {path} HTTP/1.1\"")])?;
    }
    for blocked in ["/killall", "'/x?y=KILLALL'", "/ -X POST -H Content-Length:"] {
        let answer = site.get(blocked)?;
        expect_in(blocked, &answer, "HTTP/1.1 403 Forbidden\r\n")?;
    }
    site.proxy.wait_for_log(&[" http_80_in http_80_in/<NOSRV> ", " 403 ", " PR-- ", "/killall "])?;
    let answer = site.get("'/forum/1?a=b' -H 'Host: itnihao.CN'")?;
    expect_in("redirect prefix", &answer, "HTTP/1.1 301 Moved Permanently\r\n")?;
    expect_in("redirect prefix", &answer.to_lowercase(), "\r\nlocation: http://blog.itniaho.cn/forum/1?a=b\r\n")?;
    site.proxy.wait_for_log(&[" http_80_in/<NOSRV> ", " 301 ", " LR-- "]).map(drop)
}

/// Weights 1 and 2; `cookie` without a mode: the node's own cookie keeps a client there, also when the node dies.
pub fn keeps() -> Result<(), String> {
    let site = Site::start()?;
    let mut count = [0, 0];
    for _ in 0..12 {
        let answer = site.get("/")?;
        count[usize::from(answer.contains("\r\n\r\nnode3\n"))] += 1;
    }
    expect("turns by weight", count, [4, 8])?;
    let answer = site.get("'/set?SERVERID=bbs1'")?;
    expect_in("the node's own cookie", &answer, "\r\nSet-Cookie: SERVERID=bbs1\r\n")?;
    for _ in 0..6 {
        let answer = site.get("/kept -H 'Cookie: a=b; SERVERID=bbs1'")?;
        expect_in("kept by the cookie", &answer, "\r\n\r\nnode2\n")?;
        expect_in("the node sees it", &answer, "\ncookie=a=b; SERVERID=bbs1\n")?;
    }
    expect_in("kept by the other", &site.get("/ -H 'Cookie: SERVERID=bbs2'")?, "\r\n\r\nnode3\n")?;

    site.nodes[0].1.kill(&site.nodes[0].0)?;
    let answer = site.get("/redispatched -H 'Cookie: SERVERID=bbs1'")?;
    expect_in("option redispatch", &answer, "\r\n\r\nnode3\n")?;
    site.wait_for_state("bbs1", "DOWN")?;
    expect_in("to the one that is left", &site.get("/ -H 'Cookie: SERVERID=bbs1'")?, "\r\n\r\nnode3\n")?;
    site.nodes[0].1.again(&site.nodes[0].0)?;
    site.wait_for_state("bbs1", "UP")?;
    expect_in("and back", &site.get("/ -H 'Cookie: SERVERID=bbs1'")?, "\r\n\r\nnode2\n")
}

/// `monitor-uri`, `monitor fail if` with nbsrv, and `monitor-net`, which is neither logged nor passed on.
pub fn watches() -> Result<(), String> {
    let site = Site::start()?;
    let status = || site.get(":1081/site_status").unwrap_or_else(|error| error);
    expect_in("both nodes are well", &status(), "HTTP/1.0 200 OK\r\n")
        .or_else(|_| expect_in("both nodes are well", &status(), "HTTP/1.1 200 OK\r\n"))?;
    site.nodes[1].1.kill(&site.nodes[1].0)?;
    site.proxy.wait_for("the site to be reported dead", || status().contains(" 503 Service Unavailable\r\n"))?;
    for server in ["web2", "blog2", "bbs2"] {
        site.wait_for_state(server, "DOWN")?;
    }
    site.nodes[1].1.again(&site.nodes[1].0)?;
    site.proxy.wait_for("the site to be well again", || status().contains(" 200 OK\r\n"))?;

    let other = site.get(":1081/somewhere")?;
    expect_in("what is no monitor's", &other, " 503 Service Unavailable\r\n")?;
    site.proxy.wait_for_log(&["local0.info", " site_status site_status/<NOSRV> ", " 503 ", "/somewhere "])?;
    for (node, _) in &site.nodes {
        let answer = curl(node, &format!("-i --http0.9 http://{PROXY}:1081/from-the-net"))?;
        expect("monitor-net", answer.as_str(), "HTTP/1.0 200 OK\r\n\r\n")?;
    }
    site.get(":1081/after")?;
    site.proxy.wait_for_log(&["/after "])?;
    let logged = |what: &str| site.proxy.log().iter().any(|line| line.contains(what));
    expect("what monitors ask is not logged", logged("/from-the-net") || logged("/site_status"), false)?;
    let errors = site.proxy.log().iter().any(|line| line.starts_with("local3."));
    expect("`log ... err` gets no requests", errors, false)
}

/// The statistics: two users, realm, refresh, no version, and the form of `stats admin if TRUE`.
pub fn administrates() -> Result<(), String> {
    let site = Site::start()?;
    let at_page = |arguments: &str| curl(&site.client, &format!("-i {arguments} 'http://{PROXY}:65532/admin?stats'"));
    for wrong in ["", "-u admin:admin1", "-u nobody:admin"] {
        let answer = at_page(wrong)?;
        expect_in("without a password", &answer, " 401 Unauthorized\r\n")?;
        expect_in("stats realm", &answer.to_lowercase(), "www-authenticate: basic realm=\"itnihao itnihao\"\r\n")?;
    }
    for user in ["-u admin:admin", "-u admin1:admin1"] {
        let answer = at_page(user)?;
        expect_in("the page", &answer, "HTTP/1.1 200 OK\r\n")?;
        expect_in("stats refresh", &answer.to_lowercase(), "\r\nrefresh: 5\r\n")?;
        expect_in("stats admin", &answer, "<select name=\"action\">")?;
        for server in ["web1", "web2", "blog1", "blog2", "bbs1", "bbs2"] {
            expect_in("servers", &answer, server)?;
        }
        expect("stats hide-version", answer.contains("version 2."), false)?;
    }

    // The form names a backend by its number.
    let page = at_page("-u admin:admin")?;
    let form = page.split("<form ").find(|form| form.contains("value=\"blog1\"")).unwrap_or_default();
    let backend = form.split("name=\"b\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let backend = backend.replace('#', "%23");
    let post = |action: &str| at_page(&format!("-u admin:admin -d 's=blog1&action={action}&b={backend}'"));
    let answer = post("maint")?;
    expect_in("the form's answer", &answer, "HTTP/1.1 303 See Other\r\n")?;
    expect_in("the form's answer", &answer.to_lowercase(), "\r\nlocation: /admin?stats;st=done")?;
    site.wait_for_state("blog1", "MAINT")?;
    for _ in 0..4 {
        let answer = site.get("/ -H 'Host: blog.itnihao.cn'")?;
        expect_in("the other server", &answer, "\r\n\r\nnode3\n")?;
    }
    site.proxy.wait_for_log(&["local1.", "Server server_blog/blog1 is going DOWN for maintenance"])?;
    post("ready")?;
    site.wait_for_state("blog1", "UP")
}

/// `errorfile` on the wire, and the fields that `capture` puts into braces.
pub fn pages() -> Result<(), String> {
    let site = Site::start()?;
    let long = "r".repeat(230);
    let answer = curl(
        &site.client,
        &format!("-i -e '{long}' -H 'Host: pages.itnihao.cn' -d 1234567 http://{PROXY}:65532/nowhere"),
    )?;
    expect("errorfile 503", answer, error_page(503))?;
    let line = site.proxy.wait_for_log(&["admin_status admin_status/<NOSRV> ", "\"POST /nowhere "])?;
    // An error page has no captured fields of a response; the statistics have.
    let captured = format!(" SC-- 1/1/0/0/0 0/0 {{pages.itnihao.cn|7|{}}} {{||}} \"POST ", &long[..200]);
    expect_in("capture", &line, &captured)?;
    let answer = curl(&site.client, PAGE)?;
    expect_in("the page itself", &answer, "HTTP/1.1 200 OK\r\n")?;
    site.proxy.wait_for_log(&["admin_status admin_status/<STATS> ", "{192.168.16.10:65532||} {||no-cache} "]).map(drop)
}
