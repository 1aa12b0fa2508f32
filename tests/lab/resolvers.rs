//! Servers by name behind a real name server: names that move, services that come and go, a name server that dies, and
//! a line that loses every fourth datagram. Two workers follow, and clients count every request.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{PATIENCE, binary};
use crate::dns::{LossyLine, NameServer};
use crate::host::{Host, Switch};
use crate::load::{Load, Target};
use crate::machine::curl;
use crate::support::place::{TempDir, sandbox_line, wait_until};
use crate::support::receiver::Receiver;
use crate::support::service::ask;
use crate::web::Web;
use crate::{expect, expect_in};

const PROXY: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 10);
const DNS: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 53);
const NODES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 168, 90, 21), Ipv4Addr::new(192, 168, 90, 22), Ipv4Addr::new(192, 168, 90, 23)];
const TARGET: Target = Target { address: SocketAddrV4::new(PROXY, 80), patience: Duration::from_secs(20) };

/// Everybody around the proxy.
struct Site {
    proxy: Host,
    client: Host,
    names: NameServer,
    log: Receiver,
    directory: TempDir,
    _nodes: Vec<(Host, Web)>,
    _switch: Switch,
}

impl Site {
    fn start() -> Result<Site, String> {
        let directory = TempDir::new("names").map_err(|error| format!("temporary: {error}"))?;
        let switch = Switch::start()?;
        let [proxy, client, dns] = ["proxy", "client", "dns"].map(Host::start);
        let (proxy, client, dns) = (proxy?, client?, dns?);
        for (host, address) in [(&proxy, PROXY), (&client, CLIENT), (&dns, DNS)] {
            switch.plug(host, address)?;
        }
        let mut nodes = Vec::new();
        for (name, address) in ["node1", "node2", "node3"].into_iter().zip(NODES) {
            let host = Host::start(name)?;
            switch.plug(&host, address)?;
            let web = Web::start(&host, address, 80)?;
            nodes.push((host, web));
        }
        let log = proxy.thread(|| Receiver::udp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 514).into())).join();
        let log = log.map_err(|_| "the log's thread died")?.map_err(|error| format!("log: {error}"))?;
        let names = NameServer::new(dns, DNS)?;
        Ok(Site { proxy, client, names, log, directory, _nodes: nodes, _switch: switch })
    }

    /// Writes the configuration: what `resolvers` has, and what the backend has.
    fn configure(&self, resolvers: &str, servers: &str) -> Result<(), String> {
        let socket = self.socket().display().to_string();
        let is_haproxy = binary().ends_with("haproxy");
        let ours = if is_haproxy { String::new() } else { format!(" nbproc 2\n{}", sandbox_line()) };
        let text = format!(
            "global\n log 127.0.0.1 local0 notice\n stats socket {socket} level admin\n{ours}\
             defaults\n mode http\n log global\n timeout connect 2s\n timeout client 20s\n timeout server 5s\n retries 3\n\
             resolvers lab\n resolve_retries 3\n timeout resolve 200ms\n timeout retry 200ms\n{resolvers}\n\
             frontend web\n bind {PROXY}:80\n default_backend nodes\nbackend nodes\n balance roundrobin\n{servers}\n",
        );
        std::fs::write(self.path("cfg"), text).map_err(|error| error.to_string())
    }

    /// Starts the proxy, or takes over from the one that runs.
    fn start_proxy(&self) -> Result<(), String> {
        let (program, file, pid) = (binary(), self.path("cfg"), self.path("pid"));
        let (program, file, pid) = (program.display(), file.display(), pid.display());
        let old = std::fs::read_to_string(self.path("pid")).map(|pid| format!("-sf {}", pid.trim()));
        let old = old.unwrap_or_default();
        self.proxy.shell(&format!("{program} -D -f {file} -p {pid} {old}")).map(drop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("sock")
    }

    fn node(&self) -> String {
        let answer = curl(&self.client, &format!("-o - -w '%{{http_code}}' http://{PROXY}/"));
        answer.unwrap_or_else(|error| error)
    }

    /// Waits until the runtime socket tells of so many servers that are up.
    fn wait_for_servers(&self, up: usize) -> Result<(), String> {
        let rows = || ask(&self.socket(), "show stat nodes 4 -1\n");
        let count = || rows().lines().filter(|row| row.split(',').nth(17).is_some_and(|s| s.starts_with("UP"))).count();
        match wait_until(PATIENCE, || self.socket().exists() && count() == up) {
            true => Ok(()),
            false => Err(format!("not {up} servers are up:\n{}\n{}", rows(), self.log.lines().join("\n"))),
        }
    }

    /// Waits until many requests in a row, by both workers, get answers from these nodes and no others.
    fn wait_for_nodes(&self, wanted: &[&str]) -> Result<(), String> {
        let mut seen = Vec::new();
        let all = wait_until(PATIENCE, || {
            seen = (0..12).map(|_| self.node()).collect();
            let known = seen.iter().all(|answer| wanted.iter().any(|node| *answer == format!("{node}\n200")));
            known && wanted.iter().all(|node| seen.contains(&format!("{node}\n200")))
        });
        match all {
            true => Ok(()),
            false => Err(format!("wanted {wanted:?}, got {seen:?}; the log:\n{}", self.log.lines().join("\n"))),
        }
    }

    /// Waits for a line of the log.
    fn wait_for_log(&self, part: &str) -> Result<(), String> {
        let told = || self.log.lines().iter().any(|line| line.contains(part));
        if wait_until(PATIENCE, told) { Ok(()) } else { expect_in("the log", &self.log.lines().join("\n"), part) }
    }
}

