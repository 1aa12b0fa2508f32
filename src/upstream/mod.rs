//! Connections to servers: made, lent to exchanges, kept idle, and given up; and the queues for them.

pub mod pool;
pub mod queue;

pub use pool::{Peer, Upstream, Upstreams, User};
pub use queue::{Queues, Waiting};
