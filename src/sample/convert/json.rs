//! `json`: text as it may stand within the quotes of a JSON string (manual 7.3.1; RFC 8259 7, RFC 3629).

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::{Ctx, Type, Value};

pub(super) const CONVERTERS: &[Converter] =
    &[Converter::new("json", Type::Str, Type::Str, escape).args(&[Kind::Str], 1).check(check)];

/// How the input is read: each octet a character, or UTF-8.
#[derive(Clone, Copy, Debug, Default)]
struct Code {
    utf8: bool,
    /// `s`: what is wrong is left out; without it nothing is given at all.
    silent: bool,
    /// `p`: more octets than a character needs are no mistake.
    permissive: bool,
}

impl Code {
    fn named(name: &[u8]) -> Option<Code> {
        let (silent, permissive) = match name {
            b"" | b"ascii" => return Some(Code::default()),
            b"utf8" => (false, false),
            b"utf8s" => (true, false),
            b"utf8p" => (false, true),
            b"utf8ps" => (true, true),
            _ => return None,
        };
        Some(Code { utf8: true, silent, permissive })
    }

    /// The first character, if it is one that JSON can have in four digits, and the octets that it takes.
    fn next(self, text: &[u8]) -> (Option<u32>, usize) {
        let lead = text[0];
        if !self.utf8 || lead < 0x80 {
            return (Some(u32::from(lead)), 1);
        }
        // Up to six octets, as UTF-8 was made before RFC 3629.
        let length = lead.leading_ones() as usize;
        if !(2..=6).contains(&length) {
            return (None, 1);
        }
        let mut point = u32::from(lead) & (0x7f >> length);
        for at in 1..length {
            match text.get(at) {
                Some(octet) if octet & 0xc0 == 0x80 => point = point << 6 | u32::from(octet & 0x3f),
                _ => return (None, at),
            }
        }
        let needed = [0x80, 0x800, 0x1_0000, 0x20_0000, 0x400_0000];
        let overlong = point < needed[length - 2];
        let prohibited = matches!(point, 0xd800..=0xdfff | 0xfffe..);
        ((!prohibited && (self.permissive || !overlong)).then_some(point), length)
    }
}

fn check(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    match Code::named(args.text(0).unwrap_or_default()) {
        Some(_) => Ok(args),
        None => {
            Err("Unexpected input code type. Allowed value are 'ascii', 'utf8', 'utf8s', 'utf8p' and 'utf8ps'"
                .to_owned())
        }
    }
}

fn escape<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let code = Code::named(args.text(0).unwrap_or_default())?;
    escaped(code, &value.into_text()).map(Value::string)
}

/// Nothing where something is wrong and the code does not leave it out.
fn escaped(code: Code, text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (point, used) = code.next(rest);
        rest = &rest[used..];
        match point {
            Some(point) => write(point, &mut out),
            None if code.silent => {}
            None => return None,
        }
    }
    Some(out)
}

fn write(point: u32, out: &mut Vec<u8>) {
    let short = match point {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x22 | 0x2f | 0x5c => point as u8,
        0x20..=0x7e => return out.push(point as u8),
        _ => {
            out.extend_from_slice(b"\\u");
            let digit = |shift: u32| b"0123456789abcdef"[(point >> shift & 15) as usize];
            return out.extend([digit(12), digit(8), digit(4), digit(0)]);
        }
    };
    out.extend([b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &[u8], text: &[u8]) -> Option<String> {
        String::from_utf8(escaped(Code::named(code)?, text)?).ok()
    }

    #[test]
    fn characters_are_read_as_haproxy_reads_them() {
        let some = |text: &str| Some(text.to_owned());
        for (text, ascii, utf8, silent, permissive) in [
            (
                &b"a\"/\\\x08\x0b\x7f\0"[..],
                r#"a\"\/\\\b\u000b\u007f\u0000"#,
                some(r#"a\"\/\\\b\u000b\u007f\u0000"#),
                r#"a\"\/\\\b\u000b\u007f\u0000"#,
                some(r#"a\"\/\\\b\u000b\u007f\u0000"#),
            ),
            (b"\xc3\xa9", r"\u00c3\u00a9", some(r"\u00e9"), r"\u00e9", some(r"\u00e9")),
            (b"\xe2\x82x", r"\u00e2\u0082x", None, "x", None),
            (b"\xe2\x82\xc3\xa9", r"\u00e2\u0082\u00c3\u00a9", None, r"\u00e9", None),
            (b"a\x80b\xff", r"a\u0080b\u00ff", None, "ab", None),
            (b"\xe0\x80\xaf", r"\u00e0\u0080\u00af", None, "", some(r"\/")),
            (b"\xf0\x9f\x98\x80", r"\u00f0\u009f\u0098\u0080", None, "", None),
            (b"\xed\xa0\x80", r"\u00ed\u00a0\u0080", None, "", None),
        ] {
            assert_eq!(read(b"", text), some(ascii), "{text:?}");
            assert_eq!(read(b"utf8", text), utf8, "{text:?}");
            assert_eq!(read(b"utf8s", text), some(silent), "{text:?}");
            assert_eq!(read(b"utf8p", text), permissive, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_comes_out_is_a_json_string(text in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            for code in [&b"ascii"[..], b"utf8s", b"utf8ps", b"utf8"] {
                if let Some(out) = read(code, &text) {
                    let parsed: Result<String, _> = serde_json::from_str(&format!("\"{out}\""));
                    proptest::prop_assert!(parsed.is_ok(), "{out}");
                }
            }
        }
    }
}
