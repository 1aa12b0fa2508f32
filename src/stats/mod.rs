//! What operators count: counters, gauges and rates of every proxy, listener and server, and the forms in
//! which they are shown.

pub mod column;
pub mod count;
pub mod counters;
pub mod errors;
pub mod info;
#[cfg(test)]
mod kills;
pub mod limit;
pub mod page;
pub mod record;
pub mod row;
pub mod segment;
pub mod snapshot;
mod tips;
pub mod view;
pub mod wish;

pub use count::Count;
pub use counters::Counters;
pub use limit::Among;
pub use row::Row;
