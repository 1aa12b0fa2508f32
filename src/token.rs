//! Tokens: what a readiness event or a timer names.
//!
//! A token carries the kind of its owner, the owner's slot in its slab and the slot's generation, so that
//! an event for a slot that has been reused since is recognised and dropped.

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A listening socket.
    Listener = 0,
    /// A client connection and its session.
    Session = 1,
    /// A connection to a server.
    Upstream = 2,
    /// A health check.
    Check = 3,
    /// A connection to the runtime socket.
    Cli = 4,
    /// Signals, wake-ups and periodic work of the worker itself.
    Worker = 5,
    /// Another worker rings.
    Bell = 6,
    /// Questions of other workers wait.
    Door = 7,
    /// A connection to another worker, which was asked something.
    Asked = 8,
    /// A socket of datagrams to a name server.
    NameServer = 9,
    /// A connection to a name server.
    NameStream = 10,
    /// What runs programs has reports.
    Spawner = 11,
}

/// Kind, slot and generation in one word: 8 + 32 + 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

const GENERATION_BITS: u32 = 24;
const SLOT_BITS: u32 = 32;
const _: () = assert!(GENERATION_BITS + SLOT_BITS + 8 == 64);

impl Token {
    /// Packs a token; only the low 24 bits of `generation` are kept.
    pub fn new(kind: Kind, slot: usize, generation: u32) -> Token {
        debug_assert!(slot < (1 << SLOT_BITS));
        let generation = u64::from(generation) & ((1 << GENERATION_BITS) - 1);
        Token((kind as u64) << 56 | generation << SLOT_BITS | (slot as u64 & 0xffff_ffff))
    }

    /// The owner's kind; `None` for a word that no [`Token::new`] made.
    pub fn kind(self) -> Option<Kind> {
        Some(match self.0 >> 56 {
            0 => Kind::Listener,
            1 => Kind::Session,
            2 => Kind::Upstream,
            3 => Kind::Check,
            4 => Kind::Cli,
            5 => Kind::Worker,
            6 => Kind::Bell,
            7 => Kind::Door,
            8 => Kind::Asked,
            9 => Kind::NameServer,
            10 => Kind::NameStream,
            11 => Kind::Spawner,
            _ => return None,
        })
    }

    /// The slot in the slab of that kind.
    pub fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    /// The generation that it was made for, as far as it is kept.
    pub fn generation(self) -> u64 {
        (self.0 >> SLOT_BITS) & ((1 << GENERATION_BITS) - 1)
    }

    /// Whether the token was made for this generation of its slot.
    pub fn is_generation(self, generation: u32) -> bool {
        let mask = (1 << GENERATION_BITS) - 1;
        (self.0 >> SLOT_BITS) & mask == u64::from(generation) & mask
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> mio::Token {
        mio::Token(token.0 as usize)
    }
}

impl From<mio::Token> for Token {
    fn from(token: mio::Token) -> Token {
        Token(token.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_was_packed() {
        let token = Token::new(Kind::Upstream, 70_000, 0x0123_4567);
        assert_eq!(token.kind(), Some(Kind::Upstream));
        assert_eq!(token.slot(), 70_000);
        assert!(token.is_generation(0x0123_4567));
        assert!(!token.is_generation(0x0123_4568));
    }
}
