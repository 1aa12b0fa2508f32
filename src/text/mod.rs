//! What configurations and commands are written in: lines cut into words, numbers with units, addresses,
//! regular expressions, and the findings about all of these. Knows no keyword.

pub mod address;
pub mod env;
pub mod finding;
pub mod regex;
pub mod suggest;
pub mod unit;
pub mod word;

pub use finding::{Finding, Findings, Severity};
pub use word::Word;
