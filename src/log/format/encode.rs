//! How text is made safe for a line: quotes, backslashes, `#XX` and `%XX` (manual 8.2.6 and 8.6).

use super::Flags;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Which bytes [`coded`] replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsafe {
    /// In start lines: controls, bytes from 127 up, `"` and `#`; written as `#XX`.
    Line,
    /// In captured headers: as in start lines, and `{`, `|`, `}`; written as `#XX`.
    Header,
    /// In HTTP messages that rules build: controls but the tab, and 127; written as `%XX`.
    Http,
}

impl Unsafe {
    fn table(self) -> &'static [bool; 256] {
        static LINE: [bool; 256] = table(Unsafe::Line);
        static HEADER: [bool; 256] = table(Unsafe::Header);
        static HTTP: [bool; 256] = table(Unsafe::Http);
        match self {
            Unsafe::Line => &LINE,
            Unsafe::Header => &HEADER,
            Unsafe::Http => &HTTP,
        }
    }

    fn mark(self) -> u8 {
        if matches!(self, Unsafe::Http) { b'%' } else { b'#' }
    }
}

const fn table(kind: Unsafe) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = match kind {
            Unsafe::Http => (c < 32 && c != b'\t') || c == 127,
            Unsafe::Line => c < 32 || c >= 127 || matches!(c, b'"' | b'#'),
            Unsafe::Header => c < 32 || c >= 127 || matches!(c, b'"' | b'#' | b'{' | b'|' | b'}'),
        };
        byte += 1;
    }
    table
}

/// Writes a text as it is but for the flags: quoted by Q, escaped by E. Nothing at all shows as `-` where
/// the format demands a value, or as empty quotes.
pub fn text(out: &mut Vec<u8>, flags: Flags, bytes: &[u8]) {
    if flags.contains(Flags::QUOTE) {
        out.push(b'"');
    } else if bytes.is_empty() && flags.contains(Flags::MANDATORY) {
        out.push(b'-');
        return;
    }
    if flags.contains(Flags::ESCAPE) {
        escaped(out, bytes);
    } else {
        out.extend_from_slice(bytes);
    }
    if flags.contains(Flags::QUOTE) {
        out.push(b'"');
    }
}

/// Writes a text that a peer sent: unsafe bytes are replaced, then as [`text`], but nothing stays nothing.
pub fn coded(out: &mut Vec<u8>, flags: Flags, bytes: &[u8], kind: Unsafe) {
    if flags.contains(Flags::QUOTE) {
        out.push(b'"');
    }
    encode(out, flags, bytes, kind);
    if flags.contains(Flags::QUOTE) {
        out.push(b'"');
    }
}

/// The inner part of [`coded`], without quotes.
pub fn encode(out: &mut Vec<u8>, flags: Flags, bytes: &[u8], kind: Unsafe) {
    let table = kind.table();
    let escape = flags.contains(Flags::ESCAPE);
    let odd = |byte: u8| table[byte as usize] || (escape && needs_escape(byte));
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| odd(byte)) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        if table[byte as usize] {
            out.extend_from_slice(&[kind.mark(), HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend_from_slice(&[b'\\', byte]);
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if needs_escape(byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b']')
}

/// Writes a decimal number.
pub fn number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a number in capital hexadecimal digits, with leading zeros up to `width`.
pub fn hex(out: &mut Vec<u8>, value: u64, width: usize) {
    let digits = (64 - value.leading_zeros() as usize).div_ceil(4).max(width).max(1);
    for place in (0..digits).rev() {
        out.push(HEX[(value >> (place * 4)) as usize & 15]);
    }
}

/// Writes a number with leading zeros up to `width` decimal digits.
pub fn padded(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(flags: Flags, bytes: &[u8], kind: Unsafe) -> String {
        let mut out = Vec::new();
        coded(&mut out, flags, bytes, kind);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn bytes_of_peers_are_replaced_as_haproxy_replaces_them() {
        let odd = b"/p\"#{|}~\x01\x7f\xff a";
        assert_eq!(shown(Flags::empty(), odd, Unsafe::Line), "/p#22#23{|}~#01#7F#FF a");
        assert_eq!(shown(Flags::QUOTE, odd, Unsafe::Header), "\"/p#22#23#7B#7C#7D~#01#7F#FF a\"");
        assert_eq!(shown(Flags::empty(), b"a\tb\x0b\x7f", Unsafe::Http), "a\tb%0B%7F");
        assert_eq!(shown(Flags::ESCAPE, b"?a=b\\\"]x", Unsafe::Line), "?a=b\\\\#22\\]x");
    }

    #[test]
    fn nothing_shows_as_a_dash_or_quotes() {
        for (flags, expected) in
            [(Flags::empty(), ""), (Flags::MANDATORY, "-"), (Flags::MANDATORY | Flags::QUOTE, "\"\"")]
        {
            let mut out = Vec::new();
            text(&mut out, flags, b"");
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn numbers_have_their_widths() {
        let mut out = Vec::new();
        hex(&mut out, 2, 4);
        hex(&mut out, 0x6B00_F6D5, 4);
        hex(&mut out, 0, 0);
        padded(&mut out, 7, 3);
        padded(&mut out, 1234, 3);
        assert_eq!(out, b"00026B00F6D500071234");
    }
}
