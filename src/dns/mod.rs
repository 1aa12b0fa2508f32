//! Names that are asked of name servers while the program runs (manual 5.3).
//!
//! [`Engine`] is given bytes and points in time and says what is to be sent and what came of it; it opens no socket
//! and reads no clock. [`message`] makes questions and judges answers.

mod answer;
mod engine;
pub mod message;
mod name;
mod resolution;
mod tally;

pub use answer::{Answer, Report, Requester, Service, Verdict, Wanted};
pub use engine::{Engine, Outgoing};
pub use name::Name;
pub use tally::{Tallied, Tally};

#[cfg(test)]
mod tests;
