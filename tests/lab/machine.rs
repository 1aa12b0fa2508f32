//! A machine that runs the proxy with one of the documents' configurations, as it stands: the folders that
//! the documents name are its own, and rsyslog keeps what the proxy says.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::cluster::{PATIENCE, binary, lines};
use crate::host::{Host, Switch};
use crate::support::place::{TempDir, wait_until};

/// Everything in the line format that the documents show, and once more, begun by facility and severity.
const RSYSLOG: &str = r#"$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat
$ModLoad imudp
$UDPServerRun 514
local0,local1,local2,local3.* /var/log/haproxy.log
template(name="severity" type="string" string="%syslogfacility-text%.%syslogseverity-text% %syslogtag%%msg%\n")
local0,local1,local2,local3.* action(type="omfile" file="/var/log/severity.log" template="severity")
"#;

/// The host with the proxy.
pub struct Machine {
    pub host: Host,
    directory: TempDir,
}

impl Machine {
    /// Makes the host with its folders: /etc/haproxy, /var and /run belong to it alone, and /usr/sbin/haproxy is
    /// the program under test.
    pub fn new(name: &'static str, configuration: &str) -> Result<Machine, String> {
        let directory = TempDir::new("machine").map_err(|error| format!("temporary: {error}"))?;
        let machine = Machine { host: Host::start(name)?, directory };
        machine.write("etc/haproxy.cfg", configuration)?;
        machine.write("rsyslog.conf", RSYSLOG)?;
        let root = machine.root();
        let root = root.display();
        let binary = binary();
        machine.host.shell(&format!(
            "set -e
            cd {root}
            mkdir -p run var/lib/haproxy var/haproxy var/empty var/log var/tmp
            ln -s /run var/run
            mount --bind {binary} /usr/sbin/haproxy
            mount --bind etc /etc/haproxy
            mount --bind run /run
            mount --bind var /var
            rsyslogd -f {root}/rsyslog.conf -i /run/rsyslogd.pid",
            binary = binary.display()
        ))?;
        // Port 514 in the notation of /proc.
        machine.wait_for("rsyslog", || machine.sees("cat /proc/net/udp", ":0202 "))?;
        Ok(machine)
    }

    /// The same on a network.
    pub fn plugged(
        switch: &Switch,
        name: &'static str,
        address: Ipv4Addr,
        configuration: &str,
    ) -> Result<Machine, String> {
        let machine = Machine::new(name, configuration)?;
        switch.plug(&machine.host, address)?;
        Ok(machine)
    }

    /// Writes a file below the folders of this machine: `etc/` is its /etc/haproxy, `run/` its /run, `var/` its /var.
    pub fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.root().join(name);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.and_then(|()| fs::write(&path, text)).map_err(|error| format!("{name}: {error}"))
    }

    /// Checks the configuration and starts the proxy in the background, as an init script does. The limit of
    /// descriptors is the one that most systems begin with.
    pub fn start_proxy(&self) -> Result<(), String> {
        self.host.shell("haproxy -c -q -f /etc/haproxy/haproxy.cfg")?;
        self.host.shell("ulimit -Sn 1024; haproxy -D -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid").map(drop)
    }

    /// What a program on this machine writes to standard output; `-i` shows the head of the answer.
    pub fn curl(&self, arguments: &str) -> Result<String, String> {
        curl(&self.host, arguments)
    }

    /// Whether a command's output contains `text`.
    pub fn sees(&self, command: &str, text: &str) -> bool {
        self.host.shell(command).is_ok_and(|output| output.contains(text))
    }

    /// The log, each line begun by facility and severity: `local3.info haproxy[7]: message`.
    pub fn log(&self) -> Vec<String> {
        lines(&self.root().join("var/log/severity.log"))
    }

    /// The log in the form that the documents show.
    pub fn traditional_log(&self) -> Vec<String> {
        lines(&self.root().join("var/log/haproxy.log"))
    }

    /// Waits until a line of the log contains all of `parts`, and gives that line.
    pub fn wait_for_log(&self, parts: &[&str]) -> Result<String, String> {
        let mut found = None;
        wait_until(PATIENCE, || {
            found = self.log().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
            found.is_some()
        });
        found.ok_or_else(|| format!("{parts:?} are not in the log:\n{}", self.log().join("\n")))
    }

    /// Waits until `done`; an error that names `what` when patience ends.
    pub fn wait_for(&self, what: &str, done: impl Fn() -> bool) -> Result<(), String> {
        if wait_until(PATIENCE, done) {
            return Ok(());
        }
        Err(format!("waited too long for {what}; the log:\n{}", self.log().join("\n")))
    }

    /// The column of a line of `/proc/PID/limits` or `status` and the like: what stands behind `label`.
    pub fn of_process(&self, file: &str, label: &str) -> Result<String, String> {
        let text = self.host.shell(&format!("cat /proc/$(head -n1 /run/haproxy.pid)/{file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(label));
        line.map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" ")).ok_or(format!("no {label} in {text}"))
    }

    fn root(&self) -> std::path::PathBuf {
        Path::new(self.directory.path()).to_path_buf()
    }
}

/// Runs curl on `host`: silent but for errors, and it gives up before a test would.
pub fn curl(host: &Host, arguments: &str) -> Result<String, String> {
    host.shell(&format!("curl -sS --max-time 20 {arguments}"))
}
