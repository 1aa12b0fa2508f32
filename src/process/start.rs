//! The order of a start (management manual, section 4): limits, listeners while still root, pidfile, word to
//! the old processes, background, jail and user, and then the worker.
//!
//! Whatever can fail fails before the old processes are told to leave, so that they always have a successor when
//! they go. Giving privileges up can only be tried on a process that loses them: the parent of a daemon waits
//! until the daemon is up and the pidfile names it, a supervisor for its workers, and a process that is alone tries
//! it on a child.

use super::daemon::{self, Background, Pidfile, Ready};
use super::limits::{self, Limits};
use super::listen::{self, Common, Listener};
use super::master::Master;
use super::plan::{ListenSpec, StartPlan};
use super::privileges::{self, Duty};
use super::pull::Pulled;
use super::sandbox::{self, Sandbox};
use super::signals::{self, Signals};
use super::spawner::Spawner;
use super::supervisor::{Raised, Supervisor, Ties, pin};
use super::{Stop, notice, old, pull, takeover};
use crate::args;
use crate::mesh::Post;
use crate::proxy::CliLevel;
use crate::shm::{Segment, Slot};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

/// What a worker starts with: everything that it could not get by itself any more.
#[derive(Debug)]
pub struct WorkerStart {
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// Those of the other workers, for a new process that asks this one for all.
    pub kept: Vec<Listener>,
    /// Its signals.
    pub signals: Signals,
    /// What it may use.
    pub limits: Limits,
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub workers: u32,
    /// A supervisor looks after it and has copies of the sockets.
    pub supervised: bool,
    /// The memory that they share.
    pub segment: Segment,
    /// Its place in there.
    pub slot: Slot,
    /// Where other workers reach it, unless that could not be opened.
    pub post: Option<Post>,
    /// What runs programs for it, if there are any.
    pub spawner: Option<Spawner>,
}

/// Carries out the plan up to the worker, runs `worker` and gives the exit code of the process. Shared
/// memory must be mapped before; `worker` may run in a child of the calling process, and in several.
pub fn start<'a>(plan: &'a StartPlan, ties: Ties<'a>, worker: impl FnOnce(WorkerStart) -> ExitCode) -> ExitCode {
    notice::set_modes(plan.quiet, plan.verbose);
    match prepare(plan, ties) {
        Ok(Side::Worker(start, ready)) => {
            if let Some(ready) = ready {
                ready.tell();
            }
            worker(*start)
        }
        Ok(Side::Master(master, ready)) => {
            if let Some(ready) = ready {
                ready.tell();
            }
            match master.run() {
                Ok(start) => worker(*start),
                Err(code) => code,
            }
        }
        Ok(Side::Supervisor(supervisor, ready)) => {
            if let Some(ready) = ready {
                ready.tell();
            }
            // A worker comes out of it wherever one is replaced.
            match supervisor.run() {
                Ok(start) => worker(*start),
                Err(code) => code,
            }
        }
        Ok(Side::Foreground(code)) => code,
        Err(Stop) => ExitCode::FAILURE,
    }
}

