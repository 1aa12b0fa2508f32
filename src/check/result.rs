//! What a health check found out, and the reason as log lines give it.

use std::fmt::{self, Write};

pub use crate::proxy::status::{Status, Verdict};
use crate::time::Millis;

/// The result of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What happened.
    pub status: Status,
    /// Status code of the answer, exit code of a program, -1 of one that was killed; 0 where there is none. Larger
    /// numbers lose their upper bits, as in HAProxy.
    pub code: i16,
    /// Details: an error's text, the reason phrase of an answer. May be empty. Servers and agents choose the octets,
    /// which need not be UTF-8.
    pub info: Vec<u8>,
    /// From its start to its end; [`NO_TIME`] of what was no check.
    pub duration: Millis,
}

/// The duration of what took none, as the statistics show it.
pub const NO_TIME: Millis = Millis(u64::MAX);
/// Most octets of details in a result, as in HAProxy.
const INFO_BYTES_MAX: usize = 127;

impl Outcome {
    /// With no more details than there is room for.
    #[must_use]
    pub fn cut(mut self) -> Outcome {
        // HAProxy's text ends where a C string does.
        let end = memchr::memchr(0, &self.info).unwrap_or(self.info.len());
        self.info.truncate(end.min(INFO_BYTES_MAX));
        self
    }
}

/// `reason: Layer7 wrong status, code: 500, info: "Internal Server Error", check duration: 0ms`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason: {}", self.status.description())?;
        if self.status.has_code() {
            write!(f, ", code: {}", self.code)?;
        }
        if !self.info.is_empty() {
            f.write_str(", info: \"")?;
            for &octet in &self.info {
                match octet {
                    b' '..=b'~' if !b"\"<>".contains(&octet) => f.write_char(char::from(octet))?,
                    // Servers choose these words; nothing in them may end the line or its quotes.
                    _ => write!(f, "<{octet:02X}>")?,
                }
            }
            f.write_str("\"")?;
        }
        if self.duration == NO_TIME {
            return Ok(());
        }
        write!(f, ", check duration: {}ms", self.duration.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_in_haproxys_log() {
        let outcome = |status, code, info: &str| Outcome { status, code, info: info.into(), duration: Millis(2) };
        assert_eq!(
            outcome(Status::L7Status, 500, "Internal Server Error").to_string(),
            "reason: Layer7 wrong status, code: 500, info: \"Internal Server Error\", check duration: 2ms"
        );
        assert_eq!(
            outcome(Status::L7Invalid, 200, "").to_string(),
            "reason: Layer7 invalid response, check duration: 2ms"
        );
        assert_eq!(
            outcome(Status::L4Failed, 0, "Connection refused").to_string(),
            "reason: Layer4 connection problem, info: \"Connection refused\", check duration: 2ms"
        );
    }

    #[test]
    fn octets_are_told_one_by_one_to_the_first_nul_or_as_many_as_there_is_room_for() {
        let kept = |info: &[u8]| Outcome { info: info.to_vec(), duration: NO_TIME, ..Outcome::default() }.cut();
        assert_eq!(kept(&[0xc3; 300]).info, [0xc3; 127]);
        assert_eq!(kept(&"é".repeat(100).into_bytes()).info, "é".repeat(100).as_bytes()[..127]);
        let said = Outcome { status: Status::L7Invalid, ..kept(b"\xffc\xc3\xa9 \"<>\x7f\0no") };
        let expected = "reason: Layer7 invalid response, info: \"<FF>c<C3><A9> <22><3C><3E><7F>\"";
        assert_eq!(said.to_string(), expected);
    }
}
