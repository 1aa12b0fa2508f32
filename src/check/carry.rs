//! What becomes of a server's state when a new configuration takes over from an old one: what
//! `load-server-state-from-file` makes of a file (manual 5.2; management manual 9.3, `show servers state`),
//! without the file.

use super::place::{Orders, Place};
use super::server::{Admin, Operation, ServerState};

/// What the configuration says of a server, as far as a change of it matters later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// `weight`.
    pub weight: u32,
    /// `maxconn`; `None` for no limit.
    pub maxconn: Option<u32>,
    /// A number that differs where the address does.
    pub address: u64,
    /// One that differs where the address of its checks does.
    pub check: u64,
}

/// A server's state, limit and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its state.
    pub state: ServerState,
    /// Its limit of connections.
    pub maxconn: Option<u32>,
    /// Where it is reached.
    pub place: Place,
}

/// The state with which a server goes on: `old` under what was configured `then`, `fresh` as it is configured
/// `now`. Orders stay; weight and limit do unless the configuration changed them; health stays within the
/// new `rise` and `fall`. At another address it is another server.
pub fn carry(old: &Carried, then: &Configured, fresh: Carried, now: &Configured) -> Carried {
    if then.address != now.address {
        return fresh;
    }
    let old = &addressed(old, &fresh);
    let place = old.place.carried(&fresh.place, then.check != now.check);
    let fresh = fresh.state;
    let maxconn = if then.maxconn == now.maxconn { old.maxconn } else { now.maxconn };
    let weight = if then.weight == now.weight { old.state.weight } else { now.weight };
    let mut old = old.clone();
    if !fresh.tracks {
        let inherited = Admin::INHERITED_MAINT | Admin::INHERITED_DRAIN;
        let was_maintenance = old.state.admin.is_maintenance();
        old.state.admin.remove(inherited);
        if was_maintenance && !old.state.admin.is_maintenance() {
            old.state.operation = Operation::Running;
        }
    }
    let mut state = match admin(old.state.admin, fresh.admin) {
        Some(admin) => ServerState { admin, ..with_checks(&old.state, &fresh) },
        // Its line said `disabled` and does not any more.
        None => ServerState { downtime: old.state.downtime, ..fresh },
    };
    state.weight = weight;
    if state.admin.is_maintenance() {
        state.operation = Operation::Stopped;
        state.health.set_down();
    }
    Carried { state, maxconn, place }
}

/// `old` with or without an address as `fresh` is, beside what was ordered: only who was given an address since goes on
/// with it where the configuration has none, and only who was given a name goes on without one where it has.
fn addressed(old: &Carried, fresh: &Carried) -> Carried {
    let mut carried = old.clone();
    let now_s = fresh.state.changed_at;
    match (old.state.lacks_address(), fresh.state.lacks_address()) {
        (true, false) if !old.place.orders.contains(Orders::NAME) => {
            carried.place.orders.remove(Orders::ADDRESS);
            carried.state.find_address(now_s);
        }
        (false, true) if !old.place.orders.contains(Orders::ADDRESS) => {
            carried.state.lose_address("", now_s);
        }
        _ => {}
    }
    carried
}

/// The orders that are left; `None` if the server leaves the maintenance that its configuration began.
fn admin(old: Admin, fresh: Admin) -> Option<Admin> {
    let configured = Admin::FORCED_MAINT | Admin::CONFIGURED_MAINT;
    match fresh.contains(Admin::CONFIGURED_MAINT) {
        // The operator enabled it although its line says `disabled`.
        true if old & configured == Admin::CONFIGURED_MAINT => Some(old),
        true => Some(configured),
        false if old.contains(configured) => None,
        false => Some(old - Admin::CONFIGURED_MAINT),
    }
}

