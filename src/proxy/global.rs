//! The `global` section (manual, chapter 3).

use std::path::PathBuf;

use super::bind::ListenAddress;
use super::confinement::Confinement;
use super::workers::{CpuMap, Crew, NumberSet};
use crate::log::LogTarget;
use crate::time::Millis;

/// Settings of the whole process.
#[derive(Clone, Debug, Default)]
pub struct Global {
    /// `daemon`: go to the background.
    pub daemon: bool,
    /// `maxconn`: connections of the whole service; computed from the descriptor limit when absent.
    pub maxconn: Option<u32>,
    /// `maxconnrate`: new connections a second.
    pub maxconnrate: Option<u32>,
    /// `maxsessrate`: new sessions a second.
    pub maxsessrate: Option<u32>,
    /// `user` or `uid`.
    pub uid: Option<u32>,
    /// `group` or `gid`.
    pub gid: Option<u32>,
    /// `chroot`.
    pub chroot: Option<PathBuf>,
    /// `pidfile`.
    pub pidfile: Option<PathBuf>,
    /// `ulimit-n`.
    pub ulimit_n: Option<u64>,
    /// `fd-hard-limit`: most descriptors that the process asks for.
    pub fd_hard_limit: Option<u64>,
    /// `zero-warning`: a warning keeps the process from starting.
    pub zero_warning: bool,
    /// `busy-polling`: the process never sleeps.
    pub busy_polling: bool,
    /// `no strict-limits`: limits that cannot be had are only warned about.
    pub lenient_limits: bool,
    /// `carry-over`, on by default: counters and states of servers outlive a reload.
    pub carry_over: bool,
    /// `quiet`: no messages at the start.
    pub quiet: bool,
    /// `set-dumpable`: core dumps in spite of the change of user.
    pub set_dumpable: bool,
    /// `external-check`: servers may be checked by programs.
    pub external_check: bool,
    /// `insecure-fork-wanted`: the process keeps the right to create others.
    pub insecure_fork_wanted: bool,
    /// `insecure-setuid-wanted`: what it executes may gain privileges.
    pub insecure_setuid_wanted: bool,
    /// `nbproc`: worker processes.
    pub nbproc: Option<u32>,
    /// `nbthread`: workers, too, where `nbproc` asks for no more than one.
    pub nbthread: Option<u32>,
    /// `cpu-map` lines.
    pub cpu_maps: Vec<CpuMap>,
    /// `noreuseport`: listen without SO_REUSEPORT.
    pub no_reuseport: bool,
    /// `stats bind-process`: processes that answer on the runtime sockets; empty for all.
    pub cli_processes: NumberSet,
    /// `tune.worker.hang-timeout`: a worker that does nothing for so long is replaced; zero for never.
    pub hang_timeout: Option<Millis>,
    /// `setcap` and `sandbox`.
    pub confinement: Confinement,
    /// `log` lines.
    pub log_targets: Vec<LogTarget>,
    /// `log-tag`; the program's name when absent.
    pub log_tag: Option<String>,
    /// `log-send-hostname`: `Some(None)` means the machine's own name.
    pub log_send_hostname: Option<Option<String>>,
    /// `node`: shown on the statistics page and in `show info`; the host name when absent.
    pub node: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `stats socket` lines.
    pub cli_binds: Vec<CliBind>,
    /// Master-worker mode.
    pub master: super::MasterSettings,
    /// `stats timeout`: an idle command connection's life; 10 seconds when absent.
    pub cli_timeout: Option<Millis>,
    /// `stats maxconn`: concurrent command connections; 10 when absent.
    pub cli_maxconn: Option<u32>,
    /// `spread-checks`: jitter of check intervals in percent, 0 to 50.
    pub spread_checks: u32,
    /// `max-spread-checks`: the most time between the first check of the first server and that of the last.
    pub max_spread_checks: Option<Millis>,
    /// `hard-stop-after`: a soft stop becomes a hard one after this.
    pub hard_stop_after: Option<Millis>,
    /// `grace`: a soft stop begins only after this.
    pub grace: Option<Millis>,
    /// `close-spread-time`: over which time a soft stop ends the connections of clients.
    pub close_spread: CloseSpread,
    /// `debug`: as the command line's `-d`.
    pub debug: bool,
    /// `nosplice` or `-dS`.
    pub nosplice: bool,
    /// `maxpipes`: pipes kept for splicing; maxconn/4 when absent.
    pub maxpipes: Option<u32>,
    /// `-dM`: byte that buffers are filled with before use.
    pub poison_byte: Option<u8>,
    /// `h1-case-adjust`, `h1-case-adjust-file`.
    pub spellings: super::Spellings,
    /// `tune.*`.
    pub tune: Tune,
    /// The name of the local peer (`-L`, `localpeer`); the host name when absent.
    pub local_peer: Option<String>,
}

