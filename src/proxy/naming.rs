//! How the name of a server is asked for while the program runs (manual 5.3; 5.2 `resolvers` and its kin).

use std::net::IpAddr;

use super::resolvers::{Family, ResolversId};

/// What a server's line says of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// `resolvers`: who is asked.
    pub section: ResolversId,
    /// `resolve-prefer`
    pub family: Family,
    /// `resolve-net`: networks that are preferred, with the lengths of their prefixes.
    pub networks: Vec<(IpAddr, u8)>,
    /// `resolve-opts allow-dup-ip`: the address may be another server's, too.
    pub shares_address: bool,
    /// `resolve-opts ignore-weight`: weights of SRV records do not count.
    pub ignores_weight: bool,
    /// The service that it may have a part of, by its SRV records (manual 5.3.1): a name that begins with `_`.
    pub service: Option<String>,
}

impl Naming {
    /// Whether an address is in one of the preferred networks.
    #[must_use]
    pub fn prefers(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|(network, bits)| match (network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                (network.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                (network.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        })
    }
}
