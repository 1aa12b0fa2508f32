//! Fetches of what a client says about itself to be let in (manual 7.3.6; RFC 7617, RFC 6750).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Fetch;
use crate::http::Known;
use crate::proxy::userlist::{User, Userlist};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::Request;
use crate::sample::{Ctx, Type, Value};

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("http_auth", Type::Bool, Request, |ctx, args| {
        basic(ctx)?;
        Some(Value::Bool(entered(ctx, args).is_some()))
    })
    .args(&[Kind::Userlist], 1),
    Fetch::new("http_auth_group", Type::Str, Request, |ctx, args| {
        Some(Value::str(entered(ctx, args)?.name.as_bytes()))
    })
    .args(&[Kind::Userlist], 1)
    // An access list asks which groups the user belongs to.
    .each(|ctx, args, sink| {
        entered(ctx, args).is_some_and(|user| user.groups.iter().any(|group| sink(Value::str(group.as_bytes()))))
    }),
    Fetch::new("http_auth_user", Type::Str, Request, |ctx, _| Some(Value::string(basic(ctx)?.0))),
    Fetch::new("http_auth_pass", Type::Str, Request, |ctx, _| Some(Value::string(basic(ctx)?.1))),
    Fetch::new("http_auth_type", Type::Str, Request, |ctx, _| {
        let bearer = scheme(authorization(ctx)?)?.0.eq_ignore_ascii_case(b"bearer");
        if bearer { Some(Value::str(b"Bearer")) } else { basic(ctx).map(|_| Value::str(b"Basic")) }
    }),
    Fetch::new("http_auth_bearer", Type::Str, Request, |ctx, args| {
        let value = match args.text(0) {
            Some(name) if !name.is_empty() => ctx.request?.get(name)?,
            _ => authorization(ctx)?,
        };
        let (scheme, token) = scheme(value)?;
        scheme.eq_ignore_ascii_case(b"bearer").then(|| Value::str(token))
    })
    .args(&[Kind::Str], 0),
];

/// The user of the list that the request comes from.
fn entered<'a>(ctx: &Ctx<'a>, args: &[Arg]) -> Option<&'a User> {
    let list: &'a Userlist = ctx.config.userlists.get(args.userlist(0)? as usize)?;
    let (user, password) = basic(ctx)?;
    list.enter(&user, &password)
}

/// The line that names the client: a forward proxy is told by another one than a server.
fn authorization<'a>(ctx: &Ctx<'a>) -> Option<&'a [u8]> {
    let header = if ctx.asks_a_proxy() { Known::ProxyAuthorization } else { Known::Authorization };
    ctx.request?.get_known(header)
}

/// Scheme and what follows it.
fn scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', value)?;
    Some((&value[..space], value[space..].trim_ascii()))
}

/// User and password of the basic scheme.
fn basic(ctx: &Ctx<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, coded) = scheme(authorization(ctx)?)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let text = STANDARD.decode(coded).ok()?;
    let colon = memchr::memchr(b':', &text)?;
    Some((text[..colon].to_vec(), text[colon + 1..].to_vec()))
}
