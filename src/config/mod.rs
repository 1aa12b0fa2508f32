//! From configuration files to findings and typed settings (configuration manual, chapters 2 to 5
//! and 11): text is cut into words, rows of the registry parse them into a draft, and resolving the
//! draft gives what `proxy/` describes.

pub mod address;
pub mod condition;
pub mod env;
pub mod finding;
pub mod unit;
pub mod word;

pub use finding::{Finding, Findings, Severity};
pub use word::Word;
