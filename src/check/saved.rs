//! What a state file makes of a server at the start (manual 4.2, `load-server-state-from-file`).

use super::carry::Carried;
use super::place::Place;
use super::result::Status;
use super::server::{Admin, Cause, Change, Operation, ServerState};
use crate::proxy::{SavedState, Server, ServerAddress};
use std::net::SocketAddr;

/// Bits of the checks' state in a file.
const CHECK_CONFIGURED: u8 = 0x02;
const CHECK_ENABLED: u8 = 0x04;

/// A server as it is configured, with the state that was saved, and what is to be announced of that. Its address is
/// that of the configuration, its port the one that was saved, as in HAProxy; one whose name led nowhere at the start
/// begins anew.
pub fn restore(fresh: Carried, server: &Server, saved: &SavedState, now_s: u64) -> (Carried, Option<Change>) {
    let Carried { mut state, maxconn, mut place } = fresh;
    if server.naming.is_some() {
        restore_name(&mut place, server, saved);
    }
    if server.service.is_none() {
        restore_port(&mut place, saved);
    }
    restore_checks(&mut place, saved);
    if state.lacks_address() {
        return (Carried { state, maxconn, place }, None);
    }
    if saved.initial_weight == state.weight {
        state.weight = saved.weight;
    }
    state.last.status = Status::from_number(saved.status);
    if saved.check_state & (CHECK_CONFIGURED | CHECK_ENABLED) == CHECK_CONFIGURED {
        state.checks_enabled = false;
    }
    if state.agent.is_configured {
        state.agent.orders.addr = saved.agent_addr;
        state.agent.orders.port = saved.agent_port;
    }
    let change = restore_orders(&mut state, saved, now_s);
    state.changed_at = now_s.saturating_sub(saved.changed_ago_s);
    (Carried { state, maxconn, place }, change)
}

fn restore_orders(state: &mut ServerState, saved: &SavedState, now_s: u64) -> Option<Change> {
    let admin = Admin::from_bits_truncate(saved.admin);
    if state.admin.contains(Admin::CONFIGURED_MAINT) {
        // The operator had enabled it although its line says `disabled`.
        let enabled = admin & (Admin::FORCED_MAINT | Admin::CONFIGURED_MAINT) == Admin::CONFIGURED_MAINT;
        return if enabled { state.order_enable(now_s) } else { None };
    }
    let change = match Operation::from_number(saved.operation) {
        Operation::Stopped => {
            state.operation = Operation::Stopped;
            state.health.set_down();
            Some(Change::Down { cause: Cause::File, quiet: false })
        }
        Operation::Stopping => {
            state.operation = Operation::Stopping;
            Some(Change::Stopping { cause: Cause::File })
        }
        Operation::Starting | Operation::Running => {
            state.health.set_up();
            None
        }
    };
    // Maintenance that its line had begun ends with that word.
    if admin.contains(Admin::FORCED_MAINT) && !admin.contains(Admin::CONFIGURED_MAINT) {
        state.order_maintenance(now_s);
        return change;
    }
    if admin.contains(Admin::FORCED_DRAIN) {
        state.admin.insert(Admin::FORCED_DRAIN);
        return change.or(Some(Change::StillDrain { inherited: false }));
    }
    change
}

/// The name that was ordered, or the part of the service that it had.
fn restore_name(place: &mut Place, server: &Server, saved: &SavedState) {
    let was_set = Admin::from_bits_truncate(saved.admin).contains(Admin::NAME_SET);
    match (&server.service, &saved.service, &saved.name, place.ip()) {
        (Some(own), Some(service), Some(name), _) if own == service => place.take(name, saved.port),
        (Some(_), None, _, Some(ip)) => {
            place.order_address(ServerAddress::Ip(SocketAddr::new(ip, saved.port)));
        }
        (None, _, Some(name), _) if was_set && place.name.as_deref() != Some(name) => place.order_name(name),
        _ => {}
    }
}

fn restore_port(place: &mut Place, saved: &SavedState) {
    match place.address {
        ServerAddress::Ip(mut address) if address.port() != saved.port => {
            address.set_port(saved.port);
            place.order_address(ServerAddress::Ip(address));
        }
        ServerAddress::IpRelative(ip, offset) if offset as u16 != saved.port => {
            place.order_address(ServerAddress::IpRelative(ip, i32::from(saved.port)));
        }
        _ => {}
    }
}

fn restore_checks(place: &mut Place, saved: &SavedState) {
    if let Some(port) = saved.check_port.filter(|port| place.check_port != Some(*port)) {
        place.order_check_port(port);
    }
    if let Some(addr) = saved.check_addr.filter(|addr| place.check_addr != Some(*addr)) {
        place.order_check_addr(addr);
    }
}
