//! What is said, on standard error and in the log, when servers change. Tools match these lines: their
//! words are HAProxy's.

use std::fmt::Write;

use super::result::{Outcome, Verdict};
use super::server::{Admin, Cause, Change, CheckEffect, ServerState};
use crate::log::Level;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Severity in the log.
    pub level: Level,
    /// The text for the log.
    pub log: String,
    /// The text for standard error.
    pub stderr: String,
}

/// Which server it is about.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Name of its backend.
    pub backend: &'a str,
    /// Its own.
    pub server: &'a str,
    /// `backup`.
    pub is_backup: bool,
    /// The name that its address is asked for by, where it has one.
    pub host: Option<&'a str>,
    /// Backend and name of the server that it tracks.
    pub tracked: Option<(&'a str, &'a str)>,
}

/// Figures of the backend after the change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Usable servers that are not backups.
    pub active: u32,
    /// Usable backups.
    pub backup: u32,
    /// Sessions on the server.
    pub sessions: u64,
    /// Requests that the change moved out of the server's queue, or into it from the backend's.
    pub requeued: u64,
    /// Requests in the backend's queues.
    pub queued: u64,
}

impl Notice {
    fn new(level: Level, text: String) -> Notice {
        Notice { level, stderr: text.clone(), log: text }
    }

    /// Whether standard error has it as an `ALERT`; as a `WARNING` otherwise.
    pub fn is_alert(&self) -> bool {
        self.level == Level::Emerg
    }
}

/// Announces a change. `logs_checks` is `option log-health-checks`: the reason has been logged then.
pub fn announce(
    names: Names<'_>,
    state: &ServerState,
    change: Change,
    tally: &Tally,
    logs_checks: bool,
) -> Vec<Notice> {
    let server = names.title();
    let cause = |cause| names.cause(cause, state, logs_checks);
    let order = |why: Option<&str>, inherited| {
        format!("{}{}", why.map_or_else(String::new, |why| format!(" ({why})")), names.via(inherited))
    };
    let loud = |quiet| if quiet { Level::Notice } else { Level::Alert };
    let forced = format!("{server} remains in forced drain mode.");
    let passed_on = format!("{server} is leaving forced drain but remains in drain mode{}.", names.via(true));
    let remains = if state.admin.contains(Admin::FORCED_DRAIN) { &forced } else { &passed_on }.clone();
    let up = state.is_up();
    let (level, text) = match change {
        Change::Down { cause: why, quiet } => (loud(quiet), format!("{server} is DOWN{}.{}", cause(why), tally.left())),
        Change::Up { cause: why } => (Level::Notice, format!("{server} is UP{}.{}", cause(why), tally.online())),
        Change::Stopping { cause: why } => {
            (Level::Notice, format!("{server} is stopping{}.{}", cause(why), tally.online()))
        }
        Change::Maintenance { was_down: true, inherited, why, .. } => {
            (Level::Notice, format!("{server} was DOWN and now enters maintenance{}.", order(why, inherited)))
        }
        Change::Maintenance { was_down: false, quiet, inherited, why } => {
            let why = order(why, inherited);
            (loud(quiet), format!("{server} is going DOWN for maintenance{why}.{}", tally.left()))
        }
        Change::Ready { inherited } => (Level::Notice, names.ready(state, if inherited { "" } else { "forced " })),
        Change::Resolves { maintained } => (Level::Notice, names.resolves(state, maintained)),
        Change::StaysDraining => (Level::Notice, remains.clone()),
        Change::StillMaintenance { inherited: false } => {
            (Level::Notice, format!("{server} remains in forced maintenance."))
        }
        Change::StillMaintenance { inherited: true } => (
            Level::Notice,
            format!("{server} is leaving forced maintenance but remains in maintenance{}.", names.via(true)),
        ),
        Change::Drain { inherited, why } => {
            let figures = if up { tally.online() } else { tally.left() };
            (Level::Notice, format!("{server} enters drain state{}.{figures}", order(why, inherited)))
        }
        Change::StillDrain { inherited: false } => (Level::Notice, forced),
        Change::StillDrain { inherited: true } => (Level::Notice, passed_on),
        Change::Undrain => {
            let word = if up { "UP" } else { "DOWN" };
            (Level::Notice, format!("{server} is {word} (leaving forced drain)."))
        }
    };
    let mut notices = vec![Notice::new(level, text)];
    let may_remain =
        matches!(change, Change::Down { .. } | Change::Up { .. } | Change::Stopping { .. } | Change::Ready { .. });
    let may_remain = may_remain || change == Change::Resolves { maintained: false };
    if may_remain && state.admin.is_draining() {
        notices.push(Notice::new(Level::Notice, remains));
    }
    notices
}

