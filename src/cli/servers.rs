//! Servers: their state, weight and limits.

use super::{Call, Command, Outcome, Scope, agents, place};
use crate::check::server::CheckEffect;
use crate::check::{Operation, ServerState, amount};
use crate::proxy::{CliLevel, ServerId};

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["disable", "health"],
        usage: "disable health",
        help: "disable health checks",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| health_checks(call, false),
    },
    Command {
        words: &["disable", "server"],
        usage: "disable server (DEPRECATED)",
        help: "disable a server for maintenance (use 'set server' instead)",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| change(call, |state, now_s| state.order_maintenance(now_s).into()),
    },
    Command {
        words: &["enable", "health"],
        usage: "enable health",
        help: "enable health checks",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| health_checks(call, true),
    },
    Command {
        words: &["enable", "server"],
        usage: "enable server  (DEPRECATED)",
        help: "enable a disabled server (use 'set server' instead)",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| change(call, |state, now_s| state.order_enable(now_s).into()),
    },
    Command {
        words: &["get", "weight"],
        usage: "get weight <bk>/<srv>",
        help: "report a server's current weight",
        level: CliLevel::User,
        scope: Scope::Here,
        run: get_weight,
    },
    Command {
        words: &["set", "maxconn", "server"],
        usage: "set maxconn server <bk>/<srv>",
        help: "change a server's maxconn setting",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: set_maxconn,
    },
    Command {
        words: &["set", "server"],
        usage: "set server <bk>/<srv> [opts]",
        help: "change a server's state, weight, address or ssl",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: set_server,
    },
    Command {
        words: &["set", "weight"],
        usage: "set weight <bk>/<srv>  (DEPRECATED)",
        help: "change a server's weight (use 'set server' instead)",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| {
            let id = call.server(call.word(2))?;
            set_weight(call, id, 3)
        },
    },
];

/// Changes the server that the third word names.
fn change(call: &mut Call<'_>, event: impl FnOnce(&mut ServerState, u64) -> CheckEffect) -> Outcome {
    let id = call.server(call.word(2))?;
    call.core.services.change_server(id, event);
    Ok(())
}

fn health_checks(call: &mut Call<'_>, enabled: bool) -> Outcome {
    let id = call.server(call.word(2))?;
    match (call.core.services.servers[id.0 as usize].is_checked, enabled) {
        (true, _) => call.core.services.change_server(id, |state, _| {
            state.checks_enabled = enabled;
            CheckEffect::default()
        }),
        (false, true) => return Err("Health check was not configured on this server, cannot enable.\n".into()),
        (false, false) => {}
    }
    Ok(())
}

fn get_weight(call: &mut Call<'_>) -> Outcome {
    let id = call.server(call.word(2))?;
    let line = format!("{} (initial {})\n", call.core.services.servers[id.0 as usize].weight, call.config()[id].weight);
    call.say(line);
    Ok(())
}

fn set_server(call: &mut Call<'_>) -> Outcome {
    let id = call.server(call.word(2))?;
    match call.word(3) {
        "weight" => set_weight(call, id, 4),
        "addr" => place::set_addr(call, id),
        "check-addr" => place::set_check_addr(call, id),
        "check-port" => place::set_check_port(call, id),
        "state" => set_state(call, id),
        "health" => set_health(call, id),
        "agent" => agents::set_health(call, id),
        "agent-send" => agents::set_send(call, id),
        "agent-addr" => agents::set_address(call, id),
        "agent-port" => agents::set_port(call, id),
        "fqdn" => place::set_name(call, id),
        "ssl" => Err("'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n".into()),
        _ => Err("usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | \
                  check-addr | check-port | fqdn | health | ssl | state | weight\n"
            .into()),
    }
}

fn set_state(call: &mut Call<'_>, id: ServerId) -> Outcome {
    let order: fn(&mut ServerState, u64) -> CheckEffect = match call.word(4) {
        "ready" => |state, now_s| state.order_ready(now_s).into(),
        "drain" => |state, now_s| state.order_drain(now_s).into(),
        "maint" => |state, now_s| state.order_maintenance(now_s).into(),
        _ => return Err("'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n".into()),
    };
    call.core.services.change_server(id, order);
    Ok(())
}

fn set_health(call: &mut Call<'_>, id: ServerId) -> Outcome {
    if call.config()[id].track.is_some() {
        return Err("cannot change health on a tracking server.\n".into());
    }
    let operation = match call.word(4) {
        "up" => Operation::Running,
        "stopping" => Operation::Stopping,
        "down" => Operation::Stopped,
        _ => return Err("'set server <srv> health' expects 'up', 'stopping', or 'down'.\n".into()),
    };
    call.core.services.change_server(id, |state, now_s| state.order_health(operation, now_s).into());
    Ok(())
}

fn set_weight(call: &mut Call<'_>, id: ServerId, at: usize) -> Outcome {
    let config = call.config();
    let (initial, backend) = (config[id].weight, config[id].backend);
    let dynamic = call.core.services.balancers[backend.0 as usize].is_dynamic();
    let weight = amount::weight(call.word(at), initial, dynamic)?;
    call.core.services.set_server_weight(id, weight);
    Ok(())
}

fn set_maxconn(call: &mut Call<'_>) -> Outcome {
    let id = call.server(call.word(3))?;
    call.core.services.set_server_maxconn(id, amount::maxconn(call.word(4))?);
    Ok(())
}
