//! When a soft stop ends the connections of clients (configuration manual 3.1 `close-spread-time`, 4.2 `option
//! idle-close-on-response`).
//!
//! A client that sends a request just as its kept-alive connection is closed has to send it again. So a
//! connection is not closed as long as its next request is likely: the answer to that one announces the end.
//! With `close-spread-time` each connection has a moment of its own within the window, until which it is
//! served as ever.

use super::{Services, Session};
use crate::proxy::global::CloseSpread;
use crate::time::{Millis, Tick};

/// A client that goes on at once does so within this time: the way to it and back, and some thinking.
const LIKELY_NEXT: Millis = Millis(250);

impl Services {
    /// Begins a soft stop.
    pub fn begin_soft_stop(&mut self) {
        self.asked_to_stop = true;
        self.stopping = true;
        self.stopping_since = self.now.tick();
    }

    /// Whether an answer to this client announces the end of the connection.
    pub fn ends_after_answer(&self, session: &Session) -> bool {
        self.stopping && self.now.tick() >= self.moment(session)
    }

    /// When the stop closes the session if no request comes.
    pub fn idle_end(&self, session: &Session) -> Tick {
        let first = session.requests == 0;
        // A connection without a request so far may have its first one on the way.
        if !self.stopping || first || self.config[session.frontend].idle_close_on_response {
            return Tick::NEVER;
        }
        match self.moment(session) {
            Tick::NEVER => Tick::NEVER,
            moment => moment.max(session.idle_since.tick() + LIKELY_NEXT),
        }
    }

    fn moment(&self, session: &Session) -> Tick {
        match self.config.global.close_spread {
            CloseSpread::AtOnce => self.stopping_since,
            CloseSpread::Over(window) => self.stopping_since + Millis(spread(session.token.0) % window.0.max(1)),
            CloseSpread::Never => Tick::NEVER,
        }
    }
}

/// Numbers of neighbours far apart (the multiplier is 2^64 over the golden ratio).
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_fill_the_window() {
        let mut tenths = [0; 10];
        for slot in 0..1000u64 {
            // The kind, generation and slot of tokens as the kernel hands them out.
            tenths[(spread(slot | (slot + 1) << 32) % 1000 / 100) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }
}
