//! Hash converters; balancing uses the same functions (manual 7.3.1 and `hash-type`).

use super::Converter;
use crate::balance::hash::avalanche;
use crate::sample::arg::{Args, Kind};
use crate::sample::{Type, Value};

macro_rules! row {
    ($name:literal, $hash:expr) => {
        Converter::new($name, Type::Bin, Type::Int, |value, args, _| {
            let Value::Bin(bytes) = value else { return None };
            let hash: u32 = $hash(&bytes);
            let mixed = if args.int(0) == Some(1) { avalanche(hash) } else { hash };
            Some(Value::Int(i64::from(mixed)))
        })
        .args(&[Kind::Int], 0)
    };
}

pub(super) const CONVERTERS: &[Converter] = &[
    row!("crc32", crc32),
    row!("crc32c", |bytes: &[u8]| reflected_crc(bytes, 0x82f6_3b78)),
    row!("djb2", djb2),
    row!("sdbm", |bytes: &[u8]| sdbm(bytes, false)),
];

/// The hash of the SDBM database library, mixed where asked.
pub fn sdbm(bytes: &[u8], mix: bool) -> u32 {
    let step = |hash: u32, byte: &u8| hash.wrapping_mul(65599).wrapping_add(u32::from(*byte));
    let hash = bytes.iter().fold(0, step);
    if mix { avalanche(hash) } else { hash }
}

/// D. J. Bernstein's string hash.
pub fn djb2(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}

/// The CRC of Ethernet, gzip and PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    reflected_crc(bytes, 0xedb8_8320)
}

fn reflected_crc(bytes: &[u8], polynomial: u32) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { polynomial } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_haproxys() {
        assert_eq!(crc32(b"abc"), 891_568_578);
        assert_eq!(avalanche(crc32(b"abc")), 930_845_320);
        assert_eq!(reflected_crc(b"abc", 0x82f6_3b78), 910_901_175);
        assert_eq!(djb2(b"abc"), 193_485_963);
        assert_eq!(sdbm(b"abc", false), 807_794_786);
        assert_eq!(sdbm(b"h/", true), 1_983_837_113);
        assert_eq!(sdbm(b"h", true), 1_228_821_030);
    }
}
