//! The DaemonSet of contrib/kubernetes without a cluster: its configuration, command, probes, privileges and
//! preStop hook, taken out of the file, in a container made of namespaces where epoxy is process 1.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use saphyr::{LoadableYamlNode, Yaml};

use crate::cluster::{PATIENCE, binary};
use crate::expect;
use crate::host::Host;
use crate::load::{Load, Target};
use crate::support::place::{TempDir, wait_until};
use crate::web::Web;

const WEB: Target = Target { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080), patience: Duration::from_secs(5) };
const CLIENTS: usize = 12;

/// `grace` in the test: the balancer in front asks this often and believes the second no.
const GRACE: Duration = Duration::from_secs(3);
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// As the pod's `securityContext` says, in the words of setpriv.
const PRIVILEGES: &str =
    "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all";

/// The pod on its node.
struct Pod {
    host: Host,
    hook: Vec<String>,
    /// Seconds that the hook and the end may take.
    patience: Duration,
    _app: Web,
    directory: TempDir,
}

impl Pod {
    fn start() -> Result<Pod, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/kubernetes/daemonset.yaml");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let documents = Yaml::load_from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let pod = at(&documents[1], &["spec", "template", "spec"])?;
        let container = at(pod, &["containers"])?.as_sequence_get(0).ok_or("no container")?;
        let unprivileged = at(pod, &["securityContext", "runAsUser"])?.as_integer();
        expect("the user of PRIVILEGES", unprivileged, Some(65534))?;

        let directory = TempDir::new("pod").map_err(|error| format!("temporary: {error}"))?;
        let config = at(&documents[0], &["data", "haproxy.cfg"])?.as_str().ok_or("no configuration")?;
        let config = config.replace("app.default.svc.cluster.local:80", "127.0.0.1:9000");
        let config = config.replace("grace 10s", &format!("grace {}s", GRACE.as_secs()));
        fs::write(directory.path().join("haproxy.cfg"), config).map_err(|error| format!("haproxy.cfg: {error}"))?;

        let host = Host::start("node")?;
        let app = Web::start(&host, Ipv4Addr::LOCALHOST, 9000)?;
        let mut command = words(at(container, &["command"])?)?;
        "/run/bin/epoxy".clone_into(&mut command[0]);
        host.shell(&format!(
            "set -e
            mount -t tmpfs tmpfs /run && mkdir /run/bin /run/epoxy && chown 65534 /run/epoxy
            touch /run/bin/epoxy && mount --bind {} /run/bin/epoxy
            mount --bind {} /etc/haproxy
            mount -o remount,ro,bind /
            setsid unshare --pid --fork --kill-child --mount-proc {PRIVILEGES} {} > /run/log 2>&1 &
            echo $! > /run/container",
            binary().display(),
            directory.path().display(),
            quoted(&command)
        ))?;
        let hook = words(at(container, &["lifecycle", "preStop", "exec", "command"])?)?;
        let seconds = at(pod, &["terminationGracePeriodSeconds"])?.as_integer().ok_or("no time to end")?;
        let patience = Duration::from_secs(seconds.unsigned_abs());
        let pod = Pod { host, hook, patience, _app: app, directory };
        if !wait_until(PATIENCE, || pod.probe("/ready") == "200") {
            return Err(format!("never ready: {}", pod.log()));
        }
        Ok(pod)
    }

    /// What a probe of kubelet, or the balancer in front of the nodes, gets from the health port.
    fn probe(&self, path: &str) -> String {
        let ask = "curl -s -o /dev/null -m 2 -w '%{http_code}'";
        self.host.shell(&format!("{ask} http://127.0.0.1:8404{path} || true")).unwrap_or_default()
    }

    /// A program in the container, as kubelet and `kubectl exec` start it.
    fn exec(&self, words: &[String]) -> Command {
        let enter = "nsenter --pid=/proc/$(cat /run/container)/ns/pid_for_children";
        let mut command = self.host.command("sh");
        command.args(["-c", &format!("exec {enter} {PRIVILEGES} {}", quoted(words))]);
        command
    }

    /// A changed ConfigMap, and the signal that README.md tells; done when `/ready` answers with the new word.
    fn reload(&self, word: &str) -> Result<(), String> {
        let path = self.directory.path().join("haproxy.cfg");
        let config = fs::read_to_string(&path).map_err(|error| format!("haproxy.cfg: {error}"))?;
        let (head, tail) = config.rsplit_once("string \"").ok_or("no answer to change")?;
        let (_, tail) = tail.split_once('\n').ok_or("no end of line")?;
        let config = format!("{head}string \"{word}\"\n{tail}");
        fs::write(&path, config).map_err(|error| format!("haproxy.cfg: {error}"))?;
        let signal = ["/bin/sh", "-c", "kill -USR2 1"].map(str::to_owned);
        expect("kill in the container", self.exec(&signal).status().is_ok_and(|status| status.success()), true)?;
        let mut seen = BTreeSet::new();
        let changed = wait_until(PATIENCE, || {
            let answer = self.host.shell("curl -s -m 2 http://127.0.0.1:8404/ready || true").unwrap_or_default();
            let changed = answer == word;
            seen.insert(answer);
            changed
        });
        expect(&format!("after the reload /ready says {word}; seen: {seen:?}; {}", self.log()), changed, true)?;
        sleep(Duration::from_millis(200));
        for _ in 0..20 {
            expect("a probe soon after the reload", self.probe("/ready"), "200".into())?;
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        // The first process of the host does not reap: what has ended may stay as a zombie.
        let state = self.host.shell("ps -o stat= -p $(cat /run/container)");
        state.is_ok_and(|state| !state.starts_with('Z'))
    }

    fn log(&self) -> String {
        self.host.shell("tail -n 20 /run/log").unwrap_or_default()
    }
}

