//! Converters that digest: SHA-1, the SHA-2 family, MD5, and the same with a key (manual 7.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac, NewMac};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::{BlockInput, Digest, FixedOutput, Reset, Update};
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512Trunc224, Sha512Trunc256};

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::{Ctx, Type, Value, Variable};

pub(super) const CONVERTERS: &[Converter] = &[
    Converter::new("sha1", Type::Bin, Type::Bin, |value, _, _| digest(value, b"sha1")),
    Converter::new("sha2", Type::Bin, Type::Bin, |value, args, _| digest(value, args.text(0)?))
        .args(&[Kind::Int], 0)
        .check(check_bits),
    Converter::new("digest", Type::Bin, Type::Bin, |value, args, _| digest(value, args.text(0)?))
        .args(&[Kind::Str], 1)
        .check(check_algorithm),
    Converter::new("hmac", Type::Bin, Type::Bin, keyed).args(&[Kind::Str, Kind::Str], 2).check(check_key),
];

/// What one algorithm makes of a text, and of a key and a text.
struct Algorithm {
    name: &'static str,
    plain: fn(&[u8]) -> Vec<u8>,
    keyed: fn(&[u8], &[u8]) -> Option<Vec<u8>>,
}

const fn algorithm<D>(name: &'static str) -> Algorithm
where
    D: Digest + Update + BlockInput + FixedOutput + Reset + Default + Clone,
{
    Algorithm {
        name,
        plain: |text| <D as Digest>::digest(text).to_vec(),
        keyed: |key, text| {
            let mut mac = Hmac::<D>::new_varkey(key).ok()?;
            mac.update(text);
            Some(mac.finalize().into_bytes().to_vec())
        },
    }
}

/// Those of OpenSSL's names that are built.
static ALGORITHMS: [Algorithm; 8] = [
    algorithm::<Md5>("md5"),
    algorithm::<Sha1>("sha1"),
    algorithm::<Sha224>("sha224"),
    algorithm::<Sha256>("sha256"),
    algorithm::<Sha384>("sha384"),
    algorithm::<Sha512>("sha512"),
    algorithm::<Sha512Trunc224>("sha512-224"),
    algorithm::<Sha512Trunc256>("sha512-256"),
];

/// Others that OpenSSL has.
const LATER: [&str; 14] = [
    "blake2b512",
    "blake2s256",
    "md4",
    "md5-sha1",
    "mdc2",
    "ripemd160",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "shake128",
    "shake256",
    "sm3",
    "whirlpool",
];

fn find(name: &[u8]) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name.as_bytes().eq_ignore_ascii_case(name))
}

fn digest<'a>(value: Value<'_>, name: &[u8]) -> Option<Value<'a>> {
    let Value::Bin(bytes) = value else { return None };
    Some(Value::Bin((find(name)?.plain)(&bytes).into()))
}

fn check_bits(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let name: &[u8] = match args.int(0).unwrap_or(256) {
        224 => b"sha224",
        256 => b"sha256",
        384 => b"sha384",
        512 => b"sha512",
        other => return Err(format!("Unsupported number of bits: '{other}'")),
    };
    Ok(vec![Arg::Str(name.into())])
}

fn check_algorithm(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let name = args.text(0).unwrap_or_default();
    if find(name).is_some() {
        return Ok(args);
    }
    let text = String::from_utf8_lossy(name);
    if LATER.iter().any(|later| later.eq_ignore_ascii_case(&text)) {
        return Err(format!("algorithm '{text}' is not supported by this build of epoxy yet"));
    }
    Err("algorithm must be a valid OpenSSL message digest name.".to_owned())
}

/// The key is base64, or in a variable, which is base64, too.
fn check_key(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let mut args = check_algorithm(args)?;
    let key = args.text(1).unwrap_or_default();
    let key = match Variable::parse(&String::from_utf8_lossy(key)) {
        Ok(variable) => Arg::Var(variable),
        Err(_) => Arg::Str(STANDARD.decode(key).map(Into::into).map_err(|_| {
            "failed to parse key : argument needs to be base64 encoded, and can either be a string or a variable"
                .to_owned()
        })?),
    };
    args.truncate(1);
    args.push(key);
    Ok(args)
}

fn keyed<'a>(value: Value<'a>, args: &'a [Arg], ctx: &Ctx<'a>) -> Option<Value<'a>> {
    let Value::Bin(bytes) = value else { return None };
    let algorithm = find(args.text(0)?)?;
    let made = match args.variable(1) {
        Some(variable) => (algorithm.keyed)(&STANDARD.decode(variable.get(ctx)?.into_text()).ok()?, &bytes),
        None => (algorithm.keyed)(args.text(1)?, &bytes),
    };
    made.map(|made| Value::Bin(made.into()))
}
