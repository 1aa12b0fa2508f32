//! Who asks for what, and what is reported to whoever asked.

use std::net::IpAddr;
use std::rc::Rc;

use super::Name;
use crate::proxy::ServerId;
use crate::proxy::resolvers::{Family, Hold, ResolversId};
use crate::time::Millis;
use crate::token::Token;

/// Who asks. Each asks for one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requester {
    /// A server that has a name.
    Server(ServerId),
    /// Servers that share the name of a service; the number is the asker's own.
    Service(u32),
    /// A session that waits.
    Session(Token),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Addresses, of this kind first (`resolve-prefer`); of the other if there are none.
    Addresses(Family),
    /// Services, by SRV records (RFC 2782).
    Services,
}

/// What a question came to (manual 5.3.2 `hold`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an answer.
    Valid,
    /// There is no such name.
    NxDomain,
    /// The name server refuses.
    Refused,
    /// Nobody answered in time.
    Timeout,
    /// The answer was no valid message.
    Invalid,
    /// Any other error: no record, a truncated answer, a failure of the name server, …
    Other,
}

impl Verdict {
    /// For how long the last valid answer still counts after this one; always, where it is valid.
    pub(super) fn hold(self, hold: &Hold) -> Option<Millis> {
        match self {
            Verdict::Valid => None,
            Verdict::NxDomain => Some(hold.nx),
            Verdict::Refused => Some(hold.refused),
            Verdict::Timeout => Some(hold.timeout),
            Verdict::Invalid | Verdict::Other => Some(hold.other),
        }
    }
}

/// What is known of a name: the last valid answer, and what earlier ones had as long as `hold obsolete` keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Addresses in the order in which HAProxy looks at them.
    pub addresses: Vec<IpAddr>,
    /// Services, likewise.
    pub services: Vec<Service>,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The host that offers it.
    pub target: Name,
    /// Where the host offers it.
    pub port: u16,
    /// Share among services of the same priority, 0 to 65535.
    pub weight: u16,
    /// The lowest are to be used first.
    pub priority: u16,
    /// The host's address, where the answer told it beside (in its additional section).
    pub address: Option<IpAddr>,
}

/// What became of a question, for one of those who asked it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who asked.
    pub who: Requester,
    /// The section that the name was asked in.
    pub section: ResolversId,
    /// What came of it.
    pub verdict: Verdict,
    /// After an error: a valid answer is not older than `hold` says for it, so that nothing changes.
    pub is_held: bool,
    /// The answer, where the verdict is [`Verdict::Valid`].
    pub answer: Option<Rc<Answer>>,
    /// The name server that decided, by its place in the section; none when all were silent, for an answer that was
    /// known already, and for all but the first of those who asked the same.
    pub nameserver: Option<usize>,
}