/// Looks that a load met nothing but good answers.
fn expect_all_good(load: Load) -> Result<usize, String> {
    let records = load.finish();
    let bad: Vec<_> = records.iter().filter(|record| !record.end.is_good()).collect();
    if bad.is_empty() { Ok(records.len()) } else { Err(format!("{} of {}: {bad:?}", bad.len(), records.len())) }
}

const SHORT_HOLDS: &str = " nameserver one 192.168.90.53:53\n hold nx 500ms\n hold other 500ms\n hold obsolete 500ms";

/// A name moves under load without a lost request; its server serves on while the name server is dead, over a reload,
/// too; it is in maintenance while there is no such name, and comes back.
pub fn names_move() -> Result<(), String> {
    let site = Site::start()?;
    site.configure(
        SHORT_HOLDS,
        " server s1 www.lab:80 check inter 200ms resolvers lab resolve-prefer ipv4 init-addr none",
    )?;
    site.start_proxy()?;
    site.names.serve(&[("www.lab", &NODES[..1])], &[])?;
    site.wait_for_nodes(&["node1"])?;

    let load = Load::start(&site.client, TARGET, 4);
    site.names.serve(&[("www.lab", &NODES[1..2])], &[])?;
    site.wait_for_nodes(&["node2"])?;
    site.wait_for_log("nodes/s1 changed its IP from 192.168.90.21 to 192.168.90.22 by lab/one")?;

    site.names.die()?;
    std::thread::sleep(Duration::from_secs(2));
    site.wait_for_nodes(&["node2"])?;
    let served = expect_all_good(load)?;
    expect("requests while the name moved", served > 100, true)?;

    site.start_proxy()?;
    site.wait_for_nodes(&["node2"])?;
    site.names.serve(&[("www.lab", &NODES[2..])], &[])?;
    site.wait_for_nodes(&["node3"])?;

    site.names.serve(&[], &[])?;
    site.wait_for_log("nodes/s1 is going DOWN for maintenance (DNS NX status)")?;
    let gone = wait_until(PATIENCE, || (0..4).all(|_| site.node().ends_with("503")));
    expect("503 without the name", gone, true)?;
    site.names.serve(&[("www.lab", &NODES[..1])], &[])?;
    site.wait_for_nodes(&["node1"])
}

