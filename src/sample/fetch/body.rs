//! Fetches of message bodies, as far as they have come (manual 7.3.6).

use super::Fetch;
use super::param::params_in;
use crate::h1::Body;
use crate::sample::arg::Kind;
use crate::sample::place::Needs::{RequestBody, Response};
use crate::sample::{Type, Value};

macro_rules! rows {
    ($needs:expr, $message:ident, $body_of:ident, $framing:ident, $body:literal, $len:literal, $size:literal) => {
        [
            Fetch::new($body, Type::Bin, $needs, |ctx, _| ctx.$message.map(|_| Value::Bin(ctx.$body_of()))),
            Fetch::new($len, Type::Int, $needs, |ctx, _| ctx.$message.map(|_| length(&ctx.$body_of()))),
            Fetch::new($size, Type::Int, $needs, |ctx, _| ctx.$message.map(|_| size(ctx.$framing, &ctx.$body_of()))),
        ]
    };
}

const REQUEST: [Fetch; 3] =
    rows!(RequestBody, request, request_body, request_framing, "req.body", "req.body_len", "req.body_size");
const RESPONSE: [Fetch; 3] =
    rows!(Response, response, response_body, response_framing, "res.body", "res.body_len", "res.body_size");

pub(super) const FETCHES: &[Fetch] = &{
    let [a, b, c] = REQUEST;
    let [d, e, f] = RESPONSE;
    let param = Fetch::new("req.body_param", Type::Bin, RequestBody, |ctx, args| {
        ctx.request?;
        params_in(&ctx.request_body(), args, b'&').next().map(|value| Value::Bin(value.to_vec().into()))
    });
    let param = param.args(&[Kind::Str], 0).each(|ctx, args, sink| {
        let body = ctx.request_body();
        ctx.request.is_some() && params_in(&body, args, b'&').any(|value| sink(Value::Bin(value.to_vec().into())))
    });
    [a, b, c, d, e, f, param]
};

fn length<'a>(body: &[u8]) -> Value<'a> {
    Value::Int(body.len() as i64)
}

/// What the message says, or what is here of one that does not say.
fn size<'a>(framing: Body, body: &[u8]) -> Value<'a> {
    match framing {
        Body::Length(length) => Value::Int(i64::try_from(length).unwrap_or(i64::MAX)),
        _ => length(body),
    }
}
