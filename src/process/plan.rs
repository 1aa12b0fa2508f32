//! What the start needs to know, taken from the command line and the configuration: plain data.

use super::capability;
use super::master::{Inherited, MasterPlan, VARIABLE};
use super::spawner::{self, Program};
use crate::args::{Args, MasterWorker, OldProcesses};
use crate::log::Destination;
use crate::proxy::Config;
use crate::proxy::bind::{BindOptions, ListenAddress};
use crate::proxy::confinement::Confinement;
use crate::proxy::global::HANG_TIMEOUT;
use crate::proxy::source::{Foreign, Source};
use crate::proxy::workers::{self, CpuSet, Crew, NumberSet};
use caps::Capability;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

/// All that [`super::start()`] needs; the command line has precedence over the configuration in it.
#[derive(Clone, Debug, Default)]
pub struct StartPlan {
    /// The program as called, for messages (`[epoxy.main()] ...`).
    pub program: String,
    /// Where to listen.
    pub listeners: Vec<ListenSpec>,
    /// Go into background.
    pub daemon: bool,
    /// Debug or verbose mode: tell what was chosen at the start.
    pub verbose: bool,
    /// Quiet mode: no message, and no standard streams once running.
    pub quiet: bool,
    /// File for the pid of a daemon.
    pub pidfile: Option<PathBuf>,
    /// Directory that becomes the root.
    pub chroot: Option<PathBuf>,
    /// User to become.
    pub uid: Option<u32>,
    /// Group to become.
    pub gid: Option<u32>,
    /// Core dumps in spite of the change of user.
    pub dumpable: bool,
    /// Keep the right to create processes.
    pub may_fork: bool,
    /// Let what is executed gain privileges.
    pub may_gain: bool,
    /// What workers have run beside them.
    pub programs: Vec<Program>,
    /// `setcap` and `sandbox`.
    pub confinement: Confinement,
    /// Ports that workers bind before they connect (`source`), where 0 leaves it to the kernel; `None` for any.
    pub sources: Option<Vec<u16>>,
    /// Workers need to stay root (`usesrc`, `interface` of a `source`).
    pub needs_root: bool,
    /// Capabilities that the configuration needs while workers that stay root serve.
    pub needs: Vec<Capability>,
    /// Inherited descriptors that the configuration names.
    pub named_descriptors: Vec<RawFd>,
    /// Descriptors and memory.
    pub limits: LimitsWanted,
    /// Signal for the old processes once all sockets are bound.
    pub old_processes: OldProcesses,
    /// Old processes.
    pub old_pids: Vec<i32>,
    /// Socket of the old process that hands over its listening sockets.
    pub sockets_from: Option<PathBuf>,
    /// Listen without SO_REUSEPORT.
    pub no_reuseport: bool,
    /// Number of workers.
    pub workers: u32,
    /// A supervisor looks after them; otherwise the process itself is the one worker.
    pub supervised: bool,
    /// The supervisor is a master.
    pub master: Option<MasterPlan>,
    /// What an earlier master has left to this one.
    pub inherited: Option<&'static Inherited>,
    /// Processors of each worker, from worker 1; `None` leaves it where the start was.
    pub cpus: Vec<Option<CpuSet>>,
    /// A worker that is stuck for so long is replaced; `None` for never.
    pub hang_timeout: Option<Duration>,
}

/// What the limits are computed from.
#[derive(Clone, Debug)]
pub struct LimitsWanted {
    /// `maxconn` or `-n`; computed from the descriptors when absent.
    pub maxconn: Option<u32>,
    /// `ulimit-n`; computed from maxconn when absent.
    pub ulimit_n: Option<u64>,
    /// `fd-hard-limit`.
    pub fd_hard_limit: Option<u64>,
    /// Whether connections may be spliced, which takes pipes.
    pub splicing: bool,
    /// `maxpipes`; a quarter of maxconn when absent.
    pub maxpipes: Option<u32>,
    /// Listening sockets.
    pub listeners: usize,
    /// Health checks that may run at once.
    pub checks: usize,
    /// Connections that the runtime sockets may have at once.
    pub cli_connections: usize,
    /// `-m`: megabytes, 0 for no limit.
    pub memory_max_mb: u32,
    /// `strict-limits`, on by default: limits that cannot be had are fatal.
    pub strict: bool,
}