/// `old` with the checks of `fresh`.
fn with_checks(old: &ServerState, fresh: &ServerState) -> ServerState {
    let mut state = old.clone();
    state.is_checked = fresh.is_checked;
    // What a tracked server hands down is asked anew.
    state.tracks = fresh.tracks;
    state.agent = fresh.agent.clone().carried(&old.agent);
    state.slowstart_s = fresh.slowstart_s;
    if state.operation == Operation::Starting && fresh.slowstart_s == 0 {
        state.operation = Operation::Running;
    }
    state.checks_enabled = fresh.is_checked && (old.checks_enabled || !old.is_checked);
    state.health = fresh.health;
    if old.agent.objects() && !state.agent.objects() && !fresh.is_checked {
        // Nothing would ever bring it up again.
        state.operation = Operation::Running;
    }
    let was_watched = old.is_checked || old.tracks && !fresh.tracks;
    match (was_watched, fresh.is_checked) {
        (true, true) if old.is_checked => state.health = old.health.within(fresh.health),
        (true, false) => {
            // Nothing would ever bring it up again.
            (state.operation, state.last) = (Operation::Running, fresh.last.clone());
        }
        _ if state.operation == Operation::Stopped => state.health.set_down(),
        _ => {}
    }
    state
}

#[cfg(test)]
mod tests {
    use super::super::result::{Outcome, Status};
    use super::*;
    use crate::proxy::ServerAddress;

    const NOW: Configured = Configured { weight: 10, maxconn: Some(5), address: 1, check: 1 };

    fn at_80() -> Place {
        let address = ServerAddress::Ip(([127, 0, 0, 1], 80).into());
        Place { address, check_addr: None, check_port: None, name: None, orders: Orders::empty() }
    }

    fn with(state: ServerState) -> Carried {
        Carried { state, maxconn: Some(5), place: at_80() }
    }

    fn fresh(disabled: bool) -> ServerState {
        ServerState::new(Some((3, 4)), 10, disabled, 1_000)
    }

    fn old(change: impl FnOnce(&mut ServerState)) -> Carried {
        let mut state = ServerState::new(Some((3, 4)), 10, false, 400);
        state.health.set_up();
        (state.weight, state.last.status) = (7, Status::L4Passed);
        change(&mut state);
        Carried { state, maxconn: Some(50), place: at_80() }
    }

    fn word(old: &Carried, disabled: bool) -> (String, Admin, u64) {
        let after = carry(old, &NOW, with(fresh(disabled)), &NOW).state;
        (after.status_word(), after.admin, after.changed_at)
    }

    #[test]
    fn health_and_orders_stay() {
        let up = old(|_| {});
        assert_eq!(carry(&up, &NOW, with(fresh(false)), &NOW), up);
        assert_eq!(word(&up, false), ("UP".into(), Admin::empty(), 400));
        let down = old(|state| _ = state.order_health(Operation::Stopped, 500));
        assert_eq!(word(&down, false), ("DOWN".into(), Admin::empty(), 500));
        let drain = old(|state| _ = state.order_drain(500));
        assert_eq!(word(&drain, false), ("DRAIN".into(), Admin::FORCED_DRAIN, 500));
        let maint = old(|state| _ = state.order_maintenance(500));
        assert_eq!(word(&maint, false), ("MAINT".into(), Admin::FORCED_MAINT, 500));
        let off = old(|state| state.checks_enabled = false);
        assert_eq!(word(&off, false).0, "no check");
    }

    #[test]
    fn disabled_in_the_configuration_means_what_it_means_in_a_state_file() {
        let both = Admin::FORCED_MAINT | Admin::CONFIGURED_MAINT;
        let up = old(|_| {});
        assert_eq!(word(&up, true), ("MAINT".into(), both, 400));
        let drain = old(|state| _ = state.order_drain(500));
        assert_eq!(word(&drain, true), ("MAINT".into(), both, 500));
        let configured = with(fresh(true));
        assert_eq!(word(&configured, true), ("MAINT".into(), both, 1_000));
        assert_eq!(word(&configured, false), ("UP 1/4".into(), Admin::empty(), 1_000));
        let mut enabled = configured.clone();
        enabled.state.order_ready(700);
        assert_eq!(word(&enabled, true), ("UP 1/4".into(), Admin::CONFIGURED_MAINT, 700));
        assert_eq!(word(&enabled, false), ("UP 1/4".into(), Admin::empty(), 700));
    }

