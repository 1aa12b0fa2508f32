//! Converters of text (manual 7.3.1).

use std::borrow::Cow;

use super::Converter;
use crate::http::uri;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::value::leading_int;
use crate::sample::{Ctx, Type, Value};

const CHARS: &[Kind] = &[Kind::Str];
const FIELD: &[Kind] = &[Kind::Int, Kind::Str, Kind::Int];
const THREE: &[Kind] = &[Kind::Str, Kind::Str, Kind::Str];

const fn row(name: &'static str, apply: super::Apply) -> Converter {
    Converter::new(name, Type::Str, Type::Str, apply)
}

pub(super) const CONVERTERS: &[Converter] = &[
    row("lower", |value, _, _| map_bytes(value, |bytes| bytes.make_ascii_lowercase())),
    row("upper", |value, _, _| map_bytes(value, |bytes| bytes.make_ascii_uppercase())),
    Converter::new("length", Type::Str, Type::Int, |value, _, _| Some(Value::Int(text(&value)?.len() as i64))),
    Converter::new("bytes", Type::Bin, Type::Bin, bytes).args(&[Kind::Int, Kind::Int], 1),
    row("field", field).args(FIELD, 2).check(check_index),
    row("word", word).args(FIELD, 2).check(check_index),
    row("ltrim", ltrim).args(CHARS, 1),
    row("rtrim", rtrim).args(CHARS, 1),
    row("cut_crlf", |value, _, _| cut(value, |t| 0..t.iter().position(|c| b"\r\n".contains(c)).unwrap_or(t.len()))),
    row("add_item", add_item).args(THREE, 2).check(check_add_item),
    row("concat", concat).args(THREE, 1).check(check_concat),
    row("regsub", regsub).args(&[Kind::Regex, Kind::Str, Kind::Str], 2).check(check_regsub),
    row("host_only", host_only),
    Converter::new("port_only", Type::Str, Type::Int, port_only),
    row("url_dec", url_dec).args(&[Kind::Int], 0),
    row("url_enc", url_enc).args(CHARS, 1).check(check_url_enc),
    row("language", language).args(&[Kind::Str, Kind::Str], 1),
];

fn text<'v>(value: &'v Value<'_>) -> Option<&'v [u8]> {
    match value {
        Value::Str(text) | Value::Bin(text) => Some(text),
        _ => None,
    }
}

fn map_bytes<'a>(value: Value<'a>, change: fn(&mut [u8])) -> Option<Value<'a>> {
    let mut owned = value.into_text().into_owned();
    change(&mut owned);
    Some(Value::string(owned))
}

/// Keeps the range that `range` chooses, without copying borrowed text.
fn cut<'a>(value: Value<'a>, range: impl Fn(&[u8]) -> std::ops::Range<usize>) -> Option<Value<'a>> {
    let is_binary = matches!(value, Value::Bin(_));
    let (Value::Str(text) | Value::Bin(text)) = value else { return None };
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(range(text)).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(range(&text)).unwrap_or_default().to_vec()),
    };
    Some(if is_binary { Value::Bin(text) } else { Value::Str(text) })
}

fn bytes<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let start = usize::try_from(args.int(0)?).unwrap_or(usize::MAX);
    let length = args.int(1).map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
    cut(value, |text| start.min(text.len())..start.saturating_add(length).min(text.len()))
}

fn check_index(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    if args.int(0) == Some(0) {
        return Err("Unexpected value 0 for index".to_owned());
    }
    if args.text(1).is_none_or(<[u8]>::is_empty) {
        return Err("Empty separators list".to_owned());
    }
    Ok(args)
}

