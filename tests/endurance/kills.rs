//! Workers that are killed under load: who was not on them does not notice.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fleet::{Fleet, Form, PATIENCE};
use crate::load::{Load, crowd};
use crate::support::place::wait_until;
use crate::turn;

const KILLS: usize = 40;

/// A worker that is lost is there again within this time.
const REPLACED_WITHIN: Duration = Duration::from_millis(200);

#[test]
fn forty_killed_workers_take_only_their_own_requests_along() {
    let _turn = turn();
    let fleet = Fleet::start(Form::Finish, 4, "");
    let habits = crowd();
    let load = Load::start(fleet.address, &habits);
    let mut killed = Vec::new();
    let mut times = Vec::new();
    // The one that has been there for longest goes first: none dies so young that it looks like a crash loop.
    let mut order: VecDeque<u32> = fleet.workers().into();
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(300));
        let victim = order.pop_front().expect("a worker");
        let started = Instant::now();
        kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("kill");
        let back = || fleet.workers().len() == 4 && !fleet.workers().contains(&victim);
        assert!(wait_until(PATIENCE, back), "{:?}\n{}", fleet.workers(), fleet.current.stderr());
        times.push(started.elapsed());
        order.extend(fleet.workers().iter().filter(|pid| !order.contains(pid)).copied().collect::<Vec<_>>());
        killed.push(victim);
    }
    let count = load.finish();
    times.sort_unstable();
    eprintln!("{count:?}\nreplaced after {:?} (median), {:?} (worst)", times[KILLS / 2], times[KILLS - 1]);
    assert!(times[KILLS / 2] < REPLACED_WITHIN, "{times:?}");
    assert_eq!(count.failed_connects, 0, "{:?}", count.reasons);
    let strangers: Vec<_> = count.lost_on.keys().filter(|pid| !pid.is_some_and(|pid| killed.contains(&pid))).collect();
    // A connection that was lost before its first answer cannot tell whose it was.
    assert!(strangers.iter().all(|pid| pid.is_none()), "lost on living workers: {strangers:?}");
    assert!(count.failed_requests <= (KILLS * habits.len()) as u64, "{count:?}");
    assert!(count.answered > 100, "{count:?}");
    // Totals are kept, and nothing but what was under way at the time of a kill is missing.
    let counted = fleet.stat("f", "FRONTEND", "hrsp_2xx");
    let margin = (KILLS * habits.len()) as u64;
    assert!(counted.abs_diff(count.answered) <= margin, "{counted} {count:?}");
    let open = || [("f", "FRONTEND"), ("quick", "BACKEND")].map(|(proxy, side)| fleet.stat(proxy, side, "scur"));
    assert!(wait_until(PATIENCE, || open() == [0; 2]), "gauges of the dead are zero: {:?}", open());
}
