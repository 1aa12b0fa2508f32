//! What workers and supervisors keep.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use caps::Capability::{self, *};

use crate::crew::{Crew, text, who_answers};
use crate::service::{PATIENCE, Program};
use crate::support::place::{TempDir, loopback_address, wait_listening, wait_until};
use crate::support::process::Running;
use crate::{capabilities, descriptors, set, status, turn_as_root};

const JAIL: &str = "    user nobody\n    group nogroup\n    chroot DIR";

/// What a supervisor keeps for its own work.
const REPLACE: [Capability; 5] = [CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT];

/// Sets of a process that has these capabilities and cannot get others.
fn exactly(kept: &[Capability]) -> [u64; 5] {
    let kept = set(kept);
    [0, kept, kept, kept, 0]
}

fn assert_jailed(pid: i32, jail: &Path) {
    assert_eq!(status(pid, "Uid"), "65534\t65534\t65534\t65534");
    assert_eq!(status(pid, "Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(status(pid, "Groups"), "");
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    for name in ["root", "cwd"] {
        let place = fs::read_link(format!("/proc/{pid}/{name}")).expect("a link");
        assert_eq!(place, jail.canonicalize().expect("jail"), "{name}");
    }
    assert!(wait_until(PATIENCE, || limit(pid, "Max processes") == "0"));
}

/// The soft limit of a process.
fn limit(pid: i32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// It listens before it has given up everything.
fn assert_comes_to(pid: i32, kept: &[Capability]) {
    let well = wait_until(PATIENCE, || capabilities(pid) == exactly(kept));
    assert!(well, "{kept:?}: {:x?}", capabilities(pid));
}

/// Everything open is a socket, a queue of the kernel's, a pipe or the shared memory: nothing that has a path.
fn assert_accounted(pid: i32) {
    let ours = |name: &str| {
        [
            "socket:[",
            "anon_inode:[eventpoll]",
            "anon_inode:[signalfd]",
            "anon_inode:[eventfd]",
            "pipe:[",
            "/memfd:epoxy",
        ]
        .iter()
        .any(|kind| name.starts_with(kind))
    };
    let strange: Vec<String> = descriptors(pid).into_iter().filter(|name| !ours(name)).collect();
    assert_eq!(strange, [""; 0], "of {:?}", descriptors(pid));
}

#[test]
fn workers_of_a_user_have_nothing_left() {
    let Some(_turn) = turn_as_root() else { return };
    let crew = Crew::start(&format!("{JAIL}\n    nbproc 2"), "");
    for (_, pid) in [(1, crew.worker(1)), (2, crew.worker(2))] {
        assert!(wait_until(PATIENCE, || status(pid, "NoNewPrivs") == "1"));
        assert_comes_to(pid, &[]);
        assert_jailed(pid, crew.dir.path());
        assert_accounted(pid);
    }
    let supervisor = crew.supervisor.pid() as i32;
    assert!(wait_until(PATIENCE, || capabilities(supervisor) == exactly(&REPLACE)), "{:x?}", capabilities(supervisor));
    assert_eq!(status(supervisor, "NoNewPrivs"), "1");
    assert_accounted(supervisor);
    // And that is enough for it.
    let old = crew.worker(1);
    crate::crew::tell(old, nix::sys::signal::Signal::SIGKILL);
    let successor = crew.successor(1, old);
    assert!(wait_until(PATIENCE, || capabilities(successor) == exactly(&[])));
    assert_jailed(successor, crew.dir.path());
    assert_accounted(successor);
    assert!(who_answers(crew.address, PATIENCE).is_some());
}

#[test]
fn one_process_has_nothing_left_either() {
    let Some(_turn) = turn_as_root() else { return };
    let crew = Crew::start(JAIL, "");
    let pid = crew.supervisor.pid() as i32;
    assert_comes_to(pid, &[]);
    assert_jailed(pid, crew.dir.path());
    assert_accounted(pid);
}

#[test]
fn a_root_that_stays_gives_up_what_it_does_not_need() {
    let Some(_turn) = turn_as_root() else { return };
    let crew = Crew::start("", "");
    let pid = crew.supervisor.pid() as i32;
    assert_eq!(status(pid, "Uid"), "0\t0\t0\t0");
    assert_comes_to(pid, &[]);
    assert_accounted(pid);
    let crew = Crew::start("    insecure-setuid-wanted", "");
    let pid = crew.supervisor.pid() as i32;
    assert!(wait_until(PATIENCE, || capabilities(pid)[1] == 0));
    assert_eq!((capabilities(pid)[1], status(pid, "NoNewPrivs").as_str()), (0, "0"));
    assert_ne!(capabilities(pid)[3], 0, "what it executes may gain");
}

#[test]
fn unix_sockets_of_others_are_reached_by_a_root_that_stays() {
    let Some(_turn) = turn_as_root() else { return };
    let dir = TempDir::new("kept").expect("directory");
    let server = UnixListener::bind(dir.path().join("s.sock")).expect("bind");
    let log = UnixDatagram::bind(dir.path().join("log.sock")).expect("bind");
    for name in ["s.sock", "log.sock"] {
        let path = dir.path().join(name);
        chown(&path, Some(65534), Some(65534)).expect("owner");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    }
    let place = dir.path().display();
    let more = format!(
        "    log global\nfrontend g\n    bind {}:8009\nbackend b\n    server s {place}/s.sock check inter 100ms\n",
        loopback_address()
    );
    let crew = Crew::start(&format!("    log {place}/log.sock local0"), &more);
    assert_comes_to(crew.supervisor.pid() as i32, &[CAP_DAC_OVERRIDE]);
    server.set_nonblocking(true).expect("nonblocking");
    assert!(wait_until(PATIENCE, || server.accept().is_ok()), "no check");
    assert!(who_answers(crew.address, PATIENCE).is_some());
    log.set_read_timeout(Some(PATIENCE)).expect("timeout");
    assert!(log.recv(&mut [0; 2000]).is_ok(), "no line");
}

#[test]
fn setcap_keeps_what_it_names() {
    let Some(_turn) = turn_as_root() else { return };
    let names = "    setcap cap_net_raw,cap_net_bind_service";
    for global in [names.to_owned(), format!("{JAIL}\n{names}")] {
        let crew = Crew::start(&global, "");
        assert_comes_to(crew.supervisor.pid() as i32, &[CAP_NET_RAW, CAP_NET_BIND_SERVICE]);
        assert_eq!(crew.supervisor.stderr(), "");
    }
    let crew = Crew::start(&format!("{JAIL}\n{names}\n    nbproc 2"), "");
    let worker = crew.worker(2);
    assert!(wait_until(PATIENCE, || capabilities(worker) == exactly(&[CAP_NET_RAW, CAP_NET_BIND_SERVICE])));
    let supervisor = crew.supervisor.pid() as i32;
    let more = exactly(&[&REPLACE[..], &[CAP_NET_RAW, CAP_NET_BIND_SERVICE]].concat());
    assert!(wait_until(PATIENCE, || capabilities(supervisor) == more), "{:x?}", capabilities(supervisor));
}

/// Runs epoxy by a shell that prepares it.
fn by_shell(dir: &Path, before: &str, args: &str) -> Running {
    let script = format!("{before} {} {args}", Program::Epoxy.path().display());
    Running::start("/bin/bash".as_ref(), "bash", &["-c".to_owned(), script], dir).expect("a process")
}

#[test]
fn a_capability_that_is_not_there_is_told() {
    let Some(_turn) = turn_as_root() else { return };
    let dir = TempDir::new("kept").expect("directory");
    let address = std::net::SocketAddrV4::new(loopback_address(), 8001);
    fs::write(dir.path().join("a.cfg"), text(address, "    setcap cap_net_raw", "")).expect("configuration");
    let mut process = by_shell(dir.path(), "exec setpriv --reuid=65534 --clear-groups", "-db -f a.cfg");
    assert!(wait_listening(address.into(), PATIENCE), "{}", process.stderr());
    assert!(wait_until(PATIENCE, || process.stderr().contains("capability 'cap_net_raw'")), "{}", process.stderr());
    process.kill();
}

#[test]
fn what_the_caller_left_open_is_closed() {
    let Some(_turn) = turn_as_root() else { return };
    let address = std::net::SocketAddrV4::new(loopback_address(), 8001);
    for count in [1, 2] {
        let dir = TempDir::new("kept").expect("directory");
        let global = format!("{JAIL}\n    nbproc {count}\n    log fd@8 local0");
        let global = global.replace("DIR", &dir.path().display().to_string());
        fs::write(dir.path().join("a.cfg"), text(address, &global, "    log global\n")).expect("configuration");
        // A directory, a lock, a named log, somebody's pipe.
        let left = "exec 6</ 7>lock 8>log 9> >(cat); exec";
        let mut process = by_shell(dir.path(), left, "-db -f a.cfg");
        assert!(wait_listening(address.into(), PATIENCE), "{}", process.stderr());
        let parent = process.pid() as i32;
        let workers = crate::crew::workers_of(process.pid());
        let all: Vec<i32> = workers.iter().map(|worker| worker.1).chain([parent]).collect();
        assert_eq!(all.len(), if count == 1 { 1 } else { 3 });
        let log = dir.path().join("log").display().to_string();
        for pid in all {
            let paths =
                || descriptors(pid).into_iter().filter(|name| name.starts_with('/') && !name.starts_with("/memfd:"));
            assert!(wait_until(PATIENCE, || paths().all(|name| name == log)), "{:?}", descriptors(pid));
            assert!(paths().next().is_some(), "{:?}", descriptors(pid));
        }
        assert!(who_answers(address, PATIENCE).is_some());
        assert!(wait_until(PATIENCE, || fs::read_to_string(&log).is_ok_and(|text| !text.is_empty())));
        process.kill();
    }
}

#[test]
fn cores_may_be_large_when_they_are_wanted() {
    let Some(_turn) = turn_as_root() else { return };
    let dir = TempDir::new("kept").expect("directory");
    let address = std::net::SocketAddrV4::new(loopback_address(), 8001);
    let global = format!("{JAIL}\n    set-dumpable").replace("DIR", &dir.path().display().to_string());
    fs::write(dir.path().join("a.cfg"), text(address, &global, "")).expect("configuration");
    let mut process = by_shell(dir.path(), "ulimit -S -c 0; ulimit -S -f 1000; exec", "-db -f a.cfg");
    assert!(wait_listening(address.into(), PATIENCE), "{}", process.stderr());
    let pid = process.pid() as i32;
    assert!(wait_until(PATIENCE, || status(pid, "NoNewPrivs") == "1"));
    for name in ["Max core file size", "Max file size"] {
        assert_eq!(limit(pid, name), "unlimited", "{name}");
    }
    // The owner of /proc/PID tells whether a process is dumpable.
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(format!("/proc/{}/mem", process.pid())).expect("a file").uid();
    assert_eq!(owner, 65534);
    process.kill();
}

#[test]
fn a_master_keeps_what_reloads_take_and_can_reload_with_it() {
    let Some(_turn) = turn_as_root() else { return };
    let dir = TempDir::new("kept").expect("directory");
    let address = std::net::SocketAddrV4::new(loopback_address(), 8001);
    let global = format!("{JAIL}\n    nbproc 2\n    stats socket DIR/s.sock user nobody mode 600");
    let global = global.replace("DIR", &dir.path().display().to_string());
    fs::write(dir.path().join("a.cfg"), text(address, &global, "")).expect("configuration");
    let mut process = by_shell(dir.path(), "exec", "-W -f a.cfg");
    let master = process.pid() as i32;
    // What this machine's root does not have cannot be kept.
    let had = capabilities(std::process::id() as i32)[1];
    let reload =
        [CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_RESOURCE];
    let kept = had & set(&[&REPLACE[..], &reload[..]].concat());
    let mut before = Vec::new();
    for _ in 0..3 {
        let workers = || crate::crew::workers_of(process.pid());
        let is_up = || workers().len() == 2 && workers().iter().all(|worker| !before.contains(worker));
        assert!(wait_until(PATIENCE, is_up), "{}", process.stderr());
        assert!(
            wait_until(PATIENCE, || capabilities(master) == [0, kept, kept, kept, 0]),
            "{:x?}",
            capabilities(master)
        );
        for (_, pid) in workers() {
            assert_comes_to(pid, &[]);
        }
        assert!(who_answers(address, PATIENCE).is_some());
        before = workers();
        process.signal(nix::sys::signal::Signal::SIGUSR2);
    }
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(process.wait(PATIENCE).is_some());
}
