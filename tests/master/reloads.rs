//! Reloads: under load, failing, with other workers and addresses, of another program, and their limits.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::{Habit, Load};
use crate::service::{PATIENCE, Service, get, is_alive};
use crate::support::place::{wait_listening, wait_until};

/// Clients of both kinds.
fn habits() -> Vec<Habit> {
    let habit = |requests, pause_ms| Habit { path: "/", requests, pause: Duration::from_millis(pause_ms) };
    vec![habit(1, 4), habit(1, 7), habit(1, 11), habit(50, 5), habit(1000, 8), habit(1000, 40)]
}

/// Reloads 20 times in one way while clients count.
fn under_load(workers: &str, reload: impl Fn(&Service)) {
    let service = Service::start(workers, "");
    let load = Load::start(service.address, &habits());
    for count in 1..=20 {
        reload(&service);
        service.await_times("Loading success.", count + 1);
    }
    let count = load.finish();
    assert_eq!((count.failed_connects, count.failed_requests), (0, 0), "{count:?}\n{}", service.master.stderr());
    assert!(count.answered > 200, "{count:?}");
    assert!(service.ask("show proc\n").contains(" 20 [failed: 0] "), "{}", service.ask("show proc\n"));
    assert!(wait_until(PATIENCE, || service.processes("old workers").is_empty()), "{}", service.ask("show proc\n"));
    let pid = service.master.pid();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").count();
    assert!(open < 40, "{open} descriptors after 20 reloads");
    assert_eq!(service.stop(Signal::SIGTERM), Some(0));
}

#[test]
fn nothing_is_lost_by_sigusr2() {
    under_load("nbproc 2", |service| service.signal(Signal::SIGUSR2));
}

#[test]
fn nothing_is_lost_by_sighup() {
    under_load("", |service| service.signal(Signal::SIGHUP));
}

#[test]
fn nothing_is_lost_by_the_masters_socket() {
    // The answer comes when it is done: the connection ends.
    under_load("nbproc 2", |service| assert_eq!(service.ask("reload\n"), ""));
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let service = Service::start("nbproc 2", "");
    let before = service.workers();
    let taken = SocketAddrV4::new(*service.address.ip(), 8009);
    let _other = std::net::TcpListener::bind(taken).expect("bind");
    let broken = [("bogus", "", "unknown keyword 'bogus'"), ("", &format!("    bind {taken}"), "cannot bind socket")];
    for (count, (global, more, message)) in broken.into_iter().enumerate() {
        service.configure(global, more);
        let answer = service.ask("reload\n");
        assert!(answer.starts_with("Success=0\n--\n") && answer.contains(message), "{answer}");
        service.await_times("Loading failure!", count + 1);
        assert!(service.ask("show startup-logs\n").contains(message));
        assert!(service.said(message), "{}", service.master.stderr());
        assert_eq!(service.workers(), before);
        assert!(get(service.address).contains(" 200 "));
    }
    assert!(service.ask("show proc\n").contains(" 2 [failed: 2] "));
    assert!(service.ask("prompt\n").starts_with("master[ReloadFailed]> "));
    // Whoever dies now is replaced by what there was.
    kill(Pid::from_raw(before[0]), Signal::SIGKILL).expect("kill");
    assert!(wait_until(PATIENCE, || service.workers().len() == 2 && !service.workers().contains(&before[0])));
    service.configure("nbproc 2", "");
    service.reload();
    assert!(service.ask("show proc\n").contains(" 3 [failed: 0] "));
    assert!(!service.workers().contains(&before[1]));
}

#[test]
fn workers_and_addresses_may_change() {
    let service = Service::start("nbproc 1", "");
    let second = SocketAddrV4::new(*service.address.ip(), 8010);
    service.configure("nbproc 3", &format!("    bind {second}"));
    service.reload();
    assert!(wait_until(PATIENCE, || service.workers().len() == 3));
    assert!(wait_listening(second.into(), PATIENCE) && get(second).contains(" 200 "));
    service.configure("nbproc 2", "");
    service.reload();
    assert_eq!(service.workers().len(), 2);
    assert!(wait_until(PATIENCE, || TcpStream::connect(second).is_err()), "nobody is to keep the address open");
    assert!(get(service.address).contains(" 200 "));
}

#[test]
fn workers_without_privileges_are_followed_by_such() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let service = Service::start("user nobody\n    group nogroup\n    chroot DIR", "");
    for _ in 0..3 {
        service.reload();
        let owner = fs::metadata(format!("/proc/{}", service.workers()[0])).expect("worker").uid();
        assert_eq!(owner, 65534);
        assert!(get(service.address).contains(" 200 "));
    }
}

#[test]
fn a_program_replaced_on_disk_is_picked_up() {
    let place = crate::support::place::TempDir::new("program").expect("directory");
    let program = place.path().join("epoxy");
    let install = || {
        let new = place.path().join("new");
        fs::copy(crate::service::program(), &new).expect("copy");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::rename(&new, &program).expect("rename");
        fs::metadata(&program).expect("file").ino()
    };
    install();
    let service = Service::start_as(&program, &["-W"], "", "");
    let new = install();
    let runs = || fs::metadata(format!("/proc/{}/exe", service.master.pid())).expect("program").ino();
    assert_ne!(runs(), new);
    service.reload();
    assert_eq!(runs(), new);
    assert!(get(service.address).contains(" 200 "));
}

