//! A server whose name leads nowhere is in maintenance until it leads somewhere again (manual 5.3).

use super::{Admin, Change, Operation, ServerState};

impl ServerState {
    /// Its name leads nowhere, from the start.
    pub fn lack_address(&mut self) {
        self.admin.insert(Admin::RESOLUTION_MAINT);
        self.operation = Operation::Stopped;
        self.health.set_down();
    }

    /// Its name leads nowhere any more, as the log is to say: `why`.
    pub fn lose_address(&mut self, why: &'static str, now_s: u64) -> Option<Change> {
        if self.lacks_address() {
            return None;
        }
        let was_maintenance = self.admin.is_maintenance();
        let quiet = self.admin.is_draining() || self.operation == Operation::Stopping;
        self.admin.insert(Admin::RESOLUTION_MAINT);
        if was_maintenance { None } else { Some(self.enter_maintenance(quiet, false, now_s).because(why)) }
    }

    /// It has an address again.
    pub fn find_address(&mut self, now_s: u64) -> Option<Change> {
        if !self.lacks_address() {
            return None;
        }
        self.admin.remove(Admin::RESOLUTION_MAINT);
        Some(match self.left_maintenance(false, now_s) {
            Change::StillMaintenance { .. } => Change::Resolves { maintained: true },
            _ => Change::Resolves { maintained: false },
        })
    }

    /// Whether its name leads nowhere.
    pub fn lacks_address(&self) -> bool {
        self.admin.contains(Admin::RESOLUTION_MAINT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_and_goes_beside_the_orders() {
        let mut state = ServerState::new(Some((2, 3)), 1, false, 100);
        let lost = state.lose_address("DNS NX status", 110);
        let why = Some("DNS NX status");
        assert_eq!(lost, Some(Change::Maintenance { was_down: false, quiet: false, inherited: false, why }));
        assert_eq!((state.lose_address("again", 111), state.status_word()), (None, "MAINT (resolution)".to_owned()));
        assert_eq!(state.find_address(120), Some(Change::Resolves { maintained: false }));
        assert_eq!((state.find_address(121), state.status_word(), state.changed_at), (None, "UP 1/3".to_owned(), 120));
        assert!(state.order_maintenance(130).is_some());
        assert_eq!((state.lose_address("x", 140), state.admin.bits()), (None, 33));
        assert_eq!(state.find_address(150), Some(Change::Resolves { maintained: true }));
        assert_eq!((state.status_word(), state.changed_at), ("MAINT".to_owned(), 130));
        state.lose_address("x", 160);
        assert_eq!(state.order_ready(170), Some(Change::StillMaintenance { inherited: true }));
        assert_eq!(state.find_address(180), Some(Change::Resolves { maintained: false }));
    }
}
