//! The machines of the document: two Apache nodes, the load balancer with rsyslog, and a client.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use crate::host::{Host, Switch};
use crate::load::Target;
use crate::support::place::{TempDir, wait_until};

/// Patience with programs that start or end; a machine under load may need it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The load balancer's address.
pub const LB: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 203);
/// Where the load balancer serves. Patience is longer than anything that the proxy's timeouts in the lab allow a
/// failing request to take.
pub const WEB: Target = Target { address: SocketAddrV4::new(LB, 80), patience: Duration::from_secs(20) };
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 1);
const NODE1: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 201);
const NODE2: Ipv4Addr = Ipv4Addr::new(192, 168, 90, 202);

/// The names of the document, and the one that it resolves by /etc/hosts.
const HOSTS: &str = "127.0.0.1 localhost
192.168.90.201 web-node1.com
192.168.90.202 web-node2.com
192.168.90.203 lb-node1.com proxy.xuliangwei.com
";

/// The document's three lines of rsyslog.conf under the line format that was its time's default, and
/// a second file with the severity of each line.
const RSYSLOG: &str = r#"$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat
$ModLoad imudp
$UDPServerRun 514
local3.* /var/log/haproxy.log
template(name="severity" type="string" string="%syslogfacility-text%.%syslogseverity-text%%msg%\n")
local3.* action(type="omfile" file="/var/log/severity.log" template="severity")
"#;

/// The running lab.
pub struct Lab {
    /// Where curl and wrk run.
    pub client: Host,
    /// Where the proxy runs, with /etc/haproxy, /var/lib/haproxy, /var/log and /run of its own.
    pub lb: Host,
    /// The nodes.
    pub node1: Node,
    /// The second one, which alone serves proxy.xuliangwei.com.
    pub node2: Node,
    _switch: Switch,
    directory: TempDir,
}

impl Lab {
    /// Builds the hosts and starts Apache, rsyslog and the proxy.
    pub fn start() -> Result<Lab, String> {
        let directory = TempDir::new("lab").map_err(|error| format!("temporary: {error}"))?;
        let switch = Switch::start()?;
        let lab = Lab {
            client: Host::start("client")?,
            lb: Host::start("lb-node1.com")?,
            node1: Node::new("web-node1.com", &directory)?,
            node2: Node::new("web-node2.com", &directory)?,
            _switch: switch,
            directory,
        };
        lab._switch.plug(&lab.client, CLIENT)?;
        lab._switch.plug(&lab.lb, LB)?;
        lab._switch.plug(&lab.node1.host, NODE1)?;
        lab._switch.plug(&lab.node2.host, NODE2)?;
        lab.node1.start()?;
        lab.node2.start()?;
        lab.furnish_lb()?;
        lab.wait_for("both nodes", |lab| lab.client_reaches(NODE1, 8080) && lab.client_reaches(NODE2, 8080))?;
        lab.start_rsyslog()?;
        lab.start_proxy()?;
        Ok(lab)
    }

    /// Covers the folders that the document uses with folders of this run.
    fn furnish_lb(&self) -> Result<(), String> {
        let root = self.directory.path();
        let write =
            |name: &str, text: &str| fs::write(root.join(name), text).map_err(|error| format!("{name}: {error}"));
        for folder in ["etc", "lib", "log", "run"] {
            fs::create_dir(root.join(folder)).map_err(|error| format!("{folder}: {error}"))?;
        }
        write("etc/haproxy.cfg", include_str!("../fixtures/mission/000-two-node-lab.cfg"))?;
        write("hosts", HOSTS)?;
        write("rsyslog.conf", RSYSLOG)?;
        let root = root.display();
        let binary = binary();
        self.lb.shell(&format!(
            "set -e
            mount --bind {binary} /usr/sbin/haproxy
            mount --bind {root}/etc /etc/haproxy
            mount --bind {root}/lib /var/lib/haproxy
            mount --bind {root}/log /var/log
            mount --bind {root}/hosts /etc/hosts
            mount --bind {root}/run /run",
            binary = binary.display()
        ))?;
        Ok(())
    }

    fn start_rsyslog(&self) -> Result<(), String> {
        let root = self.directory.path().display();
        self.lb.shell(&format!("rsyslogd -f {root}/rsyslog.conf -i /run/rsyslogd.pid"))?;
        // Port 514 in the notation of /proc.
        self.wait_for("rsyslog", |lab| lab.lb.shell("cat /proc/net/udp").is_ok_and(|table| table.contains(":0202 ")))
    }

