//! The hello of an agent of the stream processing offload protocol (`option spop-check`; HAProxy's SPOE.txt 3.2):
//! a length of four octets, a frame's type, flags and numbers, then names with typed values.

use super::{incomplete, invalid};
use crate::check::expect::Judgement;

const LENGTH_BYTES: usize = 4;
/// Type, flags, number of the stream, number of the frame; the numbers are one octet where they are 0.
const HEAD_BYTES: usize = 7;
const HELLO: u8 = 101;
const DISCONNECT: u8 = 102;
/// The flag of a frame's last part.
const LAST: u32 = 1;
/// Sizes of frames that an agent may offer: the least, and a buffer without the length.
const FRAME_BYTES: std::ops::RangeInclusive<u64> = 256..=16380;
/// Longest reason of an agent that leaves.
const REASON_BYTES_MAX: usize = 255;

const NOT_A_FRAME: u32 = 4;
const NO_VERSION: u32 = 5;
const NO_SIZE: u32 = 6;
const WRONG_VERSION: u32 = 8;
const WRONG_SIZE: u32 = 9;
const FRAGMENT: u32 = 10;

/// The words for the codes of the protocol.
fn words(code: u32) -> &'static str {
    match code {
        0 => "normal",
        1 => "I/O error",
        2 => "a timeout occurred",
        3 => "frame is too big",
        NOT_A_FRAME => "invalid frame received",
        NO_VERSION => "version value not found",
        NO_SIZE => "max-frame-size value not found",
        7 => "capabilities value not found",
        WRONG_VERSION => "unsupported version",
        WRONG_SIZE => "max-frame-size too big or too small",
        FRAGMENT => "fragmentation not supported",
        11 => "invalid interlaced frames",
        12 => "frame-id not found",
        13 => "resource allocation error",
        _ => "an unknown error occurred",
    }
}

/// The agent's first frame.
pub(super) fn hello(input: &[u8], over: bool) -> Judgement {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() else {
        return incomplete(over, words(NOT_A_FRAME));
    };
    let length = u32::from_be_bytes(*length);
    // Lengths near the end of the numbers wrap in HAProxy: the frame is there at once, and is none.
    if length.checked_add(LENGTH_BYTES as u32).is_none() {
        return invalid(words(NOT_A_FRAME));
    }
    let Some(frame) = rest.get(..length as usize) else { return incomplete(over, words(NOT_A_FRAME)) };
    match judge(frame) {
        Ok(()) => Judgement::Passed,
        Err(code) => invalid(words(code)),
    }
}

fn judge(frame: &[u8]) -> Result<(), u32> {
    let Some((&[kind, a, b, c, d, stream, number], fields)) = frame.split_first_chunk::<HEAD_BYTES>() else {
        return Err(NOT_A_FRAME);
    };
    if kind != HELLO && kind != DISCONNECT {
        return Err(NOT_A_FRAME);
    }
    if u32::from_be_bytes([a, b, c, d]) & LAST == 0 {
        return Err(FRAGMENT);
    }
    if stream != 0 || number != 0 {
        return Err(NOT_A_FRAME);
    }
    let fields = Fields { rest: fields };
    if kind == HELLO { offer(fields) } else { Err(reason(fields)) }
}

/// What an agent says of itself.
fn offer(fields: Fields<'_>) -> Result<(), u32> {
    let (mut version, mut size) = (false, false);
    for field in fields {
        match field? {
            (b"version", Value::Text(text)) => {
                version = true;
                is_second_version(text).then_some(()).ok_or(WRONG_VERSION)?;
            }
            (b"max-frame-size", Value::Number(bytes)) => {
                size = true;
                FRAME_BYTES.contains(&bytes).then_some(()).ok_or(WRONG_SIZE)?;
            }
            (b"capabilities", Value::Text(_)) => {}
            (b"version" | b"max-frame-size" | b"capabilities", _) => return Err(NOT_A_FRAME),
            _ => {}
        }
    }
    match (version, size) {
        (false, _) => Err(NO_VERSION),
        (true, false) => Err(NO_SIZE),
        (true, true) => Ok(()),
    }
}

/// Why an agent leaves.
fn reason(fields: Fields<'_>) -> u32 {
    let mut code = 0;
    for field in fields {
        match field {
            // The number has 32 bits, whatever comes.
            Ok((b"status-code", Value::Number(number))) => code = number as u32,
            Ok((b"message", Value::Text(text))) if text.len() <= REASON_BYTES_MAX => {}
            Ok((b"status-code" | b"message", _)) | Err(_) => return NOT_A_FRAME,
            Ok(_) => {}
        }
    }
    code
}

/// `2.0`, blanks around it and more zeros allowed.
fn is_second_version(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let Some(dot) = memchr::memchr(b'.', text) else { return false };
    let (major, minor) = (&text[..dot], &text[dot + 1..]);
    let is_zero = |digits: &[u8]| digits.iter().all(|digit| *digit == b'0');
    let Some((b'2', zeros)) = major.split_last() else { return false };
    is_zero(zeros) && !minor.is_empty() && is_zero(minor)
}

/// A value, as far as one is looked at.
enum Value<'a> {
    Number(u64),
    Text(&'a [u8]),
    Other,
}

