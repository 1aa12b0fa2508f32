//! Settings that both sides of a proxy have, each for itself.

use std::collections::HashMap;

/// TCP keep-alives (manual 4.2, `option tcpka`, `clitcpka-cnt` and its kin); zero leaves it to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Probes without an answer that end the connection.
    pub probes: u32,
    /// Seconds of silence before the first one.
    pub idle_s: u32,
    /// Seconds between two.
    pub interval_s: u32,
}

/// What becomes of header names with other characters than letters, digits and hyphens (manual 4.2, `option
/// http-restrict-req-hdr-names`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderNames {
    /// They pass.
    #[default]
    Preserve,
    /// They are taken out of the request.
    Delete,
    /// The request is refused.
    Reject,
}

/// How header names are written for those who read them letter by letter (manual 3.2, `h1-case-adjust`): from
/// small letters to what is sent.
pub type Spellings = HashMap<Box<[u8]>, Box<[u8]>>;
