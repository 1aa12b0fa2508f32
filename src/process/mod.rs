//! The life of the process: start order, privileges, listeners, signals, messages.
//!
//! `command` carries out the command line up to the configuration, `plan` takes from both what the start
//! needs, `start` does it in HAProxy's order and calls the worker.

pub mod command;
pub mod daemon;
pub mod limits;
pub mod listen;
pub mod notice;
pub mod old;
pub mod plan;
pub mod privileges;
pub mod signals;
mod start;

pub use command::{Invocation, after_config, invoke};
pub use plan::StartPlan;
pub use start::{WorkerStart, start};
