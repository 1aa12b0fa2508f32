//! A service that is reloaded, killed and resized under load, again and again: no connection is refused, nothing
//! is lost that did not depend on a killed process, and the statistics agree with the clients to the last request.
//!
//!     cargo test --test endurance
//!
//! The tests take turns: each one measures what clients see, and the machine should be theirs.

mod checks;
mod fleet;
mod idle;
mod kills;
mod limits;
#[path = "../reload/load.rs"]
mod load;
mod reloads;
#[path = "../support/mod.rs"]
mod support;
mod wrk;

use support::service::turn;
