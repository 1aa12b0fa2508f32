//! What follows from what traffic shows of servers (manual 5.2 `observe`) and from their going down and coming up
//! (`on-marked-down`, `on-marked-up`).

use std::sync::atomic::Ordering::Relaxed;

use super::{Services, Turn};
use crate::check::ServerState;
use crate::check::server::{Change, Ending};
use crate::facts::Cause;
use crate::proxy::{Observe, Seen, ServerId};
use crate::stats::Count;

/// What a change of a server asks of this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The server's sessions are to end.
    End(ServerId, Ending),
    /// It has come, and may have checks.
    Added(ServerId),
    /// It has gone, and its checks end.
    Removed(ServerId),
    /// Its next check is to come early, if this worker runs the checks.
    Check(ServerId),
}

impl Ending {
    /// What the log tells of sessions that end so.
    pub fn cause(self) -> Cause {
        match self {
            Ending::Ordered => Cause::Killed,
            Ending::Down => Cause::Down,
            Ending::Up => Cause::Up,
        }
    }
}

impl Turn<'_> {
    /// Tells the exchange's server what was seen of it.
    #[inline]
    pub fn observe(&mut self, seen: Seen) {
        let Some(server) = self.exchange.server else { return };
        if let Some(observe) = self.services.config[server].observe {
            self.services.observed(server, observe, seen);
        }
    }
}

impl Services {
    /// Counts what was seen; too many errors in a row have their consequence.
    fn observed(&mut self, id: ServerId, observe: Observe, seen: Seen) {
        let errors = self.boards.errors_in_a_row(id);
        match observe.judges(seen) {
            None => return,
            Some(false) if errors.load(Relaxed) == 0 => return,
            Some(false) => return errors.store(0, Relaxed),
            Some(true) => {}
        }
        let limit = observe.error_limit.get();
        let more = |count| Some(if count + 1 >= limit { 0 } else { count + 1 });
        let count = errors.fetch_update(Relaxed, Relaxed, more).map_or(0, |count| count + 1);
        if count < limit || self.servers[id.0 as usize].admin.is_maintenance() {
            return;
        }
        self.counters.server(id).add(Count::ObservedFailures, 1);
        let info = format!("Detected {count} consecutive errors, last one was: {}", seen.words());
        let fastinter = self.config[id].check.as_ref().and_then(|check| check.fastinter);
        let check_by = fastinter.map(|pause| self.now.tick() + pause);
        self.change_server(id, |state, now_s| {
            state.check_by = check_by.unwrap_or(state.check_by);
            state.observed(observe.on_error, info, now_s)
        });
    }

    /// Notes what is to be done after a change of a server that was `before`; says whether there is anything.
    pub(super) fn react(&mut self, id: ServerId, before: &ServerState) -> bool {
        let state = &self.servers[id.0 as usize];
        let (ends, hastens) = (state.endings != before.endings, state.check_by != before.check_by);
        let ended_for = state.ended_for;
        self.reactions.extend(ends.then_some(Reaction::End(id, ended_for)));
        self.reactions.extend(hastens.then_some(Reaction::Check(id)));
        ends || hastens
    }

    /// Backups are no longer needed once a server is back that says so.
    pub(super) fn relieve_backups(&mut self, id: ServerId, change: Change) {
        let server = &self.config[id];
        let state = &self.servers[id.0 as usize];
        if !server.ends_backup_sessions_when_up || server.backup || !change.is_up() || state.weight == 0 {
            return;
        }
        let config = self.config;
        for (backup, _) in config.servers_of(server.backend).filter(|(_, server)| server.backup) {
            self.end_sessions(backup, Ending::Up);
        }
    }
}
