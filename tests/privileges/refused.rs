//! Starts that the system refuses: one message says why, and what served before goes on serving.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;

use crate::crew::{text, who_answers};
use crate::service::{PATIENCE, Program};
use crate::support::place::{TempDir, loopback_address, wait_listening};
use crate::support::process::Running;
use crate::turn_as_root;

/// Somebody with no other processes.
const STRANGER: &str = "setpriv --reuid=64321 --regid=64321 --clear-groups";

/// A service of the stranger's, and what tries to replace it.
struct Before {
    dir: TempDir,
    address: SocketAddrV4,
    process: Running,
}

impl Before {
    fn start() -> Before {
        let dir = TempDir::new("refused").expect("directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("mode");
        let address = SocketAddrV4::new(loopback_address(), 8001);
        fs::write(dir.path().join("a.cfg"), text(address, "", "")).expect("configuration");
        let process = by_shell(&dir, &format!("exec {STRANGER}"), "-db -f a.cfg");
        assert!(wait_listening(address.into(), PATIENCE), "{}", process.stderr());
        Before { dir, address, process }
    }

    /// Writes a configuration for the same address.
    fn configure(&self, global: &str, more: &str) {
        fs::write(self.dir.path().join("b.cfg"), text(self.address, global, more)).expect("configuration");
    }

    /// A start in the place of the service, prepared by a shell, that fails; gives its messages.
    fn refused(&mut self, before: &str, args: &str) -> Vec<String> {
        let mut new = by_shell(&self.dir, before, &format!("{args} -f b.cfg -sf {}", self.process.pid()));
        let status = new.wait(PATIENCE);
        new.kill();
        let printed = new.stderr();
        assert!(status.is_some_and(|status| !status.success()), "{status:?} {printed}");
        assert!(who_answers(self.address, PATIENCE).is_some(), "{printed}");
        assert!(self.process.ended().is_none() && self.process.stderr().is_empty(), "{}", self.process.stderr());
        printed.lines().filter(|line| !line.starts_with("[NOTICE]")).map(str::to_owned).collect()
    }

    /// As [`Self::refused`], with one message that ends like this.
    fn refused_with(&mut self, before: &str, args: &str, message: &str) {
        let messages = self.refused(before, args);
        assert!(messages.len() == 1 && messages[0].ends_with(message), "{messages:?}");
    }
}

fn by_shell(dir: &TempDir, before: &str, args: &str) -> Running {
    let script = format!("{before} {} {args}", Program::Epoxy.path().display());
    Running::start("/bin/bash".as_ref(), "bash", &["-c".to_owned(), script], dir.path()).expect("a process")
}

#[test]
fn processes_that_cannot_be_made() {
    let Some(_turn) = turn_as_root() else { return };
    let mut before = Before::start();
    // The stranger has the service and the new process: no third one.
    let few = format!("exec {STRANGER} bash -c 'ulimit -u 1; exec \"$@\"' bash");
    before.configure("    nbproc 4", "");
    before.refused_with(&few, "", "Cannot fork: Resource temporarily unavailable.");
    before.configure("", "");
    before.refused_with(&few, "-D -p p", "Cannot fork.");
    assert!(!before.dir.path().join("p").exists(), "no pidfile is left behind");
    fs::write(before.dir.path().join("p"), "1234\n").expect("pidfile");
    fs::set_permissions(before.dir.path().join("p"), fs::Permissions::from_mode(0o666)).expect("mode");
    before.refused_with(&few, "-D -p p", "Cannot fork.");
    assert_eq!(fs::read_to_string(before.dir.path().join("p")).expect("pidfile"), "1234\n", "the service's own");
    // Some of the workers can be made, which is not enough.
    let some = few.replace("-u 1", "-u 4");
    before.configure("    nbproc 4", "");
    before.refused_with(&some, "", "Cannot fork: Resource temporarily unavailable.");
}

#[test]
fn memory_that_cannot_be_had() {
    let Some(_turn) = turn_as_root() else { return };
    let mut before = Before::start();
    // What the service has would do.
    before.configure("    nbproc 2\n    no carry-over", "");
    // Shared memory is a file to the kernel.
    let small = format!("ulimit -f 0; exec {STRANGER}");
    before.refused_with(&small, "", "Cannot map shared memory: no shared memory left.");
}

#[test]
fn a_user_that_cannot_be_changed() {
    let Some(_turn) = turn_as_root() else { return };
    let mut before = Before::start();
    let stranger = format!("exec {STRANGER}");
    for mode in ["", "-D"] {
        before.configure("    uid 64322", "");
        before.refused_with(&stranger, mode, "Cannot set uid 64322.");
        before.configure("    gid 64322", "");
        before.refused_with(&stranger, mode, "Cannot set gid 64322.");
        before.configure("    chroot /", "");
        before.refused_with(&stranger, mode, "Cannot chroot(/).");
        before.configure("    chroot /\n    nbproc 2", "");
        let messages = before.refused(&stranger, mode);
        assert!(messages.iter().all(|line| line.ends_with("Cannot chroot(/).")), "{messages:?}");
    }
}

#[test]
fn a_port_of_roots() {
    let Some(_turn) = turn_as_root() else { return };
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first.trim().parse::<u16>().is_ok_and(|first| first < 82) {
        return eprintln!("skipped: anybody may bind low ports here");
    }
    let mut before = Before::start();
    let low = SocketAddrV4::new(*before.address.ip(), 81);
    before.configure("", &format!("    bind {low}\n"));
    let messages = before.refused(&format!("exec {STRANGER}"), "");
    let why = format!("cannot bind socket (Permission denied) for [{}:81]", low.ip());
    assert!(messages.len() == 2 && messages[0].ends_with(&why), "{messages:?}");
}

#[test]
fn a_pidfile_that_cannot_be_written() {
    let Some(_turn) = turn_as_root() else { return };
    let mut before = Before::start();
    before.configure("", "");
    for path in ["/proc/1/p", ".", "/nonexistent/p"] {
        before.refused_with(
            &format!("exec {STRANGER}"),
            &format!("-D -p {path}"),
            &format!("Cannot create pidfile {path}"),
        );
    }
}