/// What stands under these names.
fn at<'a>(yaml: &'a Yaml<'a>, path: &[&str]) -> Result<&'a Yaml<'a>, String> {
    path.iter().try_fold(yaml, |yaml, key| yaml.as_mapping_get(key).ok_or(format!("no {key} in {path:?}")))
}

fn words(yaml: &Yaml) -> Result<Vec<String>, String> {
    let list = yaml.as_vec().ok_or("not a list")?;
    list.iter().map(|word| word.as_str().map(str::to_owned).ok_or("not a word".into())).collect()
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}' ")).collect()
}

/// Reloads under load, then the end of the pod: the hook makes it not ready, the balancer in front sends new connections elsewhere,
/// open connections are told to close, and process 1 ends by itself. Nothing is lost.
pub fn drains() -> Result<(), String> {
    let pod = Pod::start()?;
    let load = Load::start(&pod.host, WEB, CLIENTS);
    sleep(Duration::from_secs(1));
    for word in ["second", "third"] {
        pod.reload(word)?;
    }
    let asked = Instant::now();
    let mut hook = pod.exec(&pod.hook).spawn().map_err(|error| format!("the hook: {error}"))?;

    let mut noes = 0;
    while noes < 2 && asked.elapsed() < GRACE {
        noes = if pod.probe("/ready") == "503" { noes + 1 } else { 0 };
        sleep(ASKED_EVERY);
    }
    expect("the balancer in front noticed in time", noes, 2)?;
    expect("a pod that is leaving lives", pod.probe("/live"), "200".into())?;
    load.leave();
    let left = wait_until(PATIENCE, || load.has_left());
    let records = load.finish();
    let lost: Vec<_> = records.iter().filter(|record| !record.end.is_good()).take(3).collect();
    expect(&format!("requests lost of {}: {lost:?}\n{}", records.len(), pod.log()), lost.len(), 0)?;
    expect("there was load", records.len() > 500, true)?;
    expect("all connections were told to close", left, true)?;

    let over = wait_until(pod.patience.saturating_sub(asked.elapsed()), || !pod.is_running());
    let _ = hook.wait();
    expect(&format!("process 1 ended by itself\n{}", pod.log()), over, true)
}
