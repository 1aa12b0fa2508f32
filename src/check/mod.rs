//! Health checks: when they run, what they say and hear, and what their results make of a server
//! (manual 5.2 `check`; 4.2 `option httpchk`, `http-check`).
//!
//! Everything here is given time and bytes. [`probe::Probe`] is one check under way, [`server::ServerState`]
//! one server's state with its health and what the operator ordered, [`agent`] what a server's agent adds,
//! [`notice`] the words for what changes, [`board`] the state where all workers see it, [`place`] where it
//! is reached, [`names`] who takes which address of a name, [`carry`] what a new configuration makes of it, [`saved`]
//! what a file does.

pub mod agent;
pub mod amount;
pub mod board;
pub mod carry;
pub mod expect;
pub mod external;
pub mod health;
pub mod http;
pub mod names;
pub mod notice;
pub mod place;
pub mod probe;
pub mod progress;
pub mod protocol;
pub mod result;
pub mod saved;
pub mod schedule;
pub mod server;

pub use health::Health;
pub use notice::{Notice, Tally};
pub use place::Place;
pub use probe::{Next, Probe};
pub use progress::Progress;
pub use result::{Outcome, Status, Verdict};
pub use server::{Admin, Change, Operation, ServerState};
