//! A spawner in a process of its own, and programs that do what the names of servers say.

use super::*;
use crate::sys::process::{exit_code, start_child};

/// Longer than anything takes that comes at all.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

struct Scene {
    spawner: Option<Spawner>,
    pid: Pid,
}

impl Scene {
    fn new() -> Scene {
        let command = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/programs/check.sh");
        let program = |backend, command: &str| Program {
            backend,
            command: command.into(),
            path: "/usr/bin:/bin".into(),
            proxy: "be".to_owned(),
            proxy_id: 3,
            listener: None,
        };
        let programs = vec![program(2, command), program(5, "/nowhere/there/is/none")];
        let plan = StartPlan { programs, quiet: true, may_fork: true, may_gain: true, ..StartPlan::default() };
        let (spawner, theirs) = Spawner::pair().expect("pair");
        let pid = start_child(Some(theirs.as_fd()), || {
            // As some parents leave it to their children.
            let ignored = signal::ignore(Signal::SIGCHLD);
            u8::from(ignored.is_err() || serve(&plan, &theirs).is_err())
        });
        Scene { spawner: Some(spawner), pid }
    }

    fn order(&self, order: &Order) {
        self.spawner.as_ref().expect("there").order(order).expect("ordered");
    }

    fn run(&self, id: u64, backend: u32, name: &str) {
        let subject = Subject { name: name.to_owned(), addr: "::1".to_owned(), ..Subject::default() };
        self.order(&Order::Run { id, backend, subject });
    }

    fn report(&self) -> (u64, Event) {
        let spawner = self.spawner.as_ref().expect("there");
        let mut fds = [PollFd::new(spawner.socket.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(PATIENCE_MAX).expect("short enough");
        assert_eq!(poll(&mut fds, limit).expect("poll"), 1, "no report");
        let report = spawner.next_report().expect("there").expect("a report");
        (report.id, report.event)
    }

    /// The process of a program that begins.
    fn began(&self, id: u64) -> i32 {
        match self.report() {
            (found, Event::Began(pid)) if found == id => pid,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// The children of the spawner, or of one of them: pid and state.
    fn children(of: i32) -> Vec<(i32, char)> {
        let all = std::fs::read_dir("/proc").expect("proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let child = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut rest = stat.rsplit_once(") ")?.1.split(' ');
            let state = rest.next()?.chars().next()?;
            (rest.next()?.parse() == Ok(of)).then_some((pid, state))
        };
        pids.filter_map(child).collect()
    }

    /// Ends the worker's side; the spawner is to end as well.
    fn leave(mut self) {
        self.spawner = None;
        assert_eq!(exit_code(self.pid), 0);
    }
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let late = Instant::now() + PATIENCE_MAX;
    while !is_so() {
        assert!(Instant::now() < late, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs: not every first process reaps what it gets.
fn is_there(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn ends_of_programs_are_reported() {
    let scene = Scene::new();
    let cases = [
        ("exit0", Event::Exited(0)),
        ("exit1", Event::Exited(1)),
        ("exit255", Event::Exited(255)),
        ("kill9", Event::Killed),
        ("kill15", Event::Killed),
    ];
    for (id, (name, event)) in (1..).zip(cases) {
        scene.run(id, 2, name);
        scene.began(id);
        assert_eq!(scene.report(), (id, event), "{name}");
    }
    scene.run(8, 5, "exit0");
    assert_eq!(scene.report(), (8, Event::Exited(NOT_EXECUTED)));
    scene.run(9, 1, "exit0");
    assert_eq!(scene.report(), (9, Event::Exited(NOT_EXECUTED)), "a backend without a program");
    assert_eq!(Scene::children(scene.pid.as_raw()), []);
    scene.leave();
}

#[test]
fn programs_run_beside_each_other() {
    let scene = Scene::new();
    for id in 0..20 {
        scene.run(id, 2, if id == 0 { "slow1" } else { "exit3" });
    }
    let mut ended = Vec::new();
    while ended.len() < 19 {
        match scene.report() {
            (_, Event::Began(_)) => {}
            (id, event) => ended.push((id, event)),
        }
    }
    ended.sort_by_key(|(id, _)| *id);
    assert_eq!(ended, (1..20).map(|id| (id, Event::Exited(3))).collect::<Vec<_>>());
    scene.leave();
}

#[test]
fn late_programs_end_with_their_groups() {
    let scene = Scene::new();
    scene.run(1, 2, "family1");
    let pid = scene.began(1);
    until("a process of its own", || !Scene::children(pid).is_empty());
    let child = Scene::children(pid)[0].0;
    scene.order(&Order::End { id: 1 });
    assert_eq!(scene.report(), (1, Event::Killed));
    until("the end of both", || !is_there(pid) && !is_there(child));
    // Nobody hears of what is over.
    scene.order(&Order::End { id: 1 });
    scene.run(2, 2, "exit0");
    scene.began(2);
    assert_eq!(scene.report(), (2, Event::Exited(0)));
    scene.leave();
}

#[test]
fn what_programs_leave_behind_is_reaped() {
    let scene = Scene::new();
    scene.run(1, 2, "leaves1");
    scene.began(1);
    assert_eq!(scene.report(), (1, Event::Exited(0)));
    let children = || Scene::children(scene.pid.as_raw());
    until("the orphan", || children().len() == 1);
    let orphan = Pid::from_raw(children()[0].0);
    nix::sys::signal::kill(orphan, Signal::SIGKILL).expect("there");
    until("the end of the orphan", || children().is_empty());
    scene.leave();
}

#[test]
fn all_end_with_their_worker() {
    let scene = Scene::new();
    scene.run(1, 2, "family1");
    scene.run(2, 2, "stubborn1");
    scene.run(4, 2, "deaf1");
    let pids = [scene.began(1), scene.began(2), scene.began(4)];
    // One that is late already has no more time than the others.
    let runs = |pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"/bin/sleep"));
    until("the deaf one", || runs(pids[2]));
    scene.order(&Order::End { id: 4 });
    // What is sent to all processes of a service is not for the spawner.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGTTOU] {
        nix::sys::signal::kill(scene.pid, signal).expect("there");
    }
    scene.run(3, 2, "exit0");
    scene.began(3);
    assert_eq!(scene.report(), (3, Event::Exited(0)));
    scene.leave();
    until("the end of all", || !pids.iter().any(|pid| is_there(*pid)));
}
