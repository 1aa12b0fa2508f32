//! TCP Fast Open (`tfo`): the kernel tells how connections were made.

use crate::cluster::binary;
use crate::expect;
use crate::host::Host;
use crate::machine::curl;
use crate::support::place::TempDir;

/// Once the kernel knows a peer, requests go with the packets that ask for connections; where nobody listens after
/// all, `retry-on` has them go elsewhere, and without it the client gets an error.
pub fn requests() -> Result<(), String> {
    let directory = TempDir::new("fast-open").map_err(|error| format!("temporary: {error}"))?;
    let host = Host::start("fastopen")?;
    host.shell("mount -t proc proc /proc; ip link set lo up; echo 3 > /proc/sys/net/ipv4/tcp_fastopen")?;
    let file = directory.path().join("configuration");
    let text = "defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    retries 1
listen node
    bind 127.0.0.1:81 tfo
    http-request return status 200 content-type text/plain string served
listen front
    bind 127.0.0.1:80
    option http-server-close
    retry-on conn-failure empty-response response-timeout
    server alive 127.0.0.1:81 tfo
listen elsewhere
    bind 127.0.0.1:82
    balance first
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
    server dead 127.0.0.1:89 tfo
    server alive 127.0.0.1:81
listen nowhere
    bind 127.0.0.1:83
    server dead 127.0.0.1:89 tfo
";
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    host.shell(&format!("{} -D -f {}", binary().display(), file.display()))?;
    for _ in 0..3 {
        expect("an answer", curl(&host, "http://127.0.0.1/")?, "served".to_owned())?;
    }
    // The first connection asks for the cookie that the others have.
    let made = |kind: &str| {
        let column = format!(
            "awk '/^TcpExt/ {{ if (!n) n = split($0, names); else for (i = 1; i <= n; i++) \
                              if (names[i] == \"TCPFastOpen{kind}\") print $i }}' /proc/self/net/netstat"
        );
        host.shell(&column).map(|number| number.trim().to_owned())
    };
    expect("connections made with a request", made("Active")?, "2".to_owned())?;
    expect("connections taken with a request", made("Passive")?, "2".to_owned())?;
    expect("an answer from elsewhere", curl(&host, "http://127.0.0.1:82/")?, "served".to_owned())?;
    let status = curl(&host, "-o /dev/null -w %{http_code} http://127.0.0.1:83/");
    expect("what is said of nobody", status.unwrap_or_else(|error| error).contains("502"), true)
}
