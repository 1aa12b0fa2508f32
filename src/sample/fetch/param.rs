//! Fetches of URL parameters (manual 7.3.6, `urlp`).

use super::{Fetch, Sink};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::Request;
use crate::sample::value::wrapped_int;
use crate::sample::{Ctx, Type, Value};

const NAME_DELIMITER: &[Kind] = &[Kind::Str, Kind::Str];

const fn row(name: &'static str) -> Fetch {
    Fetch::new(name, Type::Str, Request, |ctx, args| params(ctx, args).next().map(Value::str))
        .args(NAME_DELIMITER, 0)
        .each(|ctx, args, sink| each(ctx, args, sink, Value::str))
}

pub(super) const FETCHES: &[Fetch] = &[
    row("urlp"),
    row("url_param"),
    Fetch::new("urlp_val", Type::Int, Request, |ctx, args| {
        params(ctx, args).next().map(|value| Value::Int(wrapped_int(value)))
    })
    .args(NAME_DELIMITER, 0)
    .each(|ctx, args, sink| each(ctx, args, sink, |v| Value::Int(wrapped_int(v)))),
];

/// The values of the parameter that the arguments name, of all without a name. The list begins after the
/// first `?`, or after another delimiter, which then also separates.
fn params<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> impl Iterator<Item = &'a [u8]> {
    let url = ctx.request.map(|head| head.uri()).unwrap_or_default();
    let delimiter = args.text(1).and_then(|text| text.first()).copied().unwrap_or(b'?');
    let list = memchr::memchr(delimiter, url).and_then(|at| url.get(at + 1..)).unwrap_or_default();
    params_in(list, args, delimiter)
}

/// The same in a list that holds nothing else.
pub(super) fn params_in<'l>(list: &'l [u8], args: &'l [Arg], delimiter: u8) -> impl Iterator<Item = &'l [u8]> {
    let wanted = args.text(0).filter(|name| !name.is_empty());
    let ends = move |c: &u8| matches!(c, b'&' | b';') || *c == delimiter;
    list.split(ends).filter_map(move |pair| {
        let equal = memchr::memchr(b'=', pair)?;
        let (name, value) = (&pair[..equal], &pair[equal + 1..]);
        wanted.is_none_or(|w| w == name).then_some(value)
    })
}

fn each<'a>(ctx: &Ctx<'a>, args: &'a [Arg], sink: Sink<'_, 'a>, convert: fn(&'a [u8]) -> Value<'a>) -> bool {
    params(ctx, args).any(|value| sink(convert(value)))
}
