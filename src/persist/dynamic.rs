//! Values of servers that have none written: made of their address and a secret (manual 4.2,
//! `dynamic-cookie-key`), the same on every proxy that has the same secret.

use std::net::{IpAddr, SocketAddr};

use xxhash_rust::xxh64::xxh64;

/// The value of the server at this address.
pub fn value(key: &[u8], address: SocketAddr) -> String {
    let mut text = key.to_vec();
    match address.ip() {
        IpAddr::V4(ip) => text.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => text.extend_from_slice(&ip.octets()),
    }
    text.extend_from_slice(&u32::from(address.port()).to_ne_bytes());
    format!("{:016x}", xxh64(&text, 0))
}
