//! Nodes that tell what they were asked: real nginx on any addresses of a host.

use std::fs;
use std::path::PathBuf;

use crate::cluster::{PATIENCE, lines};
use crate::host::Host;
use crate::support::place::{TempDir, wait_until};

/// What all servers of a node answer. The body is the server's name and what it saw of the request, a line each;
/// `/set?VALUE` sets a cookie, `/audio` has a type of its own, and what ends in `/cached` may be cached.
const SERVER: &str = r#"
        default_type text/plain;
        set $seen "$server_name\n$request\nhost=$http_host\nx-forwarded-for=$http_x_forwarded_for\nconnection=$http_connection\ncookie=$http_cookie\n";
        location / { return 200 $seen; }
        location /set { add_header Set-Cookie $args; return 200 $seen; }
        location /audio { default_type audio/mp3; return 200 $seen; }
        location ~ /cached$ { add_header Cache-Control max-age=60; return 200 $seen; }
"#;

/// A running nginx; it ends with its host.
pub struct Nginx {
    directory: TempDir,
    addresses: Vec<String>,
}

impl Nginx {
    /// Starts a server for each name and address (with port), and waits until they listen.
    pub fn start(host: &Host, servers: &[(&str, &str)]) -> Result<Nginx, String> {
        let directory = TempDir::new("nginx").map_err(|error| format!("temporary: {error}"))?;
        let addresses = servers.iter().map(|(_, address)| (*address).to_owned()).collect();
        let nginx = Nginx { directory, addresses };
        let path = nginx.path("nginx.conf");
        fs::write(&path, nginx.configuration(servers)).map_err(|error| format!("nginx.conf: {error}"))?;
        host.shell(&format!("nginx -c {}", path.display()))?;
        let reached = |address: &str| host.shell(&format!("curl -s -o /dev/null http://{address}/up")).is_ok();
        for (name, address) in servers {
            if !wait_until(PATIENCE, || reached(address)) {
                return Err(format!("{name} does not listen on {address}"));
            }
        }
        Ok(nginx)
    }

    /// Sends a signal to all its processes.
    pub fn signal(&self, host: &Host, signal: &str) -> Result<(), String> {
        let pid = self.path("nginx.pid");
        host.shell(&format!("kill -s {signal} -- -$(cat {})", pid.display())).map(drop)
    }

    /// Kills all its processes, and waits until nobody listens there any more: a killed process takes its time.
    pub fn kill(&self, host: &Host) -> Result<(), String> {
        self.signal(host, "KILL")?;
        host.shell(&format!("rm {}", self.path("nginx.pid").display()))?;
        for address in &self.addresses {
            // curl's exit code where the connection is refused.
            let refused = format!("curl -s -o /dev/null http://{address}/gone; test $? = 7");
            if !wait_until(PATIENCE, || host.shell(&refused).is_ok()) {
                return Err(format!("{address} listens still"));
            }
        }
        Ok(())
    }

    /// Starts it again after [`Nginx::kill`].
    pub fn again(&self, host: &Host) -> Result<(), String> {
        host.shell(&format!("nginx -c {}", self.path("nginx.conf").display())).map(drop)
    }

    /// The requests that came, health checks included: `SERVER "GET / HTTP/1.0" 200`.
    pub fn requests(&self) -> Vec<String> {
        lines(&self.path("access.log"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configuration(&self, servers: &[(&str, &str)]) -> String {
        let folder = self.directory.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
            .concat();
        let servers: String = servers
            .iter()
            .map(|(name, address)| format!("    server {{ listen {address}; server_name {name};{SERVER}    }}\n"))
            .collect();
        format!(
            "worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format seen '$server_name \"$request\" $status';
    access_log {folder}/access.log seen;
    keepalive_requests 1000000;
{temporary}{servers}}}
"
        )
    }
}