/// Which process came out of the start.
enum Side<'a> {
    Worker(Box<WorkerStart>, Option<Ready>),
    Supervisor(Box<Supervisor<'a>>, Option<Ready>),
    Master(Box<Master<'a>>, Option<Ready>),
    /// The one that was started, its daemon being up or not.
    Foreground(ExitCode),
}

/// Everything before the worker. `Err` means that the start ends; the messages are printed.
fn prepare<'a>(plan: &'a StartPlan, ties: Ties<'a>) -> Result<Side<'a>, Stop> {
    let alert = |text: String| {
        notice::alert(format!("[{}.main()] {text}", plan.program));
        Stop
    };
    privileges::begin(plan);
    sandbox::announce(plan);
    let limits = limits::compute(&plan.limits, limits::available_descriptors());
    announce(plan, &limits);
    if plan.listeners.is_empty() {
        return Err(alert("No enabled listener found (check for 'bind' directives) ! Exiting.".to_owned()));
    }
    privileges::are_enough(plan).map_err(alert)?;
    signals::hold(plan.master.is_some())
        .map_err(|error| alert(format!("Cannot block signals: {}.", notice::reason(&error))))?;
    limits::apply(&plan.program, &plan.limits, &limits)?;
    let specs = listen::spread(&plan.listeners, plan.workers, !plan.no_reuseport);
    let (taken, taken_by_master) = take_sockets(plan, &specs)?;
    let trial = plan.inherited.is_some_and(|inherited| inherited.trial);
    let common = Common { reuse_port: !plan.no_reuseport, backlog: limits.maxconn, trial };
    let no_listeners = |Stop| alert("Some protocols failed to start their listeners! Exiting.".to_owned());
    // A master has all sockets: nobody needs to make room.
    let old_pids = if plan.inherited.is_some() { &[] } else { &plan.old_pids[..] };
    let listeners = listen::bind_all(&specs, &common, taken, old_pids).map_err(no_listeners)?;
    let sockets = master_sockets(plan, &common, taken_by_master).map_err(no_listeners)?;
    if trial {
        if let Some(path) = &plan.pidfile {
            Pidfile::rehearse(&plan.program, path)?;
        }
        return privileges::rehearse_worker(plan).map(|()| Side::Foreground(ExitCode::SUCCESS));
    }
    let pidfile = open_pidfile(plan)?;
    limits::warn_if_too_few(&plan.program, &limits);
    let dismiss_old = || old::dismiss(&plan.old_pids, plan.old_processes);
    let ready = match plan.daemon && plan.inherited.is_none() {
        false => None,
        true => match daemon::go_to_background(&plan.program, pidfile)? {
            Background::Foreground(code) => {
                if code == ExitCode::SUCCESS {
                    dismiss_old();
                }
                return Ok(Side::Foreground(code));
            }
            Background::Daemon(ready) => Some(ready),
        },
    };
    if !plan.supervised {
        if !plan.daemon {
            privileges::rehearse(plan)?;
            dismiss_old();
        }
        return single(plan, listeners, limits, &ties).map(|start| Side::Worker(start, ready));
    }
    supervise(plan, listeners, limits, ties, sockets, ready)
}

/// Starts the workers and what looks after them.
fn supervise<'a>(
    plan: &'a StartPlan,
    listeners: Vec<Listener>,
    limits: Limits,
    ties: Ties<'a>,
    sockets: Vec<(OwnedFd, CliLevel)>,
    ready: Option<Ready>,
) -> Result<Side<'a>, Stop> {
    let supervisor = match raise(plan, listeners, limits, ties)? {
        Raised::Worker(start) => {
            if let Some(inherited) = plan.inherited {
                inherited.let_go();
            }
            return Ok(Side::Worker(start, None));
        }
        Raised::Supervisor(supervisor) => supervisor,
    };
    if !plan.daemon && plan.inherited.is_none() {
        old::dismiss(&plan.old_pids, plan.old_processes);
    }
    let Some(wanted) = &plan.master else {
        privileges::keep_for_supervision(plan, Duty::Replace);
        return Ok(Side::Supervisor(supervisor, ready));
    };
    let master = Master::new(plan, wanted, *supervisor, sockets, plan.inherited).map_err(|error| {
        let reason = notice::reason(&error);
        notice::alert(format!("[{}.main()] Cannot start the master: {reason}.", plan.program));
        Stop
    })?;
    privileges::keep_for_supervision(plan, if wanted.programs.is_empty() { Duty::Reload } else { Duty::RunPrograms });
    Ok(Side::Master(Box::new(master), ready))
}

/// The pidfile of a daemon, to be filled by who starts it, or of a master, which has its pid already.
fn open_pidfile(plan: &StartPlan) -> Result<Option<Pidfile>, Stop> {
    let Some(path) = plan.pidfile.as_ref().filter(|_| plan.daemon || plan.master.is_some()) else { return Ok(None) };
    let mut pidfile = Pidfile::create(&plan.program, path)?;
    if plan.daemon && plan.inherited.is_none() {
        return Ok(Some(pidfile));
    }
    if let Err(error) = pidfile.add(std::process::id() as i32) {
        notice::warning(format!("Cannot write the pidfile: {}", notice::reason(&error)));
    }
    Ok(None)
}

/// The sockets of old processes, those of the master apart.
fn take_sockets(plan: &StartPlan, specs: &[ListenSpec]) -> Result<(Pulled, Pulled), Stop> {
    let none = || Pulled { sockets: Vec::new(), complete: true };
    if let Some(inherited) = plan.inherited {
        let copies = inherited.copies().map_err(|error| {
            notice::alert(format!("[{}.main()] Cannot copy sockets: {}.", plan.program, notice::reason(&error)));
            Stop
        })?;
        let own = copies.cli.into_iter().map(|(socket, _)| socket).collect();
        return Ok((pull::sort(copies.sockets), pull::sort(own)));
    }
    match &plan.sockets_from {
        // Whether it has all that the old pids have is not known.
        Some(path) => Ok((Pulled { sockets: takeover::take(path)?, complete: false }, none())),
        None => Ok((pull::pull(&plan.old_pids, specs), none())),
    }
}

