//! The state of a server: what its checks say, what the operator ordered, and what follows from both.
//!
//! Two things are kept apart, as in `show servers state`: the operational state, which checks move, and
//! the orders, which do not go away when checks change their mind. Maintenance stops checks and the
//! server; draining only keeps new clients away.

use super::agent::Agent;
use super::health::{Health, Step};
use super::result::{NO_TIME, Outcome, Status, Verdict};
use crate::proxy::reaction::OnError;
use crate::time::Tick;

bitflags::bitflags! {
    /// What the operator, or the configuration, ordered. The bits are those of `show servers state`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Admin: u8 {
        /// Maintenance ordered.
        const FORCED_MAINT = 0x01;
        /// Maintenance of a tracked server.
        const INHERITED_MAINT = 0x02;
        /// `disabled` in the configuration; stays as a note when the server leaves maintenance.
        const CONFIGURED_MAINT = 0x04;
        /// Draining ordered.
        const FORCED_DRAIN = 0x08;
        /// Draining of a tracked server.
        const INHERITED_DRAIN = 0x10;
        /// Maintenance because the name does not resolve.
        const RESOLUTION_MAINT = 0x20;
        /// The name was set at run time.
        const NAME_SET = 0x40;
    }
}

impl Admin {
    /// In maintenance, for whatever reason.
    pub fn is_maintenance(self) -> bool {
        self.intersects(Admin::FORCED_MAINT | Admin::INHERITED_MAINT | Admin::RESOLUTION_MAINT)
    }

    /// Draining, for whatever reason.
    pub fn is_draining(self) -> bool {
        self.intersects(Admin::FORCED_DRAIN | Admin::INHERITED_DRAIN)
    }
}

/// The operational state. The values are those of `show servers state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Down.
    Stopped = 0,
    /// Up, with its weight still growing (`slowstart`).
    Starting = 1,
    /// Up.
    #[default]
    Running = 2,
    /// Up for those who are there (`NOLB`).
    Stopping = 3,
}

impl Operation {
    /// The state of a number.
    pub fn from_number(number: u8) -> Operation {
        match number {
            0 => Operation::Stopped,
            1 => Operation::Starting,
            3 => Operation::Stopping,
            _ => Operation::Running,
        }
    }
}

/// A server's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Orders.
    pub admin: Admin,
    /// Up or down.
    pub operation: Operation,
    /// The counter of its checks.
    pub health: Health,
    /// Weight as ordered, 0 to 256.
    pub weight: u32,
    /// The last check.
    pub last: Outcome,
    /// It has `check` on its line.
    pub is_checked: bool,
    /// It has `track` on its line.
    pub tracks: bool,
    /// `slowstart` in seconds, 0 without: how long its weight and its limit grow once it is up again.
    pub slowstart_s: u64,
    /// Checks are on (`disable health` turns them off).
    pub checks_enabled: bool,
    /// Maintenance has stopped its checks, or `disabled` did at the start: what `show servers state` says of that.
    pub checks_paused: bool,
    /// Wall-clock second of the last change (`lastchg`).
    pub changed_at: u64,
    /// Seconds spent down before the last change; maintenance counts only while it lasts.
    pub downtime: u64,
    /// Its agent.
    pub agent: Agent,
    /// How often its sessions were ended, in all workers.
    pub endings: u32,
    /// Why they were ended last.
    pub ended_for: Ending,
    /// The next check was wanted no later than then, because traffic saw errors.
    pub check_by: Tick,
}

/// Why all sessions of a server are ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// By an order.
    #[default]
    Ordered = 0,
    /// It went down (`on-marked-down shutdown-sessions`).
    Down = 1,
    /// It is a backup that is no longer needed (`on-marked-up shutdown-backup-sessions`).
    Up = 2,
}

impl Ending {
    /// The ending of a number.
    pub fn from_number(number: u8) -> Ending {
        match number {
            1 => Ending::Down,
            2 => Ending::Up,
            _ => Ending::Ordered,
        }
    }
}

/// Why a server goes up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A check, which is [`ServerState::last`].
    Check,
    /// The agent, whose answer is the last of [`ServerState::agent`].
    Agent,
    /// The operator said so at the runtime socket (`set server … health`).
    Order,
    /// The operator said so on the statistics page.
    Page,
    /// The server that it tracks went the same way.
    Tracked,
    /// It has grown enough (`slowstart`).
    Grown,
    /// A state file said so at the start.
    File,
}

