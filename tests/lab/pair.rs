//! The keepalived pair of document 002: two directors, 192.168.122.2 and .3, that share 192.168.122.100, with
//! the document's configuration as it stands, real keepalived and multicast VRRP. keepalived itself is told what
//! contrib/keepalived says, or what the document says.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cluster::{PATIENCE, binary};
use crate::host::{Host, Switch};
use crate::load::{Load, Target};
use crate::smtp::Sink;
use crate::support::place::{TempDir, wait_until};
use crate::verdict::{Span, judge};
use crate::web::Web;
use crate::{expect, expect_in};

/// The address that moves, and clients that do not wait for a hung director for ever.
const SHARED: Target =
    Target { address: SocketAddrV4::new(Ipv4Addr::new(192, 168, 122, 100), 80), patience: Duration::from_secs(2) };
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
const DIRECTORS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 122, 2), Ipv4Addr::new(192, 168, 122, 3)];
const NODES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 168, 122, 10), Ipv4Addr::new(192, 168, 122, 20), Ipv4Addr::new(192, 168, 122, 30)];

/// Connections of the counting client.
const CLIENTS: usize = 6;

/// What is added to the configuration of the document: where the check asks.
const SOCKET: &str = "global
    stats socket /var/lib/haproxy/haproxy.sock mode 600 level admin
";

/// The document's check: it ends the own keepalived when nobody answers at port 80.
const DOCUMENTS_CHECK: &str = "#!/bin/bash
/usr/bin/curl -I http://localhost &>/dev/null
if [ $? -ne 0 ];then
    /etc/init.d/keepalived stop
fi
";

/// What that calls.
const INIT_SCRIPT: &str = "#!/bin/sh
[ \"$1\" = stop ] && kill \"$(cat /run/keepalived.pid)\"
";

/// The document's keepalived.conf with the check; the second director differs where the document says so.
const DOCUMENTS_KEEPALIVED: &str = "! Configuration File for keepalived
global_defs {
    router_id director1
}
vrrp_script check_haproxy {
    script \"/etc/keepalived/check_haproxy_status.sh\"
    interval 5
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    nopreempt
    virtual_router_id 90
    priority 100
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass qfedu
    }
    virtual_ipaddress {
        192.168.122.100
    }
    track_script {
        check_haproxy
    }
}
";

struct Pair {
    directors: Vec<Host>,
    client: Host,
    _nodes: Vec<(Web, Host)>,
    _switch: Switch,
    directory: TempDir,
}

impl Pair {
    /// Starts everything and waits until director 1 has the address. `keepalived` gives the keepalived.conf of the
    /// director of that name.
    fn start(keepalived: impl Fn(&str) -> Result<String, String>) -> Result<Pair, String> {
        let switch = Switch::start()?;
        let client = Host::start("client")?;
        switch.plug(&client, CLIENT)?;
        let mut nodes = Vec::new();
        for (name, address) in ["node1", "node2", "node3"].into_iter().zip(NODES) {
            let host = Host::start(name)?;
            switch.plug(&host, address)?;
            nodes.push((Web::start(&host, address, 80)?, host));
        }
        let directory = TempDir::new("pair").map_err(|error| format!("temporary: {error}"))?;
        let mut pair = Pair { directors: Vec::new(), client, _nodes: nodes, _switch: switch, directory };
        for (name, address) in ["director1", "director2"].into_iter().zip(DIRECTORS) {
            let host = Host::start(name)?;
            pair._switch.plug(&host, address)?;
            furnish(&host, &pair.directory.path().join(name), &keepalived(name)?)?;
            start_proxy(&host)?;
            start_keepalived(&host)?;
            pair.directors.push(host);
        }
        pair.wait_for_owner(0)?;
        Ok(pair)
    }

