//! The time after a server came up in which it is spared (manual 5.2, `slowstart`): weight and limit of connections
//! grow in steps, second by second.

use super::{Cause, Change, Operation, ServerState};
use crate::balance::Weight;

impl ServerState {
    /// The state in which it comes up.
    pub(super) fn rising(&self) -> Operation {
        if self.slowstart_s > 0 { Operation::Starting } else { Operation::Running }
    }

    /// Seconds that it has been growing; `None` if it does not, or has grown enough. The clock may have been set back.
    fn growing_s(&self, now_s: u64) -> Option<u64> {
        let since = now_s.checked_sub(self.changed_at)?;
        (self.operation == Operation::Starting && since < self.slowstart_s).then_some(since)
    }

    /// Notes that it has grown enough, if it has.
    pub fn end_slowstart(&mut self, now_s: u64) -> Option<Change> {
        if self.operation != Operation::Starting || self.growing_s(now_s).is_some() {
            return None;
        }
        self.set_operation(Operation::Running, now_s);
        Some(Change::Up { cause: Cause::Grown })
    }

    /// Its weight for the algorithm; weights of static ones (not `dynamic`) do not grow.
    pub fn effective_weight(&self, dynamic: bool, now_s: u64) -> Weight {
        match self.growing_s(now_s) {
            Some(since) if dynamic => {
                let sixteenths = (u64::from(Weight::SCALE) * since + self.slowstart_s) / self.slowstart_s;
                Weight(self.weight.min(256) * sixteenths as u32)
            }
            _ => Weight::configured(self.weight),
        }
    }

    /// What is left of a limit of connections; one connection at least.
    pub fn spared(&self, limit: u32, now_s: u64) -> u32 {
        match self.growing_s(now_s) {
            Some(since) => {
                let percent = 100 * since / self.slowstart_s;
                ((u64::from(limit) * percent / 100) as u32).max(1)
            }
            None => limit,
        }
    }

    /// How much of its weight it has, in percent, while it grows (column `throttle`).
    pub fn throttle(&self, dynamic: bool, now_s: u64) -> Option<u32> {
        if self.operation != Operation::Starting || self.admin.is_draining() || self.weight == 0 {
            return None;
        }
        let weight = self.effective_weight(dynamic, now_s).0;
        Some((100 * weight).div_ceil(Weight::SCALE) / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_and_limit_grow_by_the_second() {
        let mut state = ServerState { slowstart_s: 10, ..ServerState::new(None, 20, false, 100) };
        assert_eq!(state.effective_weight(true, 100), Weight(20 * 16), "nobody waits at the start");
        state.order_health(Operation::Stopped, 100);
        state.order_health(Operation::Running, 100);
        // What HAProxy 2.6 shows as weight and throttle.
        let shown = |second| {
            (
                state.effective_weight(true, second).0.div_ceil(16),
                state.throttle(true, second),
                state.spared(50, second),
            )
        };
        assert_eq!(shown(100), (2, Some(6), 1));
        assert_eq!(shown(101), (3, Some(12), 5));
        assert_eq!(shown(104), (9, Some(43), 20));
        assert_eq!(shown(109), (19, Some(93), 45));
        assert_eq!(shown(99), (20, Some(100), 50), "the clock was set back");
        assert_eq!(state.effective_weight(false, 101), Weight(20 * 16));
        assert_eq!(state.clone().end_slowstart(109), None);
        assert_eq!(state.end_slowstart(110), Some(Change::Up { cause: Cause::Grown }));
        assert_eq!((state.operation, state.changed_at), (Operation::Running, 110));
        assert_eq!((state.throttle(true, 110), state.spared(50, 110)), (None, 50));
    }

    #[test]
    fn draining_begins_the_growth_anew() {
        let mut state = ServerState { slowstart_s: 60, ..ServerState::new(None, 20, true, 100) };
        state.order_ready(100);
        assert_eq!(state.effective_weight(true, 150), Weight(20 * 14));
        state.order_drain(150);
        assert_eq!(state.throttle(true, 150), None);
        state.order_ready(160);
        assert_eq!(state.effective_weight(true, 160), Weight(20));
    }
}
