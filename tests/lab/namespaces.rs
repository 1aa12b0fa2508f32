//! Addresses and servers in network namespaces of their own (`namespace`).

use crate::cluster::binary;
use crate::host::Host;
use crate::machine::curl;
use crate::support::place::{TempDir, sandbox_line, wait_until};
use crate::support::service::PATIENCE;
use crate::{expect, expect_in};

/// Traffic and checks reach a server in a namespace, which is the proxy itself there; a reload takes its sockets over
/// where they are, and loses none.
pub fn reached() -> Result<(), String> {
    let directory = TempDir::new("namespaces").map_err(|error| format!("temporary: {error}"))?;
    let host = Host::start("namespaces")?;
    host.shell(
        "mount -t proc proc /proc; mount -t tmpfs none /run; ip link set lo up
        ip netns add inner; ip -n inner link set lo up",
    )?;
    let (file, pidfile) = (directory.path().join("configuration"), directory.path().join("pid"));
    let text = format!(
        "global
    nbproc 2
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