    #[test]
    fn what_the_configuration_changed_holds() {
        let up = old(|_| {});
        let heavier = Configured { weight: 20, ..NOW };
        let after = carry(&up, &NOW, with(fresh(false)), &heavier);
        assert_eq!((after.state.weight, after.maxconn), (20, Some(50)));
        let narrower = Configured { maxconn: Some(2), ..NOW };
        let after = carry(&up, &NOW, with(fresh(false)), &narrower);
        assert_eq!((after.state.weight, after.maxconn), (7, Some(2)));
        let mut moved = up.clone();
        moved.place.order_address(ServerAddress::Ip(([127, 0, 0, 2], 80).into()));
        assert_eq!(carry(&moved, &NOW, with(fresh(false)), &NOW).place, moved.place);
        let elsewhere = Configured { address: 2, ..NOW };
        assert_eq!(carry(&moved, &NOW, with(fresh(false)), &elsewhere).place, at_80());
        let after = carry(&up, &NOW, with(fresh(false)), &elsewhere);
        assert_eq!((after.state, after.maxconn), (fresh(false), Some(5)));
    }

    #[test]
    fn orders_stay_whether_a_name_leads_somewhere_or_not() {
        let (lost, there) = (old(|state| _ = state.lose_address("NX", 500)), with(fresh(false)));
        assert_eq!(word(&lost, false), ("UP 1/4".into(), Admin::empty(), 1_000));
        assert_eq!(carry(&lost, &NOW, there.clone(), &NOW).state.weight, 7);
        let drained = old(|state| {
            state.order_drain(450);
            state.lose_address("NX", 500);
        });
        assert_eq!(word(&drained, false), ("DRAIN 1/4".into(), Admin::FORCED_DRAIN, 1_000));
        let stopped = old(|state| {
            state.lose_address("NX", 500);
            state.order_maintenance(510);
        });
        assert_eq!(word(&stopped, false).1, Admin::FORCED_MAINT);
        let mut renamed = lost;
        renamed.place.order_name("other.lab");
        let after = carry(&renamed, &NOW, there, &NOW);
        assert!(after.state.lacks_address() && after.place.name.as_deref() == Some("other.lab"));
        let nowhere = || {
            let mut state = fresh(false);
            state.lack_address();
            with(state)
        };
        let drained = old(|state| _ = state.order_drain(450));
        let after = carry(&drained, &NOW, nowhere(), &NOW).state;
        assert_eq!((after.admin, after.weight), (Admin::FORCED_DRAIN | Admin::RESOLUTION_MAINT, 7));
    }

    #[test]
    fn health_fits_new_checks() {
        let down = old(|state| _ = state.order_health(Operation::Stopped, 500));
        let unchecked = ServerState::new(None, 10, false, 1_000);
        let after = carry(&down, &NOW, with(unchecked.clone()), &NOW).state;
        assert_eq!((after.status_word(), after.last.status), ("no check".into(), Status::Initializing));
        let was_unchecked = Carried { maxconn: None, ..with(unchecked) };
        assert_eq!(word(&was_unchecked, false).0, "UP 1/4");
        let wider = || ServerState::new(Some((5, 9)), 10, false, 1_000);
        let failing = old(|state| {
            let failed = Outcome { status: Status::L4Failed, ..Outcome::default() };
            state.checked(failed, 450);
        });
        assert_eq!(failing.state.status_word(), "UP 3/4");
        assert_eq!(carry(&failing, &NOW, with(wider()), &NOW).state.status_word(), "UP 8/9");
        let narrow = ServerState::new(Some((1, 1)), 10, false, 1_000);
        assert_eq!(carry(&failing, &NOW, with(narrow), &NOW).state.status_word(), "UP");
        assert_eq!(carry(&down, &NOW, with(wider()), &NOW).state.status_word(), "DOWN");
    }
}
