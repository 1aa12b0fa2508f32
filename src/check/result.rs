//! What a health check found out: the status words of the statistics (management manual 9.1,
//! `check_status`) and the reason as log lines give it.

use std::fmt;

use crate::time::Millis;

/// The status of a server's last check. The values are those of `show servers state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// No check is configured.
    #[default]
    Unknown = 0,
    /// No check has ended yet.
    Initializing = 1,
    /// The socket failed, not the server.
    SocketError = 5,
    /// Connected, and nothing more was to be done.
    L4Passed = 6,
    /// Not connected in time.
    L4Timeout = 7,
    /// Not connected: refused, unreachable.
    L4Failed = 8,
    /// The layer above TCP answered.
    L6Passed = 9,
    /// The layer above TCP did not answer in time.
    L6Timeout = 10,
    /// The layer above TCP answered nonsense.
    L6Invalid = 11,
    /// No answer in time.
    L7Timeout = 12,
    /// Not the answer that was expected, or not one at all.
    L7Invalid = 13,
    /// The answer that was expected.
    L7Passed = 15,
    /// The server asks for no new clients.
    L7Conditional = 16,
    /// A status that was not expected.
    L7Status = 17,
}

/// What a status means for the server's health. The values are those of `show servers state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Nothing is known.
    Unknown = 0,
    /// The server failed.
    Failed = 2,
    /// The server is well.
    Passed = 3,
    /// The server is well and wants no new clients.
    Conditional = 4,
}

/// Status, number, word and description.
const STATUSES: [(Status, &str, &str); 14] = [
    (Status::Unknown, "UNK", "Unknown"),
    (Status::Initializing, "INI", "Initializing"),
    (Status::SocketError, "SOCKERR", "Socket error"),
    (Status::L4Passed, "L4OK", "Layer4 check passed"),
    (Status::L4Timeout, "L4TOUT", "Layer4 timeout"),
    (Status::L4Failed, "L4CON", "Layer4 connection problem"),
    (Status::L6Passed, "L6OK", "Layer6 check passed"),
    (Status::L6Timeout, "L6TOUT", "Layer6 timeout"),
    (Status::L6Invalid, "L6RSP", "Layer6 invalid response"),
    (Status::L7Timeout, "L7TOUT", "Layer7 timeout"),
    (Status::L7Invalid, "L7RSP", "Layer7 invalid response"),
    (Status::L7Passed, "L7OK", "Layer7 check passed"),
    (Status::L7Conditional, "L7OKC", "Layer7 check conditionally passed"),
    (Status::L7Status, "L7STS", "Layer7 wrong status"),
];

impl Status {
    /// The word in the statistics: `L4OK`.
    pub fn word(self) -> &'static str {
        self.entry().1
    }

    /// In words: `Layer4 check passed`.
    pub fn description(self) -> &'static str {
        self.entry().2
    }

    /// The status of a number; unknown ones are [`Status::Unknown`].
    pub fn from_number(number: u8) -> Status {
        let found = STATUSES.iter().find(|(status, ..)| *status as u8 == number);
        found.map_or(Status::Unknown, |(status, ..)| *status)
    }

    /// What it means for the server.
    pub fn verdict(self) -> Verdict {
        match self {
            Status::Unknown | Status::Initializing => Verdict::Unknown,
            Status::L4Passed | Status::L6Passed | Status::L7Passed => Verdict::Passed,
            Status::L7Conditional => Verdict::Conditional,
            _ => Verdict::Failed,
        }
    }

    /// Whether a code of the protocol belongs to it.
    pub fn has_code(self) -> bool {
        matches!(self, Status::L7Passed | Status::L7Conditional | Status::L7Status)
    }

    fn entry(self) -> &'static (Status, &'static str, &'static str) {
        STATUSES.iter().find(|(status, ..)| *status == self).unwrap_or(&STATUSES[0])
    }
}

/// The result of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What happened.
    pub status: Status,
    /// Status code of the answer; 0 where there is none.
    pub code: u16,
    /// Details: an error's text, the reason phrase of an answer. May be empty.
    pub info: String,
    /// From its start to its end.
    pub duration: Millis,
}

/// `reason: Layer7 wrong status, code: 500, info: "Internal Server Error", check duration: 0ms`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason: {}", self.status.description())?;
        if self.status.has_code() {
            write!(f, ", code: {}", self.code)?;
        }
        if !self.info.is_empty() {
            write!(f, ", info: \"{}\"", self.info)?;
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
    fn numbers_lead_back_to_the_status() {
        for (status, ..) in STATUSES {
            assert_eq!(Status::from_number(status as u8), status);
        }
        assert_eq!(Status::from_number(99), Status::Unknown);
    }
}
