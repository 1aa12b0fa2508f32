//! A director that needs no nodes: epoxy answers with the name of the host that it runs on.

use std::fs;
use std::net::SocketAddrV4;

use crate::cluster::binary;
use crate::host::Host;
use crate::support::place::TempDir;

/// Starts epoxy on `address`; runtime socket and pidfile are /run/epoxy.sock and .pid, the host's own /run.
pub fn start(host: &Host, address: SocketAddrV4) -> Result<(), String> {
    let name = host.name;
    let configuration = format!(
        "global
    stats socket /run/epoxy.sock mode 600 level admin
    pidfile /run/epoxy.pid
    grace 4s
    daemon
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
frontend web
    bind {address}
    http-request return status 200 content-type text/plain string \"{name}\\n\"
"
    );
    let directory = TempDir::new("director").map_err(|error| format!("temporary: {error}"))?;
    let path = directory.path().join("haproxy.cfg");
    fs::write(&path, configuration).map_err(|error| format!("{name}: {error}"))?;
    host.shell(&format!("{} -f {}", binary().display(), path.display())).map(drop)
}