/// A change that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Went down.
    Down {
        /// Why.
        cause: Cause,
        /// It had no new clients anyway.
        quiet: bool,
    },
    /// Came up.
    Up {
        /// Why.
        cause: Cause,
    },
    /// Takes no new clients (`NOLB`).
    Stopping {
        /// Why.
        cause: Cause,
    },
    /// Enters maintenance.
    Maintenance {
        /// It was down before.
        was_down: bool,
        /// It had no new clients anyway.
        quiet: bool,
        /// It inherits it from the server that it tracks.
        inherited: bool,
        /// What the log says of the order.
        why: Option<&'static str>,
    },
    /// Leaves maintenance.
    Ready {
        /// It had inherited it.
        inherited: bool,
    },
    /// Its name leads somewhere again.
    Resolves {
        /// It stays in maintenance for other reasons.
        maintained: bool,
    },
    /// Leaves one of two kinds of maintenance.
    StillMaintenance {
        /// The one that is left is inherited.
        inherited: bool,
    },
    /// Enters drain.
    Drain {
        /// It inherits it.
        inherited: bool,
        /// What the log says of the order.
        why: Option<&'static str>,
    },
    /// Leaves drain.
    Undrain,
    /// Enters or leaves one of two kinds of drain.
    StillDrain {
        /// Its own is over, the inherited one is left.
        inherited: bool,
    },
    /// Was given a weight, which does not matter in drain.
    StaysDraining,
}

/// What a check's result did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckEffect {
    /// Status or health changed: `option log-health-checks` logs that.
    pub reported: bool,
    /// The check failed and the server was not as down as can be (`chkfail`).
    pub failed: bool,
    /// Of the agent, not of a check.
    pub is_agents: bool,
    /// Details that `option log-health-checks` logs and nobody remembers; may be empty.
    pub words: Vec<u8>,
    /// The server went up, down or out.
    pub change: Option<Change>,
}

impl Change {
    /// The same with what the log says of the order.
    pub fn because(mut self, words: &'static str) -> Change {
        if let Change::Maintenance { why, .. } | Change::Drain { why, .. } = &mut self {
            *why = Some(words);
        }
        self
    }

    /// What the log says of the order.
    pub fn why(self) -> Option<&'static str> {
        match self {
            Change::Maintenance { why, .. } | Change::Drain { why, .. } => why,
            _ => None,
        }
    }

    /// The server is up again.
    pub fn is_up(self) -> bool {
        matches!(self, Change::Up { .. } | Change::Ready { .. } | Change::Resolves { maintained: false })
    }

    /// The server is no longer up (`chkdown`).
    pub fn is_down(self) -> bool {
        matches!(self, Change::Down { .. } | Change::Maintenance { was_down: false, .. })
    }
}

impl From<Option<Change>> for CheckEffect {
    /// The effect of an order.
    fn from(change: Option<Change>) -> CheckEffect {
        CheckEffect { change, ..CheckEffect::default() }
    }
}

impl ServerState {
    /// A server at the start: `checked` are its `rise` and `fall` if it has checks.
    pub fn new(checked: Option<(u32, u32)>, weight: u32, disabled: bool, now_s: u64) -> ServerState {
        let (rise, fall) = checked.unwrap_or((2, 3));
        let mut state = ServerState {
            admin: Admin::empty(),
            operation: Operation::Running,
            health: Health::new(rise, fall),
            weight,
            last: Outcome { status: Status::Initializing, ..Outcome::default() },
            is_checked: checked.is_some(),
            tracks: false,
            slowstart_s: 0,
            checks_enabled: checked.is_some(),
            checks_paused: disabled,
            changed_at: now_s,
            downtime: 0,
            agent: Agent::default(),
            endings: 0,
            ended_for: Ending::Ordered,
            check_by: Tick(0),
        };
        if disabled {
            state.admin = Admin::FORCED_MAINT | Admin::CONFIGURED_MAINT;
            state.operation = Operation::Stopped;
            state.health.set_down();
        }
        state
    }

    /// A check ended.
    pub fn checked(&mut self, outcome: Outcome, now_s: u64) -> CheckEffect {
        if self.admin.is_maintenance() {
            return CheckEffect::default();
        }
        let changed_status = outcome.status != self.last.status;
        self.last = outcome;
        let verdict = self.last.status.verdict();
        let failed = verdict == Verdict::Failed && self.health.value() > 0;
        let step = match verdict {
            Verdict::Failed => self.health.failed(),
            Verdict::Passed | Verdict::Conditional => self.health.passed(),
            Verdict::Unknown => Step::None,
        };
        let change = match verdict {
            Verdict::Failed if !self.health.is_up() => self.go_down(Cause::Check, now_s),
            _ if self.agent.objects() => None,
            Verdict::Passed if self.health.is_up() => self.go_up(Cause::Check, now_s),
            Verdict::Conditional if self.health.is_up() => self.go_stopping(Cause::Check, now_s),
            _ => None,
        };
        CheckEffect { reported: changed_status || step != Step::None, failed, change, ..CheckEffect::default() }
    }

