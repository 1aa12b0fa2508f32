//! Converters between bytes and their written forms (manual 7.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::{Ctx, Type, Value};

const CHUNKS: &[Kind] = &[Kind::Str, Kind::Int, Kind::Int];

pub(super) const CONVERTERS: &[Converter] = &[
    Converter::new("hex", Type::Bin, Type::Str, |value, _, _| Some(Value::string(hex(bytes(&value)?)))),
    Converter::new("hex2i", Type::Str, Type::Int, hex2i),
    Converter::new("base64", Type::Bin, Type::Str, |value, _, _| {
        Some(Value::string(STANDARD.encode(bytes(&value)?).into_bytes()))
    }),
    Converter::new("b64dec", Type::Str, Type::Bin, |value, _, _| {
        STANDARD.decode(bytes(&value)?).ok().map(|b| Value::Bin(b.into()))
    }),
    Converter::new("ub64enc", Type::Bin, Type::Str, |value, _, _| {
        Some(Value::string(URL_SAFE_NO_PAD.encode(bytes(&value)?).into_bytes()))
    }),
    Converter::new("ub64dec", Type::Str, Type::Bin, |value, _, _| {
        URL_SAFE_NO_PAD.decode(bytes(&value)?).ok().map(|b| Value::Bin(b.into()))
    }),
    Converter::new("be2dec", Type::Bin, Type::Str, be2dec).args(CHUNKS, 1).check(check_be2dec),
    Converter::new("be2hex", Type::Bin, Type::Str, be2hex).args(CHUNKS, 1).check(check_be2hex),
];

fn bytes<'v>(value: &'v Value<'_>) -> Option<&'v [u8]> {
    match value {
        Value::Bin(b) | Value::Str(b) => Some(b),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |d: u8| b"0123456789ABCDEF"[usize::from(d & 15)];
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

fn hex2i<'a>(value: Value<'a>, _: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let text = std::str::from_utf8(bytes(&value)?).ok()?;
    let digits = text.bytes().all(|c| c.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| digits).map(|i| Value::Int(i as i64))
}

fn check_be2dec(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    match args.int(1) {
        Some(1..=8) => check_truncate(args),
        size => Err(format!("chunk_size out of [1..8] range ({})", size.unwrap_or(0))),
    }
}

fn check_be2hex(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let separator = args.text(0).is_some_and(|s| !s.is_empty());
    match args.int(1).unwrap_or(0) {
        size if size < 0 || (size == 0 && separator) => Err(format!("chunk_size needs to be positive ({size})")),
        _ => check_truncate(args),
    }
}

fn check_truncate(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    match args.int(2) {
        None | Some(0 | 1) => Ok(args),
        Some(other) => Err(format!("Unsupported truncate value ({other})")),
    }
}

/// Writes each chunk with `write`, the separator between them; an incomplete last chunk may be left out.
fn chunks(value: &Value<'_>, args: &[Arg], size: usize, write: fn(&[u8], &mut Vec<u8>)) -> Option<Vec<u8>> {
    let truncate = args.int(2) == Some(1);
    let separator = args.text(0).unwrap_or_default();
    let mut out = Vec::new();
    for (index, chunk) in bytes(value)?.chunks(size).enumerate() {
        if truncate && chunk.len() < size {
            break;
        }
        if index > 0 {
            out.extend_from_slice(separator);
        }
        write(chunk, &mut out);
    }
    Some(out)
}

fn be2dec<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let size = usize::try_from(args.int(1)?).ok().filter(|n| *n > 0)?;
    let write = |chunk: &[u8], out: &mut Vec<u8>| {
        let number = chunk.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    };
    chunks(&value, args, size, write).map(Value::string)
}

fn be2hex<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let size = args.int(1).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(usize::MAX);
    chunks(&value, args, size, |chunk, out| out.extend(hex(chunk))).map(Value::string)
}