/// Names and values, to the end or to what is none.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a [u8], Value<'a>), u32>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field().ok_or(NOT_A_FRAME);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let name = self.text().filter(|name| !name.is_empty())?;
        let kind = self.take(1)?.first()? & 0x0f;
        let value = match kind {
            2..=5 => Value::Number(self.number()?),
            6 => self.skip(4)?,
            7 => self.skip(16)?,
            8 => Value::Text(self.text()?),
            9 => {
                self.text()?;
                Value::Other
            }
            // Nothing, a truth that its type has, and types that nobody knows.
            _ => Value::Other,
        };
        Some((name, value))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<Value<'a>> {
        self.take(count).map(|_| Value::Other)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A number: four bits more than 239 in the first octet, seven in each that follows one with its top bit set.
    fn number(&mut self) -> Option<u64> {
        let mut number = u64::from(*self.take(1)?.first()?);
        if number < 240 {
            return Some(number);
        }
        let mut shift = 4;
        loop {
            let octet = *self.take(1)?.first()?;
            number = number.wrapping_add(u64::from(octet).checked_shl(shift)?);
            if octet < 128 {
                return Some(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &[u8] = b"\x07version\x08\x032.0";
    const SIZE: &[u8] = b"\x0emax-frame-size\x03\xfc\xf0\x06";

    fn frame(head: &[u8], fields: &[&[u8]]) -> Vec<u8> {
        let content = [head, &fields.concat()].concat();
        [&(content.len() as u32).to_be_bytes()[..], &content].concat()
    }

    fn agent(fields: &[&[u8]]) -> Judgement {
        hello(&frame(b"\x65\0\0\0\x01\0\0", fields), false)
    }

    fn told(code: u32) -> Judgement {
        invalid(words(code))
    }

    #[test]
    fn an_agents_hello_is_read_an_octet_at_a_time() {
        let whole = frame(b"\x65\0\0\0\x01\0\0", &[VERSION, SIZE, b"\x0ccapabilities\x08\0"]);
        for end in 0..whole.len() {
            assert_eq!(hello(&whole[..end], false), Judgement::Open);
            assert_eq!(hello(&whole[..end], true), told(NOT_A_FRAME));
        }
        assert_eq!(hello(&whole, false), Judgement::Passed);
    }

    #[test]
    fn an_offer_has_a_version_and_a_size() {
        assert_eq!(agent(&[]), told(NO_VERSION));
        assert_eq!(agent(&[VERSION]), told(NO_SIZE));
        assert_eq!(agent(&[SIZE]), told(NO_VERSION));
        assert_eq!(agent(&[VERSION, b"\x0emax-frame-size\x02\x10"]), told(WRONG_SIZE));
        assert_eq!(agent(&[VERSION, b"\x0emax-frame-size\x03\xfd\xf0\x06"]), told(WRONG_SIZE));
        assert_eq!(agent(&[VERSION, b"\x0emax-frame-size\x08\x01a"]), told(NOT_A_FRAME));
        assert_eq!(agent(&[VERSION, SIZE, b"\x03foo\x11\x01a\x06abcd\x01b\x0a"]), Judgement::Passed);
        assert_eq!(agent(&[VERSION, SIZE, b"\x03foo"]), told(NOT_A_FRAME));
        assert_eq!(agent(&[VERSION, SIZE, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]), told(NOT_A_FRAME));
        for (text, is_known) in
            [("2.0", true), (" 02.00 ", true), ("2", false), ("2.", false), ("2.5", false), (".0", false), ("", false)]
        {
            assert_eq!(is_second_version(text.as_bytes()), is_known, "{text}");
        }
    }

    #[test]
    fn an_agent_that_leaves_says_why() {
        let leaves = |fields: &[u8]| hello(&frame(b"\x66\0\0\0\x01\0\0", &[fields]), false);
        assert_eq!(leaves(b""), told(0));
        assert_eq!(leaves(b"\x0bstatus-code\x03\x02\x07message\x08\x02no"), told(2));
        assert_eq!(leaves(b"\x0bstatus-code\x03\x0e"), invalid("an unknown error occurred"));
        assert_eq!(leaves(b"\x0bstatus-code"), told(NOT_A_FRAME));
    }

    #[test]
    fn lengths_and_heads_that_lie_are_told() {
        assert_eq!(hello(b"\0\0\0\0", false), told(NOT_A_FRAME));
        assert_eq!(hello(b"\xff\xff\xff\xff\x65", false), told(NOT_A_FRAME));
        let endless = [b"\0\xf4\x24\0\x65".as_slice(), &[0; 16_000]].concat();
        assert_eq!((hello(&endless, false), hello(&endless, true)), (Judgement::Open, told(NOT_A_FRAME)));
        assert_eq!(hello(&frame(b"\x65\0\0\0\0\0\0", &[]), false), told(FRAGMENT));
        assert_eq!(hello(&frame(b"\x65\0\0\0\x01\x01\0", &[]), false), told(NOT_A_FRAME));
        assert_eq!(hello(&frame(b"\x67\0\0\0\0\0\0", &[]), false), told(NOT_A_FRAME));
    }
}
