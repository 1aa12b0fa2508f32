//! MySQL's packets, as far as a check looks at them (`option mysql-check`): a length of three octets, low ones
//! first, a number, and a content whose first octet tells what it is.

use super::{failed, incomplete};
use crate::check::expect::Judgement;
use crate::check::result::Status;

const HEADER_BYTES: usize = 4;
/// First octet of an error, before its code and its words.
const ERROR: u8 = 0xff;

/// The server's first packet: a greeting or an error. What follows is another packet's.
pub(super) fn greeting(input: &[u8], over: bool) -> Judgement {
    packet(input, over)
}

/// The second packet, behind the greeting.
pub(super) fn result(input: &[u8], over: bool) -> Judgement {
    match length(input).and_then(|length| input.get(length..)) {
        Some(rest) => packet(rest, over),
        None => incomplete(over, ""),
    }
}

fn packet(input: &[u8], over: bool) -> Judgement {
    let Some(length) = length(input).filter(|length| *length <= input.len()) else {
        return incomplete(over, "");
    };
    let content = &input[HEADER_BYTES..];
    // An empty packet says nothing at all; nothing can make it say more.
    if length == HEADER_BYTES {
        return incomplete(true, "");
    }
    if content.first() != Some(&ERROR) {
        return Judgement::Passed;
    }
    let octet = |at| content.get(at).copied().unwrap_or_default();
    let words = content.get(3..).unwrap_or_default();
    failed(Status::L7Status, u16::from_le_bytes([octet(1), octet(2)]), words)
}

/// Octets of the packet with its header, as it says itself.
fn length(input: &[u8]) -> Option<usize> {
    match *input {
        [low, middle, high, _, ..] => Some(HEADER_BYTES + u32::from_le_bytes([low, middle, high, 0]) as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] = b"\x0d\0\0\0\x0a5.7.1\0salted";
    const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
    const DENIED: &[u8] = b"\x10\0\0\x02\xff\x15\x04#28000Denied!";

    fn denied() -> Judgement {
        failed(Status::L7Status, 1045, b"#28000Denied!")
    }

    fn nonsense() -> Judgement {
        failed(Status::L7Invalid, 0, b"")
    }

    #[test]
    fn packets_are_read_an_octet_at_a_time() {
        for end in 0..GREETING.len() {
            assert_eq!(greeting(&GREETING[..end], false), Judgement::Open);
            assert_eq!(greeting(&GREETING[..end], true), nonsense());
        }
        assert_eq!(greeting(GREETING, false), Judgement::Passed);
        assert_eq!(greeting(DENIED, false), denied());
        let both = [GREETING, OK].concat();
        for end in 0..both.len() {
            assert_eq!(result(&both[..end], false), Judgement::Open);
        }
        assert_eq!(result(&both, false), Judgement::Passed);
        assert_eq!(result(&[GREETING, DENIED].concat(), false), denied());
    }

    #[test]
    fn lengths_that_lie_are_waited_for_or_believed() {
        let huge = [b"\xff\xff\xff\0\x0a".as_slice(), &[b'x'; 16_000]].concat();
        assert_eq!(greeting(&huge, false), Judgement::Open);
        assert_eq!(greeting(&huge, true), nonsense());
        assert_eq!(result(&huge, true), nonsense());
        assert_eq!(greeting(b"\x01\0\0\0\x0a5.7.1\0", false), Judgement::Passed);
        assert_eq!(greeting(b"\0\0\0\0", false), nonsense());
        assert_eq!(greeting(b"\x01\0\0\0\xff", false), failed(Status::L7Status, 0, b""));
        assert_eq!(greeting(b"\x02\0\0\0\xffa", false), failed(Status::L7Status, 97, b""));
        let cut_short = greeting(b"\x03\0\0\0\xff\xff\xff\xc3", true);
        assert_eq!(cut_short, failed(Status::L7Status, 65535, b"\xc3"));
    }
}
