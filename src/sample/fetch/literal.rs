//! Fetches that give what the configuration says: literals, the environment, the date (manual 7.3.2).

use std::hash::{BuildHasher, RandomState};

use super::Fetch;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::Nothing;
use crate::sample::{Ctx, Type, Value};
use crate::text::regex::hex_bytes;

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("always_true", Type::Bool, Nothing, |_, _| Some(Value::Bool(true))),
    Fetch::new("always_false", Type::Bool, Nothing, |_, _| Some(Value::Bool(false))),
    Fetch::new("bin", Type::Bin, Nothing, bin).args(&[Kind::Str], 1).check(check_bin),
    Fetch::new("bool", Type::Bool, Nothing, boolean).args(&[Kind::Str], 1).check(check_bool),
    Fetch::new("date", Type::Int, Nothing, date).args(&[Kind::Int, Kind::Str], 0).check(check_unit),
    Fetch::new("date_us", Type::Int, Nothing, |ctx, _| Some(Value::Int((ctx.now.wall_us % 1_000_000) as i64))),
    Fetch::new("env", Type::Str, Nothing, env).args(&[Kind::Str], 1).check(check_env),
    Fetch::new("hostname", Type::Str, Nothing, text).check(check_hostname),
    Fetch::new("int", Type::Int, Nothing, |_, args| args.int(0).map(Value::Int)).args(&[Kind::Int], 1),
    Fetch::new("ipv4", Type::Ipv4, Nothing, address).args(&[Kind::Ipv4], 1),
    Fetch::new("ipv6", Type::Ipv6, Nothing, address).args(&[Kind::Ipv6], 1),
    Fetch::new("meth", Type::Method, Nothing, method).args(&[Kind::Str], 1),
    Fetch::new("rand", Type::Int, Nothing, rand).args(&[Kind::Int], 0),
    Fetch::new("uuid", Type::Str, Nothing, |ctx, _| Some(Value::string(uuid(ctx))))
        .args(&[Kind::Int], 0)
        .check(check_uuid),
    Fetch::new("str", Type::Str, Nothing, text).args(&[Kind::Str], 1),
];

fn text<'a>(_: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    args.text(0).map(Value::str)
}

fn bin<'a>(_: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    args.text(0).map(|bytes| Value::Bin(bytes.into()))
}

fn check_bin(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let digits = args.text(0).unwrap_or_default();
    if digits.is_empty() {
        return Err("an even number of hex digit is expected".to_owned());
    }
    let bytes = hex_bytes(digits)?;
    Ok(vec![Arg::Str(bytes.into())])
}

fn boolean<'a>(_: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    args.int(0).map(|i| Value::Bool(i != 0))
}

fn check_bool(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let text = args.text(0).unwrap_or_default().to_ascii_lowercase();
    let value = match &text[..] {
        b"true" | b"1" => 1,
        b"false" | b"0" => 0,
        _ => return Err("Expects 'true', 'false', '0' or '1'".to_owned()),
    };
    Ok(vec![Arg::Int(value)])
}

fn address<'a>(_: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    match args.first() {
        Some(Arg::Ipv4(a)) => Some(Value::Ipv4(*a)),
        Some(Arg::Ipv6(a)) => Some(Value::Ipv6(*a)),
        _ => None,
    }
}

fn method<'a>(_: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    args.text(0).map(|token| Value::Method(token.into()))
}

/// The environment does not change while the proxy runs, so it is read with the configuration.
fn check_env(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let name = String::from_utf8_lossy(args.text(0).unwrap_or_default()).into_owned();
    // `var_os` refuses names that cannot exist; they have no value either.
    let valid = !name.is_empty() && !name.contains(['=', '\0']);
    let value = if valid { std::env::var_os(name) } else { None };
    Ok(value.map(|v| Arg::Str(v.into_encoded_bytes().into())).into_iter().collect())
}

fn env<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    text(ctx, args)
}

fn check_hostname(mut args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let name = nix::unistd::gethostname().map_err(|e| e.to_string())?;
    args.push(Arg::Str(name.into_encoded_bytes().into()));
    Ok(args)
}

/// Accepts the units that `date` and the converters of dates know.
pub(crate) fn check_unit(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    match args.text(1) {
        None | Some(b"s" | b"ms" | b"us") => Ok(args),
        Some(other) => Err(format!("expects 's', 'ms' or 'us', got '{}'", String::from_utf8_lossy(other))),
    }
}

fn date<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    let us = ctx.now.wall_us;
    let now = match args.text(1) {
        Some(b"us") => us,
        Some(b"ms") => us / 1000,
        _ => us / 1_000_000,
    };
    Some(Value::Int((now as i64).saturating_add(args.int(0).unwrap_or(0))))
}

/// Each `RandomState` hashes with keys of its own: random enough to sample requests, and free of state. All workers of
/// a supervisor begin with the same keys, as they were forked from it; so who asks, and when, counts as well.
fn random(ctx: &Ctx<'_>) -> u64 {
    RandomState::new().hash_one((ctx.counters.slot().0, ctx.now.mono_us))
}

fn rand<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    let range = args.int(0).map_or(1 << 32, |range| u64::from(range as u32));
    Some(Value::Int(((u64::from(random(ctx) as u32) * range) >> 32) as i64))
}

fn check_uuid(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    match args.int(0) {
        None | Some(4) => Ok(args),
        Some(other) => Err(format!("Unsupported UUID version: '{other}'")),
    }
}

/// A random UUID (RFC 9562 5.4).
fn uuid(ctx: &Ctx<'_>) -> Vec<u8> {
    let (high, low) = (random(ctx), random(ctx));
    let (version, variant) = (0x4000 | high & 0xfff, 0x8000 | low >> 48 & 0x3fff);
    let (first, second, last) = (high >> 32, high >> 16 & 0xffff, low & 0xffff_ffff_ffff);
    format!("{first:08x}-{second:04x}-{version:04x}-{variant:04x}-{last:012x}").into_bytes()
}
