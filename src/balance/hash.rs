//! Hashes of balancing keys (manual 4, `hash-type`); converters of the same names use them, too.

use std::net::IpAddr;

use crate::proxy::{HashFunction, HashType};

/// The hash of a key.
pub fn key_hash(key: &[u8], hash_type: HashType) -> u32 {
    let hash = match hash_type.function {
        HashFunction::Sdbm => sdbm(key),
        HashFunction::Djb2 => djb2(key),
        HashFunction::Wt6 => wt6(key),
        HashFunction::Crc32 => crc32(key),
    };
    if hash_type.avalanche { avalanche(hash) } else { hash }
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

/// The hash of the SDBM database library.
pub fn sdbm(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| hash.wrapping_mul(65599).wrapping_add(u32::from(*byte));
    bytes.iter().fold(0, step)
}

/// D. J. Bernstein's string hash.
pub fn djb2(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}

/// HAProxy's own: two words take in each octet and change sides, turned by as much as they themselves say.
pub fn wt6(bytes: &[u8]) -> u32 {
    let (mut left, mut right) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut left_turn, mut right_turn) = (6, 18);
    for &byte in bytes {
        let taken = (!(left ^ u32::from(byte)), !right.wrapping_add(u32::from(byte)));
        (left, right) = (taken.1.rotate_left(left_turn), taken.0.rotate_left(right_turn));
        let turns = ((left >> 16) ^ right) & 0xffff;
        (left_turn, right_turn) = (turns & 31, turns >> 11);
    }
    left ^ right
}

/// The CRC of Ethernet, gzip and PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    reflected_crc(bytes, 0xedb8_8320)
}

/// The CRC of iSCSI.
pub fn crc32c(bytes: &[u8]) -> u32 {
    reflected_crc(bytes, 0x82f6_3b78)
}

fn reflected_crc(bytes: &[u8], polynomial: u32) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { polynomial } else { 0 })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures recorded from HAProxy's converters.
    #[test]
    fn hashes_are_haproxys() {
        assert_eq!(crc32(b"abc"), 891_568_578);
        assert_eq!(avalanche(crc32(b"abc")), 930_845_320);
        assert_eq!(crc32c(b"abc"), 910_901_175);
        assert_eq!(djb2(b"abc"), 193_485_963);
        assert_eq!(sdbm(b"abc"), 807_794_786);
        assert_eq!(avalanche(sdbm(b"h/")), 1_983_837_113);
        assert_eq!(avalanche(sdbm(b"h")), 1_228_821_030);
    }
}
