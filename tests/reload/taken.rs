//! Which sockets a new process has: the old one's wherever they are still wanted.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::service::{Form, PATIENCE, Program, Service};
use crate::support::place::{TempDir, loopback_address, wait_until};
use crate::support::service::epoxy;
use crate::turn;

/// The inodes of the sockets that listen on `address`: they stay the same as long as the sockets do.
fn listening_on(address: SocketAddrV4) -> Vec<String> {
    let wanted = format!("{:08X}:{:04X}", u32::from(*address.ip()).swap_bytes(), address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("table of sockets");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listens = |row: &Vec<&str>| row.get(1) == Some(&wanted.as_str()) && row.get(3) == Some(&"0A");
    rows.filter(listens).filter_map(|row| row.get(9).map(|inode| (*inode).to_owned())).collect()
}

/// The answer to one request, empty if there is none.
fn ask(mut stream: impl Read + Write) -> String {
    let mut answer = String::new();
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let _ = sent.and_then(|()| stream.read_to_string(&mut answer));
    answer
}

fn ask_tcp(address: SocketAddrV4) -> String {
    TcpStream::connect(address).map(ask).unwrap_or_default()
}

#[test]
fn epoxy_needs_no_more_than_haproxys_pid() {
    let _turn = turn();
    let mut service = Service::start(Program::Haproxy, "");
    let before = listening_on(service.address);
    service.reload(Program::Epoxy, Form::Plain);
    assert_eq!((listening_on(service.address), before.len()), (before, 1));
    assert!(ask_tcp(service.address).starts_with("HTTP/1.1 200 "));
}

/// A configuration that answers by itself, with these lines before and behind the frontend's name.
fn standalone(global: &str, frontend: &str) -> String {
    format!(
        "global\n{global}\ndefaults\n    mode http\n    timeout client 5s\n    timeout connect 5s\n    timeout server 5s\n\
         frontend f\n{frontend}\n    http-request return status 200\n"
    )
}

#[test]
fn addresses_come_and_go() {
    let _turn = turn();
    let dir = TempDir::new("binds").expect("directory");
    let ip = loopback_address();
    let [kept, dropped, added] = [8001, 8002, 8003].map(|port| SocketAddrV4::new(ip, port));
    let unix = dir.path().join("f.sock");
    let name = format!("epoxy-reload-{}", std::process::id());
    let common = format!("    bind {kept}\n    bind unix@{} mode 600\n    bind abns@{name}", unix.display());
    fs::write(dir.path().join("a.cfg"), standalone("", &format!("{common}\n    bind {dropped}"))).expect("file");
    fs::write(dir.path().join("b.cfg"), standalone("", &format!("{common}\n    bind {added}"))).expect("file");
    let mut old = epoxy(dir.path(), &["-db", "-f", "a.cfg"]);
    assert!(wait_until(PATIENCE, || !ask_tcp(dropped).is_empty()), "{}", old.stderr());
    let before = listening_on(kept);
    let mut new = epoxy(dir.path(), &["-db", "-f", "b.cfg", "-sf", &old.pid().to_string()]);
    assert!(old.wait(PATIENCE).is_some_and(|status| status.success()), "{}", new.stderr());
    assert_eq!((listening_on(kept), listening_on(dropped).len()), (before, 0));
    for answer in [ask_tcp(kept), ask_tcp(added), ask(UnixStream::connect(&unix).expect("the path leads to it"))] {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?} {}", new.stderr());
    }
    assert!(new.ended().is_none() && new.stderr().is_empty(), "{}", new.stderr());
}

