//! A service that is reloaded, killed and resized under load, again and again: no connection is refused, nothing
//! is lost that did not depend on a killed process, and the statistics agree with the clients to the last request.
//!
//!     cargo test --test endurance
//!
//! The tests take turns: each one measures what clients see, and the machine should be theirs.

mod checks;
mod fleet;
mod idle;
mod kills;
mod limits;
#[path = "../reload/load.rs"]
mod load;
mod reloads;
#[path = "../support/mod.rs"]
mod support;
mod wrk;

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use load::{Count, Habit};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// Clients of several kinds: some never pause, some do, some open a connection for each request, some wait for long.
fn habits() -> Vec<Habit> {
    let habit = |path, requests, pause_ms| Habit { path, requests, pause: Duration::from_millis(pause_ms) };
    let kinds = [
        (4, habit("/", u32::MAX, 0)),
        (10, habit("/", u32::MAX, 20)),
        (4, habit("/", 10, 5)),
        (8, habit("/", 1, 2)),
        (4, habit("/slow", u32::MAX, 5)),
    ];
    kinds.iter().flat_map(|(times, habit)| vec![*habit; *times]).collect()
}

fn assert_nothing_lost(count: &Count) {
    eprintln!("{count:?}");
    assert_eq!((count.failed_connects, count.failed_requests), (0, 0), "{:?}", count.reasons);
    assert!(count.answered > 100, "there was load: {count:?}");
}
