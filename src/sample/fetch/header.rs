//! Fetches of header fields (manual 7.3.6): `hdr` looks at comma-separated values, `fhdr` at whole lines.

use super::{Fetch, Sink};
use crate::http::{Head, Values, pick};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::{EitherHead, Request, Response};
use crate::sample::value::{leading_v4, wrapped_int};
use crate::sample::{Ctx, Type, Value};

const NAME: &[Kind] = &[Kind::Str];
const NAME_OCCURRENCE: &[Kind] = &[Kind::Str, Kind::Int];

/// The rows of one direction under one prefix of names.
macro_rules! rows {
    ($needs:expr, $side:ident, $hdr:literal, $cnt:literal, $ip:literal, $val:literal) => {
        [
            Fetch::new($hdr, Type::Str, $needs, |ctx, args| last_value($side(ctx)?, args).map(Value::str))
                .args(NAME_OCCURRENCE, 0)
                .each(|ctx, args, sink| each_value($side(ctx), args, sink, |v| Some(Value::str(v)))),
            Fetch::new($cnt, Type::Int, $needs, |ctx, args| Some(value_count($side(ctx)?, args))).args(NAME, 0),
            Fetch::new($ip, Type::Ipv4, $needs, |ctx, args| ip(last_value($side(ctx)?, args)?))
                .args(NAME_OCCURRENCE, 0)
                .each(|ctx, args, sink| each_value($side(ctx), args, sink, ip)),
            Fetch::new($val, Type::Int, $needs, |ctx, args| int(last_value($side(ctx)?, args)?))
                .args(NAME_OCCURRENCE, 0)
                .each(|ctx, args, sink| each_value($side(ctx), args, sink, int)),
        ]
    };
}

macro_rules! full_rows {
    ($needs:expr, $side:ident, $fhdr:literal, $cnt:literal, $names:literal, $all:literal, $bin:literal) => {
        [
            Fetch::new($fhdr, Type::Str, $needs, |ctx, args| last_line($side(ctx)?, args).map(Value::str))
                .args(NAME_OCCURRENCE, 0)
                .each(|ctx, args, sink| each_line($side(ctx), args, sink)),
            Fetch::new($cnt, Type::Int, $needs, |ctx, args| Some(line_count($side(ctx)?, args))).args(NAME, 0),
            Fetch::new($names, Type::Str, $needs, |ctx, args| Some(names($side(ctx)?, args))).args(NAME, 0),
            Fetch::new($all, Type::Bin, $needs, |ctx, _| Some(all_fields($side(ctx)?))),
            Fetch::new($bin, Type::Bin, $needs, |ctx, _| Some(binary_fields($side(ctx)?))),
        ]
    };
}

const REQUEST: [Fetch; 4] = rows!(Request, request, "req.hdr", "req.hdr_cnt", "req.hdr_ip", "req.hdr_val");
const EITHER: [Fetch; 4] = rows!(EitherHead, either, "hdr", "hdr_cnt", "hdr_ip", "hdr_val");
const RESPONSE: [Fetch; 4] = rows!(Response, response, "res.hdr", "res.hdr_cnt", "res.hdr_ip", "res.hdr_val");
const RESPONSE_OLD: [Fetch; 4] = rows!(Response, response, "shdr", "shdr_cnt", "shdr_ip", "shdr_val");
const REQUEST_FULL: [Fetch; 5] =
    full_rows!(Request, request, "req.fhdr", "req.fhdr_cnt", "req.hdr_names", "req.hdrs", "req.hdrs_bin");
const RESPONSE_FULL: [Fetch; 5] =
    full_rows!(Response, response, "res.fhdr", "res.fhdr_cnt", "res.hdr_names", "res.hdrs", "res.hdrs_bin");

pub(super) const FETCHES: &[Fetch] = &{
    let [a, b, c, d] = REQUEST;
    let [e, mut f, mut g, mut h] = EITHER;
    // Only `hdr` itself follows the direction; its companions have always meant the request.
    f.needs = Request;
    g.needs = Request;
    h.needs = Request;
    let [i, j, k, l] = RESPONSE;
    let [m, n, o, p] = RESPONSE_OLD;
    let [q, r, s, t, y] = REQUEST_FULL;
    let [u, v, w, x, z] = RESPONSE_FULL;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z]
};

fn request<'a>(ctx: &Ctx<'a>) -> Option<&'a Head> {
    ctx.request
}

fn response<'a>(ctx: &Ctx<'a>) -> Option<&'a Head> {
    ctx.response
}

fn either<'a>(ctx: &Ctx<'a>) -> Option<&'a Head> {
    ctx.response.or(ctx.request)
}

fn name(args: &[Arg]) -> Option<&[u8]> {
    args.text(0).filter(|name| !name.is_empty())
}

/// The occurrence that was asked for; without one ACLs look at all, others at the last.
fn occurrence(args: &[Arg]) -> Option<i32> {
    args.int(1).filter(|n| *n != 0).map(|n| i32::try_from(n).unwrap_or(i32::MAX))
}

