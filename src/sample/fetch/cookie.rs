//! Fetches of cookies (manual 7.3.6). Names are case-sensitive; blanks around names and values do not count.

use super::{Fetch, Sink};
use crate::http::{Head, Values};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::{EitherHead, Request, Response};
use crate::sample::value::wrapped_int;
use crate::sample::{Ctx, Type, Value};

const NAME: &[Kind] = &[Kind::Str];

macro_rules! rows {
    ($needs:expr, $side:ident, $cook:literal, $cnt:literal, $val:literal) => {
        [
            Fetch::new($cook, Type::Str, $needs, |ctx, args| $side(ctx)?.one(args).map(Value::str))
                .args(NAME, 0)
                .each(|ctx, args, sink| each($side(ctx), args, sink, Value::str)),
            Fetch::new($cnt, Type::Int, $needs, |ctx, args| {
                Some(Value::Int($side(ctx)?.matching(args).count() as i64))
            })
            .args(NAME, 0),
            Fetch::new($val, Type::Int, $needs, |ctx, args| Some(Value::Int(wrapped_int($side(ctx)?.one(args)?))))
                .args(NAME, 0)
                .each(|ctx, args, sink| each($side(ctx), args, sink, |v| Value::Int(wrapped_int(v)))),
        ]
    };
}

const REQUEST: [Fetch; 3] = rows!(Request, request, "req.cook", "req.cook_cnt", "req.cook_val");
const REQUEST_OLD: [Fetch; 3] = rows!(Request, request, "cook", "cook_cnt", "cook_val");
const RESPONSE: [Fetch; 3] = rows!(Response, response, "res.cook", "res.cook_cnt", "res.cook_val");
const RESPONSE_OLD: [Fetch; 3] = rows!(Response, response, "scook", "scook_cnt", "scook_val");

pub(super) const FETCHES: &[Fetch] = &{
    let [a, b, c] = REQUEST;
    let [d, e, f] = REQUEST_OLD;
    let [g, h, i] = RESPONSE;
    let [j, k, l] = RESPONSE_OLD;
    let cookie = Fetch::new("cookie", Type::Str, EitherHead, |ctx, args| either(ctx)?.one(args).map(Value::str));
    let cookie = cookie.args(NAME, 0).each(|ctx, args, sink| each(either(ctx), args, sink, Value::str));
    [a, b, c, d, e, f, g, h, i, j, k, l, cookie]
};

/// The cookies of a head: pairs of `Cookie` lines, or those that `Set-Cookie` lines begin with: after a pair of
/// another name there are attributes.
#[derive(Clone, Copy)]
struct Cookies<'a> {
    head: &'a Head,
    set: bool,
}

fn request<'a>(ctx: &Ctx<'a>) -> Option<Cookies<'a>> {
    ctx.request.map(|head| Cookies { head, set: false })
}

fn response<'a>(ctx: &Ctx<'a>) -> Option<Cookies<'a>> {
    ctx.response.map(|head| Cookies { head, set: true })
}

fn either<'a>(ctx: &Ctx<'a>) -> Option<Cookies<'a>> {
    response(ctx).or_else(|| request(ctx))
}

impl<'a> Cookies<'a> {
    /// The values of the cookie that the arguments name; of all without a name.
    fn matching(self, args: &'a [Arg]) -> impl Iterator<Item = &'a [u8]> {
        let name = args.text(0).unwrap_or_default();
        let field: &'static [u8] = if self.set { b"set-cookie" } else { b"cookie" };
        let fits = move |key: &[u8]| name.is_empty() || name == key;
        let pairs = move |line| {
            let pairs = Pairs { rest: line, room: name.len() + 1 };
            pairs.take_while(move |(key, _)| !self.set || fits(key)).filter(move |(key, _)| fits(key))
        };
        let lines = self.head.fields_named(field).flat_map(|field| Values::new(field.value));
        lines.flat_map(pairs).map(|(_, value)| value)
    }

    /// The last value of the named cookie; the first of all without a name.
    fn one(self, args: &'a [Arg]) -> Option<&'a [u8]> {
        let named = args.text(0).is_some_and(|name| !name.is_empty());
        let mut values = self.matching(args);
        if named { values.last() } else { values.next() }
    }
}

fn each<'a>(
    cookies: Option<Cookies<'a>>,
    args: &'a [Arg],
    sink: Sink<'_, 'a>,
    convert: fn(&'a [u8]) -> Value<'a>,
) -> bool {
    cookies.is_some_and(|cookies| cookies.matching(args).any(|value| sink(convert(value))))
}

/// Cuts a line at semicolons outside the quotes of values; pieces without `=`, and those whose name begins with `$`, are no
/// cookies (RFC 2965 3.3.4).
struct Pairs<'a> {
    rest: &'a [u8],
    /// What is no longer than the name asked for and its `=` is not looked at, and nothing after it.
    room: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.len() > self.room {
            let Some(end) = self.rest.iter().position(|c| b"=;".contains(c)) else { break };
            let (name, rest) = (self.rest[..end].trim_ascii(), &self.rest[end + 1..]);
            if self.rest[end] == b';' {
                self.rest = rest;
                continue;
            }
            let mut quoted = false;
            let end = rest.iter().position(|c| {
                quoted ^= *c == b'"';
                *c == b';' && !quoted
            });
            let value = &rest[..end.unwrap_or(rest.len())];
            self.rest = end.map_or(&[], |end| &rest[end + 1..]);
            if name.first() != Some(&b'$') {
                return Some((name, value.trim_ascii()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_cut_outside_quotes() {
        let pairs = |line: &'static str| -> Vec<String> {
            let show = |(n, v): (&[u8], &[u8])| format!("{}|{}", n.escape_ascii(), v.escape_ascii());
            Pairs { rest: line.as_bytes(), room: 0 }.map(show).collect()
        };
        assert_eq!(pairs("a=1; b = 2;c=;x;q=\"x;y\""), ["a|1", "b|2", "c|", "q|\\\"x;y\\\""]);
        assert!(pairs("").is_empty());
        assert_eq!(pairs("$Version=1; a=1; $Path=/"), ["a|1"]);
    }
}