/// Opens the sockets of the master.
fn master_sockets(plan: &StartPlan, common: &Common, taken: Pulled) -> Result<Vec<(OwnedFd, CliLevel)>, Stop> {
    let Some(master) = &plan.master else { return Ok(Vec::new()) };
    let specs: Vec<ListenSpec> = master.cli.iter().map(|(spec, _)| spec.clone()).collect();
    let listeners = listen::bind_all(&specs, common, taken, &[])?;
    Ok(listeners.into_iter().map(|listener| listener.socket).zip(master.cli.iter().map(|(_, level)| *level)).collect())
}

/// This process becomes the only worker.
fn single(
    plan: &StartPlan,
    listeners: Vec<Listener>,
    limits: Limits,
    ties: &Ties<'_>,
) -> Result<Box<WorkerStart>, Stop> {
    pin(plan, 1);
    // Of a daemon it is in the name of the process that was started, which gives back what is in its name.
    ties.segment.slots().restart(ties.slots[0]);
    let post = open_post(plan, ties.segment, ties.slots[0]);
    let spawner = Spawner::raise(plan)?;
    let sandbox = leave_behind(plan)?;
    if plan.daemon {
        let _ = nix::unistd::setsid();
    }
    let signals = Signals::open().map_err(|error| {
        notice::alert(format!("[{}.main()] Cannot read signals: {}.", plan.program, notice::reason(&error)));
        Stop
    })?;
    sandbox.enter(plan)?;
    Ok(Box::new(WorkerStart {
        listeners,
        kept: Vec::new(),
        signals,
        limits,
        number: 1,
        workers: 1,
        supervised: false,
        segment: ties.segment,
        // There is a slot a worker.
        slot: ties.slots[0],
        post,
        spawner,
    }))
}

/// Opens the post of a slot; without it, the worker serves all the same.
pub(super) fn open_post(plan: &StartPlan, segment: Segment, slot: Slot) -> Option<Post> {
    let warn = |error: std::io::Error| {
        let reason = notice::reason(&error);
        notice::warning(format!("[{}.main()] Other workers cannot reach this one: {reason}.", plan.program));
    };
    Post::open(segment.id(), slot).map_err(warn).ok()
}

/// This process becomes the supervisor, and forks the workers.
fn raise<'a>(
    plan: &'a StartPlan,
    listeners: Vec<Listener>,
    limits: Limits,
    ties: Ties<'a>,
) -> Result<Raised<'a>, Stop> {
    if plan.daemon {
        // The workers stay in its session.
        let _ = nix::unistd::setsid();
    }
    let raised = Supervisor::raise(plan, listeners, limits, ties)?;
    if let Raised::Supervisor(_) = raised
        && is_silent(plan)
        && let Ok(null) = daemon::open_null()
    {
        daemon::drop_stdio(&null);
    }
    Ok(raised)
}

/// Whether nobody reads what a running process says.
fn is_silent(plan: &StartPlan) -> bool {
    plan.daemon || (plan.quiet && !plan.verbose)
}

/// Leaves behind what a worker does not need: root, the terminal, the right to fork. Gives the sandbox to enter
/// when nothing is left to open.
pub(super) fn leave_behind(plan: &StartPlan) -> Result<Sandbox, Stop> {
    let sandbox = Sandbox::prepare(plan)?;
    let null = if is_silent(plan) { daemon::open_null().ok() } else { None };
    // A chroot jail has no /etc/localtime.
    crate::time::zone::zone();
    privileges::drop_privileges(plan)?;
    privileges::confine(plan);
    if let Some(null) = &null {
        daemon::drop_stdio(null);
    }
    Ok(sandbox)
}

