//! Addresses and servers in network namespaces of their own (`namespace`).

use std::path::Path;

use crate::cluster::binary;
use crate::host::Host;
use crate::machine::curl;
use crate::support::place::{TempDir, sandbox_line, wait_until};
use crate::support::service::{PATIENCE, ask};
use crate::{expect, expect_in};

/// A worker in its sandbox adds a server in a namespace that its configuration names, and says why others are refused.
fn added(socket: &Path) -> Result<(), String> {
    let order = |line: &str| ask(socket, line);
    let name = "add server outer/new 127.0.0.1:80 namespace";
    expect_in("another namespace", &order(&format!("{name} other\n")), "Cannot open namespace 'other'")?;
    expect_in("the same namespace", &order(&format!("{name} inner\n")), "New server registered.")?;
    order("set server outer/new state ready\nset server outer/s state maint\n");
    Ok(())
}

/// Traffic and checks reach a server in a namespace, which is the proxy itself there; a reload takes its sockets over
/// where they are, and loses none.
pub fn reached() -> Result<(), String> {
    let directory = TempDir::new("namespaces").map_err(|error| format!("temporary: {error}"))?;
    let host = Host::start("namespaces")?;
    host.shell(
        "mount -t proc proc /proc; mount -t tmpfs none /run; ip link set lo up
        ip netns add inner; ip -n inner link set lo up",
    )?;
    let at = |name| directory.path().join(name);
    let (file, pidfile, socket) = (at("configuration"), at("pid"), at("socket"));
    let text = format!(
        "global
    nbproc 2
    stats socket {} level admin
{}
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen outer
    bind 127.0.0.1:80
    stats uri /stats
    server s 127.0.0.1:81 namespace inner check inter 100ms
listen same
    bind 127.0.0.1:81 namespace inner
    bind 127.0.0.1:80 namespace inner
    http-request return status 200 content-type text/plain lf-string \"inner %[dst_port] %[src]\"
",
        socket.display(),
        sandbox_line()
    );
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    let start = format!("{} -D -p {} -f {}", binary().display(), pidfile.display(), file.display());
    host.shell(&start)?;
    for round in 0..3 {
        if round > 0 {
            let old = host.shell(&format!("cat {}", pidfile.display()))?.trim().to_owned();
            host.shell(&format!("{start} -sf {old}"))?;
            // Nobody reaps it here.
            let is_gone = format!("! test -e /proc/{old}/exe");
            expect("the old one goes", wait_until(PATIENCE, || host.shell(&is_gone).is_ok()), true)?;
        }
        expect("through the proxy", curl(&host, "http://127.0.0.1/")?, "inner 81 127.0.0.1".to_owned())?;
        let checked = || curl(&host, "'http://127.0.0.1/stats;csv'").is_ok_and(|table| table.contains(",L4OK,"));
        expect("checks succeed", wait_until(PATIENCE, checked), true)?;
        let inside = host.shell("ip netns exec inner curl -sS --max-time 20 http://127.0.0.1/")?;
        expect("in the namespace itself", inside, "inner 80 127.0.0.1".to_owned())?;
    }
    added(&socket)?;
    expect("through what was added", curl(&host, "http://127.0.0.1/")?, "inner 80 127.0.0.1".to_owned())?;
    let sockets = host.shell("ip netns exec inner ss -Hltn | wc -l; ss -Hltn | wc -l")?;
    expect(
        "sockets here and there, one a worker",
        sockets.split_whitespace().collect::<Vec<_>>().join(" "),
        "4 2".to_owned(),
    )?;
    let wrong = host.shell(&format!(
        "echo 'backend b\n server s 127.0.0.1:1 namespace nope' > {0}; {1} -c -f {0} 2>&1 || true",
        file.display(),
        binary().display()
    ))?;
    expect_in("an unknown one", &wrong, "'server b/s' : Cannot open namespace 'nope'.")
}

/// A master that started without namespaces has given the right to enter them up: a reload says so, and all goes on.
pub fn given_up() -> Result<(), String> {
    let directory = TempDir::new("given-up").map_err(|error| format!("temporary: {error}"))?;
    let host = Host::start("given-up")?;
    host.shell(
        "mount -t proc proc /proc; mount -t tmpfs none /run; ip link set lo up
        ip netns add inner; ip -n inner link set lo up",
    )?;
    let at = |name| directory.path().join(name);
    let (file, told) = (at("configuration"), at("told"));
    let configure = |namespace: &str| {
        let text = format!(
            "defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend f
    bind 127.0.0.1:80 {namespace}
    http-request return status 200 content-type text/plain string well
"
        );
        std::fs::write(&file, text).map_err(|error| error.to_string())
    };
    configure("")?;
    let (program, told) = (binary(), told.display());
    let start = format!("{} -W -f {} >{told} 2>&1 & echo $!", program.display(), file.display());
    let pid = host.shell(&start)?.trim().to_owned();
    let has_told = |text: &str| wait_until(PATIENCE, || host.shell(&format!("grep -q '{text}' {told}")).is_ok());
    expect("it serves", has_told("Loading success"), true)?;
    configure("namespace inner")?;
    host.shell(&format!("kill -USR2 {pid}"))?;
    expect("it is told", has_told("namespace .inner. may not be entered .a master that started without"), true)?;
    expect("the reload fails", has_told("Loading failure"), true)?;
    expect("what was there goes on", curl(&host, "http://127.0.0.1/")?, "well".to_owned())
}
