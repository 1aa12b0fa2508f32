//! Regular expressions and the bytes that escapes stand for, as configurations write them.

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Compiles a regular expression as the configuration writes them.
///
/// # Errors
/// In HAProxy's form, with the reason in other words than PCRE's.
pub fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).unicode(false).case_insensitive(ignore_case).build();
    built.map_err(|e| {
        let text = e.to_string();
        let reason = text.rsplit("error: ").next().unwrap_or(&text).trim();
        format!("regex '{pattern}' is invalid (error={reason})")
    })
}

/// Replaces the first `count` matches by `format`, in which `\0` to `\9` stand for groups.
pub fn replace(regex: &Regex, text: &[u8], format: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for groups in regex.captures_iter(text).take(count) {
        let Some(all) = groups.get(0) else { break };
        out.extend_from_slice(text.get(from..all.start()).unwrap_or_default());
        expand(format, &groups, &mut out);
        from = all.end();
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

/// Appends `format` with its group references replaced; `\xHH` is a byte, other escaped characters stand for
/// themselves.
pub fn expand(format: &[u8], groups: &Captures<'_>, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = format.get(at) {
        at += 1;
        let next = format.get(at).copied();
        match (byte, next) {
            (b'\\', Some(digit @ b'0'..=b'9')) => {
                at += 1;
                let group = groups.get(usize::from(digit - b'0'));
                out.extend_from_slice(group.map_or(&[][..], |m| m.as_bytes()));
            }
            (b'\\', Some(b'x')) => {
                let hex = format.get(at + 1..at + 3).and_then(|digits| hex_bytes(digits).ok());
                match hex {
                    Some(bytes) => {
                        out.extend_from_slice(&bytes);
                        at += 3;
                    }
                    None => {
                        out.push(b'x');
                        at += 1;
                    }
                }
            }
            (b'\\', Some(other)) => {
                at += 1;
                out.push(other);
            }
            (other, _) => out.push(other),
        }
    }
}

/// The bytes that hexadecimal digits stand for.
///
/// # Errors
/// HAProxy's words about an odd number of digits or another character.
pub fn hex_bytes(digits: &[u8]) -> Result<Vec<u8>, String> {
    if !digits.len().is_multiple_of(2) {
        return Err("an even number of hex digit is expected".to_owned());
    }
    let digit = |c: u8| {
        let value = char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        value.ok_or_else(|| format!("an hex digit is expected (found '{}')", char::from(c)))
    };
    digits.chunks(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_back() {
        let regex = compile("foo=([^;]*);(.*)", false).unwrap();
        assert_eq!(replace(&regex, b"foo=a; b", b"foo=\\1;ip=x;\\2", 1), b"foo=a;ip=x; b");
        let all = compile("/", false).unwrap();
        assert_eq!(replace(&all, b"a/b/c", b"-", usize::MAX), b"a-b-c");
        assert_eq!(replace(&all, b"a/b/c", b"\\x2D\\\\\\9\\xz", 1), b"a-\\xzb/c");
    }
}
