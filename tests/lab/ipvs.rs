//! Directors behind IPVS in direct routing, prepared by contrib/ipvs. The balancer itself is played by the client,
//! which sends to the hardware address of one director or the other: that is all that IPVS changes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::host::{Host, Switch};
use crate::support::place::TempDir;
use crate::{director, expect, expect_in};

const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 122, 100), 80);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
const DIRECTORS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 122, 2), Ipv4Addr::new(192, 168, 122, 3)];

/// No director says where the address is, and each serves what is sent to it.
pub fn directors() -> Result<(), String> {
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/ipvs");
    let directory = TempDir::new("ipvs").map_err(|error| format!("temporary: {error}"))?;
    let switch = Switch::start()?;
    let client = Host::start("client")?;
    switch.plug(&client, CLIENT)?;
    let mut hosts = Vec::new();
    for (name, address) in ["director1", "director2"].into_iter().zip(DIRECTORS) {
        let host = Host::start(name)?;
        switch.plug(&host, address)?;
        let run = directory.path().join(name);
        fs::create_dir(&run).map_err(|error| format!("{name}: {error}"))?;
        host.shell(&format!("mount --bind {} /run", run.display()))?;
        host.shell(&format!("{}/lvs-director.sh start {}", contrib.display(), SERVICE.ip()))?;
        director::start(&host, SERVICE)?;
        hosts.push(host);
    }
    client.shell(&format!("keepalived -t -f {}/keepalived-balancer.conf", contrib.display()))?;

    let ask = format!("curl -sS --max-time 10 http://{SERVICE}/ 2>&1 || true");
    let nobody = client.shell(&ask)?;
    let known = client.shell("ip neigh show dev eth0")?;
    expect_in("nobody answers for the address", &known, &format!("{} FAILED", SERVICE.ip()))
        .map_err(|error| format!("{error}\n{nobody}"))?;
    for host in &hosts {
        let hardware = host.shell(HARDWARE)?;
        client.shell(&format!("ip neigh replace {} lladdr {} dev eth0", SERVICE.ip(), hardware.trim()))?;
        expect("who answers", client.shell(&ask)?, format!("{}\n", host.name))?;
    }
    Ok(())
}

/// /sys shows the network of whoever mounted it.
const HARDWARE: &str = "ip -o link show eth0 | sed 's/.*ether \\([^ ]*\\).*/\\1/'";