impl Default for LimitsWanted {
    fn default() -> Self {
        LimitsWanted {
            maxconn: None,
            ulimit_n: None,
            fd_hard_limit: None,
            splicing: false,
            maxpipes: None,
            listeners: 0,
            checks: 0,
            cli_connections: 0,
            memory_max_mb: 0,
            strict: true,
        }
    }
}

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct ListenSpec {
    /// Whose it is, for whoever accepts on it.
    pub owner: ListenOwner,
    /// For messages: `proxy f`, `frontend h`, `frontend GLOBAL`.
    pub label: String,
    /// For messages: file and line of the statement, `file:line`, empty if not known.
    pub place: String,
    /// Where to listen.
    pub address: ListenAddress,
    /// Options of the socket.
    pub options: BindOptions,
    /// Length of the queue when the options name none; the process's maxconn when absent.
    pub backlog: Option<u32>,
    /// The workers that listen there.
    pub workers: NumberSet,
    /// Leave the acknowledgement of a request to the answer (`option tcp-smart-accept`, the default in HTTP
    /// mode).
    pub smart_accept: bool,
    /// Connections are reset when they are closed (`option nolinger`).
    pub no_linger: bool,
}

impl ListenSpec {
    /// How many sockets this may take with so many workers.
    fn sockets_max(&self, workers: u32) -> usize {
        if matches!(self.address, ListenAddress::Ip(_)) && workers > 1 { self.workers.len() as usize } else { 1 }
    }
}

/// Who accepts on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenOwner {
    /// Bind number `bind` of frontend number `frontend`.
    Frontend {
        /// Index in the configuration's frontends.
        frontend: usize,
        /// Index in the frontend's binds.
        bind: usize,
    },
    /// `stats socket` number so-and-so.
    Cli(usize),
    /// The master.
    Master,
}

/// Length of the queue of a `stats socket`.
const CLI_BACKLOG: u32 = 10;

impl StartPlan {
    /// The plan for a command line and its configuration.
    pub fn new(program: &str, args: &Args, config: &Config) -> StartPlan {
        let global = &config.global;
        let listeners = listeners(config);
        let crew = global.crew();
        let positive = |n: u32| Some(n).filter(|n| *n > 0);
        let limits = LimitsWanted {
            maxconn: positive(args.maxconn).or(global.maxconn),
            ulimit_n: global.ulimit_n,
            fd_hard_limit: global.fd_hard_limit,
            splicing: !args.no_splice && !global.nosplice && uses_splice(config),
            maxpipes: global.maxpipes,
            listeners: listeners.iter().map(|spec| spec.sockets_max(crew.count)).sum(),
            cli_connections: if global.cli_binds.is_empty() { 0 } else { global.cli_connections_max() as usize },
            checks: config.servers.written().iter().filter(|server| server.check.is_some()).count(),
            memory_max_mb: args.memory_max_mb,
            strict: !global.lenient_limits,
        };
        StartPlan {
            program: program.to_owned(),
            listeners,
            daemon: args.goes_to_background(global.daemon),
            verbose: args.verbose || args.debug,
            quiet: args.quiet || global.quiet,
            pidfile: args.pidfile.clone().or_else(|| global.pidfile.clone()),
            chroot: global.chroot.clone(),
            uid: global.uid,
            gid: global.gid,
            dumpable: global.set_dumpable,
            may_fork: global.insecure_fork_wanted,
            may_gain: global.insecure_setuid_wanted,
            programs: spawner::programs(config),
            confinement: global.confinement.clone(),
            sources: bound_ports(config),
            needs_root: config.sources().any(|source| source.interface.is_some() || source.foreign != Foreign::No),
            needs: capability::needs(config),
            named_descriptors: named_descriptors(config),
            limits,
            old_processes: args.old_processes,
            old_pids: args.old_pids.clone(),
            sockets_from: args.sockets_from.clone(),
            no_reuseport: args.no_reuseport || global.no_reuseport,
            workers: crew.count,
            supervised: crew.count > 1 || global.master.wanted,
            master: global.master.wanted.then(|| master(args, config)),
            inherited: None,
            cpus: (1..=crew.count).map(|number| workers::cpus_of(&global.cpu_maps, crew, number)).collect(),
            hang_timeout: Some(global.hang_timeout.unwrap_or(HANG_TIMEOUT).0)
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
        }
    }
}

