//! Converters of dates (manual 7.3.1).

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::fetch::check_unit;
use crate::sample::{Ctx, Type, Value};

pub(super) const CONVERTERS: &[Converter] =
    &[Converter::new("http_date", Type::Int, Type::Str, http_date).args(&[Kind::Int, Kind::Str], 0).check(check_unit)];

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