/// A forward proxy asks for the hosts that its clients name, but leads nobody to what is its own.
pub fn names_of_requests() -> Result<(), String> {
    let site = Site::start()?;
    site.names.serve(&[("www.lab", &NODES[..1]), ("web.lab", &NODES[1..2]), ("inside.lab", &[PROXY])], &[])?;
    site.configure(
        SHORT_HOLDS,
        " http-request do-resolve(txn.ip,lab,ipv4) hdr(host),host_only\n \
         http-request return status 404 unless { var(txn.ip) -m found }\n \
         http-request deny if { var(txn.ip) -m ip 192.168.90.0/29 }\n http-request set-dst var(txn.ip)\n \
         http-request set-dst-port int(80)\n server any 0.0.0.0:0",
    )?;
    site.start_proxy()?;
    let get = |host: &str| {
        curl(
            &site.client,
            &format!(
                "--retry 20 --retry-connrefused --retry-delay 1 -w '%{{http_code}}' -o - -H 'Host: {host}' http://{PROXY}/"
            ),
        )
    };
    for (host, expected) in
        [("www.lab", "node1\n200"), ("web.lab:80", "node2\n200"), ("WWW.lab", "node1\n200"), ("nobody.lab", "404")]
    {
        expect(host, get(host)?, expected.to_owned())?;
    }
    expect("the proxy's own", get("inside.lab")?.ends_with("403"), true)?;
    site.names.die()?;
    expect("without the name server", get("www.lab")?.ends_with("404"), true)?;
    site.names.serve(&[("www.lab", &NODES[2..])], &[])?;
    expect("elsewhere", get("www.lab")?, "node3\n200".to_owned())
}

/// A service fills a template, one server an instance, with its weights; instances come and go under load.
pub fn services_fill_a_template() -> Result<(), String> {
    let site = Site::start()?;
    let template =
        " server-template s 4 _http._tcp.lab check inter 200ms resolvers lab resolve-prefer ipv4 init-addr none";
    site.configure(&format!("{SHORT_HOLDS}\n accepted_payload_size 4096"), &format!(" option redispatch\n{template}"))?;
    site.start_proxy()?;
    let hosts: Vec<(&str, &[Ipv4Addr])> = ["a.lab", "b.lab", "c.lab"].into_iter().zip(NODES.chunks(1)).collect();
    let service = |host, weight| ("_http._tcp.lab", host, 80, weight);
    site.names.serve(&hosts, &[service("a.lab", 256), service("b.lab", 512)])?;
    site.wait_for_servers(2)?;
    site.wait_for_nodes(&["node1", "node2"])?;
    let weights = ask(&site.socket(), "show servers state nodes\n");
    for host in ["a.lab 80 _http._tcp.lab", "b.lab 80 _http._tcp.lab"] {
        expect_in("servers", &weights, host)?;
    }
    let load = Load::start(&site.client, TARGET, 4);
    site.names.serve(&hosts, &[service("a.lab", 256), service("b.lab", 512), service("c.lab", 256)])?;
    site.wait_for_servers(3)?;
    site.wait_for_nodes(&["node1", "node2", "node3"])?;
    site.names.serve(&hosts, &[service("c.lab", 256)])?;
    site.wait_for_servers(1)?;
    site.wait_for_nodes(&["node3"])?;
    site.wait_for_log("(entry removed from SRV record)")?;
    let served = expect_all_good(load)?;
    expect("requests while instances came and went", served > 100, true)?;
    site.names.serve(&hosts, &[service("a.lab", 1), service("b.lab", 1), service("c.lab", 1)])?;
    site.wait_for_servers(3)
}

/// With every fourth datagram lost, names stay known and nothing flaps: some hundred questions, not a word in the log.
pub fn losses_change_nothing() -> Result<(), String> {
    let site = Site::start()?;
    site.names.serve(&[("www.lab", &NODES[..1]), ("web.lab", &NODES[1..2])], &[])?;
    let line = LossyLine::start(&site.names.host, SocketAddrV4::new(DNS, 5353), SocketAddrV4::new(DNS, 53))?;
    let server = |name: &str| {
        format!(" server {name} {name}.lab:80 check inter 200ms resolvers lab resolve-prefer ipv4 init-addr none\n")
    };
    let resolvers =
        " nameserver one 192.168.90.53:5353\n timeout resolve 50ms\n timeout retry 100ms\n resolve_retries 3";
    site.configure(resolvers, &format!("{}{}", server("www"), server("web")))?;
    site.start_proxy()?;
    site.wait_for_servers(2)?;
    site.wait_for_nodes(&["node1", "node2"])?;
    let before = site.log.lines();
    let load = Load::start(&site.client, TARGET, 4);
    let start = line.lost();
    let enough = wait_until(PATIENCE * 3, || line.lost() >= start + 100);
    expect("a hundred losses", enough, true)?;
    let served = expect_all_good(load)?;
    expect("requests meanwhile", served > 100, true)?;
    expect("what the log says meanwhile", site.log.lines(), before)?;
    site.wait_for_servers(2)
}
