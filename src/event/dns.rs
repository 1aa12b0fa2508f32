//! Carries what the engine of names says: its messages to name servers, its reports to whoever asked.

use super::core::Core;
use crate::dns::{Report, Requester};

impl Core {
    /// Lets the engine do what is due, and hands out what it says.
    pub fn resolve_names(&mut self) {
        let now = self.services.now.tick();
        let names = &mut self.services.names;
        if now >= names.deadline() {
            names.expire(now);
        }
        while let Some(report) = self.services.names.report() {
            self.resolved(&report);
        }
    }

    /// Somebody's question has been answered, or will not be.
    fn resolved(&mut self, report: &Report) {
        match report.who {
            Requester::Server(_) | Requester::Service(_) => self.services.named(report),
            Requester::Session(token) => self.session_resolved(token, report),
        }
    }
}
