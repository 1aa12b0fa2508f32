//! The counter between up and down (manual 5.2, `rise` and `fall`).
//!
//! One number says it all: from 0 to `rise - 1` the server is down, from `rise` to `rise + fall - 1` up.
//!
//! ```text
//!    0          1 … rise-1   │   rise … rise+fall-2     rise+fall-1
//!    down       going up     │   going down             up
//! ```
//!
//! Crossing the line goes to the far end at once, so that it takes `fall` failures in a row, or `rise`
//! successes, to come back. A server starts just above the line: up, but the first failure takes it down.

/// Health of a checked server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    rise: u32,
    fall: u32,
    value: u32,
}

/// What a check's verdict did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it was as well, or as ill, as can be.
    None,
    /// The counter moved.
    Moved,
    /// The server came up.
    CameUp,
    /// The server went down.
    WentDown,
}

impl Health {
    /// The health that a server starts with; `rise` and `fall` are at least 1.
    pub fn new(rise: u32, fall: u32) -> Health {
        let (rise, fall) = (rise.max(1), fall.max(1));
        Health { rise, fall, value: rise }
    }

    /// The same server with the counter at `value`, cut to what is possible.
    pub fn at(self, value: u32) -> Health {
        Health { value: value.min(self.full()), ..self }
    }

    /// The same distance from the worst, or the best, on the scale of `other`, on the same side of the line.
    pub fn within(self, other: Health) -> Health {
        let value = if self.is_up() {
            other.full().saturating_sub(self.full() - self.value).max(other.rise)
        } else {
            self.value.min(other.rise - 1)
        };
        Health { value, ..other }
    }

    /// A check passed.
    pub fn passed(&mut self) -> Step {
        if self.value >= self.full() {
            return Step::None;
        }
        let was_up = self.is_up();
        self.value += 1;
        if self.is_up() {
            self.value = self.full();
        }
        if self.is_up() && !was_up { Step::CameUp } else { Step::Moved }
    }

    /// A check failed.
    pub fn failed(&mut self) -> Step {
        if !self.is_up() {
            // Successes have to come in a row.
            return if std::mem::take(&mut self.value) > 0 { Step::Moved } else { Step::None };
        }
        self.value -= 1;
        if self.is_up() {
            return Step::Moved;
        }
        self.value = 0;
        Step::WentDown
    }

    /// As down as can be: also while in maintenance.
    pub fn set_down(&mut self) {
        self.value = 0;
    }

    /// As well as can be.
    pub fn set_up(&mut self) {
        self.value = self.full();
    }

    /// No more than so many failures away from the last one that it survives.
    pub fn bring_near(&mut self, failures: u32) {
        self.value = self.value.min(self.rise + failures);
    }

    /// As at the start: up until the first failure.
    pub fn set_fresh(&mut self) {
        self.value = self.rise;
    }

    /// The counter, as the statistics show it (`check_health`).
    pub fn value(&self) -> u32 {
        self.value
    }

    /// `rise`.
    pub fn rise(&self) -> u32 {
        self.rise
    }

    /// `fall`.
    pub fn fall(&self) -> u32 {
        self.fall
    }

    /// Whether it is above the line.
    pub fn is_up(&self) -> bool {
        self.value >= self.rise
    }

    /// Neither fully up nor fully down: the next check is due earlier (`fastinter`).
    pub fn is_moving(&self) -> bool {
        self.value > 0 && self.value < self.full()
    }

    /// How far it is on its side of the line and how far that goes: 2 of 3 in `UP 2/3`.
    pub fn progress(&self) -> (u32, u32) {
        if self.is_up() { (self.value - self.rise + 1, self.fall) } else { (self.value, self.rise) }
    }

    fn full(&self) -> u32 {
        self.rise + self.fall - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_takes_a_new_server_down() {
        let mut health = Health::new(2, 3);
        assert!(health.is_up());
        assert_eq!(health.failed(), Step::WentDown);
        assert_eq!((health.value(), health.progress()), (0, (0, 2)));
        assert_eq!(health.failed(), Step::None);
    }

    #[test]
    fn it_takes_fall_failures_and_rise_successes_in_a_row() {
        let mut health = Health::new(2, 3);
        assert_eq!(health.passed(), Step::Moved);
        assert_eq!(health.progress(), (3, 3));
        assert_eq!(health.passed(), Step::None);
        assert_eq!((health.failed(), health.progress()), (Step::Moved, (2, 3)));
        assert_eq!((health.failed(), health.progress()), (Step::Moved, (1, 3)));
        assert_eq!((health.passed(), health.progress()), (Step::Moved, (3, 3)));
        assert_eq!([health.failed(), health.failed(), health.failed()], [Step::Moved, Step::Moved, Step::WentDown]);
        assert_eq!((health.passed(), health.progress()), (Step::Moved, (1, 2)));
        assert!(health.is_moving());
        assert_eq!(health.failed(), Step::Moved);
        assert_eq!([health.passed(), health.passed()], [Step::Moved, Step::CameUp]);
        assert_eq!(health.value(), 4);
    }
}
