//! What a server's behaviour and its changes lead to (manual 5.2 `observe`, `error-limit`, `on-error`,
//! `on-marked-down`, `on-marked-up`).

use std::num::NonZeroU64;

/// Errors in a row that are too many where `error-limit` does not say.
pub const ERROR_LIMIT: NonZeroU64 = NonZeroU64::new(10).unwrap();

/// `observe` and its companions on a server line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// What is looked at.
    pub layer: Layer,
    /// `error-limit`: so many errors in a row are too many.
    pub error_limit: NonZeroU64,
    /// `on-error`: what happens then.
    pub on_error: OnError,
}

/// What `observe` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `layer4`: whether connections succeed.
    Four,
    /// `layer7`: that, and what is answered.
    Seven,
}

/// `on-error`. All of them have the next check come after `fastinter`, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// `fastinter`: nothing more.
    Fastinter,
    /// `fail-check`: counts as a failed check.
    #[default]
    FailCheck,
    /// `sudden-death`: one more failure takes the server down.
    SuddenDeath,
    /// `mark-down`: the server is down.
    MarkDown,
}

/// What traffic shows of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A connection was made.
    Connected,
    /// A connection was not made.
    NotConnected,
    /// An answer whose status says that all is well.
    Answer,
    /// One whose status does not.
    WrongStatus,
    /// Something that is no answer.
    Invalid,
    /// The connection broke before the answer.
    Broken,
    /// The connection ended before the answer.
    Closed,
    /// The answer did not come in time.
    Late,
}

impl Observe {
    /// Whether `seen` is an error to this observer; `None` if it does not look at it.
    pub fn judges(self, seen: Seen) -> Option<bool> {
        match (self.layer, seen) {
            (_, Seen::NotConnected) => Some(true),
            (Layer::Four, Seen::Connected) | (Layer::Seven, Seen::Answer) => Some(false),
            (Layer::Four, _) | (Layer::Seven, Seen::Connected) => None,
            (Layer::Seven, _) => Some(true),
        }
    }
}

impl Seen {
    /// What a status says.
    pub fn status(status: u16) -> Seen {
        match status {
            100..=499 | 501 | 505 => Seen::Answer,
            _ => Seen::WrongStatus,
        }
    }

    /// As log lines name it.
    pub fn words(self) -> &'static str {
        match self {
            Seen::Connected => "L4 successful connection",
            Seen::NotConnected => "L4 unsuccessful connection",
            Seen::Answer => "Correct http response",
            Seen::WrongStatus => "Wrong http response",
            Seen::Invalid => "Invalid http response (headers)",
            Seen::Broken => "Read error (http)",
            Seen::Closed => "Close from server (http)",
            Seen::Late => "Read timeout (http)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_looks_at_its_own() {
        let observe = |layer| Observe { layer, error_limit: ERROR_LIMIT, on_error: OnError::default() };
        let (four, seven) = (observe(Layer::Four), observe(Layer::Seven));
        assert_eq!((four.judges(Seen::Connected), seven.judges(Seen::Connected)), (Some(false), None));
        assert_eq!((four.judges(Seen::NotConnected), seven.judges(Seen::NotConnected)), (Some(true), Some(true)));
        assert_eq!((four.judges(Seen::Late), seven.judges(Seen::Late)), (None, Some(true)));
        assert_eq!(
            [99, 100, 404, 500, 501, 505, 506].map(|s| Seen::status(s) == Seen::Answer),
            [false, true, true, false, true, true, false]
        );
    }
}
