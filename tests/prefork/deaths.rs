//! Workers that die, hang or cannot start.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::crew::{Crew, all_who_answer, epoxy, tell, text, title, who_answers, workers_of};
use crate::load::{Habit, Load};
use crate::service::{PATIENCE, Program, Service};
use crate::support::place::{TempDir, loopback_address, wait_until};
use crate::support::process::Running;
use crate::support::receiver::Receiver;
use crate::support::service::is_alive;
use crate::turn;

/// How long the place of a dead worker may be empty, in most cases.
const REPLACEMENT: Duration = Duration::from_millis(500);

const KILLS: usize = 20;

#[test]
fn a_killed_worker_takes_only_its_requests_along() {
    let _turn = turn();
    let habit = |path, requests, pause| Habit { path, requests, pause: Duration::from_millis(pause) };
    let kinds = [habit("/", u32::MAX, 5), habit("/", 1, 5), habit("/slow", u32::MAX, 5)];
    let habits: Vec<Habit> = kinds.iter().flat_map(|habit| [*habit; 8]).collect();
    let service = Service::start(Program::Epoxy, "    nbproc 4");
    let supervisor = service.current.pid();
    assert!(wait_until(PATIENCE, || workers_of(supervisor).len() == 4));
    let load = Load::start(service.address, &habits);
    let mut replacements = Vec::new();
    for kill in 0..KILLS {
        thread::sleep(Duration::from_millis(300));
        let (number, pid) = workers_of(supervisor)[kill * 7 % 4];
        tell(pid, Signal::SIGKILL);
        let killed = Instant::now();
        let replaced = || workers_of(supervisor).iter().any(|worker| worker.0 == number && worker.1 != pid);
        assert!(wait_until(PATIENCE, replaced), "{}", service.current.stderr());
        replacements.push(killed.elapsed());
    }
    let count = load.finish();
    replacements.sort_unstable();
    let (median, slowest) = (replacements[KILLS / 2], replacements[KILLS - 1]);
    eprintln!("{count:?}, the slowest replacement took {slowest:?}");
    assert_eq!(count.failed_connects, 0, "{:?}", count.reasons);
    // Each death may meet a request of every client of that worker: a quarter of them, and some by bad luck.
    assert!(count.failed_requests <= (KILLS * habits.len() / 2) as u64 && count.answered > 100, "{count:?}");
    assert!(median < REPLACEMENT, "{replacements:?}");
}

#[test]
fn who_dies_at_once_again_and_again_is_slowed_down() {
    let _turn = turn();
    let log = SocketAddrV4::new(loopback_address(), 8005);
    let receiver = Receiver::udp(log.into()).expect("receiver");
    let crew = Crew::start(&format!("    nbproc 2\n    log {log} local0"), "");
    let (begin, mut pid) = (Instant::now(), crew.worker(1));
    for _ in 0..5 {
        tell(pid, Signal::SIGKILL);
        pid = crew.successor(1, pid);
    }
    // None, 100, 200, 400 and 800 ms.
    let passed = begin.elapsed();
    assert!(passed >= Duration::from_millis(1500), "{passed:?}");
    let printed = crew.supervisor.stderr();
    let line = "Worker #1 died at once 4 times in a row: the next one starts in 400 ms";
    assert!(printed.contains(line) && printed.contains("Current worker #1 ("), "{printed}");
    assert!(wait_until(PATIENCE, || receiver.lines().iter().any(|got| got.contains(line))), "{:?}", receiver.lines());
    assert_eq!(all_who_answer(crew.address, 32), ["1/0", "2/0"]);
}

#[test]
fn a_stopped_worker_is_replaced() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 2\n    tune.worker.hang-timeout 400ms", "");
    let old = crew.worker(2);
    // A first turn that was long would count, too.
    assert_eq!(all_who_answer(crew.address, 32), ["1/0", "2/0"]);
    let stat = || fs::read_to_string(format!("/proc/{old}/stat")).unwrap_or_default();
    assert!(wait_until(PATIENCE, || stat().contains(") S ")), "{}", stat());
    tell(old, Signal::SIGSTOP);
    let begin = Instant::now();
    crew.successor(2, old);
    let passed = begin.elapsed();
    assert!(passed >= Duration::from_millis(380), "{passed:?}");
    let printed = crew.supervisor.stderr();
    assert!(printed.contains(&format!("Worker #2 ({old}) is stopped for ")), "{printed}");
    assert_eq!(all_who_answer(crew.address, 32), ["1/0", "2/0"]);
}

/// A worker that writes to a pipe which nobody empties is in a turn that does not end.
#[test]
fn a_worker_in_an_endless_turn_is_replaced() {
    let _turn = turn();
    let ip = loopback_address();
    let (address, log) = (SocketAddrV4::new(ip, 8001), SocketAddrV4::new(ip, 8005));
    let receiver = Receiver::udp(log.into()).expect("receiver");
    let dir = TempDir::new("prefork").expect("directory");
    let global = format!("    nbproc 2\n    tune.worker.hang-timeout 400ms\n    log {log} local0 alert");
    fs::write(dir.path().join("a.cfg"), text(address, &global, "")).expect("configuration");
    let mut command = Command::new(Program::Epoxy.path());
    command.args(["-db", "-f", "a.cfg"]).current_dir(dir.path()).stderr(Stdio::piped());
    let mut supervisor = command.spawn().expect("start");
    let workers = || workers_of(supervisor.id());
    assert!(wait_until(PATIENCE, || workers().len() == 2));
    let old = workers()[0].1;
    let begin = Instant::now();
    let hangs =
        || receiver.lines().iter().any(|line| line.contains(&format!("Worker #1 ({old}) is busy with signals")));
    while !hangs() && begin.elapsed() < PATIENCE {
        // Each of them makes it write some lines.
        let _ended = kill(Pid::from_raw(old), Signal::SIGHUP);
        thread::sleep(Duration::from_millis(1));
    }
    assert!(hangs(), "{:?}", receiver.lines());
    assert!(wait_until(PATIENCE, || workers().len() == 2 && workers()[0].1 != old));
    assert_eq!(all_who_answer(address, 32), ["1/0", "2/0"]);
    supervisor.kill().expect("kill");
    supervisor.wait().expect("wait");
}

