//! The processes of the bench: the origin node and the proxies in front of it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::measure::{LOAD_CPU, PROXY_CPU};
use crate::options::Row;

/// How long a process may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that runs during the bench; ends it all when dropped.
pub struct Bench {
    pub peers: Vec<Peer>,
    _origin: Running,
    _directory: Directory,
}

/// A proxy under test.
pub struct Peer {
    pub name: &'static str,
    version: String,
    running: Running,
    http_port: u16,
    /// None for a peer that has no TCP mode here.
    tcp_port: Option<u16>,
}

impl Peer {
    /// Where the peer serves `row`, if it does.
    pub fn port(&self, row: Row) -> Option<u16> {
        if row.is_tcp() { self.tcp_port } else { Some(self.http_port) }
    }

    /// The process started; its children belong to it.
    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }
}

impl Bench {
    /// Starts the origin and each of the peers `names`; one that does not start is left out.
    pub fn start(names: &[&'static str]) -> Result<Bench, String> {
        let directory = Directory::new()?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let origin_port = free_port()?;
        let origin = Running::start(LOAD_CPU, &own, &["origin".into(), origin_port.to_string()], origin_port)?;
        let mut peers = Vec::new();
        for &name in names {
            match Peer::start(name, &own, origin_port, &directory.0) {
                Ok(peer) => peers.push(peer),
                Err(error) => eprintln!("bench: {name} is left out: {error}"),
            }
        }
        Ok(Bench { peers, _origin: origin, _directory: directory })
    }

    /// The machine and the versions, as Markdown lines.
    pub fn description(&self) -> String {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut text = format!("- machine: {cpu}, Linux {}\n", kernel.trim());
        for peer in &self.peers {
            text += &format!("- {}: {}\n", peer.name, peer.version);
        }
        text
    }
}

impl Peer {
    fn start(name: &'static str, own: &Path, origin_port: u16, directory: &Path) -> Result<Peer, String> {
        let http_port = free_port()?;
        let tcp_port = free_port()?;
        let values = [
            ("ORIGIN_PORT", origin_port.to_string()),
            ("HTTP_PORT", http_port.to_string()),
            ("TCP_PORT", tcp_port.to_string()),
            ("DIR", directory.display().to_string()),
        ];
        let configured = |file: &str, text: &str| -> Result<String, String> {
            let mut text = text.to_string();
            for (variable, value) in &values {
                text = text.replace(&format!("${{{variable}}}"), value);
            }
            let path = directory.join(format!("{name}-{file}"));
            fs::write(&path, text).map_err(|error| error.to_string())?;
            Ok(path.display().to_string())
        };
        let (binary, arguments, tcp_port) = match name {
            "floor" => (
                own.to_path_buf(),
                vec!["floor".into(), http_port.to_string(), origin_port.to_string()],
                Some(http_port),
            ),
            "nginx" => {
                let path = configured("nginx.conf", include_str!("../configs/nginx.conf"))?;
                (PathBuf::from("nginx"), vec!["-c".into(), path], None)
            }
            _ => {
                let path = configured("haproxy.cfg", include_str!("../configs/haproxy.cfg"))?;
                let binary = if name == "epoxy" { epoxy(own) } else { PathBuf::from("haproxy") };
                (binary, vec!["-db".into(), "-f".into(), path], Some(tcp_port))
            }
        };
        let running = Running::start(PROXY_CPU, &binary, &arguments, http_port)?;
        Ok(Peer { name, version: version(name, &binary), running, http_port, tcp_port })
    }
}

/// The binary under test: `EPOXY_BIN`, or the release beside this program.
fn epoxy(own: &Path) -> PathBuf {
    match std::env::var_os("EPOXY_BIN") {
        Some(path) => path.into(),
        None => own.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("epoxy"),
    }
}

fn version(name: &str, binary: &Path) -> String {
    if name == "floor" {
        return "recv and send each way, no parsing".into();
    }
    let output = Command::new(binary).arg("-v").output();
    let Ok(output) = output else {
        return "unknown".into();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_string()
}

/// A child that does not outlive the bench.
struct Running(Child);

impl Running {
    /// Starts `binary` on one CPU and waits until it accepts on `port`.
    fn start(cpu: &str, binary: &Path, arguments: &[String], port: u16) -> Result<Running, String> {
        let child = Command::new("taskset")
            .args(["-c", cpu])
            .arg(binary)
            .args(arguments)
            // Our own children end when the other end of this pipe does.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("taskset: {error}"))?;
        let mut running = Running(child);
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Ok(Some(status)) = running.0.try_wait() {
                return Err(format!("it ended at once: {status}"));
            }
            if Instant::now() > deadline {
                return Err("it accepts no connection".into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where configurations and pid files of this run are.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Directory, String> {
        let path = std::env::temp_dir().join(format!("epoxy-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn free_port() -> Result<u16, String> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}