/// `count` pieces from the `index`th: what `field` and `word` choose among their pieces. Each piece is given
/// as its range; a count of 0 takes all that remain in the direction of the index.
fn choose(pieces: &[(usize, usize)], index: i64, count: i64, len: usize) -> Option<std::ops::Range<usize>> {
    let count = usize::try_from(count).ok()?;
    if index > 0 {
        let first = usize::try_from(index - 1).ok()?;
        let start = pieces.get(first)?.0;
        let last = if count == 0 { None } else { pieces.get(first.saturating_add(count - 1)) };
        return Some(start..last.map_or(len, |piece| piece.1));
    }
    let last = pieces.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?;
    let end = pieces.get(last)?.1;
    let first = if count == 0 { 0 } else { last.saturating_sub(count - 1) };
    let start = if count == 0 || last + 1 < count { 0 } else { pieces.get(first)?.0 };
    Some(start..end)
}

fn pieces(text: &[u8], delimiters: &[u8]) -> Vec<(usize, usize)> {
    let mut start = 0;
    let split = text.split(|c| delimiters.contains(c));
    split
        .map(|piece| {
            let range = (start, start + piece.len());
            start = range.1 + 1;
            range
        })
        .collect()
}

/// Fields may be empty. One that does not exist is an empty text.
fn field<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let (index, delimiters, count) = (args.int(0)?, args.text(1)?, args.int(2).unwrap_or(1));
    cut(value, |text| choose(&pieces(text, delimiters), index, count, text.len()).unwrap_or(0..0))
}

/// Words are fields that are not empty.
fn word<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let (index, delimiters, count) = (args.int(0)?, args.text(1)?, args.int(2).unwrap_or(1));
    cut(value, |text| {
        let mut words = pieces(text, delimiters);
        words.retain(|(start, end)| start < end);
        choose(&words, index, count, text.len()).unwrap_or(0..0)
    })
}

fn ltrim<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let chars = args.text(0)?;
    cut(value, |t| t.iter().position(|c| !chars.contains(c)).unwrap_or(t.len())..t.len())
}

fn rtrim<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let chars = args.text(0)?;
    cut(value, |t| 0..t.iter().rposition(|c| !chars.contains(c)).map_or(0, |last| last + 1))
}

/// The second argument names a variable.
fn check_concat(mut args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let name = args.text(1).unwrap_or_default();
    if !name.is_empty() {
        args[1] = Arg::Var(super::variable::registered(name)?);
    }
    Ok(args)
}

/// The variable of a `concat` or an `add_item`, and the text after it.
fn addition<'a>(args: &'a [Arg], ctx: &Ctx<'a>) -> (Option<Cow<'static, [u8]>>, &'a [u8]) {
    let variable = args.variable(1).and_then(|variable| variable.get(ctx)).map(Value::into_text);
    (variable, args.text(2).unwrap_or_default())
}

fn concat<'a>(value: Value<'a>, args: &'a [Arg], ctx: &Ctx<'a>) -> Option<Value<'a>> {
    let (variable, end) = addition(args, ctx);
    let mut out = value.into_text().into_owned();
    out.extend_from_slice(args.text(0).unwrap_or_default());
    out.extend_from_slice(&variable.unwrap_or_default());
    out.extend_from_slice(end);
    Some(Value::string(out))
}

fn check_add_item(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let args = check_concat(args)?;
    let empty = |index: usize| args.text(index).is_none_or(<[u8]>::is_empty);
    if args.variable(1).is_none() && empty(2) {
        return Err("one of the optional arguments has to be nonempty".to_owned());
    }
    Ok(args)
}

/// The delimiter stands only between two texts that are not empty.
fn add_item<'a>(value: Value<'a>, args: &'a [Arg], ctx: &Ctx<'a>) -> Option<Value<'a>> {
    let (variable, suffix) = addition(args, ctx);
    let variable = variable.unwrap_or_default();
    let mut out = value.into_text().into_owned();
    if !(out.is_empty() || variable.is_empty() && suffix.is_empty()) {
        out.extend_from_slice(args.text(0).unwrap_or_default());
    }
    out.extend_from_slice(&variable);
    out.extend_from_slice(suffix);
    Some(Value::string(out))
}

