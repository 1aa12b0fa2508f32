//! Bytes in and out of sockets: streams, connections with their buffers, and splicing.

pub mod connection;
pub mod datagram;
pub mod net;
#[cfg(test)]
pub mod sim;
pub mod splice;
pub mod stream;

pub use connection::Connection;
pub use net::Net;
pub use stream::Stream;
