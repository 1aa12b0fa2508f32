//! The program under test, for a browser to visit.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::binary;
use crate::support::place::{TempDir, loopback_address, wait_listening};
use crate::support::process::Running;

/// Patience with the program and the browser.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Columns of the CSV.
pub const SESSIONS: usize = 4;
/// See [`SESSIONS`].
pub const STATUS: usize = 17;

/// The running program.
pub struct Proxy {
    /// The address that is its own.
    pub address: Ipv4Addr,
    directory: TempDir,
    _running: Running,
}

impl Proxy {
    /// Starts it with this configuration, in which `${ADDRESS}` and `${DIR}` are filled in, and waits until it listens
    /// at port 8080.
    pub fn start(configuration: &str) -> Result<Proxy, String> {
        let directory = TempDir::new("stats").map_err(|error| error.to_string())?;
        let address = loopback_address();
        let text = configuration
            .replace("${ADDRESS}", &address.to_string())
            .replace("${DIR}", &directory.path().display().to_string());
        let file = directory.path().join("stats.cfg");
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let arguments = ["-db".into(), "-f".into(), file.display().to_string()];
        let binary = fs::canonicalize(binary()).map_err(|error| error.to_string())?;
        let running = Running::start(&binary, "haproxy", &arguments, directory.path())
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        if !wait_listening(SocketAddr::V4(SocketAddrV4::new(address, 8080)), PATIENCE) {
            return Err(format!("the proxy does not listen: {}", running.stderr()));
        }
        Ok(Proxy { address, directory, _running: running })
    }

    /// The statistics page at a port.
    pub fn url_at(&self, port: u16) -> String {
        format!("http://{}:{port}/stats", self.address)
    }

    /// The statistics page.
    pub fn url(&self) -> String {
        self.url_at(8080)
    }

    /// The answer to a command of the runtime socket.
    pub fn runtime(&self, command: &str) -> Result<String, String> {
        let exchange = || -> std::io::Result<String> {
            let mut socket = UnixStream::connect(self.directory.path().join("admin.sock"))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            writeln!(socket, "{command}")?;
            let mut reply = String::new();
            socket.read_to_string(&mut reply)?;
            Ok(reply)
        };
        exchange().map_err(|error| format!("{command}: {error}"))
    }
}

/// A column of the row of a server in `show stat`.
pub fn column<'a>(csv: &'a str, proxy: &str, server: &str, column: usize) -> Option<&'a str> {
    let row = csv.lines().find(|row| row.starts_with(&format!("{proxy},{server},")))?;
    row.split(',').nth(column)
}