/// The ports that a landlock has to leave to connections of workers.
fn bound_ports(config: &Config) -> Option<Vec<u16>> {
    let ports: Option<Vec<_>> = config.sources().map(Source::ports).collect();
    let mut ports: Vec<u16> = ports?.into_iter().flatten().collect();
    ports.sort_unstable();
    ports.dedup();
    Some(ports)
}

/// What the master does besides looking after workers.
fn master(args: &Args, config: &Config) -> MasterPlan {
    let settings = &config.global.master;
    let cli = settings.cli.iter().map(|bind| {
        let spec = ListenSpec {
            owner: ListenOwner::Master,
            label: "proxy MASTER".to_owned(),
            place: bind.place.clone(),
            address: bind.address.clone(),
            options: BindOptions { mode: bind.mode, uid: bind.uid, gid: bind.gid, ..BindOptions::default() },
            backlog: Some(CLI_BACKLOG),
            workers: NumberSet::ALL,
            smart_accept: false,
            no_linger: false,
        };
        (spec, bind.level)
    });
    MasterPlan {
        systemd: args.master_worker == Some(MasterWorker::Systemd),
        cli: cli.collect(),
        programs: settings.programs.clone(),
        environment: config.environment.iter().filter(|(name, _)| name != VARIABLE.as_bytes()).cloned().collect(),
        reloads_max: settings.reloads_max,
    }
}

/// True if a proxy asks for splicing by an `option splice-*`.
fn uses_splice(config: &Config) -> bool {
    let sides = config.frontends.iter().map(|f| f.splice).chain(config.backends.iter().map(|b| b.splice));
    sides.into_iter().any(|splice| splice != Default::default())
}

/// Descriptors that addresses (`fd@N`) and log targets name.
fn named_descriptors(config: &Config) -> Vec<RawFd> {
    let binds = config.frontends.iter().flat_map(|frontend| &frontend.binds).map(|bind| &bind.address);
    let addresses = binds.chain(config.global.cli_binds.iter().map(|bind| &bind.address));
    let of_address = |address: &ListenAddress| match address {
        ListenAddress::Fd(number) => Some(*number),
        _ => None,
    };
    let targets = config.log_targets().filter_map(|target| match target.destination {
        Destination::Fd(number) => Some(number),
        Destination::Datagram(_) => None,
    });
    addresses.filter_map(of_address).chain(targets).collect()
}

/// The workers in both sets; where there are none, those of the wider one, or all.
fn common(of_line: NumberSet, of_proxy: NumberSet, crew: Crew) -> NumberSet {
    [of_line.and(of_proxy), of_proxy].into_iter().find(|set| !set.is_empty()).unwrap_or(crew.all())
}

/// Every address that the configuration listens on, the runtime sockets first, as HAProxy binds them.
fn listeners(config: &Config) -> Vec<ListenSpec> {
    let crew = config.global.crew();
    let cli = config.global.cli_binds.iter().enumerate().map(|(index, bind)| ListenSpec {
        owner: ListenOwner::Cli(index),
        label: "frontend GLOBAL".to_owned(),
        place: bind.place.clone(),
        address: bind.address.clone(),
        options: BindOptions { mode: bind.mode, uid: bind.uid, gid: bind.gid, ..BindOptions::default() },
        backlog: Some(CLI_BACKLOG),
        workers: common(
            crew.of(bind.processes, bind.threads),
            crew.of(config.global.cli_processes, NumberSet::default()),
            crew,
        ),
        smart_accept: false,
        no_linger: false,
    });
    let enabled = config.frontends.iter().enumerate().filter(|(_, frontend)| !frontend.disabled);
    let proxies = enabled.flat_map(|(index, frontend)| {
        let kind = if frontend.is_listen { "proxy" } else { "frontend" };
        frontend.binds.iter().enumerate().map(move |(bind_index, bind)| ListenSpec {
            owner: ListenOwner::Frontend { frontend: index, bind: bind_index },
            label: format!("{kind} {}", frontend.name),
            place: bind.place.clone(),
            address: bind.address.clone(),
            options: bind.options.clone(),
            backlog: frontend.backlog.or(frontend.maxconn),
            workers: common(
                crew.of(bind.options.processes, bind.options.threads),
                crew.of(frontend.processes, NumberSet::default()),
                crew,
            ),
            smart_accept: frontend.smart_accept,
            no_linger: frontend.nolinger,
        })
    });
    cli.chain(proxies).collect()
}