    /// Waits until director `index` has the address, alone.
    fn wait_for_owner(&self, index: usize) -> Result<Instant, String> {
        let alone = || self.directors.iter().enumerate().all(|(at, host)| owns(host) == (at == index));
        if wait_until(PATIENCE, alone) {
            return Ok(Instant::now());
        }
        let log = |host: &Host| host.shell("tail -n 30 /run/keepalived.log").unwrap_or_default();
        let logs: Vec<String> = self.directors.iter().map(log).collect();
        Err(format!("director {} does not get the address; keepalived says:\n{}", index + 1, logs.join("\n---\n")))
    }

    /// Waits until `done`; gives the moment.
    fn wait_until(&self, what: &str, done: impl Fn() -> bool) -> Result<Instant, String> {
        if wait_until(PATIENCE, done) { Ok(Instant::now()) } else { Err(format!("waited too long until {what}")) }
    }

    fn load(&self) -> Load {
        Load::start(&self.client, SHARED, CLIENTS)
    }
}

/// The files of contrib, changed by `adapt`.
fn contrib(adapt: fn(&str) -> String) -> impl Fn(&str) -> Result<String, String> {
    move |name| from_contrib(&format!("{name}.conf")).map(|text| adapt(&text))
}

fn from_contrib(name: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/keepalived").join(name);
    fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))
}

/// What the document says.
fn documents(name: &str) -> Result<String, String> {
    let text = DOCUMENTS_KEEPALIVED.to_owned();
    Ok(if name == "director1" { text } else { text.replace("director1", name).replace("priority 100", "priority 50") })
}

