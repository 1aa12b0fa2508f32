//! Time as the rest of the program sees it: one reading of the clocks a turn of the loop.
//!
//! Engines and phases are given a [`Now`]; only the event loop makes one. Deadlines are [`Tick`]s, so that
//! a simulation can drive everything on virtual time.

pub mod wheel;
pub mod zone;

use std::ops::Add;
use std::time::Duration;

/// A point on the monotonic clock, in milliseconds since an origin that lies before the process's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// A span of time in milliseconds: the unit of HAProxy's timeouts (configuration manual, 2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time in microseconds; same origin as [`Tick`].
    pub mono_us: u64,
    /// Wall-clock time in microseconds since the Unix epoch.
    pub wall_us: u64,
}

impl Tick {
    /// A deadline that never comes.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    pub fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Millis> for Tick {
    type Output = Tick;

    fn add(self, span: Millis) -> Tick {
        Tick(self.0.saturating_add(span.0))
    }
}

impl Millis {
    /// `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Millis {
        Millis(seconds * 1000)
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Duration {
        Duration::from_millis(span.0)
    }
}

impl Now {
    /// The monotonic time in whole milliseconds.
    pub fn tick(self) -> Tick {
        Tick(self.mono_us / 1000)
    }

    /// Whole seconds since the Unix epoch.
    pub fn wall_s(self) -> u64 {
        self.wall_us / 1_000_000
    }

    /// Milliseconds within the current wall-clock second, 0 to 999.
    pub fn wall_ms_part(self) -> u32 {
        (self.wall_us / 1000 % 1000) as u32
    }

    /// Microseconds from `earlier` to `self` on the monotonic clock; 0 when `earlier` is later.
    pub fn us_since(self, earlier: Now) -> u64 {
        self.mono_us.saturating_sub(earlier.mono_us)
    }

    /// Whole milliseconds from `earlier` to `self`, each reading cut to its millisecond first.
    pub fn ms_since(self, earlier: Now) -> u64 {
        self.tick().since(earlier.tick())
    }
}

/// The earlier of two optional deadlines.
pub fn earliest(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
