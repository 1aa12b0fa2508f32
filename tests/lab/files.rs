//! The files of contrib for the log and the kernel, as they are, with the programs that read them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::host::Host;
use crate::load::{Load, Target};
use crate::machine::Machine;
use crate::{expect, expect_in};

const CONFIGURATION: &str = "global
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    stats socket /run/haproxy.sock level admin
defaults
    mode http
    option httplog
    log LOG local2
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend web
    bind *:80
    http-request return status 200 content-type text/plain string here unless { path /none }
    default_backend nodes
backend nodes
    server node1 127.0.0.1:1
";

const WEB: Target = Target { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80), patience: Duration::from_secs(10) };

fn contrib(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name).display().to_string()
}

/// A machine whose rsyslog has the snippet beside the rules that distributions have.
fn logging(target: &str) -> Result<Machine, String> {
    let machine = Machine::new("lb", &CONFIGURATION.replace("LOG", target))?;
    let snippet = contrib("rsyslog/epoxy.conf");
    machine.write("etc/rsyslog.conf", &format!("$IncludeConfig {snippet}\n*.* /var/log/syslog\n"))?;
    machine.host.shell(
        "pid=$(cat /run/rsyslogd.pid); kill $pid
        while [ -e /run/rsyslogd.pid ]; do sleep 0.05; done
        rsyslogd -N1 -f /etc/haproxy/rsyslog.conf
        rsyslogd -f /etc/haproxy/rsyslog.conf -i /run/rsyslogd.pid",
    )?;
    machine.wait_for("rsyslog", || {
        machine.sees("cat /proc/net/udp", "0100007F:0202 ") && machine.sees("ls /var/lib/haproxy/dev", "log")
    })?;
    machine.start_proxy()?;
    Ok(machine)
}

/// How many lines of all log files, renamed and compressed ones included, contain `text`.
fn count(machine: &Machine, text: &str) -> usize {
    let found = machine.host.shell(&format!("zcat -f /var/log/haproxy.log* | grep -c '{text}' || true"));
    found.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

fn through(target: &str) -> Result<(), String> {
    let machine = logging(target)?;
    machine.curl("http://127.0.0.1/one")?;
    machine.curl("http://127.0.0.1/none")?;
    machine.wait_for("both requests", || count(&machine, "\"GET /") == 2)?;
    machine.host.shell("echo 'disable server nodes/node1' | socat stdio /run/haproxy.sock")?;
    let alerts = "cat /var/log/haproxy-alerts.log";
    machine.wait_for("the alert", || machine.sees(alerts, "backend nodes has no server available!"))?;
    expect("requests among the alerts", machine.sees(alerts, "GET /"), false)?;
    let line = machine.host.shell("grep /one /var/log/haproxy.log")?;
    expect_in("the line of a request", &line, " haproxy[")?;
    expect_in("the line of a request", &line, " web web/<NOSRV> ")?;
    expect("what went elsewhere, too", machine.sees("cat /var/log/syslog", "haproxy["), false)?;
    let mode = machine.host.shell("stat -c %a /var/log/haproxy.log")?;
    expect("who may read it", mode.trim(), "640")
}

/// By UDP, and by the socket within the chroot.
pub fn rsyslog() -> Result<(), String> {
    through("127.0.0.1")?;
    through("/dev/log")
}

/// The files are renamed while requests come, three times: every request is in one of them, once.
pub fn logrotate() -> Result<(), String> {
    let machine = logging("/dev/log")?;
    machine.host.shell(&format!("logrotate -d {} 2>&1", contrib("logrotate/epoxy")))?;
    // logrotate takes no file that others could have written.
    machine.host.shell(&format!("cp {} /run/epoxy && chmod 644 /run/epoxy", contrib("logrotate/epoxy")))?;
    let load = Load::start(&machine.host, WEB, 2);
    for round in 1..=3 {
        machine.wait_for("more requests", || count(&machine, "\"GET / ") >= round * 50)?;
        machine.host.shell("logrotate -f -s /run/logrotate.state /run/epoxy")?;
        machine.wait_for("a new file", || machine.sees("ls /var/log/haproxy.log", "haproxy.log"))?;
        // The names of old files carry the second.
        sleep(Duration::from_millis(1100));
    }
    let records = load.finish();
    expect("requests that failed", records.iter().filter(|record| !record.end.is_good()).count(), 0)?;
    machine.wait_for("all lines", || count(&machine, "\"GET / ") >= records.len())?;
    expect("lines of all files", count(&machine, "\"GET / "), records.len())?;
    let files = machine.host.shell("ls /var/log")?;
    let old = files.lines().filter(|name| name.starts_with("haproxy.log-"));
    expect(&format!("old files: {files}"), old.clone().count(), 3)?;
    expect("compressed ones", old.filter(|name| name.ends_with(".gz")).count(), 2)
}

/// Every key exists, has the value that the file gives it, and concerns this host's network alone.
pub fn sysctl() -> Result<(), String> {
    let path = contrib("sysctl/epoxy.conf");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let settings: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(" = ")).collect();
    expect("settings in the file", settings.len() >= 10, true)?;
    // What does not belong to a network namespace would change the machine that runs the test.
    for (key, _) in &settings {
        expect(&format!("{key} is a namespace's own"), is_of_namespace(key), true)?;
    }
    let host = Host::start("lb")?;
    host.shell(&format!("sysctl -q -p {path}"))?;
    for (key, value) in settings {
        let got = host.shell(&format!("sysctl -n {key}"))?;
        expect(key, got.split_whitespace().collect::<Vec<_>>().join(" "), value.to_owned())?;
    }
    Ok(())
}

/// Keys below these belong to a network namespace (Documentation/admin-guide/sysctl/net.rst and ip-sysctl.rst).
fn is_of_namespace(key: &str) -> bool {
    let tcp = key.strip_prefix("net.ipv4.tcp_");
    let known = ["tw_reuse", "fin_timeout", "max_syn_backlog", "syncookies", "slow_start_after_idle", "keepalive_"];
    tcp.is_some_and(|key| known.iter().any(|known| key.starts_with(known)))
        || ["net.ipv4.ip_local_port_range", "net.ipv4.ip_nonlocal_bind", "net.core.somaxconn"].contains(&key)
}
