//! The life of the process: start order, privileges, listeners, signals, messages.
//!
//! `command` carries out the command line up to the configuration, `plan` takes from both what the start
//! needs, `start` does it in HAProxy's order and calls the worker.

mod capability;
mod command;
mod daemon;
mod limits;
mod listen;
pub mod master;
mod old;
pub mod plan;
mod privileges;
mod pull;
pub mod sandbox;
mod signals;
pub mod spawner;
mod start;
pub mod supervisor;
mod takeover;

use std::os::fd::OwnedFd;

use crate::notice;
pub use command::{Invocation, after_config, invoke};
pub use limits::Limits;
pub use listen::Listener;
pub use plan::{ListenOwner, StartPlan};
pub use signals::{Request, Signals, stop_now};
pub use start::{WorkerStart, start};
pub use supervisor::Ties;

/// The start ends here, and the operator has been told why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop;

/// The memory that the workers of an old service share, as far as it can be had: what an earlier master has left,
/// or from behind the socket of `-x`, then from each of the old pids. A trial leaves it alone.
pub fn old_segments(plan: &StartPlan) -> impl Iterator<Item = OwnedFd> {
    let left = plan.inherited.filter(|inherited| !inherited.trial);
    let left = left.and_then(|inherited| Some(inherited.copies().ok()?.segment?.0));
    let others = plan.inherited.is_none().then(|| {
        let asked = plan.sockets_from.as_deref().and_then(takeover::segment);
        asked.into_iter().chain(pull::segments(&plan.old_pids))
    });
    left.into_iter().chain(others.into_iter().flatten())
}
