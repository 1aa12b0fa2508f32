//! Anycast: two directors announce 203.0.113.80 to a router by BGP, with the configurations and the health hook
//! of contrib/ecmp as they are, and BIRD on all three.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cluster::PATIENCE;
use crate::host::{Host, Switch};
use crate::load::{Load, Record, Target};
use crate::support::place::{TempDir, wait_until};
use crate::verdict::{Span, judge};
use crate::{director, expect};

const SERVICE: Target =
    Target { address: SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), 80), patience: Duration::from_secs(2) };
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 254);
const DIRECTORS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 90, 11), Ipv4Addr::new(192, 168, 90, 12)];

/// Connections of the counting client: enough for the router's hash to use both directors.
const CLIENTS: usize = 12;

struct Site {
    directors: Vec<Host>,
    router: Host,
    client: Host,
    _switch: Switch,
    _directory: TempDir,
}

impl Site {
    /// Starts everything and waits until the router has a route of two ways.
    fn start() -> Result<Site, String> {
        let directory = TempDir::new("ecmp").map_err(|error| format!("temporary: {error}"))?;
        let switch = Switch::start()?;
        let plugged = |name, address| {
            let host = Host::start(name)?;
            switch.plug(&host, address)?;
            Ok::<Host, String>(host)
        };
        let (client, router) = (plugged("client", CLIENT)?, plugged("router", ROUTER)?);
        client.shell(&format!("ip route add {}/32 via {ROUTER}", SERVICE.address.ip()))?;
        // By addresses and ports; and all are on one cable here, which the client need not know.
        router.shell(
            "cd /proc/sys/net/ipv4 && echo 1 > ip_forward && echo 1 > fib_multipath_hash_policy
            echo 0 > conf/all/send_redirects && echo 0 > conf/eth0/send_redirects",
        )?;
        start_bird(&router, &directory.path().join("router"), &read("bird-router.conf")?)?;
        let mut directors = Vec::new();
        for (name, address) in ["director1", "director2"].into_iter().zip(DIRECTORS) {
            let host = plugged(name, address)?;
            let root = directory.path().join(name);
            let bird = read("bird-director.conf")?.replace(&DIRECTORS[0].to_string(), &address.to_string());
            start_bird(&host, &root, &bird)?;
            host.shell(&format!("ip addr add {}/32 dev lo", SERVICE.address.ip()))?;
            director::start(&host, SERVICE.address)?;
            start_hook(&host)?;
            directors.push(host);
        }
        let site = Site { directors, router, client, _switch: switch, _directory: directory };
        site.wait_for_ways(&DIRECTORS)?;
        Ok(site)
    }

    /// Waits until the router sends to these directors and no others.
    fn wait_for_ways(&self, ways: &[Ipv4Addr]) -> Result<Instant, String> {
        let route = || self.router.shell(&format!("ip route show {}", SERVICE.address.ip())).unwrap_or_default();
        let right =
            |text: &str| DIRECTORS.iter().all(|way| text.contains(&format!("via {way} ")) == ways.contains(way));
        if wait_until(PATIENCE, || right(&route())) {
            return Ok(Instant::now());
        }
        let said = |host: &Host| host.shell("cat /run/hook.log; birdc show protocols").unwrap_or_default();
        let said: Vec<String> = self.directors.iter().map(said).collect();
        Err(format!("the route is not by {ways:?} but: {}\n{}", route(), said.join("---\n")))
    }
}

fn read(name: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/ecmp").join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn start_bird(host: &Host, root: &Path, configuration: &str) -> Result<(), String> {
    fs::create_dir_all(root.join("run/bird")).map_err(|error| format!("{}: {error}", root.display()))?;
    fs::write(root.join("run/bird.conf"), configuration).map_err(|error| format!("bird.conf: {error}"))?;
    host.shell(&format!("mount --bind {}/run /run", root.display()))?;
    host.shell("setsid bird -f -c /run/bird.conf > /run/bird.log 2>&1 &").map(drop)
}