fn check_regsub(mut args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let flags = args.text(2).unwrap_or_default();
    if let Some(flag) = flags.iter().find(|c| !b"gi".contains(c)) {
        return Err(format!("invalid regex flag '{}', only 'i' and 'g' are supported", char::from(*flag)));
    }
    if flags.contains(&b'i')
        && let Some(Arg::Regex(regex)) = args.first()
    {
        args[0] = Arg::Regex(crate::text::regex::compile(regex.as_str(), true)?);
    }
    Ok(args)
}

fn regsub<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let Some(Arg::Regex(regex)) = args.first() else { return None };
    let all = args.text(2).is_some_and(|flags| flags.contains(&b'g'));
    let text = value.into_text();
    let out = crate::text::regex::replace(regex, &text, args.text(1)?, if all { usize::MAX } else { 1 });
    Some(Value::string(out))
}

fn host_only<'a>(value: Value<'a>, _: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let (host, _) = uri::split_port(&text);
    let host = host.strip_suffix(b":").unwrap_or(host);
    Some(Value::string(host.to_ascii_lowercase()))
}

fn port_only<'a>(value: Value<'a>, _: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let (_, port) = uri::split_port(&text);
    Some(Value::Int(port.map_or(0, leading_int)))
}

fn hex_digit(byte: Option<&u8>) -> Option<u8> {
    byte.and_then(|c| char::from(*c).to_digit(16)).map(|d| d as u8)
}

/// `+` is a blank after the first question mark, or everywhere with an argument other than 0. A percent sign
/// without two digits is an error.
fn url_dec<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let text = value.into_text();
    let mut in_query = args.int(0).unwrap_or(0) != 0;
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'%' => {
                let (high, low) = (hex_digit(text.get(at))?, hex_digit(text.get(at + 1))?);
                out.push(high << 4 | low);
                at += 2;
            }
            b'+' if in_query => out.push(b' '),
            other => {
                in_query |= other == b'?';
                out.push(other);
            }
        }
    }
    Some(Value::string(out))
}

fn check_url_enc(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    match args.text(0) {
        None | Some(b"" | b"query") => Ok(args),
        Some(_) => Err("Unexpected encode type. Allowed value is 'query'".to_owned()),
    }
}

fn url_enc<'a>(value: Value<'a>, _: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let mut out = Vec::new();
    for &byte in value.into_text().iter() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |d: u8| b"0123456789ABCDEF"[usize::from(d & 15)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
        }
    }
    Some(Value::string(out))
}

/// The best of the given languages by the q-factors of an Accept-Language value.
fn language<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let (list, text) = (args.text(0)?, value.into_text());
    let mut best: Option<(i64, &'a [u8])> = None;
    for offer in text.split(|c| *c == b',') {
        let mut parts = offer.split(|c| *c == b';').map(<[u8]>::trim_ascii);
        let tag = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix(b"q=")).map_or(1000, thousandths);
        let base = tag.split(|c| *c == b'-').next().unwrap_or_default();
        let known = |wanted: &[u8]| list.split(|c| *c == b';').find(|name| *name == wanted);
        if let Some(name) = known(tag).or_else(|| known(base))
            && quality > best.map_or(0, |(q, _)| q)
        {
            best = Some((quality, name));
        }
    }
    best.map(|(_, name)| name).or_else(|| args.text(1)).map(Value::str)
}

/// A q-factor in thousandths.
fn thousandths(text: &[u8]) -> i64 {
    let (whole, part) = match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let mut digits = part.iter().take_while(|c| c.is_ascii_digit()).take(3).map(|c| i64::from(c - b'0'));
    let part: i64 = [100, 10, 1].iter().map(|weight| weight * digits.next().unwrap_or(0)).sum();
    leading_int(whole).clamp(0, 1) * 1000 + part
}
