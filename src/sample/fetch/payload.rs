//! Fetches of raw octets: lengths, pieces, RDP cookies, TLS hellos (manual 7.3.5). They find nothing in HTTP mode,
//! but for the length. What more octets may change is noted, so that content rules wait for them.

use std::task::Poll;

use super::Fetch;
use crate::balance::key;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::hello::{self, Extensions, extension};
use crate::sample::place::Needs::{EitherBuffer, RequestBuffer, ResponseBuffer};
use crate::sample::value::leading_int;
use crate::sample::{Ctx, Type, Value};

const PIECE: &[Kind] = &[Kind::Int, Kind::Int];
const COUNTED: &[Kind] = &[Kind::Int, Kind::Int, Kind::Str];
const NAME: &[Kind] = &[Kind::Str];

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("payload", Type::Bin, EitherBuffer, |ctx, args| piece(ctx, either(ctx)?, args)).args(PIECE, 2),
    Fetch::new("payload_lv", Type::Bin, EitherBuffer, |ctx, args| counted(ctx, either(ctx)?, args))
        .args(COUNTED, 2)
        .check(offsets),
    Fetch::new("rdp_cookie", Type::Str, RequestBuffer, rdp_cookie).args(NAME, 0),
    Fetch::new("rdp_cookie_cnt", Type::Int, RequestBuffer, rdp_cookies).args(NAME, 0),
    Fetch::new("rep_ssl_hello_type", Type::Int, ResponseBuffer, |ctx, _| hello_type(ctx, response(ctx)?)),
    Fetch::new("req.len", Type::Int, RequestBuffer, request_length),
    Fetch::new("req.payload", Type::Bin, RequestBuffer, |ctx, args| piece(ctx, request(ctx)?, args)).args(PIECE, 2),
    Fetch::new("req.payload_lv", Type::Bin, RequestBuffer, |ctx, args| counted(ctx, request(ctx)?, args))
        .args(COUNTED, 2)
        .check(offsets),
    Fetch::new("req.rdp_cookie", Type::Str, RequestBuffer, rdp_cookie).args(NAME, 0),
    Fetch::new("req.rdp_cookie_cnt", Type::Int, RequestBuffer, rdp_cookies).args(NAME, 0),
    Fetch::new("req.ssl_alpn", Type::Str, RequestBuffer, |ctx, _| extensions(ctx)?.protocol().map(Value::str)),
    Fetch::new("req.ssl_ec_ext", Type::Bool, RequestBuffer, |ctx, _| {
        extensions(ctx)?.get(extension::GROUPS).map(|_| Value::Bool(true))
    }),
    Fetch::new("req.ssl_hello_type", Type::Int, RequestBuffer, |ctx, _| hello_type(ctx, request(ctx)?)),
    Fetch::new("req.ssl_sni", Type::Str, RequestBuffer, |ctx, _| extensions(ctx)?.server_name().map(Value::str)),
    Fetch::new("req.ssl_st_ext", Type::Int, RequestBuffer, ticket),
    Fetch::new("req.ssl_ver", Type::Int, RequestBuffer, version),
    Fetch::new("req_len", Type::Int, RequestBuffer, request_length),
    Fetch::new("req_ssl_hello_type", Type::Int, RequestBuffer, |ctx, _| hello_type(ctx, request(ctx)?)),
    Fetch::new("req_ssl_sni", Type::Str, RequestBuffer, |ctx, _| extensions(ctx)?.server_name().map(Value::str)),
    Fetch::new("req_ssl_ver", Type::Int, RequestBuffer, version),
    Fetch::new("res.len", Type::Int, ResponseBuffer, response_length),
    Fetch::new("res.payload", Type::Bin, ResponseBuffer, |ctx, args| piece(ctx, response(ctx)?, args)).args(PIECE, 2),
    Fetch::new("res.payload_lv", Type::Bin, ResponseBuffer, |ctx, args| counted(ctx, response(ctx)?, args))
        .args(COUNTED, 2)
        .check(offsets),
    Fetch::new("res.ssl_hello_type", Type::Int, ResponseBuffer, |ctx, _| hello_type(ctx, response(ctx)?)),
];

fn request<'a>(ctx: &Ctx<'a>) -> Option<&'a [u8]> {
    ctx.is_raw().then_some(ctx.request_bytes)
}

fn response<'a>(ctx: &Ctx<'a>) -> Option<&'a [u8]> {
    ctx.is_raw().then_some(ctx.response_bytes)
}

/// The response where there is one, or else the request.
fn either<'a>(ctx: &Ctx<'a>) -> Option<&'a [u8]> {
    if ctx.facts.connected.is_some() { response(ctx) } else { request(ctx) }
}

/// In HTTP mode the head counts as logs count it, and the octets of the body that came with it.
fn request_length<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    length(ctx, ctx.request.filter(|_| !ctx.is_raw()).map_or(0, |head| head.counted_bytes()), ctx.request_bytes)
}

fn response_length<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    length(ctx, ctx.response.filter(|_| !ctx.is_raw()).map_or(0, |head| head.counted_bytes()), ctx.response_bytes)
}

fn length<'a>(ctx: &Ctx<'a>, head: u64, bytes: &[u8]) -> Option<Value<'a>> {
    ctx.may_change();
    i64::try_from(head + bytes.len() as u64).ok().map(Value::Int)
}

