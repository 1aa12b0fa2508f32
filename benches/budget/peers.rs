//! The processes of the bench: the origin node and the proxies in front of it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::measure::tree;
use crate::options::{Row, Shape};

/// How long a process may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What all rows have in common.
pub struct Bench {
    names: Vec<&'static str>,
    /// This program, which is also origin and floor.
    own: PathBuf,
    directory: Directory,
}

/// The origin node and the peers in front of it, in one shape; ends them all when dropped.
pub struct Team {
    pub shape: Shape,
    pub peers: Vec<Peer>,
    _origin: Running,
}

/// A proxy under test.
pub struct Peer {
    pub name: &'static str,
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
        self.running.id()
    }
}

impl Bench {
    /// For the peers of these names.
    pub fn new(names: &[&'static str]) -> Result<Bench, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(Bench { names: names.to_vec(), own, directory: Directory::new()? })
    }

    /// Whether a peer is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Where files of this run may be.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// The program of a peer.
    pub fn binary(&self, name: &str) -> PathBuf {
        match name {
            "floor" => self.own.clone(),
            "epoxy" => epoxy(&self.own),
            other => other.into(),
        }
    }

    /// Starts the origin on these CPUs; gives its port, too.
    pub fn origin(&self, cpus: &str) -> Result<(Running, u16), String> {
        let port = free_port()?;
        Ok((Running::start(cpus, &self.own, &["origin".into(), port.to_string()], port)?, port))
    }

    /// Starts the origin and each of the peers; one that does not start is left out.
    pub fn team(&self, shape: Shape) -> Result<Team, String> {
        let (origin, origin_port) = self.origin(shape.load_cpus)?;
        let mut peers = Vec::new();
        for &name in &self.names {
            // The floor has no workers.
            if name == "floor" && shape.workers.is_some() {
                continue;
            }
            match Peer::start(self, name, shape, origin_port) {
                Ok(peer) => peers.push(peer),
                Err(error) => eprintln!("bench: {name} is left out: {error}"),
            }
        }
        Ok(Team { shape, peers, _origin: origin })
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
        for name in &self.names {
            text += &format!("- {name}: {}\n", version(name, &self.binary(name)));
        }
        text
    }
}

impl Peer {
    fn start(bench: &Bench, name: &'static str, shape: Shape, origin_port: u16) -> Result<Peer, String> {
        let directory = bench.directory();
        let http_port = free_port()?;
        let tcp_port = free_port()?;
        let values = [
            ("ORIGIN_PORT", origin_port.to_string()),
            ("HTTP_PORT", http_port.to_string()),
            ("TCP_PORT", tcp_port.to_string()),
            ("WORKERS", shape.workers.unwrap_or(1).to_string()),
            ("MASTER", if shape.workers.is_some() { "on" } else { "off" }.to_string()),
            ("DIR", directory.display().to_string()),
        ];
        let configured = |file: &str, text: &str| -> Result<String, String> {
            let mut text = text.to_string();
            for (variable, value) in &values {
                text = text.replace(&format!("${{{variable}}}"), value);
            }
            let workers = shape.workers.unwrap_or(0);
            let path = directory.join(format!("{name}-{workers}-{file}"));
            fs::write(&path, text).map_err(|error| error.to_string())?;
            Ok(path.display().to_string())
        };
        let (arguments, tcp_port) = match name {
            "floor" => (vec!["floor".into(), http_port.to_string(), origin_port.to_string()], Some(http_port)),
            "nginx" => {
                let path = configured("nginx.conf", include_str!("../configs/nginx.conf"))?;
                (vec!["-c".into(), path], None)
            }
            _ => {
                let path = configured("haproxy.cfg", include_str!("../configs/haproxy.cfg"))?;
                (vec!["-db".into(), "-f".into(), path], Some(tcp_port))
            }
        };
        let running = Running::start(shape.cpus, &bench.binary(name), &arguments, http_port)?;
        Ok(Peer { name, running, http_port, tcp_port })
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
pub struct Running(Child);

impl Running {
    /// Starts `binary` on these CPUs.
    pub fn spawn(cpus: &str, binary: &Path, arguments: &[String]) -> Result<Running, String> {
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .arg(binary)
            .args(arguments)
            // Our own children end when the other end of this pipe does.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("taskset: {error}"))?;
        Ok(Running(child))
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for the end; whether it came in time.
    pub fn wait(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        true
    }

    /// Starts `binary` and waits until it accepts on `port`.
    pub fn start(cpus: &str, binary: &Path, arguments: &[String], port: u16) -> Result<Running, String> {
        let mut running = Running::spawn(cpus, binary, arguments)?;
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
        // A master that is killed would leave its workers behind.
        let members = tree(self.0.id());
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        if !self.wait(END_TIMEOUT) {
            for member in members {
                let _ = kill(Pid::from_raw(member as i32), Signal::SIGKILL);
            }
            let _ = self.0.wait();
        }
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

pub fn free_port() -> Result<u16, String> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}
