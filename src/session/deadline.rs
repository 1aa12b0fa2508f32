//! Deadlines of sessions: what a phase asked for becomes a timer, armed as seldom as possible.

use super::{Services, Session};
use crate::time::Tick;

/// Makes sure that a timer comes out at `deadline` or before. A timer that comes early finds that there
/// is nothing to do yet and is armed again, so that moving a deadline into the future costs nothing.
pub fn arm(session: &mut Session, services: &mut Services, deadline: Tick) {
    if deadline < session.armed {
        session.armed = deadline;
        services.timers.insert(deadline.0, session.token);
    }
}
