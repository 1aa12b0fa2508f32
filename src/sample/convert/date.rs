//! Converters of dates (manual 7.3.1).

use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::fetch::check_unit;
use crate::sample::{Ctx, Type, Value};
use crate::time::zone::zone;

pub(super) const CONVERTERS: &[Converter] = &[
    Converter::new("http_date", Type::Int, Type::Str, http_date).args(&[Kind::Int, Kind::Str], 0).check(check_unit),
    Converter::new("ltime", Type::Int, Type::Str, |value, args, _| formatted(value, args, zone()))
        .args(FORMAT, 1)
        .check(check_zone),
    Converter::new("utime", Type::Int, Type::Str, |value, args, _| formatted(value, args, &TimeZone::UTC))
        .args(FORMAT, 1)
        .check(check_greenwich),
];

/// strftime(3) calls the zone of gmtime(3) by its old name.
fn check_greenwich(mut args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let format = String::from_utf8_lossy(args.text(0).unwrap_or_default()).into_owned();
    let parts: Vec<String> = format.split("%%").map(|part| part.replace("%Z", "GMT")).collect();
    if let Some(first) = args.first_mut() {
        *first = Arg::Str(parts.join("%%").into_bytes().into());
    }
    Ok(args)
}

/// Reads the zone with the configuration, because its file may be out of reach later.
fn check_zone(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    zone();
    Ok(args)
}

const FORMAT: &[Kind] = &[Kind::Str, Kind::Int];

/// A date as strftime(3) writes it.
fn formatted<'a>(value: Value<'_>, args: &[Arg], zone: &TimeZone) -> Option<Value<'a>> {
    let Value::Int(date) = value else { return None };
    let date = date.saturating_add(args.int(1).unwrap_or(0));
    let format = std::str::from_utf8(args.text(0)?).ok()?;
    let time = jiff::Timestamp::from_second(date).ok()?.to_zoned(zone.clone());
    let config = strtime::Config::new().lenient(true);
    let mut out = String::new();
    strtime::BrokenDownTime::from(&time).format_with_config(&config, format, &mut out).ok()?;
    Some(Value::string(out.into_bytes()))
}

/// `Wed, 01 Jan 2020 00:00:00 GMT`; with a finer unit the fraction follows the seconds after a dot, without
/// leading zeros.
fn http_date<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let Value::Int(date) = value else { return None };
    let date = date.saturating_add(args.int(0).unwrap_or(0));
    let per_second = match args.text(1) {
        Some(b"us") => 1_000_000,
        Some(b"ms") => 1000,
        _ => 1,
    };
    let time = jiff::Timestamp::from_second(date.div_euclid(per_second)).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    let fraction = match per_second {
        1 => String::new(),
        _ => format!(".{}", date.rem_euclid(per_second)),
    };
    let text = format!("{}{fraction} GMT", time.strftime("%a, %d %b %Y %H:%M:%S"));
    Some(Value::string(text.into_bytes()))
}
