//! Hash converters: the functions that balancing uses (manual 7.3.1).

use xxhash_rust::xxh3::xxh3_64_with_seed;
use xxhash_rust::xxh32::xxh32;
use xxhash_rust::xxh64::xxh64;

use super::Converter;
use crate::balance::hash::{avalanche, crc32, crc32c, djb2, sdbm, wt6};
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

/// The hashes of xxHash, with a seed.
macro_rules! seeded {
    ($name:literal, $hash:expr) => {
        Converter::new($name, Type::Bin, Type::Int, |value, args, _| {
            let Value::Bin(bytes) = value else { return None };
            Some(Value::Int($hash(&bytes, args.int(0).unwrap_or(0))))
        })
        .args(&[Kind::Int], 0)
    };
}

pub(super) const CONVERTERS: &[Converter] = &[
    row!("crc32", crc32),
    row!("crc32c", crc32c),
    row!("djb2", djb2),
    row!("sdbm", sdbm),
    row!("wt6", wt6),
    seeded!("xxh3", |bytes: &[u8], seed| xxh3_64_with_seed(bytes, seed as u64) as i64),
    seeded!("xxh32", |bytes: &[u8], seed| i64::from(xxh32(bytes, seed as u32))),
    seeded!("xxh64", |bytes: &[u8], seed| xxh64(bytes, seed as u64) as i64),
];
