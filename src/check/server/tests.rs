//! Conversations with HAProxy about servers, as recorded: what happened, and the log lines that followed.

use super::*;
use crate::check::notice::{self, Names, Tally};
use crate::time::Millis;

/// The servers of one backend.
struct Farm {
    servers: Vec<(&'static str, bool, ServerState)>,
    logs_checks: bool,
}

/// Name, `backup`, rise and fall of its checks.
type Line = (&'static str, bool, Option<(u32, u32)>);

const REFUSED: &str = "reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms";

impl Farm {
    fn new(servers: &[Line]) -> Farm {
        let server = |&(name, backup, checks): &Line| (name, backup, ServerState::new(checks, 1, false, 100));
        Farm { servers: servers.iter().map(server).collect(), logs_checks: false }
    }

    fn tally(&self) -> Tally {
        let count = |backup| {
            let usable =
                |(_, is, state): &&(&str, bool, ServerState)| *is == backup && state.is_usable() && state.weight > 0;
            self.servers.iter().filter(usable).count() as u32
        };
        Tally { active: count(false), backup: count(true), ..Tally::default() }
    }

    /// Lets something happen to server `which` and gives the lines that follow, as `severity text`.
    fn act(&mut self, which: usize, event: impl FnOnce(&mut ServerState) -> CheckEffect) -> Vec<String> {
        let before = self.tally();
        let (name, is_backup, state) = &mut self.servers[which];
        let names = Names { backend: "b", server: name, is_backup: *is_backup, host: None, tracked: None };
        let effect = event(state);
        let state = state.clone();
        let after = self.tally();
        let mut notices = Vec::new();
        if effect.reported && self.logs_checks {
            notices.push(notice::health_check(names, &state, &effect));
        }
        if let Some(change) = effect.change {
            notices.extend(notice::announce(names, &state, change, &after, self.logs_checks));
        }
        if before.active + before.backup > 0 && after.active + after.backup == 0 {
            notices.push(notice::no_server("b", false));
        }
        notices.iter().map(|notice| format!("{} {}", notice.level as u8, notice.log)).collect()
    }

    fn order(&mut self, which: usize, order: impl FnOnce(&mut ServerState) -> Option<Change>) -> Vec<String> {
        self.act(which, |state| order(state).into())
    }

    fn fails(&mut self, which: usize) -> Vec<String> {
        let info = b"Connection refused".to_vec();
        let outcome = Outcome { status: Status::L4Failed, code: 0, info, duration: Millis(0) };
        self.act(which, |state| state.checked(outcome, 101))
    }

    fn passes(&mut self, which: usize) -> Vec<String> {
        let outcome = Outcome { status: Status::L4Passed, ..Outcome::default() };
        self.act(which, |state| state.checked(outcome, 102))
    }

    fn word(&self, which: usize) -> String {
        self.servers[which].2.status_word()
    }
}

#[test]
fn a_server_dies_and_its_backup_takes_over() {
    let mut farm = Farm::new(&[("a", false, Some((2, 2))), ("bk", true, Some((2, 2)))]);
    assert!(farm.passes(0).is_empty() && farm.passes(1).is_empty());
    assert!(farm.fails(0).is_empty());
    assert_eq!(farm.word(0), "UP 1/2");
    assert_eq!(
        farm.fails(0),
        [format!(
            "1 Server b/a is DOWN, {REFUSED}. 0 active and 1 backup servers left. Running on backup. \
             0 sessions active, 0 requeued, 0 remaining in queue."
        )]
    );
    farm.fails(1);
    assert_eq!(
        farm.fails(1),
        [
            format!(
                "1 Backup Server b/bk is DOWN, {REFUSED}. 0 active and 0 backup servers left. \
                 0 sessions active, 0 requeued, 0 remaining in queue."
            ),
            "0 backend b has no server available!".into()
        ]
    );
    assert!(farm.passes(0).is_empty());
    assert_eq!(farm.word(0), "DOWN 1/2");
    assert_eq!(
        farm.passes(0),
        ["5 Server b/a is UP, reason: Layer4 check passed, check duration: 0ms. 1 active and 0 backup servers \
          online. 0 sessions requeued, 0 total in queue."]
    );
}

#[test]
fn log_health_checks_tells_each_step_and_leaves_the_reason_out_of_the_end() {
    let mut farm = Farm::new(&[("a", false, Some((2, 3))), ("c", false, None)]);
    farm.logs_checks = true;
    let passed = |at: &str| {
        format!(
            "5 Health check for server b/a succeeded, reason: Layer4 check passed, check duration: 0ms, status: {at}."
        )
    };
    let failed = |at: &str| format!("5 Health check for server b/a failed, {REFUSED}, status: {at}.");
    assert_eq!(farm.passes(0), [passed("3/3 UP")]);
    assert!(farm.passes(0).is_empty());
    assert_eq!(farm.fails(0), [failed("2/3 UP")]);
    assert_eq!(farm.fails(0), [failed("1/3 UP")]);
    let down = "1 Server b/a is DOWN. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, \
                0 remaining in queue.";
    assert_eq!(farm.fails(0), [failed("0/2 DOWN"), down.into()]);
    assert!(farm.fails(0).is_empty());
    assert_eq!(farm.passes(0), [passed("1/2 DOWN")]);
    let up = "5 Server b/a is UP. 2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.";
    assert_eq!(farm.passes(0), [passed("3/3 UP"), up.into()]);
    farm.servers[0].2.weight = 0;
    assert_eq!(farm.fails(0), [failed("2/3 DRAIN")]);
}

#[test]
fn maintenance_and_drain_are_announced() {
    let mut farm = Farm::new(&[("a", false, Some((2, 2))), ("c", false, None)]);
    farm.passes(0);
    let going = "Server b/a is going DOWN for maintenance. 1 active and 0 backup servers left. \
                 0 sessions active, 0 requeued, 0 remaining in queue.";
    let drain = "5 Server b/a enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, \
                 0 total in queue.";
    let remains = "5 Server b/a remains in forced drain mode.";
    let ready = "5 Server b/a is UP/READY (leaving forced maintenance).";
    assert_eq!(farm.order(0, |state| state.order_maintenance(103)), [format!("1 {going}")]);
    assert_eq!(farm.word(0), "MAINT");
    assert!(farm.order(0, |state| state.order_maintenance(103)).is_empty());
    assert_eq!(farm.order(0, |state| state.order_enable(104)), [ready]);
    assert_eq!(farm.word(0), "UP 1/2");
    farm.passes(0);
    assert_eq!(farm.order(0, |state| state.order_drain(105)), [drain]);
    assert_eq!(farm.word(0), "DRAIN");
    farm.fails(0);
    let down = format!(
        "5 Server b/a is DOWN, {REFUSED}. 1 active and 0 backup servers left. 0 sessions active, \
                        0 requeued, 0 remaining in queue."
    );
    assert_eq!(farm.fails(0), [down, remains.into()]);
    assert_eq!(farm.word(0), "DOWN");
    let was_down = "5 Server b/a was DOWN and now enters maintenance.";
    assert_eq!(farm.order(0, |state| state.order_maintenance(106)), [was_down]);
    let leaving = "5 Server b/a is UP/DRAIN (leaving forced maintenance).";
    assert_eq!(farm.order(0, |state| state.order_drain(107)), [leaving, remains]);
    assert_eq!(farm.order(0, |state| state.order_maintenance(108)), [format!("5 {going}")]);
    assert_eq!(farm.order(0, |state| state.order_ready(109)), [ready]);
    farm.order(0, |state| state.order_drain(110));
    assert_eq!(farm.order(0, |state| state.order_ready(111)), ["5 Server b/a is UP (leaving forced drain)."]);
}

#[test]
fn a_dead_server_drains_with_other_words() {
    let mut farm = Farm::new(&[("a", false, Some((2, 2))), ("c", false, None)]);
    farm.fails(0);
    let drain = "5 Server b/a enters drain state. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, \
                 0 remaining in queue.";
    assert_eq!(farm.order(0, |state| state.order_drain(105)), [drain]);
    assert_eq!(farm.order(0, |state| state.order_ready(106)), ["5 Server b/a is DOWN (leaving forced drain)."]);
}

#[test]
fn health_can_be_ordered() {
    let mut farm = Farm::new(&[("a", false, Some((2, 2))), ("c", false, None)]);
    let down = "1 Server b/a is DOWN, changed from CLI. 1 active and 0 backup servers left. 0 sessions active, \
                0 requeued, 0 remaining in queue.";
    assert_eq!(farm.order(0, |state| state.order_health(Operation::Stopped, 101)), [down]);
    let stopping = "5 Server b/a is stopping, changed from CLI. 1 active and 0 backup servers online. \
                    0 sessions requeued, 0 total in queue.";
    assert_eq!(farm.order(0, |state| state.order_health(Operation::Stopping, 101)), [stopping]);
    assert_eq!((farm.word(0).as_str(), farm.word(1).as_str()), ("NOLB", "no check"));
    let up = "5 Server b/a is UP, reason: Layer4 check passed, check duration: 0ms. 2 active and 0 backup servers \
              online. 0 sessions requeued, 0 total in queue.";
    assert_eq!(farm.passes(0), [up]);
    assert!(farm.order(0, |state| state.order_health(Operation::Running, 101)).is_empty());
}

#[test]
fn a_disabled_server_starts_in_maintenance_and_keeps_the_note() {
    let mut state = ServerState::new(Some((2, 2)), 1, true, 100);
    assert_eq!((state.status_word().as_str(), state.admin.bits(), state.check_bits(false)), ("MAINT", 5, 14));
    assert_eq!(state.order_enable(110), Some(Change::Ready { inherited: false }));
    assert_eq!((state.status_word().as_str(), state.admin.bits(), state.check_bits(false)), ("UP 1/2", 4, 6));
    assert_eq!((state.changed_at, state.downtime_s(120)), (110, 0));
}
