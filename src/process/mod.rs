//! The life of the process: start order, privileges, listeners, signals, messages.

pub mod notice;