    /// Whether a check that ended says what is known, so that [`ServerState::checked`] would change nothing but the
    /// time that it took.
    pub fn is_confirmed_by(&self, outcome: &Outcome) -> bool {
        let last = &self.last;
        let same = (outcome.status, outcome.code, &outcome.info) == (last.status, last.code, &last.info);
        let settled = match outcome.status.verdict() {
            Verdict::Passed => {
                self.health.is_up() && matches!(self.operation, Operation::Running | Operation::Starting)
            }
            Verdict::Failed => !self.health.is_up() && self.operation == Operation::Stopped,
            Verdict::Conditional => self.health.is_up() && self.operation == Operation::Stopping,
            Verdict::Unknown => true,
        };
        same && settled && !self.health.is_moving() && !self.admin.is_maintenance()
    }

    /// Traffic has seen too many errors in a row, which `info` tells.
    pub fn observed(&mut self, on_error: OnError, info: String, now_s: u64) -> CheckEffect {
        match on_error {
            OnError::Fastinter => return CheckEffect::default(),
            OnError::FailCheck => {}
            OnError::SuddenDeath => self.health.bring_near(1),
            OnError::MarkDown => self.health.bring_near(0),
        }
        let seen = Outcome { status: Status::Observed, code: 0, info: info.into_bytes(), duration: NO_TIME };
        self.checked(seen, now_s)
    }

    /// Ends its sessions.
    pub fn end_sessions(&mut self, why: Ending) {
        (self.endings, self.ended_for) = (self.endings.wrapping_add(1), why);
    }

    /// `set server … health up|stopping|down`.
    pub fn order_health(&mut self, operation: Operation, now_s: u64) -> Option<Change> {
        self.order_health_by(Cause::Order, operation, now_s)
    }

    /// The same by another way of the operator's.
    pub fn order_health_by(&mut self, cause: Cause, operation: Operation, now_s: u64) -> Option<Change> {
        if self.admin.is_maintenance() {
            return None;
        }
        match operation {
            Operation::Stopped => {
                self.health.set_down();
                self.go_down(cause, now_s)
            }
            Operation::Stopping => {
                self.health.set_up();
                self.go_stopping(cause, now_s)
            }
            Operation::Starting | Operation::Running => {
                self.health.set_up();
                self.go_up(cause, now_s)
            }
        }
    }

    /// `set server … state maint`, `disable server`.
    pub fn order_maintenance(&mut self, now_s: u64) -> Option<Change> {
        if self.admin.contains(Admin::FORCED_MAINT) {
            return None;
        }
        let was_maintenance = self.admin.is_maintenance();
        let quiet = self.admin.is_draining() || self.operation == Operation::Stopping;
        self.admin.remove(Admin::FORCED_DRAIN);
        self.admin.insert(Admin::FORCED_MAINT);
        if was_maintenance { None } else { Some(self.enter_maintenance(quiet, false, now_s)) }
    }

    /// `set server … state drain`.
    pub fn order_drain(&mut self, now_s: u64) -> Option<Change> {
        if self.admin.contains(Admin::FORCED_MAINT) {
            self.admin.insert(Admin::FORCED_DRAIN);
            return self.leave_maintenance(now_s);
        }
        if self.admin.contains(Admin::FORCED_DRAIN) {
            return None;
        }
        let was_draining = self.admin.is_draining();
        self.admin.insert(Admin::FORCED_DRAIN);
        if self.admin.is_maintenance() {
            return None;
        }
        if was_draining {
            return Some(Change::StillDrain { inherited: false });
        }
        self.changed_at = now_s;
        Some(Change::Drain { inherited: false, why: None })
    }

    /// `set server … state ready`.
    pub fn order_ready(&mut self, now_s: u64) -> Option<Change> {
        let was_draining = self.admin.is_draining();
        let had_order = self.admin.contains(Admin::FORCED_DRAIN);
        self.admin.remove(Admin::FORCED_DRAIN);
        if self.admin.contains(Admin::FORCED_MAINT) {
            return self.leave_maintenance(now_s);
        }
        if !was_draining || self.admin.is_maintenance() {
            return None;
        }
        if self.admin.is_draining() {
            return had_order.then_some(Change::StillDrain { inherited: true });
        }
        self.changed_at = now_s;
        Some(Change::Undrain)
    }

    /// `enable server`: ends maintenance and leaves draining alone.
    pub fn order_enable(&mut self, now_s: u64) -> Option<Change> {
        if self.admin.contains(Admin::FORCED_MAINT) { self.leave_maintenance(now_s) } else { None }
    }

    /// Whether it may be given new clients.
    pub fn is_usable(&self) -> bool {
        matches!(self.operation, Operation::Running | Operation::Starting)
            && !self.admin.is_maintenance()
            && !self.admin.is_draining()
    }