    fn start_proxy(&self) -> Result<(), String> {
        self.lb.shell("haproxy -c -q -f /etc/haproxy/haproxy.cfg")?;
        // As the init script of the document does it; the configuration says `daemon`.
        self.lb.shell("haproxy -D -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid")?;
        self.wait_for("the proxy", |lab| lab.client_reaches(LB, 80))
    }

    /// The lines that rsyslog has written to /var/log/haproxy.log.
    pub fn log(&self) -> Vec<String> {
        lines(&self.directory.path().join("log/haproxy.log"))
    }

    /// The same lines, each begun by its facility and severity: `local3.info message`.
    pub fn severity_log(&self) -> Vec<String> {
        lines(&self.directory.path().join("log/severity.log"))
    }

    /// Waits until a line of the log contains `text`, and gives that line.
    pub fn wait_for_log(&self, text: &str) -> Result<String, String> {
        self.wait_for_new_log(0, text)
    }

    /// The same, from line `from` on.
    pub fn wait_for_new_log(&self, from: usize, text: &str) -> Result<String, String> {
        let mut found = None;
        wait_until(PATIENCE, || {
            found = self.log().into_iter().skip(from).find(|line| line.contains(text));
            found.is_some()
        });
        found.ok_or_else(|| format!("'{text}' is not in the log:\n{}", self.log().join("\n")))
    }

    /// Sends a command through socat, as the document does.
    pub fn runtime(&self, command: &str) -> Result<String, String> {
        self.lb.shell(&format!("echo '{command}' | socat stdio /var/lib/haproxy/haproxy.sock"))
    }

    /// Waits until `done`; an error that names `what` when patience ends.
    pub fn wait_for(&self, what: &str, done: impl Fn(&Lab) -> bool) -> Result<(), String> {
        if wait_until(PATIENCE, || done(self)) {
            return Ok(());
        }
        Err(format!("waited too long for {what}; the log:\n{}", self.log().join("\n")))
    }

    fn client_reaches(&self, address: Ipv4Addr, port: u16) -> bool {
        let reached = self.client.thread(move || TcpStream::connect((address, port)).is_ok());
        reached.join().unwrap_or(false)
    }
}

/// The program under test.
pub fn binary() -> PathBuf {
    let path = env::var_os("EPOXY_BIN").unwrap_or(env!("CARGO_BIN_EXE_epoxy").into());
    fs::canonicalize(&path).unwrap_or(path.into())
}

/// The lines of a file that something writes; none while it does not exist.
pub fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_string).collect()
}

/// A node with Apache on port 8080, whose index.html is its name.
pub struct Node {
    pub host: Host,
    folder: PathBuf,
}

impl Node {
    fn new(name: &'static str, directory: &TempDir) -> Result<Node, String> {
        let folder = directory.path().join(name);
        let html = folder.join("html");
        fs::create_dir_all(&html).map_err(|error| format!("{}: {error}", html.display()))?;
        let write = |path: PathBuf, text: String| {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        write(html.join("index.html"), format!("{name}\n"))?;
        write(folder.join("apache2.conf"), apache_configuration(name, &folder))?;
        Ok(Node { host: Host::start(name)?, folder })
    }

    /// Starts Apache; returns before it listens.
    pub fn start(&self) -> Result<(), String> {
        let folder = self.folder.display();
        // A killed Apache leaves its pid file, and the new one would believe it.
        self.host.shell(&format!("rm -f {folder}/*.pid && apache2 -f {folder}/apache2.conf -k start"))?;
        Ok(())
    }

    /// Stops all processes of Apache in the middle of what they do; they can be killed then.
    pub fn freeze(&self) -> Result<(), String> {
        // A server that is just starting more processes may have one that missed the signal.
        let running = "ps -C apache2 -o stat= | grep -q '^[^TZ]'";
        self.host.shell(&format!("kill -STOP -1; sleep 0.05; while {running}; do kill -STOP -1; sleep 0.05; done"))?;
        Ok(())
    }

    /// Kills all processes of Apache; the kernel answers for them from now on.
    pub fn kill(&self) -> Result<(), String> {
        self.host.shell("kill -KILL -1").map(drop)
    }

    /// The requests that Apache has logged, health checks included.
    pub fn requests(&self) -> Vec<String> {
        lines(&self.folder.join("access.log"))
    }
}

fn apache_configuration(name: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"ServerName {name}
Listen 8080
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache2.pid
Mutex pthread
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
DocumentRoot {folder}/html
DirectoryIndex index.html
KeepAlive On
MaxKeepAliveRequests 0
ErrorLog {folder}/error.log
LogFormat "%a \"%r\" %>s host=%{{Host}}i x-real-ip=%{{X-REAL-IP}}i" lab
CustomLog {folder}/access.log lab
"#
    )
}
