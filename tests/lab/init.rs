//! The init script of contrib as an operator runs it, with the configuration's mistakes and under load; and the name
//! of the processes, by which older scripts look for them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use crate::cluster::binary;
use crate::load::{Load, Target};
use crate::machine::Machine;
use crate::{expect, expect_in};

const CONFIGURATION: &str = "global
    log 127.0.0.1 local0
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    stats socket /run/haproxy.sock level admin
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend web
    bind *:80
    http-request return status 200 content-type text/plain string here
";

const WEB: Target = Target { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80), patience: Duration::from_secs(10) };

/// Connections of the counting client.
const CLIENTS: usize = 6;

struct Service(Machine);

impl Service {
    /// Installs the script and the link `haproxy`; `settings` is /etc/default/haproxy.
    fn install(settings: &str) -> Result<Service, String> {
        let machine = Machine::new("lb", CONFIGURATION)?;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/init/epoxy");
        let script = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        machine.write("etc/prefix/init", &script.replace("@PREFIX@", "/etc/haproxy/prefix"))?;
        machine.write("etc/default/haproxy", settings)?;
        machine.host.shell(&format!(
            "set -e
            mkdir -p /etc/haproxy/prefix/sbin
            chmod 755 /etc/haproxy/prefix/init
            ln -s {} /etc/haproxy/prefix/sbin/epoxy
            ln -s epoxy /etc/haproxy/prefix/sbin/haproxy
            mount --bind /etc/haproxy/default /etc/default",
            binary().display()
        ))?;
        Ok(Service(machine))
    }

    /// Runs the script as service(8) does, without an environment: its exit code and what it says.
    fn run(&self, word: &str) -> Result<(i32, String), String> {
        let text = self
            .0
            .host
            .shell(&format!("env -i PATH=/usr/bin:/bin /etc/haproxy/prefix/init {word} 2>&1; echo \"=$?\""))?;
        let (said, code) = text.trim_end().rsplit_once('=').ok_or("no exit code")?;
        Ok((code.parse().map_err(|error| format!("{code}: {error}"))?, said.to_owned()))
    }

    /// Runs the script, which has to end with `code` and say `part`.
    fn does(&self, word: &str, code: i32, part: &str) -> Result<(), String> {
        let (got, said) = self.run(word)?;
        expect(&format!("exit code of {word}, which says {said}"), got, code)?;
        expect_in(word, &said, part)
    }

    fn pid(&self) -> Result<String, String> {
        Ok(self.0.host.shell("cat /var/run/haproxy.pid")?.trim().to_owned())
    }

    /// Whether `killall -0 haproxy`, as older check scripts say it, finds the service.
    fn is_found(&self) -> bool {
        self.0.host.shell("killall -0 haproxy").is_ok()
    }

