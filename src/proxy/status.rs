//! The status words of health checks as statistics, logs and `show servers state` give them (management manual
//! 9.1, `check_status`).

/// The status of a server's last check. The values are those of `show servers state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// No check is configured.
    #[default]
    Unknown = 0,
    /// No check has ended yet.
    Initializing = 1,
    /// An agent said nothing about health.
    Checked = 2,
    /// Traffic says that it fails (`observe`).
    Observed = 4,
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
    /// A program says that it fails, or failed itself.
    ProgramFailed = 18,
    /// A program did not end in time.
    ProgramTimeout = 19,
    /// A program says that all is well.
    ProgramPassed = 20,
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
const STATUSES: [(Status, &str, &str); 19] = [
    (Status::Unknown, "UNK", "Unknown"),
    (Status::Initializing, "INI", "Initializing"),
    (Status::Checked, "CHECKED", "No status change"),
    (Status::Observed, "HANA", "Health analyze"),
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
    (Status::ProgramFailed, "PROCERR", "External check error"),
    (Status::ProgramTimeout, "PROCTOUT", "External check timeout"),
    (Status::ProgramPassed, "PROCOK", "External check passed"),
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
            Status::Unknown | Status::Initializing | Status::Checked => Verdict::Unknown,
            Status::L4Passed | Status::L6Passed | Status::L7Passed | Status::ProgramPassed => Verdict::Passed,
            Status::L7Conditional => Verdict::Conditional,
            _ => Verdict::Failed,
        }
    }

    /// Whether a code of the protocol, or of the end of a program, belongs to it.
    pub fn has_code(self) -> bool {
        self.is_programs() || matches!(self, Status::L7Passed | Status::L7Conditional | Status::L7Status)
    }

    /// Whether it is the result of a program.
    pub fn is_programs(self) -> bool {
        matches!(self, Status::ProgramFailed | Status::ProgramTimeout | Status::ProgramPassed)
    }

    fn entry(self) -> &'static (Status, &'static str, &'static str) {
        STATUSES.iter().find(|(status, ..)| *status == self).unwrap_or(&STATUSES[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_the_status() {
        for (status, ..) in STATUSES {
            assert_eq!(Status::from_number(status as u8), status);
        }
        assert_eq!(Status::from_number(99), Status::Unknown);
    }
}
