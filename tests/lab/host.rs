//! Hosts made of namespaces: a network, a process tree, mounts and a host name of their own.
//!
//! Nothing of them is visible outside, no name is registered anywhere, and everything that runs in a
//! host ends with it, daemons included: its first process reads from us and dies with us.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use nix::sched::{CloneFlags, setns};

/// Where Debian keeps the programs of this lab; a test may have been started without them.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the first process of a host does: name itself, then wait for our end.
const FIRST_PROCESS: &str = "set -e
echo \"$1\" > /proc/sys/kernel/hostname
ip link set lo up
echo ready
exec cat > /dev/null";

/// A machine of the lab; everything in it is killed when it is dropped.
pub struct Host {
    /// The host's name, as its own processes see it.
    pub name: &'static str,
    /// Holds the namespaces; its standard input keeps the first process alive.
    holder: Child,
}

impl Host {
    /// Makes the namespaces and names the host.
    pub fn start(name: &'static str) -> Result<Host, String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "--"])
            .args(["sh", "-c", FIRST_PROCESS, "host", name])
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let host = Host { name, holder };
        if line.trim() == "ready" {
            return Ok(host);
        }
        Err(format!("no namespaces for {name}: {}", host.last_words()))
    }

    /// Kills the holder and gives what it wrote to standard error.
    fn last_words(mut self) -> String {
        let _ = self.holder.kill();
        let mut words = String::new();
        if let Some(stderr) = self.holder.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut BufReader::new(stderr), &mut words);
        }
        words.trim().to_string()
    }

    /// A program in the host, to be started by the caller.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        for kind in ["net", "mnt", "uts", "pid"] {
            // The holder itself stays outside of the process tree that it made for its child.
            let file = if kind == "pid" { "pid_for_children" } else { kind };
            let option = if kind == "mnt" { "mount" } else { kind };
            command.arg(format!("--{option}={}", self.namespace(file).display()));
        }
        command.args(["--", program]).env("PATH", PATH).stdin(Stdio::null());
        command
    }

    /// Runs a shell command line as root of the host; its output, or what went wrong.
    pub fn shell(&self, line: &str) -> Result<String, String> {
        let output = self.command("sh").args(["-c", line]).output();
        let output = output.map_err(|error| format!("nsenter: {error}"))?;
        finished(output).map_err(|error| format!("{}# {line}: {error}", self.name))
    }

    /// Starts a thread that sees the host's network, and gives its handle.
    pub fn thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
        let network = fs::File::open(self.namespace("net")).expect("the host's network");
        std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).expect("enters the host's network");
            work()
        })
    }

    fn namespace(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.holder.id()).into()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A bridge in a network of its own, to which hosts are plugged.
pub struct Switch(Host);

impl Switch {
    /// Makes the bridge.
    pub fn start() -> Result<Switch, String> {
        let host = Host::start("switch")?;
        host.shell("ip link add bridge type bridge && ip link set bridge up")?;
        Ok(Switch(host))
    }

    /// Connects `host` with a cable and gives it an address in 192.168.90.0/24.
    pub fn plug(&self, host: &Host, address: Ipv4Addr) -> Result<(), String> {
        // Interface names have at most 15 bytes; the last octet is unique.
        let port = format!("port{}", address.octets()[3]);
        let holder = host.holder.id().to_string();
        // In the switch's network, but among our processes: `ip` looks the holder up by its pid.
        let output = Command::new("nsenter")
            .arg(format!("--net={}", self.0.namespace("net").display()))
            .args(["--", "ip", "link", "add", &port, "type", "veth"])
            .args(["peer", "name", "eth0", "netns", &holder])
            .env("PATH", PATH)
            .output();
        finished(output.map_err(|error| format!("nsenter: {error}"))?)?;
        self.0.shell(&format!("ip link set {port} master bridge up"))?;
        host.shell(&format!("ip addr add {address}/24 dev eth0 && ip link set eth0 up"))?;
        Ok(())
    }
}

fn finished(output: Output) -> Result<String, String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