/// What verbose mode tells about the start.
fn announce(plan: &StartPlan, limits: &Limits) {
    if !plan.verbose {
        return;
    }
    if limits.maxconn_computed {
        eprintln!("Note: setting global.maxconn to {}.", limits.maxconn);
    }
    eprintln!("{}\n{}", args::pollers(), args::filters());
    println!("Using epoll() as the polling mechanism.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::plan::{ListenOwner, ListenSpec};
    use crate::proxy::bind::{BindOptions, ListenAddress};
    use crate::sys::process::in_child;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    fn plan(address: SocketAddr) -> StartPlan {
        let spec = ListenSpec {
            owner: ListenOwner::Frontend { frontend: 0, bind: 0 },
            label: "frontend f".to_owned(),
            place: String::new(),
            address: ListenAddress::Ip(address),
            options: BindOptions::default(),
            backlog: None,
            workers: crate::proxy::NumberSet::ALL,
            smart_accept: true,
            no_linger: false,
        };
        StartPlan { workers: 1, program: "epoxy".to_owned(), listeners: vec![spec], ..StartPlan::default() }
    }

    fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
    }

    /// The exit code of a start in a child process.
    fn code_of(plan: StartPlan, worker: impl FnOnce(WorkerStart) -> ExitCode) -> u8 {
        in_child(|| {
            let plan = StartPlan { quiet: true, ..plan };
            let segment = Segment::private(1, 1).expect("segment");
            let slot = segment.slots().take(segment.begin_generation(), 1).expect("slot");
            let ties = Ties { segment, slots: vec![slot], bury: &|_| (), log: &mut |_, _| () };
            u8::from(start(&plan, ties, worker) != ExitCode::SUCCESS)
        })
    }

    #[test]
    fn a_worker_gets_its_listeners_without_privileges() {
        let address = free_address();
        let wanted = StartPlan { uid: Some(65534), gid: Some(65534), chroot: Some("/var".into()), ..plan(address) };
        let wanted = if nix::unistd::geteuid().is_root() { wanted } else { plan(address) };
        let code = code_of(wanted, |start| {
            let came = TcpStream::connect(address).is_ok();
            let accepted = crate::sys::socket::accept(&start.listeners[0].socket).is_ok();
            let nobody = !nix::unistd::geteuid().is_root();
            if came && accepted && nobody { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn a_worker_that_tries_gets_nothing_back() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let address = free_address();
        let jail = std::env::temp_dir().join(format!("epoxy-tries-{}", std::process::id()));
        std::fs::create_dir_all(&jail).expect("directory");
        let wanted = StartPlan { uid: Some(65534), gid: Some(65534), chroot: Some(jail.clone()), ..plan(address) };
        let code = code_of(wanted, |_start| {
            use nix::unistd::{Gid, Uid, chroot, setgid, setuid};
            let user = setuid(Uid::from_raw(0)).is_ok() || setgid(Gid::from_raw(0)).is_ok();
            let root = chroot("/").is_ok() || std::fs::read_dir("/..").is_ok_and(|all| all.count() > 0);
            let raised = caps::raise(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW).is_ok();
            // A descriptor of a directory would lead out of the jail.
            let out = (0..64).any(|fd| {
                let Ok(copy) = crate::sys::fds::duplicate_inherited(fd) else { return false };
                nix::unistd::fchdir(&copy).is_ok()
            });
            if user || root || raised || out { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        });
        let _ = std::fs::remove_dir(&jail);
        assert_eq!(code, 0);
    }

    #[test]
    fn nothing_starts_without_its_addresses() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = taken.local_addr().expect("address");
        assert_eq!(code_of(plan(address), |_| ExitCode::SUCCESS), 1);
        let none = StartPlan { listeners: Vec::new(), ..plan(address) };
        assert_eq!(code_of(none, |_| ExitCode::SUCCESS), 1);
    }

    #[test]
    fn a_daemon_is_up_when_its_parent_says_so() {
        let address = free_address();
        let pidfile = std::env::temp_dir().join(format!("epoxy-start-{}", std::process::id()));
        let wanted = StartPlan { daemon: true, pidfile: Some(pidfile.clone()), ..plan(address) };
        let code = code_of(wanted, |_start| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            crate::sys::process::exit_now(0)
        });
        let listens = TcpStream::connect(address).is_ok();
        let pid = std::fs::read_to_string(&pidfile).expect("pidfile");
        let _ = std::fs::remove_file(&pidfile);
        assert_eq!((code, listens), (0, true));
        assert!(pid.trim_end().parse::<i32>().is_ok());
        let jail = StartPlan { daemon: true, chroot: Some("/nonexistent".into()), ..plan(free_address()) };
        assert_eq!(code_of(jail, |_| ExitCode::SUCCESS), 1);
    }
}