    /// Whether it may be given clients at all: those who were there before, if not new ones.
    pub fn is_up(&self) -> bool {
        self.operation != Operation::Stopped && !self.admin.is_maintenance()
    }

    /// Whether checks are to run now.
    pub fn runs_checks(&self) -> bool {
        self.is_checked && self.checks_enabled && !self.admin.is_maintenance()
    }

    /// Seconds spent down until now.
    pub fn downtime_s(&self, now_s: u64) -> u64 {
        let current = if self.operation == Operation::Stopped { now_s.saturating_sub(self.changed_at) } else { 0 };
        self.downtime + current
    }

    /// The bits of `srv_check_state` in `show servers state`; `running` says that a check is under way.
    pub fn check_bits(&self, running: bool) -> u8 {
        let enabled = self.is_checked && self.checks_enabled;
        let paused = self.checks_paused && !self.runs_checks();
        let bits = [(running, 0x01), (self.is_checked, 0x02), (enabled, 0x04), (paused, 0x08)];
        bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()
    }

    /// The word in the statistics' status column: `UP`, `UP 1/3`, `DOWN`, `NOLB`, `MAINT`, `no check`.
    pub fn status_word(&self) -> String {
        self.status_word_by(self)
    }

    /// The same of a server that tracks others: the last one of them has the checks.
    pub fn status_word_by(&self, checked: &ServerState) -> String {
        if self.admin.contains(Admin::RESOLUTION_MAINT) {
            return "MAINT (resolution)".into();
        }
        if self.admin.is_maintenance() {
            return "MAINT".into();
        }
        let has_checks = checked.is_checked && checked.checks_enabled;
        let moving = if has_checks && checked.health.is_moving() {
            let (at, of) = checked.health.progress();
            format!(" {at}/{of}")
        } else {
            String::new()
        };
        let draining = self.admin.is_draining();
        match self.operation {
            Operation::Stopped if self.agent.objects() => "DOWN (agent)".into(),
            Operation::Stopped => format!("DOWN{moving}"),
            Operation::Stopping if !draining => format!("NOLB{moving}"),
            _ if draining && self.agent.enabled => "DRAIN (agent)".into(),
            _ if draining => format!("DRAIN{moving}"),
            _ if !has_checks => "no check".into(),
            _ => format!("UP{moving}"),
        }
    }

    fn leave_maintenance(&mut self, now_s: u64) -> Option<Change> {
        self.admin.remove(Admin::FORCED_MAINT);
        Some(self.left_maintenance(false, now_s))
    }

    fn enter_maintenance(&mut self, quiet: bool, inherited: bool, now_s: u64) -> Change {
        let was_down = self.operation == Operation::Stopped;
        // Without checks nothing begins a pause, nor ends the one that `disabled` began.
        self.checks_paused |= self.is_checked && self.checks_enabled;
        self.health.set_down();
        if !was_down {
            self.set_operation(Operation::Stopped, now_s);
        }
        Change::Maintenance { was_down, quiet, inherited, why: None }
    }

    /// One kind of maintenance is over, the `inherited` one or its own.
    fn left_maintenance(&mut self, inherited: bool, now_s: u64) -> Change {
        if self.admin.is_maintenance() {
            return Change::StillMaintenance { inherited: !inherited };
        }
        if self.is_checked && self.checks_enabled {
            self.health.set_fresh();
            self.checks_paused = false;
        }
        let operation = if self.agent.objects() { Operation::Stopped } else { self.rising() };
        self.set_operation(operation, now_s);
        Change::Ready { inherited }
    }

    pub(super) fn go_down(&mut self, cause: Cause, now_s: u64) -> Option<Change> {
        if self.operation == Operation::Stopped {
            return None;
        }
        let quiet = self.admin.is_draining() || self.operation == Operation::Stopping;
        self.set_operation(Operation::Stopped, now_s);
        Some(Change::Down { cause, quiet })
    }

    pub(super) fn go_up(&mut self, cause: Cause, now_s: u64) -> Option<Change> {
        if matches!(self.operation, Operation::Running | Operation::Starting) {
            return None;
        }
        self.downtime = self.downtime_s(now_s);
        self.set_operation(self.rising(), now_s);
        Some(Change::Up { cause })
    }

    fn go_stopping(&mut self, cause: Cause, now_s: u64) -> Option<Change> {
        if self.operation == Operation::Stopping {
            return None;
        }
        self.downtime = self.downtime_s(now_s);
        self.set_operation(Operation::Stopping, now_s);
        Some(Change::Stopping { cause })
    }

    fn set_operation(&mut self, operation: Operation, now_s: u64) {
        self.operation = operation;
        self.changed_at = now_s;
    }
}

mod address;
mod slowstart;
mod track;

#[cfg(test)]
mod tests;