#[test]
fn hanging_may_be_allowed() {
    let _turn = turn();
    let crew = Crew::start("    nbproc 2\n    tune.worker.hang-timeout 0", "");
    let pid = crew.worker(2);
    tell(pid, Signal::SIGSTOP);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(crew.worker(2), pid);
    // And does not keep the service from ending.
    crew.supervisor.signal(Signal::SIGTERM);
    assert!(wait_until(PATIENCE, || !is_alive(pid)));
}

#[test]
fn no_worker_outlives_its_supervisor() {
    let _turn = turn();
    let jail = if nix::unistd::geteuid().is_root() { "\n    user nobody\n    group nogroup" } else { "" };
    let mut crew = Crew::start(&format!("    nbproc 3{jail}"), "");
    let workers = [crew.worker(1), crew.worker(2), crew.worker(3)];
    crew.supervisor.kill();
    assert!(wait_until(PATIENCE, || !workers.into_iter().any(is_alive)));
}

#[test]
fn successors_have_no_more_rights() {
    let _turn = turn();
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("not root: nobody to become");
    }
    let crew = Crew::start("    nbproc 2\n    user nobody\n    chroot DIR", "");
    let old = crew.worker(1);
    let rights = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let lines = ["Uid:", "Gid:", "Groups:", "CapEff:", "NoNewPrivs:"];
        let lines = status.lines().filter(|line| lines.iter().any(|name| line.starts_with(name)));
        let root = fs::read_link(format!("/proc/{pid}/root")).expect("root");
        (lines.collect::<Vec<_>>().join("\n"), root)
    };
    let before = rights(old);
    tell(old, Signal::SIGKILL);
    let new = crew.successor(1, old);
    assert!(wait_until(PATIENCE, || rights(new) == before), "{:?} {before:?}", rights(new));
    assert!(before.0.contains("Uid:\t65534\t65534") && before.1 == crew.dir.path(), "{before:?}");
}

#[test]
fn workers_that_cannot_start_end_the_start() {
    let _turn = turn();
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("not root: no jail to miss");
    }
    let dir = TempDir::new("prefork").expect("directory");
    let address = SocketAddrV4::new(loopback_address(), 8001);
    for (global, args) in [("", &["-db", "-f", "a.cfg"][..]), ("    pidfile p", &["-D", "-f", "a.cfg"])] {
        let global = format!("    nbproc 3\n    chroot /nonexistent\n{global}");
        fs::write(dir.path().join("a.cfg"), text(address, &global, "")).expect("configuration");
        let mut failed = epoxy(dir.path(), args);
        let status = failed.wait(PATIENCE).expect("an end");
        assert_eq!((status.code(), status.signal()), (Some(1), None));
        assert!(failed.stderr().contains("Cannot chroot(/nonexistent)."), "{}", failed.stderr());
        assert_eq!(who_answers(address, Duration::from_millis(200)), None);
        assert!(!dir.path().join("p").exists());
    }
}

/// Forks are refused while the system has no process left for the user; what serves goes on.
#[test]
fn a_refused_fork_is_tried_again() {
    let _turn = turn();
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("not root: nobody to become");
    }
    let dir = TempDir::new("prefork").expect("directory");
    let address = SocketAddrV4::new(loopback_address(), 8001);
    fs::write(dir.path().join("a.cfg"), text(address, "    nbproc 2", "")).expect("configuration");
    let program = dir.path().join("epoxy");
    fs::copy(Program::Epoxy.path(), &program).expect("a copy");
    std::os::unix::fs::chown(dir.path(), Some(54321), None).expect("owner");
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups"].map(str::to_owned);
    let start = |program: &str, args: &[String]| Running::start(program.as_ref(), program, args, dir.path());
    // The supervisor and its two workers are all that the user may have.
    let epoxy = ["--nproc=3:3", "setpriv"].map(str::to_owned);
    let args = ["./epoxy", "-db", "-f", "a.cfg"].map(str::to_owned);
    let supervisor = start("/usr/bin/prlimit", &[&epoxy[..], &user, &args].concat()).expect("start");
    let pid = supervisor.pid();
    assert!(wait_until(PATIENCE, || workers_of(pid).len() == 2), "{}", supervisor.stderr());
    let sleep = ["sleep", "60"].map(str::to_owned);
    let mut other = start("/usr/bin/setpriv", &[&user[..], &sleep].concat()).expect("start");
    assert!(wait_until(PATIENCE, || title(other.pid() as i32) == "sleep 60"));
    tell(workers_of(pid)[0].1, Signal::SIGKILL);
    let refused = "Cannot fork worker #1 (Resource temporarily unavailable): the next attempt is in 100 ms";
    assert!(wait_until(PATIENCE, || supervisor.stderr().contains(refused)), "{}", supervisor.stderr());
    assert_eq!(workers_of(pid).len(), 1);
    let second = || who_answers(address, Duration::from_millis(100)).as_deref() == Some("2/0");
    assert!(wait_until(PATIENCE, second), "who serves goes on");
    other.kill();
    assert!(wait_until(PATIENCE, || workers_of(pid).len() == 2), "{}", supervisor.stderr());
    assert_eq!(all_who_answer(address, 32), ["1/0", "2/0"]);
}
