//! A server without checks of its own that follows another one (manual 5.2, `track`): maintenance and draining
//! are inherited beside its own orders, up and down are taken over.

use super::{Admin, Cause, Change, Operation, ServerState};

impl ServerState {
    /// Takes one step towards the state of the server that it tracks; `None` when there is no more to do. Entering
    /// maintenance comes first and leaving it last, as by one order of the operator's.
    pub fn follow(&mut self, tracked: &ServerState, now_s: u64) -> Option<Option<Change>> {
        let (had_maintenance, had_drain) =
            (self.admin.contains(Admin::INHERITED_MAINT), self.admin.contains(Admin::INHERITED_DRAIN));
        let (maintenance, drain) = (tracked.admin.is_maintenance(), tracked.admin.is_draining());
        if maintenance && !had_maintenance {
            return Some(self.inherit_maintenance(now_s));
        }
        if drain != had_drain {
            return Some(self.inherit_drain(drain, now_s));
        }
        if had_maintenance && !maintenance {
            self.admin.remove(Admin::INHERITED_MAINT);
            let change = self.left_maintenance(true, now_s);
            self.stay_down(tracked);
            return Some(Some(change));
        }
        if self.admin.is_maintenance() {
            return None;
        }
        let change = match tracked.operation {
            Operation::Stopped => self.go_down(Cause::Tracked, now_s),
            Operation::Stopping => self.go_stopping(Cause::Tracked, now_s),
            Operation::Starting | Operation::Running => self.go_up(Cause::Tracked, now_s),
        };
        change.map(Some)
    }

    /// Who leaves maintenance is not up while the server that it tracks is down.
    pub fn stay_down(&mut self, tracked: &ServerState) {
        if tracked.operation == Operation::Stopped {
            self.operation = Operation::Stopped;
        }
    }

    fn inherit_maintenance(&mut self, now_s: u64) -> Option<Change> {
        let was_maintenance = self.admin.is_maintenance();
        let quiet = self.admin.is_draining() || self.operation == Operation::Stopping;
        self.admin.insert(Admin::INHERITED_MAINT);
        if was_maintenance { None } else { Some(self.enter_maintenance(quiet, true, now_s)) }
    }

    fn inherit_drain(&mut self, drain: bool, now_s: u64) -> Option<Change> {
        let was_draining = self.admin.is_draining();
        self.admin.set(Admin::INHERITED_DRAIN, drain);
        if self.admin.is_maintenance() {
            return None;
        }
        if self.admin.contains(Admin::FORCED_DRAIN) {
            return Some(Change::StillDrain { inherited: false });
        }
        if was_draining != self.admin.is_draining() {
            self.changed_at = now_s;
        }
        Some(if drain { Change::Drain { inherited: true, why: None } } else { Change::Undrain })
    }
}
