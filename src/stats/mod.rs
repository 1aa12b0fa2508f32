//! What operators count: counters, gauges and rates of every proxy, listener and server.

pub mod counters;
pub mod errors;

pub use counters::{Count, Counters, Row};
