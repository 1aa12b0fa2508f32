//! Servers' agents: whether they are asked, where, and what they would say (management manual 9.3, `enable agent`,
//! `set server`).

use super::{Call, Command, Outcome, Scope};
use crate::check::server::Cause;
use crate::proxy::{CliLevel, ServerId};
use crate::shm::TEXT_BYTES_MAX;

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["disable", "agent"],
        usage: "disable agent",
        help: "disable agent checks",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| enable(call, false),
    },
    Command {
        words: &["enable", "agent"],
        usage: "enable agent",
        help: "enable agent checks",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| enable(call, true),
    },
];

fn enable(call: &mut Call<'_>, enabled: bool) -> Outcome {
    let id = call.server(call.word(2))?;
    match (call.config()[id].agent.is_some(), enabled) {
        (true, _) => call.core.services.enable_agent(id, enabled),
        (false, true) => return Err("Agent was not configured on this server, cannot enable.\n".into()),
        (false, false) => {}
    }
    Ok(())
}

fn is_enabled(call: &Call<'_>, id: ServerId) -> bool {
    call.core.services.servers[id.0 as usize].agent.enabled
}

/// `set server … agent up|down`
pub(super) fn set_health(call: &mut Call<'_>, id: ServerId) -> Outcome {
    if !is_enabled(call, id) {
        return Err("agent checks are not enabled on this server.\n".into());
    }
    let up = match call.word(4) {
        "up" => true,
        "down" => false,
        _ => return Err("'set server <srv> agent' expects 'up' or 'down'.\n".into()),
    };
    call.core.services.change_server(id, |state, now_s| state.order_agent(Cause::Order, up, now_s).into());
    Ok(())
}

/// `set server … agent-send <text>`
pub(super) fn set_send(call: &mut Call<'_>, id: ServerId) -> Outcome {
    if !is_enabled(call, id) {
        return Err("agent checks are not enabled on this server.\n".into());
    }
    let text = call.word(4);
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("agent-send takes at most {TEXT_BYTES_MAX} characters at run time.\n").into());
    }
    let text: Box<str> = text.into();
    call.core.services.order_agent(id, |orders| orders.send = Some(text));
    Ok(())
}

/// `set server … agent-addr <address> [port <port>]`
pub(super) fn set_address(call: &mut Call<'_>, id: ServerId) -> Outcome {
    if !is_enabled(call, id) {
        return Err("agent checks are not enabled on this server".into());
    }
    let text = call.word(4);
    if text.is_empty() {
        return Err("set server <b>/<s> agent-addr requires an address and optionally a port.\n".into());
    }
    let Ok(address) = text.parse() else { return Err(format!("invalid addr '{text}'").into()) };
    let port = if call.word(5) == "port" { Some(port(call.word(6))?) } else { None };
    call.core.services.order_agent(id, |orders| {
        orders.addr = Some(address);
        orders.port = port.or(orders.port);
    });
    Ok(())
}

/// `set server … agent-port <port>`
pub(super) fn set_port(call: &mut Call<'_>, id: ServerId) -> Outcome {
    if !is_enabled(call, id) {
        return Err("agent checks are not enabled on this server".into());
    }
    if call.word(4).is_empty() {
        return Err("set server <b>/<s> agent-port requires a port.\n".into());
    }
    let port = port(call.word(4))?;
    call.core.services.order_agent(id, |orders| orders.port = Some(port));
    Ok(())
}

fn port(word: &str) -> Result<u16, &'static str> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("provided port is not an integer");
    }
    word.parse().map_err(|_| "provided port is invalid")
}
