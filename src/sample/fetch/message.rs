//! Fetches of start lines: method, URL and its parts, version, status (manual 7.3.6).

use std::net::{IpAddr, Ipv4Addr};

use super::Fetch;
use crate::balance::hash::{avalanche, sdbm};
use crate::http::{Head, Method, uri};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::{Request, RequestKept, Response, ResponseKept};
use crate::sample::value::{leading_int, leading_v4};
use crate::sample::{Ctx, Type, Value};

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("base", Type::Str, Request, base),
    Fetch::new("base32", Type::Int, Request, |ctx, _| Some(hash(&host_and(ctx.request?, false)))),
    Fetch::new("base32+src", Type::Bin, Request, |ctx, _| with_source(ctx, false)),
    Fetch::new("baseq", Type::Str, Request, baseq),
    Fetch::new("capture.req.hdr", Type::Str, RequestKept, |ctx, args| slot(&ctx.facts.request_captures, args))
        .args(&[Kind::Int], 1),
    Fetch::new("capture.req.method", Type::Str, RequestKept, |ctx, _| kept(ctx, 0)),
    Fetch::new("capture.req.uri", Type::Str, RequestKept, |ctx, _| kept(ctx, 1)),
    Fetch::new("capture.req.ver", Type::Str, RequestKept, |ctx, _| {
        Some(Value::str(ctx.kept_request?.version().text()))
    }),
    Fetch::new("capture.res.hdr", Type::Str, ResponseKept, |ctx, args| slot(&ctx.facts.response_captures, args))
        .args(&[Kind::Int], 1),
    Fetch::new("capture.res.ver", Type::Str, RequestKept, |ctx, _| Some(Value::str(ctx.response?.version().text()))),
    Fetch::new("method", Type::Method, RequestKept, |ctx, _| method(ctx).map(|token| Value::Method(token.into()))),
    Fetch::new("path", Type::Str, Request, |ctx, _| some(ctx.request?.path())),
    Fetch::new("pathq", Type::Str, Request, |ctx, _| some(uri::path_and_query(ctx.request?.uri()))),
    Fetch::new("query", Type::Str, Request, query),
    Fetch::new("req.proto_http", Type::Bool, RequestKept, |ctx, _| is_http(ctx)),
    Fetch::new("req_proto_http", Type::Bool, RequestKept, |ctx, _| is_http(ctx)),
    Fetch::new("req.ver", Type::Str, Request, |ctx, _| version(ctx.request?)),
    Fetch::new("req_ver", Type::Str, Request, |ctx, _| version(ctx.request?)),
    Fetch::new("res.ver", Type::Str, Response, |ctx, _| version(ctx.response?)),
    Fetch::new("resp_ver", Type::Str, Response, |ctx, _| version(ctx.response?)),
    Fetch::new("status", Type::Int, ResponseKept, |ctx, _| Some(Value::Int(i64::from(ctx.response?.status())))),
    Fetch::new("url", Type::Str, Request, |ctx, _| Some(Value::str(ctx.request?.uri()))),
    Fetch::new("url32", Type::Int, Request, |ctx, _| Some(hash(&host_and(ctx.request?, true)))),
    Fetch::new("url32+src", Type::Bin, Request, |ctx, _| with_source(ctx, true)),
    Fetch::new("url_ip", Type::Ipv4, Request, url_ip),
    Fetch::new("url_port", Type::Int, Request, url_port),
];

fn some(text: &[u8]) -> Option<Value<'_>> {
    if text.is_empty() { None } else { Some(Value::str(text)) }
}

/// Whether there is a request; not known while its head may yet come.
fn is_http<'a>(ctx: &Ctx<'a>) -> Option<Value<'a>> {
    let awaited = ctx.inspection.is_some_and(|inspection| inspection.awaits_head);
    (!awaited).then_some(Value::Bool(ctx.request.is_some()))
}

fn version(head: &Head) -> Option<Value<'_>> {
    head.version_received().strip_prefix(b"HTTP/").map(Value::str)
}

/// The method as it came if it is a usual one, whatever rules made of it; another one as it is now.
fn method<'a>(ctx: &Ctx<'a>) -> Option<&'a [u8]> {
    let now = ctx.kept_request?.method_token();
    let line = &ctx.facts.request_line;
    let received = line.iter().position(|c| *c == b' ').map_or(&b""[..], |end| &line[..end]);
    Some(if received.is_empty() || Method::classify(received) == Method::Other { now } else { received })
}

/// A word of the request line as it was received.
fn kept<'a>(ctx: &Ctx<'a>, word: usize) -> Option<Value<'a>> {
    let (start, end) = ctx.facts.uri;
    let line = &ctx.facts.request_line;
    let text = match word {
        0 => line.get(..line.iter().position(|c| *c == b' ')?),
        _ => line.get(start..end).map(uri::path_and_query),
    };
    text.filter(|text| !text.is_empty()).map(Value::str)
}

/// What a `capture … header` line kept, by its number.
fn slot<'a>(kept: &'a [Vec<u8>], args: &[Arg]) -> Option<Value<'a>> {
    let index = usize::try_from(args.int(0)?).ok()?;
    some(kept.get(index)?)
}

fn query<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    let both = uri::path_and_query(ctx.request?.uri());
    let mark = memchr::memchr(b'?', both)?;
    both.get(mark + 1..).map(Value::str)
}

/// The host and the path, up to the query or with it.
fn host_and(head: &Head, with_query: bool) -> Vec<u8> {
    let mut text = head.get(b"host").unwrap_or_default().to_vec();
    text.extend_from_slice(if with_query { uri::path_and_query(head.uri()) } else { head.path() });
    text
}

fn base<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    Some(Value::string(host_and(ctx.request?, false)))
}

fn baseq<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    Some(Value::string(host_and(ctx.request?, true)))
}

fn hash(text: &[u8]) -> Value<'static> {
    Value::Int(i64::from(avalanche(sdbm(text))))
}

/// The hash in network order, then the client's address.
fn with_source<'a>(ctx: &Ctx<'a>, with_query: bool) -> Option<Value<'a>> {
    let source = ctx.client.source?.ip();
    let mut key = avalanche(sdbm(&host_and(ctx.request?, with_query))).to_be_bytes().to_vec();
    match source {
        IpAddr::V4(address) => key.extend(address.octets()),
        IpAddr::V6(address) => key.extend(address.octets()),
    }
    Some(Value::Bin(key.into()))
}

fn url_ip<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    url_address(ctx.request?.uri()).map(|(address, _)| Value::Ipv4(address))
}

fn url_port<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    url_address(ctx.request?.uri()).map(|(_, port)| Value::Int(port))
}

/// The IPv4 address and the port of an absolute target; hosts that have names have neither.
fn url_address(url: &[u8]) -> Option<(Ipv4Addr, i64)> {
    let usual = match uri::scheme(url)? {
        scheme if scheme.eq_ignore_ascii_case(b"http") => 80,
        scheme if scheme.eq_ignore_ascii_case(b"https") => 443,
        _ => return None,
    };
    let (host, port) = uri::host_and_port(uri::authority(url)?);
    let (address, used) = leading_v4(host)?;
    (used == host.len()).then(|| (address, port.map_or(usual, leading_int)))
}
