//! What is counted of each name server (`show resolvers`, management manual 9.3).

/// A thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tallied {
    /// Questions that were sent.
    Sent,
    /// Questions that could not be sent.
    SendErrors,
    /// Valid answers.
    Valid,
    /// Answers that changed a server.
    Updates,
    /// Aliases in answers.
    Cname,
    /// Aliases that lead nowhere.
    CnameErrors,
    /// Answers without a record.
    Empty,
    /// "No such name".
    NxDomain,
    /// Questions that nobody answered.
    Timeouts,
    /// Refusals.
    Refused,
    /// Other errors.
    Other,
    /// What is no valid message.
    Invalid,
    /// Answers longer than was accepted.
    TooBig,
    /// Truncated answers.
    Truncated,
    /// Answers to questions that nobody asked, or asked too long ago.
    Outdated,
}

impl Tallied {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Tallied; 15] = [
        Tallied::Sent,
        Tallied::SendErrors,
        Tallied::Valid,
        Tallied::Updates,
        Tallied::Cname,
        Tallied::CnameErrors,
        Tallied::Empty,
        Tallied::NxDomain,
        Tallied::Timeouts,
        Tallied::Refused,
        Tallied::Other,
        Tallied::Invalid,
        Tallied::TooBig,
        Tallied::Truncated,
        Tallied::Outdated,
    ];
}

/// The counts of one name server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Tallied::ALL.len()]);

impl Tally {
    /// Counts one.
    pub fn count(&mut self, what: Tallied) {
        self.0[what as usize] += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self, what: Tallied) -> u64 {
        self.0[what as usize]
    }
}
