//! Hashes of balancing keys (manual 4, `hash-type`).

use std::net::IpAddr;

/// `hash-type map-based` with or without its modifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashType {
    /// `avalanche`: the result is mixed once more.
    pub avalanche: bool,
}

/// The key of `balance source`: an address folded to 32 bits. The hash function that `hash-type` names has
/// no say in it, only the modifier has.
pub fn source_hash(address: IpAddr, hash_type: HashType) -> u32 {
    let folded = match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    };
    if hash_type.avalanche { avalanche(folded) } else { folded }
}

/// Bob Jenkins' full avalanche of 4 octets: each bit of the input changes half of the output. HAProxy mixes
/// the lowest two bits into the highest after it.
pub fn avalanche(mut a: u32) -> u32 {
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_sub(a << 30)
}