/// What is there, or a note that it may come.
fn settled<T>(ctx: &Ctx<'_>, outcome: Poll<Option<T>>) -> Option<T> {
    match outcome {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => {
            ctx.may_change();
            None
        }
    }
}

/// `length` octets from `offset` on; what no buffer can hold is not waited for.
fn part<'a>(ctx: &Ctx<'_>, bytes: &'a [u8], offset: i64, length: i64) -> Option<&'a [u8]> {
    let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
    let end = offset.checked_add(length).filter(|end| *end <= ctx.config.global.tune.bufsize)?;
    settled(ctx, bytes.get(offset..end).map_or(Poll::Pending, |part| Poll::Ready(Some(part))))
}

fn piece<'a>(ctx: &Ctx<'a>, bytes: &'a [u8], args: &[Arg]) -> Option<Value<'a>> {
    let (offset, length) = (args.int(0)?, args.int(1)?);
    let part = part(ctx, bytes, offset, length)?;
    if length == 0 {
        // All that follows, which may grow.
        ctx.may_change();
        return usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).map(binary);
    }
    Some(binary(part))
}

fn binary(bytes: &[u8]) -> Value<'_> {
    Value::Bin(bytes.into())
}

/// Octets whose number stands before them, the highest digit first.
fn counted<'a>(ctx: &Ctx<'a>, bytes: &'a [u8], args: &[Arg]) -> Option<Value<'a>> {
    let (at, digits) = (args.int(0)?, args.int(1)?);
    let length = part(ctx, bytes, at, digits)?;
    let length = length.iter().fold(0_i64, |sum, digit| sum.wrapping_shl(8) | i64::from(*digit));
    let behind = at.checked_add(digits)?;
    let start = match (args.int(2), args.int(3)) {
        (None, _) => behind,
        (Some(offset), Some(_)) => behind.checked_add(offset)?,
        (Some(offset), None) => offset,
    };
    if length == 0 {
        return None;
    }
    part(ctx, bytes, start, length).map(binary)
}

/// Makes numbers of the arguments of `payload_lv`; a fourth one says that the third is counted from the length's end.
fn offsets(mut args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    if args.int(1) == Some(0) {
        return Err("payload length must be > 0".to_owned());
    }
    let Some(text) = args.text(2).filter(|text| !text.is_empty()) else {
        args.truncate(2);
        return Ok(args);
    };
    let text = text.to_vec();
    let (is_relative, digits) = match text.split_first() {
        Some((b'+' | b'-', digits)) => (true, digits),
        _ => (false, &text[..]),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("payload offset2 is not a number".to_owned());
    }
    let offset = leading_int(&text);
    args.truncate(2);
    if is_relative {
        let behind = args.int(0).unwrap_or_default().saturating_add(args.int(1).unwrap_or_default());
        if behind.saturating_add(offset) < 0 {
            return Err("payload offset2 too negative".to_owned());
        }
        args.extend([Arg::Int(offset), Arg::Int(1)]);
    } else {
        args.push(Arg::Int(offset));
    }
    Ok(args)
}

fn cookie<'a>(ctx: &Ctx<'a>, args: &[Arg]) -> Option<&'a [u8]> {
    settled(ctx, key::rdp_cookie(request(ctx)?, args.text(0).unwrap_or_default()))
}

fn rdp_cookie<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    cookie(ctx, args).map(Value::str)
}

fn rdp_cookies<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    match key::rdp_cookie(request(ctx)?, args.text(0).unwrap_or_default()) {
        Poll::Ready(cookie) => Some(Value::Int(i64::from(cookie.is_some()))),
        Poll::Pending => settled(ctx, Poll::Pending),
    }
}

fn hello_type<'a>(ctx: &Ctx<'a>, bytes: &[u8]) -> Option<Value<'a>> {
    settled(ctx, hello::hello_type(bytes)).map(|kind| Value::Int(i64::from(kind)))
}

fn version<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    let room = ctx.config.global.tune.received_bytes_max();
    settled(ctx, hello::client_version(request(ctx)?, room)).map(|version| Value::Int(i64::from(version)))
}

fn extensions<'a>(ctx: &Ctx<'a>) -> Option<Extensions<'a>> {
    settled(ctx, hello::extensions(request(ctx)?))
}

/// 2 for a ticket, 1 for an offer to take one, 0 for neither.
fn ticket<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    let ticket = extensions(ctx)?.get(extension::TICKET);
    Some(Value::Int(ticket.map_or(0, |ticket| if ticket.is_empty() { 1 } else { 2 })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_absolute_or_count_from_the_length() {
        let args = |third: &str| offsets(vec![Arg::Int(1), Arg::Int(2), Arg::Str(third.as_bytes().into())]);
        let numbers = |args: Vec<Arg>| [args.int(2), args.int(3)];
        assert_eq!(args("").map(numbers), Ok([None, None]));
        assert_eq!(args("7").map(numbers), Ok([Some(7), None]));
        assert_eq!(args("+7").map(numbers), Ok([Some(7), Some(1)]));
        assert_eq!(args("-3").map(numbers), Ok([Some(-3), Some(1)]));
        assert_eq!(args("-4").map(numbers), Err("payload offset2 too negative".to_owned()));
        assert_eq!(args("x").map(numbers), Err("payload offset2 is not a number".to_owned()));
    }
}
