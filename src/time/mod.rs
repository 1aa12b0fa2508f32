//! Time as the worker knows it: milliseconds on one monotonic clock, handed to everything that waits.
//!
//! Nothing here reads a clock; the loop does, once a turn, and passes the value down.

pub mod wheel;

pub use wheel::Wheel;