/// How long a worker may be stuck before it is replaced, unless `tune.worker.hang-timeout` says otherwise.
pub const HANG_TIMEOUT: Millis = Millis::from_secs(10);

impl Global {
    /// The workers that `nbproc` and `nbthread` ask for.
    pub fn crew(&self) -> Crew {
        Crew::new(self.nbproc, self.nbthread)
    }

    /// Connections to the runtime sockets at a time (`stats maxconn`).
    pub fn cli_connections_max(&self) -> u32 {
        self.cli_maxconn.unwrap_or(10)
    }
}

/// When a soft stop ends the connections of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseSpread {
    /// All at once.
    #[default]
    AtOnce,
    /// Spread over a time.
    Over(Millis),
    /// It does not: clients and their timeouts do.
    Never,
}

/// Sizes and limits that `tune.*` sets (manual 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tune {
    /// `tune.bufsize`: bytes a buffer holds; a message head must fit less [`Tune::maxrewrite`].
    pub bufsize: usize,
    /// `tune.maxrewrite`: bytes of a buffer kept free for added headers.
    pub maxrewrite: usize,
    /// `tune.http.maxhdr`: header fields a message may have.
    pub http_maxhdr: usize,
    /// `tune.http.logurilen`: bytes of the URI (with method and version) that a log line keeps.
    pub http_logurilen: usize,
    /// `tune.http.cookielen`: bytes that are kept of a captured cookie.
    pub cookie_bytes_max: usize,
    /// `tune.maxpollevents`: events taken from the kernel at a time.
    pub events_max: usize,
    /// `tune.maxaccept`: connections accepted in a row.
    pub maxaccept: usize,
    /// `tune.pipesize`: capacity asked for a splicing pipe; the kernel's default when 0.
    pub pipesize: usize,
    /// `tune.chksize`: bytes of a server's answer that a check looks at.
    pub check_bytes: Option<usize>,
    /// `tune.rcvbuf.client`, bytes; the kernel's when 0.
    pub rcvbuf_client: u32,
    /// `tune.rcvbuf.server`.
    pub rcvbuf_server: u32,
    /// `tune.sndbuf.client`.
    pub sndbuf_client: u32,
    /// `tune.sndbuf.server`.
    pub sndbuf_server: u32,
}

impl Tune {
    /// Octets that a buffer takes of what is received: a head must fit in, and more cannot be looked at.
    pub fn received_bytes_max(&self) -> usize {
        self.bufsize.saturating_sub(self.maxrewrite)
    }
}

impl Default for Tune {
    fn default() -> Self {
        Tune {
            check_bytes: None,
            bufsize: 16384,
            maxrewrite: 1024,
            http_maxhdr: 101,
            http_logurilen: 1024,
            cookie_bytes_max: 63,
            events_max: 256,
            maxaccept: 64,
            pipesize: 0,
            rcvbuf_client: 0,
            rcvbuf_server: 0,
            sndbuf_client: 0,
            sndbuf_server: 0,
        }
    }
}

/// One `stats socket`.
#[derive(Clone, Debug)]
pub struct CliBind {
    /// `process`: processes that answer on it; empty for all.
    pub processes: NumberSet,
    /// `thread`: likewise.
    pub threads: NumberSet,
    /// File and line of the statement, `file:line`.
    pub place: String,
    /// Where it listens.
    pub address: ListenAddress,
    /// Permission bits of a UNIX socket.
    pub mode: Option<u32>,
    /// Owner of a UNIX socket.
    pub uid: Option<u32>,
    /// Group of a UNIX socket.
    pub gid: Option<u32>,
    /// What its users may do.
    pub level: CliLevel,
    /// `expose-fd listeners`: it gives the listening sockets to a new process that asks for them.
    pub exposes_listeners: bool,
}

/// Rights on a runtime socket (management manual 9.3); each level includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CliLevel {
    /// Read what is not sensitive.
    User,
    /// Read everything, clear own statistics.
    #[default]
    Operator,
    /// Change state.
    Admin,
}

impl CliLevel {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CliLevel::User => "user",
            CliLevel::Operator => "operator",
            CliLevel::Admin => "admin",
        }
    }
}
