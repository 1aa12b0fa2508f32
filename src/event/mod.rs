//! The event loop: the only place where a worker waits.
//!
//! [`core::Core`] holds everything that events and deadlines act on, and knows no clock and no poll; so
//! simulations drive it on virtual time. [`worker`] is the loop around it.

pub mod accept;
mod ancestors;
pub mod checks;
pub mod core;
pub mod dns;
mod serve;
mod signalled;
pub mod worker;

pub use core::Core;
pub use serve::serve;
pub use worker::Clock;