/// An address that becomes one of all: its socket stays, for the kernel sends clients there as long as anybody has it.
#[test]
fn one_address_becomes_all_of_them() {
    let _turn = turn();
    let dir = TempDir::new("wider").expect("directory");
    // Nobody else may have the port, whatever the address.
    let free = TcpListener::bind("0.0.0.0:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let one = SocketAddrV4::new(loopback_address(), free.port());
    let port = one.port();
    for (file, bind) in [("a.cfg", format!("bind {one}")), ("b.cfg", format!("bind *:{port}"))] {
        fs::write(dir.path().join(file), standalone("    nbproc 2", &format!("    {bind}"))).expect("file");
    }
    let mut old = epoxy(dir.path(), &["-db", "-f", "a.cfg"]);
    assert!(wait_until(PATIENCE, || !ask_tcp(one).is_empty()), "{}", old.stderr());
    let before = listening_on(one);
    let mut new = epoxy(dir.path(), &["-db", "-f", "b.cfg", "-sf", &old.pid().to_string()]);
    assert!(old.wait(PATIENCE).is_some_and(|status| status.success()), "{}", new.stderr());
    assert_eq!((listening_on(one), before.len()), (before, 2));
    for ip in [*one.ip(), loopback_address()] {
        assert!(ask_tcp(SocketAddrV4::new(ip, port)).starts_with("HTTP/1.1 200 "), "{}", new.stderr());
    }
    assert!(new.ended().is_none() && new.stderr().is_empty(), "{}", new.stderr());
}

/// A second service, started by mistake, takes the names of UNIX sockets along when it goes: the next reload mends that.
#[test]
fn a_name_that_another_took_leads_to_the_service_again() {
    let _turn = turn();
    let dir = TempDir::new("name").expect("directory");
    let unix = dir.path().join("f.sock");
    let bind = format!("    bind unix@{}", unix.display());
    fs::write(dir.path().join("a.cfg"), standalone("", &bind)).expect("file");
    let answers = || UnixStream::connect(&unix).map(ask).unwrap_or_default().starts_with("HTTP/1.1 200 ");
    let mut old = epoxy(dir.path(), &["-db", "-f", "a.cfg"]);
    assert!(wait_until(PATIENCE, answers), "{}", old.stderr());
    let file = || fs::metadata(&unix).map_or(0, |file| file.ino());
    let before = file();
    let mut other = epoxy(dir.path(), &["-db", "-f", "a.cfg"]);
    assert!(wait_until(PATIENCE, || file() != before), "{}", other.stderr());
    other.kill();
    assert!(!answers());
    let new = epoxy(dir.path(), &["-db", "-f", "a.cfg", "-sf", &old.pid().to_string()]);
    assert!(old.wait(PATIENCE).is_some(), "{}", new.stderr());
    assert!(answers(), "{}", new.stderr());
}

/// A daemon, ended with the value.
struct Daemon(i32);

impl Daemon {
    /// Starts one that writes `pidfile`.
    fn start(dir: &Path, args: &[&str]) -> Daemon {
        let mut parent = epoxy(dir, args);
        let status = parent.wait(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{}", parent.stderr());
        Daemon(fs::read_to_string(dir.join("pid")).expect("pidfile").trim().parse().expect("a pid"))
    }

    fn is_running(&self) -> bool {
        // A daemon whose new parent has not asked for it yet is a zombie.
        let state = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        state.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
        }
    }
}

/// What init scripts do: `epoxy -D -p FILE -sf $(cat FILE)`, the old process being nobody in a jail by now.
#[test]
fn a_daemon_in_its_jail_is_replaced() {
    let _turn = turn();
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("not root: nothing to give up");
    }
    let dir = TempDir::new("jail").expect("directory");
    let address = SocketAddrV4::new(loopback_address(), 8001);
    let pidfile = dir.path().join("pid");
    let global = format!("    chroot {}\n    user nobody\n    pidfile {}", dir.path().display(), pidfile.display());
    fs::write(dir.path().join("a.cfg"), standalone(&global, &format!("    bind {address}"))).expect("file");
    let first = Daemon::start(dir.path(), &["-D", "-f", "a.cfg"]);
    let before = listening_on(address);
    let second = Daemon::start(dir.path(), &["-D", "-f", "a.cfg", "-sf", &first.0.to_string()]);
    assert!(wait_until(PATIENCE, || !first.is_running()));
    assert!(second.is_running() && second.0 != first.0);
    assert_eq!((listening_on(address), before.len()), (before, 1));
    assert!(ask_tcp(address).starts_with("HTTP/1.1 200 "));
}

/// A daemon that does not come up, here because its jail is missing: the old one serves on, and is still the one
/// that the pidfile names.
#[test]
fn a_daemon_that_fails_replaces_nothing() {
    let _turn = turn();
    let dir = TempDir::new("fails").expect("directory");
    let address = SocketAddrV4::new(loopback_address(), 8001);
    let pidfile = dir.path().join("pid");
    let global = format!("    pidfile {}", pidfile.display());
    let bind = format!("    bind {address}");
    fs::write(dir.path().join("a.cfg"), standalone(&global, &bind)).expect("file");
    fs::write(dir.path().join("b.cfg"), standalone(&(global + "\n    chroot /nonexistent"), &bind)).expect("file");
    let first = Daemon::start(dir.path(), &["-D", "-f", "a.cfg"]);
    let mut second = epoxy(dir.path(), &["-D", "-f", "b.cfg", "-sf", &first.0.to_string()]);
    let status = second.wait(PATIENCE);
    second.kill();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{}", second.stderr());
    assert!(second.stderr().contains("Cannot chroot(/nonexistent)"), "{}", second.stderr());
    assert!(first.is_running() && ask_tcp(address).starts_with("HTTP/1.1 200 "));
    assert_eq!(fs::read_to_string(&pidfile).expect("pidfile").trim(), first.0.to_string());
}