    /// The names of all processes that run the program.
    fn names(&self) -> Result<Vec<String>, String> {
        let program = binary();
        let text = self.0.host.shell(&format!(
            "for folder in /proc/[0-9]*; do
                [ \"$(readlink $folder/exe)\" != {} ] || cat $folder/comm
            done",
            program.display()
        ))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Waits until so many processes run, all of them called haproxy.
    fn wait_for_names(&self, count: usize) -> Result<(), String> {
        self.0.wait_for(&format!("{count} processes called haproxy"), || {
            self.names().is_ok_and(|names| names.len() == count && names.iter().all(|name| name == "haproxy"))
        })
    }

    fn answers(&self) -> Result<(), String> {
        expect("an answer", self.0.curl("http://127.0.0.1/")?.as_str(), "here")
    }

    fn break_configuration(&self, broken: bool) -> Result<(), String> {
        let mistake = if broken { "    frobnicate\n" } else { "" };
        self.0.write("etc/haproxy.cfg", &format!("{CONFIGURATION}{mistake}"))
    }
}

/// start, stop, restart, reload, status and check, each when it can be done and when it cannot.
pub fn lifecycle() -> Result<(), String> {
    let service = Service::install("")?;
    service.does("status", 3, "does not run")?;
    service.does("reload", 7, "does not run")?;
    service.does("stop", 0, "does not run")?;
    service.does("frobnicate", 2, "usage: ")?;
    service.does("check", 0, "the configuration is valid")?;
    service.break_configuration(true)?;
    service.does("check", 1, "frobnicate")?;
    service.does("start", 6, "frobnicate")?;
    expect("killall -0 of nobody", service.is_found(), false)?;

    service.break_configuration(false)?;
    service.does("start", 0, "haproxy started")?;
    service.does("status", 0, "haproxy runs (pid ")?;
    service.does("start", 0, "runs already")?;
    service.wait_for_names(1)?;
    expect("killall -0 haproxy", service.is_found(), true)?;
    let pid = service.pid()?;
    expect("pidof haproxy", service.0.host.shell("pidof haproxy")?.trim(), pid.as_str())?;
    service.answers()?;

    service.break_configuration(true)?;
    for word in ["reload", "restart", "try-restart"] {
        let (code, said) = service.run(word)?;
        expect(&format!("{word} with a mistake: {said}"), code != 0, true)?;
        expect("the same process goes on", service.pid()?, pid.clone())?;
        service.answers()?;
    }

    service.break_configuration(false)?;
    service.does("reload", 0, "haproxy reloaded")?;
    let reloaded = service.pid()?;
    expect("another process after reload", reloaded != pid, true)?;
    service.wait_for_names(1)?;
    service.answers()?;
    service.does("restart", 0, "haproxy started")?;
    expect("another process after restart", service.pid()? != reloaded, true)?;
    service.answers()?;

    service.0.host.shell("kill -KILL $(cat /var/run/haproxy.pid)")?;
    service.wait_for_names(0)?;
    service.does("status", 1, "is dead, but /var/run/haproxy.pid is there")?;
    service.does("try-restart", 0, "")?;
    service.does("start", 0, "haproxy started")?;
    service.does("stop", 0, "haproxy stopped")?;
    service.does("status", 3, "does not run")?;
    // Nobody reaps here: what has ended is still found by its name.
    service.wait_for_names(0)
}

/// Ten reloads and a restart that fails, while clients count.
pub fn reloads_under_load() -> Result<(), String> {
    let service = Service::install("EXTRAOPTS='-n 1000'\n")?;
    service.does("start", 0, "haproxy started")?;
    let load = Load::start(&service.0.host, WEB, CLIENTS);
    for round in 0..10 {
        service.does("reload", 0, "haproxy reloaded")?;
        if round == 4 {
            service.break_configuration(true)?;
            expect("reload with a mistake", service.run("reload")?.0, 6)?;
            service.break_configuration(false)?;
        }
    }
    // All old ones have finished.
    service.wait_for_names(1)?;
    let records = load.finish();
    let bad: Vec<_> = records.iter().filter(|record| !record.end.is_good()).collect();
    expect(&format!("failures of {} requests: {bad:?}", records.len()), bad.len(), 0)?;
    expect("the clients did something", records.len() > 50, true)
}

/// Supervisor and workers have the name, after a worker's death and a reload, too.
pub fn workers_have_the_name() -> Result<(), String> {
    let service = Service::install("")?;
    service.0.write("etc/haproxy.cfg", &CONFIGURATION.replace("global\n", "global\n    nbproc 2\n"))?;
    service.does("start", 0, "haproxy started")?;
    service.wait_for_names(3)?;
    expect("pidof finds all", service.0.host.shell("pidof haproxy")?.split_whitespace().count(), 3)?;
    let supervisor = service.pid()?;
    service.0.host.shell(&format!("kill -KILL $(ps -o pid= --ppid {supervisor} | head -n1)"))?;
    service.wait_for_names(3)?;
    service.does("reload", 0, "haproxy reloaded")?;
    service.wait_for_names(3)?;
    expect("another supervisor", service.pid()? != supervisor, true)?;
    service.answers()?;
    service.does("stop", 0, "haproxy stopped")?;
    service.wait_for_names(0)
}

/// A master that executes itself keeps the name.
pub fn the_master_keeps_the_name() -> Result<(), String> {
    let service = Service::install("EXTRAOPTS=-W\n")?;
    service.does("start", 0, "haproxy started")?;
    service.wait_for_names(2)?;
    let master = service.pid()?;
    let worker = || service.0.host.shell(&format!("ps -o pid= --ppid {master}"));
    let before = worker()?;
    service.0.host.shell(&format!("kill -USR2 {master}"))?;
    service
        .0
        .wait_for("another worker alone", || worker().is_ok_and(|now| now != before && now.lines().count() == 1))?;
    service.wait_for_names(2)?;
    expect("killall -0 haproxy", service.is_found(), true)?;
    service.does("status", 0, &format!("haproxy runs (pid {master})"))?;
    service.answers()?;
    service.does("stop", 0, "haproxy stopped")?;
    service.wait_for_names(0)
}
