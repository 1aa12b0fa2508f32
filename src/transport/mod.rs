//! Bytes in and out of sockets: streams, connections with their buffers, and splicing.

pub mod connection;
#[cfg(test)]
pub mod sim;
pub mod splice;
pub mod stream;

pub use connection::Connection;
pub use stream::Stream;
