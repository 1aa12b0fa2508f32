//! Where connections to servers come from (`source`): several addresses where one has too few ports, and clients'
//! own addresses, in networks that lead the answers back through the proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::process::Stdio;

use crate::cluster::binary;
use crate::host::{Host, Switch};
use crate::machine::curl;
use crate::support::place::{TempDir, wait_until};
use crate::{expect, expect_in};

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 10);
const PROXY: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 1);
const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 20);

const DEFAULTS: &str = "defaults\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n";

/// Starts the program with this configuration, in the background.
fn serve(host: &Host, directory: &TempDir, configuration: &str) -> Result<(), String> {
    let file = directory.path().join(host.name);
    std::fs::write(&file, format!("{configuration}\n")).map_err(|error| error.to_string())?;
    host.shell(&format!("ulimit -n 20000; {} -D -f {}", binary().display(), file.display())).map(drop)
}

/// The node sees the client, by its address or with its port; and a client that wanted to go to the node itself is
/// led there by the proxy on its way, unseen by both.
pub fn transparent() -> Result<(), String> {
    let directory = TempDir::new("source").map_err(|error| format!("temporary: {error}"))?;
    let switch = Switch::start()?;
    let [client, proxy, node] = ["client", "proxy", "node"].map(Host::start);
    let (client, proxy, node) = (client?, proxy?, node?);
    for (host, address) in [(&client, CLIENT), (&proxy, PROXY), (&node, NODE)] {
        switch.plug(host, address)?;
    }
    client.shell(&format!("ip route add 198.51.100.0/24 via {PROXY}"))?;
    node.shell(&format!("ip addr add 198.51.100.7/32 dev lo && ip route add {CLIENT}/32 via {PROXY}"))?;
    proxy.shell(&format!(
        "ip route add 198.51.100.0/24 via {NODE}
        ip route add local 0.0.0.0/0 dev lo table 100
        ip rule add iif eth0 from {NODE} lookup 100
        ip rule add iif eth0 from 198.51.100.0/24 lookup 100
        ip rule add iif eth0 to 198.51.100.0/24 lookup 100"
    ))?;
    let answer = "http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]\\n\"";
    serve(&node, &directory, &format!("{DEFAULTS} mode http\nfrontend f\n bind :80\n {answer}"))?;
    serve(
        &proxy,
        &directory,
        &format!(
            "{DEFAULTS} mode http\n source 0.0.0.0 usesrc clientip\nlisten ip\n bind {PROXY}:80\n server s {NODE}:80\n\
             listen port\n bind {PROXY}:81\n server s {NODE}:80 source {PROXY} usesrc client\n\
             listen through\n bind 198.51.100.7:80 transparent\n option transparent"
        ),
    )?;
    let seen = curl(&client, &format!("http://{PROXY}/"))?;
    expect_in("the client's address", &seen, &format!("{CLIENT}:"))?;
    expect_in("where the proxy went", &seen, &format!(" {NODE}\n"))?;
    let seen = curl(&client, &format!("--local-port 40123 http://{PROXY}:81/"))?;
    expect("the client's port", seen, format!("{CLIENT}:40123 {NODE}\n"))?;
    let seen = curl(&client, "http://198.51.100.7/")?;
    expect_in("the client's address", &seen, &format!("{CLIENT}:"))?;
    expect_in("where the client went", &seen, " 198.51.100.7\n")
}

/// One address has no port left towards a server, which is told; five addresses have enough. A small range of
/// ports stands for all of them, unless EPOXY_LAB_PORTS names another number of connections: 70000 take 20 seconds,
/// nearly all of which the kernel needs to find the last ports of the one address. (It looks for them among one half
/// of the range first, so that each of five is asked for no more than that.)
pub fn ports() -> Result<(), String> {
    let wanted: u32 = std::env::var("EPOXY_LAB_PORTS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let each = wanted * 2 / 5;
    let directory = TempDir::new("ports").map_err(|error| format!("temporary: {error}"))?;
    let host = Host::start("ports")?;
    host.shell(&format!(
        "mount -t proc proc /proc
        echo 20000 {} > /proc/sys/net/ipv4/ip_local_port_range
        echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse
        echo 1000000 > /proc/sys/net/ipv4/tcp_max_tw_buckets",
        19_999 + each
    ))?;
    let servers: String = (2..=6).map(|n| format!(" server s{n} 127.0.0.9:9000 source 127.0.0.{n}\n")).collect();
    serve(
        &host,
        &directory,
        &format!(
            "global\n log 127.0.0.1:514 local0 err\n{DEFAULTS} mode tcp\n log global\n retries 0\n\
             listen one\n bind 127.0.0.1:81\n server s 127.0.0.9:9000\nlisten five\n bind 127.0.0.1:82\n{servers}"
        ),
    )?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ports.py");
    let mut python = host.command("python3");
    python.args([script, &wanted.to_string(), &each.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().map_err(|error| format!("python3: {error}"))?;
    let mut output = BufReader::new(python.stdout.take().ok_or("no output")?);
    let mut text = String::new();
    output.read_line(&mut text).map_err(|error| error.to_string())?;
    if !wait_until(crate::cluster::PATIENCE, || host.shell("cat /proc/net/tcp").is_ok_and(|t| t.contains(":0052 "))) {
        return Err("the proxy does not listen".into());
    }
    if let Some(mut input) = python.stdin.take() {
        input.write_all(b"go\n").map_err(|error| error.to_string())?;
    }
    output.read_to_string(&mut text).map_err(|error| error.to_string())?;
    python.wait().map_err(|error| error.to_string())?;
    expect("connections", text, format!("ready\none {each} told True five {wanted} failed 0\n"))
}