/// The folders of a director, with the files where an operator puts them.
fn furnish(host: &Host, root: &Path, keepalived: &str) -> Result<(), String> {
    let write = |name: &str, text: &str| fs::write(root.join(name), text).map_err(|error| format!("{name}: {error}"));
    for folder in ["etc", "lib", "run", "keepalived", "init.d"] {
        fs::create_dir_all(root.join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    write("keepalived/keepalived.conf", keepalived)?;
    for script in ["check-epoxy.sh", "notify.sh", "notify-mail.py"] {
        write(&format!("keepalived/{script}"), &from_contrib(script)?)?;
    }
    write("keepalived/check_haproxy_status.sh", DOCUMENTS_CHECK)?;
    write("init.d/keepalived", INIT_SCRIPT)?;
    write("etc/haproxy.cfg", include_str!("../fixtures/mission/002-l7-and-mysql.cfg"))?;
    write("etc/socket.cfg", SOCKET)?;
    let root = root.display();
    host.shell(&format!(
        "set -e
        chmod 755 {root}/keepalived/*.sh {root}/keepalived/*.py {root}/init.d/keepalived
        mount --bind {root}/etc /etc/haproxy
        mount --bind {root}/lib /var/lib/haproxy
        mount --bind {root}/keepalived /etc/keepalived
        mount --bind {root}/init.d /etc/init.d
        mount --bind {root}/run /run"
    ))?;
    Ok(())
}

/// As an init script does it; the configuration says `daemon` and names the pidfile.
fn start_proxy(host: &Host) -> Result<(), String> {
    let binary = binary();
    host.shell(&format!("{} -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/socket.cfg", binary.display()))?;
    Ok(())
}

fn start_keepalived(host: &Host) -> Result<(), String> {
    host.shell("setsid keepalived -n -l -D >> /run/keepalived.log 2>&1 &").map(drop)
}

fn signal_proxy(host: &Host, signal: &str) -> Result<(), String> {
    host.shell(&format!("kill -{signal} $(cat /run/haproxy.pid)")).map(drop)
}

fn owns(host: &Host) -> bool {
    let shown = host.shell("ip -4 -o addr show dev eth0");
    shown.is_ok_and(|text| text.contains(&format!(" {}/", SHARED.address.ip())))
}

/// With the configuration as it is: a dead epoxy moves the address, a living one does not take it back, and
/// the other one's death brings it back.
pub fn dies() -> Result<(), String> {
    let pair = Pair::start(contrib(str::to_owned))?;
    let load = pair.load();
    sleep(Duration::from_millis(1500));

    let mut spans = vec![Span::of(|| {
        signal_proxy(&pair.directors[0], "KILL")?;
        pair.wait_for_owner(1)
    })?];
    sleep(Duration::from_secs(1));
    start_proxy(&pair.directors[0])?;
    let log = "until grep -q 'Entering BACKUP STATE' /run/keepalived.log; do sleep 0.1; done
        until [ \"$(cut -d' ' -f1 /run/epoxy-vrrp)\" = BACKUP ]; do sleep 0.1; done";
    pair.directors[0].shell(&format!("timeout 15 sh -c '{}'", log.replace('\'', "\"")))?;
    sleep(Duration::from_secs(2));
    expect("director 2 keeps the address", pair.directors.iter().map(owns).collect(), vec![false, true])?;

    spans.push(Span::of(|| {
        signal_proxy(&pair.directors[1], "KILL")?;
        pair.wait_for_owner(0)
    })?);
    sleep(Duration::from_secs(2));
    judge(&load.finish(), &spans)?;
    let state = pair.directors[0].shell("cat /run/epoxy-vrrp")?;
    expect_in("what notify.sh wrote", &state, "MASTER since 2")
}

/// A hung epoxy moves the address, too; without `nopreempt` it comes back as soon as epoxy serves again.
pub fn hangs_and_takes_back() -> Result<(), String> {
    let pair = Pair::start(contrib(|text| text.replace("    nopreempt\n", "")))?;
    let load = pair.load();
    sleep(Duration::from_millis(1500));
    let there = Span::of(|| {
        signal_proxy(&pair.directors[0], "STOP")?;
        pair.wait_for_owner(1)
    })?;
    sleep(Duration::from_secs(1));
    let back = Span::of(|| {
        signal_proxy(&pair.directors[0], "CONT")?;
        pair.wait_for_owner(0)
    })?;
    sleep(Duration::from_secs(2));
    judge(&load.finish(), &[there, back.that_cuts_at_most(CLIENTS)])
}

/// The whole machine of director 1 is gone without a word. With the lines for networks without multicast.
pub fn vanishes() -> Result<(), String> {
    let mut pair = Pair::start(contrib(|text| {
        let lines = text.lines().map(|line| match line.strip_prefix("    ! ") {
            Some(setting) if setting.contains("unicast") || setting.starts_with([' ', '}']) => setting,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }))?;
    for host in &pair.directors {
        let log = host.shell("cat /etc/keepalived/keepalived.conf")?;
        expect_in("the peers by name", &log, "\nunicast_peer {\n    192.168.122.")?;
    }
    let load = pair.load();
    sleep(Duration::from_millis(1500));
    let gone = Span::of(|| {
        // The cable first: the kernel of a dead machine does not refuse connections.
        pair.directors[0].shell("ip link set eth0 down")?;
        drop(pair.directors.remove(0));
        pair.wait_for_owner(0)
    })?;
    sleep(Duration::from_secs(3));
    judge(&load.finish(), &[gone])
}

/// The master is killed with its keepalived, so that nobody takes its address from it: the other one announces
/// itself over it. Then the old one starts again and waits for its turn, which comes.
pub fn killed() -> Result<(), String> {
    let pair = Pair::start(contrib(str::to_owned))?;
    let load = pair.load();
    sleep(Duration::from_millis(1500));
    let mut spans = vec![Span::of(|| {
        kill_director(&pair.directors[0])?;
        pair.wait_until("director 2 has the address, too", || owns(&pair.directors[1]))
    })?];
    sleep(Duration::from_secs(2));
    start_proxy(&pair.directors[0])?;
    start_keepalived(&pair.directors[0])?;
    pair.wait_for_owner(1)?;
    sleep(Duration::from_secs(2));
    spans.push(Span::of(|| {
        kill_director(&pair.directors[1])?;
        pair.wait_until("director 1 has the address again", || owns(&pair.directors[0]))
    })?);
    sleep(Duration::from_secs(2));
    judge(&load.finish(), &spans)
}

/// The master's cable is pulled, and put back: without `nopreempt` the address comes back, too.
pub fn unplugged() -> Result<(), String> {
    let pair = Pair::start(contrib(|text| text.replace("    nopreempt\n", "")))?;
    let load = pair.load();
    sleep(Duration::from_millis(1500));
    let gone = Span::of(|| {
        pair.directors[0].shell("ip link set eth0 down")?;
        pair.wait_for_owner(1)
    })?;
    sleep(Duration::from_secs(2));
    let back = Span::of(|| {
        pair.directors[0].shell("ip link set eth0 up")?;
        pair.wait_for_owner(0)
    })?;
    sleep(Duration::from_secs(2));
    judge(&load.finish(), &[gone, back.that_cuts_at_most(CLIENTS)])
}

/// keepalived as the document configures it: its check ends the keepalived of a director whose proxy is dead.
pub fn as_the_document_says() -> Result<(), String> {
    let pair = Pair::start(documents)?;
    let load = pair.load();
    sleep(Duration::from_millis(1500));
    let gone = Span::of(|| {
        signal_proxy(&pair.directors[0], "KILL")?;
        pair.wait_for_owner(1)
    })?;
    sleep(Duration::from_secs(2));
    // The first process of a host does not reap: what has ended may stay as a zombie.
    let running = pair.directors[0].shell("ps -C keepalived -o stat= | grep -v Z").is_ok();
    expect("director 1's keepalived runs", running, false)?;
    // Its check asks every five seconds only.
    judge(&load.finish(), &[gone.that_lasts_at_most(Duration::from_secs(13))])
}

/// keepalived and the proxy end without a word. The kernel of the machine lives on, with the address.
/// Every change is mailed, also where the mail server is not there at first, or asks to come later.
pub fn mails() -> Result<(), String> {
    let switch = Switch::start()?;
    let host = Host::start("director1")?;
    switch.plug(&host, DIRECTORS[0])?;
    let directory = TempDir::new("mails").map_err(|error| format!("temporary: {error}"))?;
    furnish(&host, directory.path(), &from_contrib("director1.conf")?)?;
    let settings = from_contrib("mail.conf")?.replace("pauses = 5 30 120", &format!("pauses ={}", " 0.2".repeat(200)));
    let file = directory.path().join("keepalived/mail.conf");
    fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))?;
    start_proxy(&host)?;
    start_keepalived(&host)?;
    let started = wait_until(PATIENCE, || owns(&host));
    expect("the only director gets the address", started, true)?;
    let sink = Sink::start(&host)?;
    let arrived = |state: &str| {
        let subject = format!("Subject: director1: VI_1 is {state}\r\n");
        let got = wait_until(PATIENCE, || sink.mails().iter().any(|mail| mail.contains(&subject)));
        if got { Ok(()) } else { Err(format!("no mail about {state}; there are {:?}", sink.mails())) }
    };
    arrived("MASTER")?;
    signal_proxy(&host, "KILL")?;
    arrived("FAULT")?;
    start_proxy(&host)?;
    let back = wait_until(PATIENCE, || sink.mails().iter().filter(|mail| mail.contains(" is MASTER\r\n")).count() == 2);
    expect("the second mail about MASTER", back, true)?;
    for mail in sink.mails() {
        expect_in("a mail", &mail, "MAIL FROM:<keepalived@director1.example.com>")?;
        expect_in("a mail", &mail, "RCPT TO:<admin@example.com>\r\nRCPT TO:<second@example.com>\r\n")?;
        expect_in("a mail", &mail, "Auto-Submitted: auto-generated\r\n")?;
        expect_in("a mail", &mail, ": instance VI_1 on director1 is ")?;
    }
    Ok(())
}

fn kill_director(host: &Host) -> Result<(), String> {
    // The child that has the address would notice its parent's death and give it up, so the parent is stopped first.
    // And the files of a dead keepalived are believed while it is not reaped, which the first process here does not do.
    let keepalived = "kill -STOP $(cat /run/keepalived.pid) && kill -KILL $(ps -C keepalived -o pid= --sort=-pid)";
    host.shell(&format!("kill -KILL $(cat /run/haproxy.pid) && {keepalived} && find /run -name '*.pid' -delete"))
        .map(drop)
}
