//! Servers: their state, weight and limits.

use std::borrow::Cow;

use super::{Call, Command, Outcome, Scope, place};
use crate::check::server::CheckEffect;
use crate::check::{Operation, ServerState};
use crate::proxy::{CliLevel, ServerId};

/// Highest weight of a server (manual 5.2, `weight`).
const WEIGHT_MAX: u32 = 256;

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
        "agent" | "agent-send" => Err("agent checks are not enabled on this server.\n".into()),
        "agent-addr" | "agent-port" => Err("agent checks are not enabled on this server".into()),
        "fqdn" if call.word(4).is_empty() => Err("set server <b>/<s> fqdn requires a FQDN.\n".into()),
        "fqdn" => Err("set server <b>/<s> fqdn failed because no resolution is configured.\n".into()),
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
    let weight = weight(call.word(at), initial)?;
    if !dynamic && weight != 0 && weight != initial {
        return Err("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n".into());
    }
    call.core.services.set_server_weight(id, weight);
    Ok(())
}

/// A weight, or a share of the `initial` one in percent.
fn weight(word: &str, initial: u32) -> Result<u32, Cow<'static, str>> {
    if word.is_empty() {
        return Err("Require <weight> or <weight%>.\n".into());
    }
    let (number, rest) = leading_number(word).ok_or("Empty weight string empty or preceded by garbage")?;
    let number = match rest {
        "" => number,
        "%" if number < 0 => return Err("Relative weight must be positive.\n".into()),
        "%" => (i64::from(initial) * number / 100).min(i64::from(WEIGHT_MAX)),
        _ => return Err("Trailing garbage in weight string".into()),
    };
    let weight = u32::try_from(number).ok().filter(|&weight| weight <= WEIGHT_MAX);
    weight.ok_or("Absolute weight can only be between 0 and 256 inclusive.\n".into())
}

/// The number that a word begins with, and what follows it.
fn leading_number(word: &str) -> Option<(i64, &str)> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let end = word.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if end == word.len() - digits.len() {
        return None;
    }
    // More digits than a number has room for are more than any limit allows.
    Some((word[..end].trim_start_matches('+').parse().unwrap_or(i64::from(i32::MAX)), &word[end..]))
}

fn set_maxconn(call: &mut Call<'_>) -> Outcome {
    let id = call.server(call.word(3))?;
    let word = call.word(4);
    if word.is_empty() {
        return Err("Require <maxconn>.\n".into());
    }
    let (number, rest) = leading_number(word).ok_or("maxconn string empty or preceded by garbage")?;
    if !rest.is_empty() {
        return Err("Trailing garbage in maxconn string".into());
    }
    call.core.services.set_server_maxconn(id, u32::try_from(number).ok().filter(|&max| max > 0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_absolute_or_a_share() {
        assert_eq!(weight("20", 50), Ok(20));
        assert_eq!(weight("50%", 50), Ok(25));
        assert_eq!(weight("10%", 1), Ok(0));
        assert_eq!(weight("1000%", 50), Ok(256));
        for (word, expected) in [
            ("", "Require <weight> or <weight%>.\n"),
            ("foo", "Empty weight string empty or preceded by garbage"),
            ("12x", "Trailing garbage in weight string"),
            ("300", "Absolute weight can only be between 0 and 256 inclusive.\n"),
            ("-1", "Absolute weight can only be between 0 and 256 inclusive.\n"),
            ("99999999999999999999", "Absolute weight can only be between 0 and 256 inclusive.\n"),
        ] {
            assert_eq!(weight(word, 1).unwrap_err(), expected, "{word}");
        }
    }
}