#[test]
fn a_trial_finds_what_fails_late_and_leaves_names_alone() {
    let service = Service::start("", "");
    let other = service.dir.path().join("other.sock");
    let _other = std::os::unix::net::UnixListener::bind(&other).expect("bind");
    let inode = || fs::metadata(&other).expect("socket").ino();
    let before = (inode(), service.workers());
    let bind = "    bind unix@DIR/other.sock\n    bind unix@DIR/new.sock\n";
    fs::create_dir(service.dir.path().join("d")).expect("directory");
    let mut broken = vec![("pidfile /nonexistent/pid", "Cannot create pidfile"), ("pidfile DIR/d", "Cannot create")];
    if nix::unistd::geteuid().is_root() {
        broken.extend([("chroot /nonexistent", "Cannot chroot"), ("uid 4294967295", "Cannot set uid")]);
    }
    for (global, message) in broken {
        service.configure(global, bind);
        let answer = service.ask("reload\n");
        assert!(answer.contains(message), "{global}: {answer}");
        assert_eq!((inode(), service.workers()), before, "{global}");
        let left = fs::read_dir(service.dir.path()).expect("directory").flatten().map(|entry| entry.file_name());
        assert!(
            !left.into_iter().any(|name| name == "new.sock" || name.to_string_lossy().ends_with(".tmp")),
            "{global}"
        );
    }
    assert!(get(service.address).contains(" 200 "));
}

#[test]
fn a_trial_that_hangs_does_not_keep_the_master_from_its_work() {
    let service = Service::start("", "");
    let list = service.dir.path().join("list");
    nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    service.configure("", "    http-request deny if { path -f DIR/list }\n");
    service.signal(Signal::SIGUSR2);
    service.await_times("Reloading HAProxy", 1);
    service.signal(Signal::SIGUSR2);
    let worker = service.workers()[0];
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("kill");
    assert!(wait_until(PATIENCE, || service.workers().iter().any(|pid| *pid != worker)));
    assert!(get(service.address).contains(" 200 "));
    assert_eq!(service.stop(Signal::SIGTERM), Some(0));
}

#[test]
fn a_configuration_that_can_be_read_once_only_is_refused() {
    let service = Service::start("", "");
    let file = service.dir.path().join("a.cfg");
    fs::remove_file(&file).expect("remove");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    assert!(service.ask("reload\n").contains("it cannot be read again by a reload"));
    assert!(get(service.address).contains(" 200 "));
}

/// A program that is itself in a trial, and something else when it counts.
const TREACHEROUS: &str = "#!/bin/bash
config=a.cfg
case \"$EPOXY_MASTER_STATE\" in start:*) [ -e treason ] && config=bad.cfg;; esac
exec -a \"$0\" EPOXY -W -S unix@m.sock -f $config
";

#[test]
fn a_master_whose_start_fails_in_spite_of_the_trial_keeps_its_workers() {
    let place = crate::support::place::TempDir::new("program").expect("directory");
    let program = place.path().join("epoxy");
    fs::write(&program, TREACHEROUS.replace("EPOXY ", &format!("{} ", crate::service::program().display())))
        .expect("script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
    let service = Service::start_as(&program, &[], "", "");
    let (pid, worker) = (service.master.pid(), service.workers()[0]);
    fs::write(service.dir.path().join("bad.cfg"), "bogus\n").expect("configuration");
    fs::write(service.dir.path().join("treason"), "").expect("flag");
    service.signal(Signal::SIGUSR2);
    service.await_times("the old ones go on", 1);
    assert!(get(service.address).contains(" 200 "));
    assert_eq!(service.workers(), [worker]);
    assert!(service.ask("show proc\n").contains(" 1 [failed: 1] "));
    assert!(service.ask("show startup-logs\n").contains("bad.cfg"));
    assert!(service.ask("@1 show info\n").contains(&format!("Pid: {worker}\n")));
    service.signal(Signal::SIGTTOU);
    assert!(wait_until(PATIENCE, || TcpStream::connect(service.address).is_err()), "{}", service.master.stderr());
    service.signal(Signal::SIGTTIN);
    assert!(wait_listening(service.address.into(), PATIENCE));
    fs::remove_file(service.dir.path().join("treason")).expect("flag");
    service.reload();
    assert_eq!(service.master.pid(), pid);
    assert!(wait_until(PATIENCE, || !is_alive(worker)), "{}", service.master.stderr());
    assert!(get(service.address).contains(" 200 ") && !service.workers().is_empty());
}

#[test]
fn old_workers_stay_in_sight_and_do_not_survive_too_many_reloads() {
    let node = std::net::TcpListener::bind((crate::support::place::loopback_address(), 8002)).expect("bind");
    let silent = node.local_addr().expect("address");
    let more = format!("listen l\n    bind ADDRESS:8003\n    timeout server 60s\n    server s {silent}\n");
    let service = Service::start("mworker-max-reloads 2", "");
    let more = more.replace("ADDRESS", &service.address.ip().to_string());
    service.configure("mworker-max-reloads 2", &more);
    service.reload();
    let worker = service.workers()[0];
    let mut client = TcpStream::connect((*service.address.ip(), 8003)).expect("connect");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("request");
    let (_held, _) = node.accept().expect("the request is with the node");
    for reloads in 1..=2 {
        service.reload();
        let old = service.processes("old workers");
        assert!(old.contains(&(worker, "worker".to_owned(), reloads)), "{old:?}");
        assert!(service.ask(&format!("@!{worker} show info\n")).contains(&format!("Pid: {worker}\n")));
    }
    service.reload();
    assert!(wait_until(PATIENCE, || !is_alive(worker)), "{}", service.ask("show proc\n"));
    assert!(matches!(client.read(&mut [0; 16]), Ok(0) | Err(_)));
}