/// Says that a backend has lost its last usable server; `is_listen` tells a `listen` section.
pub fn no_server(backend: &str, is_listen: bool) -> Notice {
    let kind = if is_listen { "proxy" } else { "backend" };
    Notice {
        level: Level::Emerg,
        log: format!("{kind} {backend} has no server available!"),
        stderr: format!("{kind} '{backend}' has no server available!"),
    }
}

/// Says what has become of an address or of a name: `text` follows the server's names.
pub fn named(names: Names<'_>, text: &str) -> Notice {
    Notice::new(Level::Notice, format!("{}/{} {text}", names.backend, names.server))
}

/// Says that the answer to the question for its name made a server ready.
pub fn ready_by_name(names: Names<'_>) -> Notice {
    Notice::new(Level::Notice, format!("{} administratively READY thanks to valid DNS answer.", names.title()))
}

/// The line of `option log-health-checks` for a check, or an agent's answer, that changed something.
pub fn health_check(names: Names<'_>, state: &ServerState, effect: &CheckEffect) -> Notice {
    let kind = if names.is_backup { "backup " } else { "" };
    let (what, last, up, (at, of)) = match effect.is_agents {
        true => ("Agent", &state.agent.last, !state.agent.is_down, (u32::from(!state.agent.is_down), 1)),
        false => ("Health", &state.last, state.health.is_up(), state.health.progress()),
    };
    let result = match last.status.verdict() {
        Verdict::Failed => "failed",
        Verdict::Conditional => "conditionally succeeded",
        Verdict::Passed | Verdict::Unknown => "succeeded",
    };
    let word = match (up, state.weight) {
        (false, _) => "DOWN",
        (true, 0) => "DRAIN",
        (true, _) => "UP",
    };
    let (backend, server) = (names.backend, names.server);
    let forgotten = Outcome { info: effect.words.clone(), ..last.clone() };
    let last = if effect.words.is_empty() { last } else { &forgotten };
    let text = format!("{what} check for {kind}server {backend}/{server} {result}, {last}, status: {at}/{of} {word}.");
    Notice::new(Level::Notice, text)
}

impl Names<'_> {
    /// What is said of a server that leaves one `kind` of maintenance.
    fn ready(&self, state: &ServerState, kind: &str) -> String {
        format!("{} is {} (leaving {kind}maintenance).", self.title(), in_words(state))
    }

    /// What is said of a server whose name leads somewhere again; it may stay in maintenance nonetheless.
    fn resolves(&self, state: &ServerState, maintained: bool) -> String {
        let (title, host) = (self.title(), self.host.unwrap_or_default());
        match maintained {
            true => format!("{title} ('{host}') resolves again but remains in maintenance."),
            false => format!("{title} ('{host}') is {} (resolves again).", in_words(state)),
        }
    }

    /// Why a server changed, for the middle of a sentence.
    fn cause(&self, cause: Cause, state: &ServerState, logs_checks: bool) -> String {
        match cause {
            Cause::Check | Cause::Agent if logs_checks => String::new(),
            Cause::Check => format!(", {}", state.last),
            Cause::Agent => format!(", {}", state.agent.last),
            Cause::Order => ", changed from CLI".into(),
            Cause::File => ", changed from server-state after a reload".into(),
            Cause::Page => ", changed from Web interface".into(),
            Cause::Tracked => self.via(true),
            Cause::Grown => String::new(),
        }
    }

    /// ` via be/s1`, for what comes from there.
    fn via(&self, inherited: bool) -> String {
        match self.tracked.filter(|_| inherited) {
            Some((backend, server)) => format!(" via {backend}/{server}"),
            None => String::new(),
        }
    }

    fn title(&self) -> String {
        let kind = if self.is_backup { "Backup Server" } else { "Server" };
        format!("{kind} {}/{}", self.backend, self.server)
    }
}

/// A server's state and what is ordered, in words.
fn in_words(state: &ServerState) -> String {
    let health = if state.is_up() { "UP" } else { "DOWN" };
    let order = if state.admin.is_draining() { "DRAIN" } else { "READY" };
    format!("{health}/{order}")
}

impl Tally {
    fn left(&self) -> String {
        let mut text = self.servers("left");
        let Tally { sessions, requeued, queued, .. } = self;
        let _ = write!(text, " {sessions} sessions active, {requeued} requeued, {queued} remaining in queue.");
        text
    }

    fn online(&self) -> String {
        let mut text = self.servers("online");
        let _ = write!(text, " {} sessions requeued, {} total in queue.", self.requeued, self.queued);
        text
    }

    fn servers(&self, what: &str) -> String {
        let on_backup = if self.active == 0 && self.backup > 0 { " Running on backup." } else { "" };
        format!(" {} active and {} backup servers {what}.{on_backup}", self.active, self.backup)
    }
}
