//! Samples: the typed values that ACLs, rules and log formats take from an exchange.

pub mod ctx;
pub mod facts;

pub use ctx::{Client, Ctx};
pub use facts::Facts;
