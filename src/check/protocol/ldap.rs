//! The answer to an LDAP bind (`option ldap-check`; RFC 4511 4.2.2), in the one form of BER that servers write.

use super::{failed, incomplete, invalid};
use crate::check::expect::Judgement;
use crate::check::result::Status;

/// Less than this is not looked at: a whole answer without words.
const BYTES_MIN: usize = 14;
const NO_LDAP: &str = "Not LDAPv3 protocol";
/// The words for a result that is no success.
const SEE: &[u8] = b"See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9";

/// The answer with the message number 1.
pub(super) fn bind(input: &[u8], over: bool) -> Judgement {
    if input.len() < BYTES_MIN && !over {
        return Judgement::Open;
    }
    let Some((b'\x30', sequence)) = input.split_first().map(|(first, rest)| (*first, rest)) else {
        return invalid(NO_LDAP);
    };
    let Some(message) = content(sequence) else { return incomplete(over, "") };
    let (message, length) = match message {
        Some(found) => found,
        None => return invalid(NO_LDAP),
    };
    if input.len() < BYTES_MIN || u64::from(length) > message.len() as u64 {
        return incomplete(over, "");
    }
    match code(message) {
        None => invalid(NO_LDAP),
        Some(0) => Judgement::Passed,
        Some(code) => failed(Status::L7Status, u16::from(code), SEE),
    }
}

/// What follows a length, and the length: none so far; or inside, none in a form that servers write, which is one
/// octet, or two or four behind their count.
fn content(input: &[u8]) -> Option<Option<(&[u8], u32)>> {
    match *input {
        [0x84, a, b, c, d, ref rest @ ..] => Some(Some((rest, u32::from_be_bytes([a, b, c, d])))),
        [0x82, a, b, ref rest @ ..] => Some(Some((rest, u32::from(u16::from_be_bytes([a, b]))))),
        [] | [0x82 | 0x84, ..] => None,
        // Other counts are told once as many octets are there.
        [count, ..] if count >= 0x80 && input.len() < usize::from(count & 0x7f) => None,
        [length, ref rest @ ..] if length < 0x80 => Some(Some((rest, u32::from(length)))),
        _ => Some(None),
    }
}

/// The result code in a message that is the answer to the first bind.
fn code(message: &[u8]) -> Option<u8> {
    let answer = message.strip_prefix(b"\x02\x01\x01\x61")?;
    let (&length, rest) = answer.split_first()?;
    let skipped = if length & 0x80 == 0 { 0 } else { usize::from(length & 0x7f) };
    rest.get(skipped..)?.strip_prefix(b"\x0a\x01")?.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUCCESS: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0";

    fn whole(input: &[u8]) -> Judgement {
        bind(input, false)
    }

    #[test]
    fn answers_are_read_an_octet_at_a_time() {
        for end in 0..SUCCESS.len() {
            assert_eq!(whole(&SUCCESS[..end]), Judgement::Open);
        }
        assert_eq!(whole(SUCCESS), Judgement::Passed);
        assert_eq!(bind(&SUCCESS[..9], true), invalid(""));
        let denied = b"\x30\x0f\x02\x01\x01\x61\x0a\x0a\x01\x31\x04\0\x04\x03bad";
        assert_eq!(whole(denied), failed(Status::L7Status, 49, SEE));
    }

    #[test]
    fn long_lengths_have_two_octets_or_four() {
        let with = |length: &[u8]| whole(&[b"\x30", length, &SUCCESS[2..]].concat());
        assert_eq!(with(b"\x84\0\0\0\x0c"), Judgement::Passed);
        assert_eq!(with(b"\x82\0\x0c"), Judgement::Passed);
        for other in [&b"\x81\x0c"[..], b"\x83\0\0\x0c", b"\x80", b"\x85\0\0\0\0\x0c"] {
            assert_eq!(with(other), invalid(NO_LDAP));
        }
        assert_eq!(whole(b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0"), Judgement::Passed);
    }

    #[test]
    fn lengths_that_lie_are_waited_for() {
        let huge = [b"\x30\x84\xff\xff\xff\xff", &SUCCESS[2..]].concat();
        assert_eq!((whole(&huge), bind(&huge, true)), (Judgement::Open, invalid("")));
        assert_eq!(whole(&[b"\x30\x05", &SUCCESS[2..]].concat()), Judgement::Passed);
        assert_eq!(bind(b"\x30", true), invalid(""));
        assert_eq!(whole(&[b"\x30\xff", &SUCCESS[2..]].concat()), Judgement::Open);
    }

    #[test]
    fn other_protocols_are_told() {
        assert_eq!(whole(b"HTTP/1.0 400 Bad Request\r\n"), invalid(NO_LDAP));
        assert_eq!((whole(b"hello"), bind(b"hello", true)), (Judgement::Open, invalid(NO_LDAP)));
        for (at, octet) in [(4, 2), (3, 2), (2, 3), (5, 0x62), (7, 2), (8, 2)] {
            let mut changed = SUCCESS.to_vec();
            changed[at] = octet;
            assert_eq!(whole(&changed), invalid(NO_LDAP), "{at}");
        }
        assert_eq!(whole(&[0x30; 16_000]), invalid(NO_LDAP));
    }
}
