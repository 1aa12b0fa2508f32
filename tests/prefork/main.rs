//! Several workers under a supervisor: who serves, who takes the place of the dead, and what signals do.
//!
//!     cargo test --test prefork
//!
//! The tests take turns: each one measures what clients see, and the machine should be theirs.

mod added;
mod crew;
mod deaths;
mod limits;
#[path = "../reload/load.rs"]
#[allow(dead_code)]
mod load;
mod locks;
mod lookups;
mod naming;
mod places;
mod programs;
mod reloads;
mod servers;
#[path = "../reload/service.rs"]
#[allow(dead_code)]
mod service;
mod sessions;
mod signals;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod view;

use support::service::turn;