fn start_hook(host: &Host) -> Result<(), String> {
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib");
    host.shell(&format!(
        "CHECK={0}/keepalived/check-epoxy.sh setsid {0}/ecmp/epoxy-route.sh /run/epoxy.sock web \\
        > /run/hook.log 2>&1 & echo $! > /run/hook.pid",
        contrib.display()
    ))
    .map(drop)
}

/// A drained director loses its clients to the other one and gets its share back; a dead epoxy withdraws the route.
pub fn drains_and_dies() -> Result<(), String> {
    let site = Site::start()?;
    let load = Load::start(&site.client, SERVICE, CLIENTS);
    sleep(Duration::from_millis(1500));
    let drained = Span::of(|| {
        site.directors[0].shell("touch /run/epoxy.drain")?;
        site.wait_for_ways(&DIRECTORS[1..])
    })?;
    sleep(Duration::from_millis(1500));
    let alone = Instant::now();
    sleep(Duration::from_millis(500));
    let returned = Span::of(|| {
        site.directors[0].shell("rm /run/epoxy.drain")?;
        site.wait_for_ways(&DIRECTORS)
    })?;
    sleep(Duration::from_millis(1500));
    let dead = Span::of(|| {
        site.directors[1].shell("kill -KILL $(cat /run/epoxy.pid)")?;
        site.wait_for_ways(&DIRECTORS[..1])
    })?;
    sleep(Duration::from_millis(1500));

    let records = load.finish();
    let by = |name: &str, from: Instant| {
        let seconds = from..from + Duration::from_millis(500);
        records.iter().filter(|record: &&Record| seconds.contains(&record.began) && record.end.is_from(name)).count()
    };
    expect("while director 1 is drained", (by("director1", alone), by("director2", alone) > 100), (0, true))?;
    // The router's hash moves half of the connections back to director 1, which does not know them.
    judge(&records, &[drained.that_cuts_at_most(CLIENTS), returned.that_cuts_at_most(CLIENTS), dead])?;
    let first = records.iter().filter(|record| record.end.is_from("director1")).count();
    expect(&format!("director 1's answers among {}", records.len()), first > 100, true)
}

/// With `grace`, a soft stop needs no draining before it: the route goes before the listeners close.
pub fn stops_softly() -> Result<(), String> {
    let site = Site::start()?;
    let load = Load::start(&site.client, SERVICE, CLIENTS);
    sleep(Duration::from_millis(1500));
    let stopped = Span::of(|| {
        site.directors[0].shell("kill -USR1 $(cat /run/epoxy.pid)")?;
        site.wait_for_ways(&DIRECTORS[1..])
    })?;
    site.directors[0].shell("pgrep -F /run/epoxy.pid").map_err(|_| "it stopped before the route went")?;
    sleep(Duration::from_secs(5));
    judge(&load.finish(), &[stopped.that_cuts_at_most(CLIENTS)])
}

/// The health hook's own end withdraws the route; so does the loss of the whole machine, by BFD.
pub fn vanishes() -> Result<(), String> {
    let site = Site::start()?;
    let load = Load::start(&site.client, SERVICE, CLIENTS);
    sleep(Duration::from_millis(1500));
    let unwatched = Span::of(|| {
        site.directors[0].shell("kill $(cat /run/hook.pid)")?;
        site.wait_for_ways(&DIRECTORS[1..])
    })?;
    sleep(Duration::from_millis(1500));
    let watched = Span::of(|| {
        start_hook(&site.directors[0])?;
        site.wait_for_ways(&DIRECTORS)
    })?;
    sleep(Duration::from_millis(1500));
    let gone = Span::of(|| {
        site.directors[1].shell("ip link set eth0 down")?;
        site.wait_for_ways(&DIRECTORS[..1])
    })?;
    sleep(Duration::from_secs(4));
    judge(&load.finish(), &[unwatched.that_cuts_at_most(CLIENTS), watched.that_cuts_at_most(CLIENTS), gone])
}