/// Without parentheses there is no value; with empty ones all fields are looked at.
fn last_value<'a>(head: &'a Head, args: &'a [Arg]) -> Option<&'a [u8]> {
    args.text(0)?;
    let occurrence = occurrence(args).unwrap_or(-1);
    match name(args) {
        Some(name) => head.nth_value(name, occurrence),
        None => {
            let values: Vec<&[u8]> = head.fields().flat_map(|field| Values::new(field.value)).collect();
            pick(values.into_iter(), occurrence)
        }
    }
}

fn last_line<'a>(head: &'a Head, args: &'a [Arg]) -> Option<&'a [u8]> {
    args.text(0)?;
    let occurrence = occurrence(args).unwrap_or(-1);
    match name(args) {
        Some(name) => head.nth(name, occurrence),
        None => pick(head.fields(), occurrence).map(|field| field.value),
    }
}

fn each_value<'a>(
    head: Option<&'a Head>,
    args: &'a [Arg],
    sink: Sink<'_, 'a>,
    convert: fn(&'a [u8]) -> Option<Value<'a>>,
) -> bool {
    let (Some(head), Some(_)) = (head, args.text(0)) else { return false };
    let mut test = |value| convert(value).is_some_and(&mut *sink);
    match (name(args), occurrence(args)) {
        (Some(name), None) => head.values(name).any(test),
        (_, Some(_)) => last_value(head, args).is_some_and(test),
        (None, None) => head.fields().any(|field| Values::new(field.value).any(&mut test)),
    }
}

fn each_line<'a>(head: Option<&'a Head>, args: &'a [Arg], sink: Sink<'_, 'a>) -> bool {
    let (Some(head), Some(_)) = (head, args.text(0)) else { return false };
    match (name(args), occurrence(args)) {
        (Some(name), None) => head.fields_named(name).any(|field| sink(Value::str(field.value))),
        (_, Some(_)) => last_line(head, args).is_some_and(|line| sink(Value::str(line))),
        (None, None) => head.fields().any(|field| sink(Value::str(field.value))),
    }
}

fn value_count<'a>(head: &Head, args: &[Arg]) -> Value<'a> {
    let count = match name(args) {
        Some(name) => head.value_count(name),
        None => head.fields().map(|field| Values::new(field.value).count()).sum(),
    };
    Value::Int(count as i64)
}

fn line_count<'a>(head: &Head, args: &[Arg]) -> Value<'a> {
    let count = match name(args) {
        Some(name) => head.count(name),
        None => head.fields().count(),
    };
    Value::Int(count as i64)
}

fn names<'a>(head: &Head, args: &[Arg]) -> Value<'a> {
    let delimiter = name(args).map_or(b',', |text| text[0]);
    let mut out = Vec::new();
    for field in head.fields() {
        if !out.is_empty() {
            out.push(delimiter);
        }
        out.extend(field.name.iter().map(u8::to_ascii_lowercase));
    }
    Value::string(out)
}

/// All lines and the empty one after them, names in lower case.
fn all_fields<'a>(head: &Head) -> Value<'a> {
    let mut out = Vec::new();
    for field in head.fields() {
        out.extend(field.name.iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Value::Bin(out.into())
}

/// Names and values with their lengths before them, as SPOE has them; two empty texts end the list.
fn binary_fields<'a>(head: &Head) -> Value<'a> {
    let mut out = Vec::new();
    for field in head.fields() {
        write_length(field.name.len(), &mut out);
        out.extend(field.name.iter().map(u8::to_ascii_lowercase));
        write_length(field.value.len(), &mut out);
        out.extend_from_slice(field.value);
    }
    out.extend_from_slice(&[0, 0]);
    Value::Bin(out.into())
}

/// Four bits in the first octet of a length from 240 upward, seven in each that follows.
fn write_length(length: usize, out: &mut Vec<u8>) {
    const SHORT: usize = 240;
    const MORE: usize = 128;
    if length < SHORT {
        return out.push(length as u8);
    }
    out.push((length | SHORT) as u8);
    let mut rest = (length - SHORT) >> 4;
    while rest >= MORE {
        out.push((rest | MORE) as u8);
        rest = (rest - MORE) >> 7;
    }
    out.push(rest as u8);
}

fn int(text: &[u8]) -> Option<Value<'_>> {
    Some(Value::Int(wrapped_int(text)))
}

/// An address; a port after an IPv4 address is dropped.
fn ip(text: &[u8]) -> Option<Value<'_>> {
    if let Some((address, used)) = leading_v4(text) {
        let valid = match text.get(used..).unwrap_or_default() {
            b"" => true,
            [b':', port @ ..] => {
                port.iter().all(u8::is_ascii_digit) && std::str::from_utf8(port).ok()?.parse::<u16>().is_ok()
            }
            _ => false,
        };
        return valid.then_some(Value::Ipv4(address));
    }
    std::str::from_utf8(text).ok()?.parse().ok().map(Value::Ipv6)
}
