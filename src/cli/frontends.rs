//! Frontends and the limits of the whole.

use std::borrow::Cow;

use super::{Call, Command, Outcome, Scope};
use crate::log::Level;
use crate::notice;
use crate::proxy::{CliLevel, FrontendId, is_called};
use crate::session::Rates;
use crate::session::states::FrontendState;
use crate::stats::Count;
use crate::text::unit::atoi;

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["disable", "frontend"],
        usage: "disable frontend <frontend>",
        help: "temporarily disable specific frontend",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: disable,
    },
    Command {
        words: &["enable", "frontend"],
        usage: "enable frontend <frontend>",
        help: "re-enable specific frontend",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: enable,
    },
    Command {
        words: &["set", "maxconn", "frontend"],
        usage: "set maxconn frontend <frontend> <value>",
        help: "change a frontend's maxconn setting",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: set_maxconn,
    },
    Command {
        words: &["set", "maxconn", "global"],
        usage: "set maxconn global <value>",
        help: "change the per-process maxconn setting",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: set_maxconn_global,
    },
    Command {
        words: &["set", "rate-limit"],
        usage: "set rate-limit <setting> <value>",
        help: "change a rate limiting value",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: set_rate_limit,
    },
    Command {
        words: &["shutdown", "frontend"],
        usage: "shutdown frontend <frontend>",
        help: "stop a specific frontend",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: shutdown,
    },
];

/// The frontend that a word names.
fn frontend(call: &Call<'_>, word: &str) -> Result<FrontendId, Cow<'static, str>> {
    if word.is_empty() {
        return Err("A frontend name is expected.\n".into());
    }
    let frontends = &call.config().frontends;
    let found = frontends.iter().position(|frontend| is_called(word, &frontend.name, frontend.uuid));
    found.map(|index| FrontendId(index as u32)).ok_or("No such frontend.\n".into())
}

/// Says what became of a frontend, on standard error and in its log.
fn tell(call: &mut Call<'_>, id: FrontendId, text: String) {
    notice::running(false, &text);
    let services = &mut call.core.services;
    services.log.message(services.now, Level::Warning, &services.config[id].log, format_args!("{text}"));
}

fn kind(call: &Call<'_>, id: FrontendId) -> &'static str {
    if call.config()[id].is_listen { "proxy" } else { "frontend" }
}

/// Changes whether a frontend listens, in all workers; its sockets here follow at once.
fn order(call: &mut Call<'_>, id: FrontendId, change: impl FnOnce(&mut FrontendState) -> Outcome) -> Outcome {
    let services = &mut call.core.services;
    services.change_frontend(id, change)?;
    call.listeners.follow_frontend(services, id);
    Ok(())
}

fn disable(call: &mut Call<'_>) -> Outcome {
    let id = frontend(call, call.word(2))?;
    order(call, id, |state| match state {
        FrontendState { stopped: true, .. } => Err("Frontend was previously shut down, cannot disable.\n".into()),
        FrontendState { paused: true, .. } => Err("All sockets are already disabled.\n".into()),
        _ => {
            state.paused = true;
            Ok(())
        }
    })?;
    tell(call, id, format!("Paused {} {}.", kind(call, id), call.config()[id].name));
    Ok(())
}

fn enable(call: &mut Call<'_>) -> Outcome {
    let id = frontend(call, call.word(2))?;
    order(call, id, |state| match state {
        FrontendState { stopped: true, .. } => Err("Frontend was previously shut down, cannot enable.\n".into()),
        FrontendState { paused: false, .. } => Err("All sockets are already enabled.\n".into()),
        _ => {
            state.paused = false;
            Ok(())
        }
    })?;
    tell(call, id, format!("Resumed {} {}.", kind(call, id), call.config()[id].name));
    Ok(())
}

fn shutdown(call: &mut Call<'_>) -> Outcome {
    let id = frontend(call, call.word(2))?;
    order(call, id, |state| {
        if std::mem::replace(&mut state.stopped, true) {
            Err("Frontend was already shut down.\n".into())
        } else {
            Ok(())
        }
    })?;
    let services = &call.core.services;
    let (front, name) = (services.counters.frontend(id).get(Count::ConnectionsTotal), &services.config[id].name);
    tell(call, id, format!("Proxy {name} stopped (cumulated conns: FE: {front}, BE: 0)."));
    Ok(())
}

/// The number that a word gives; `missing` is said where there is no word.
fn number(word: &str, missing: &'static str) -> Result<u32, Cow<'static, str>> {
    if word.is_empty() {
        return Err(missing.into());
    }
    u32::try_from(atoi(word)).map_err(|_| "Value out of range.\n".into())
}

fn set_maxconn(call: &mut Call<'_>) -> Outcome {
    let id = frontend(call, call.word(3))?;
    let value = number(call.word(4), "Integer value expected.\n")?;
    call.core.services.change_frontend(id, |state| {
        state.maxconn = Some(value);
        Ok(())
    })
}

/// Zero goes back to what the start computed.
fn set_maxconn_global(call: &mut Call<'_>) -> Outcome {
    let wanted = number(call.word(3), "Expects an integer value.\n")?;
    let services = &mut call.core.services;
    let most = services.limits_at_start.as_ref().map_or(services.maxconn, |limits| limits.maxconn);
    match wanted {
        0 => services.set_maxconn(None),
        value if value <= most => services.set_maxconn(Some(value)),
        _ => return Err("Value out of range.\n".into()),
    }
    Ok(())
}

/// Zero takes the limit away.
fn set_rate_limit(call: &mut Call<'_>) -> Outcome {
    let choose: fn(&mut Rates) -> &mut Option<u32> = match (call.word(2), call.word(3)) {
        ("connections", "global") => |rates| &mut rates.connections,
        ("sessions", "global") => |rates| &mut rates.sessions,
        (setting @ ("ssl-sessions" | "http-compression"), "global") => {
            return Err(format!("'set rate-limit {setting}' is not supported by this build yet.\n").into());
        }
        _ => return Err(RATE_LIMITS.into()),
    };
    let value = number(call.word(4), "Expects an integer value.\n")?;
    call.core.services.change_rates(|rates| *choose(rates) = (value > 0).then_some(value));
    Ok(())
}

/// What `set rate-limit` may set.
const RATE_LIMITS: &str = "'set rate-limit' only supports :
   - 'connections global' to set the per-process maximum connection rate
   - 'sessions global' to set the per-process maximum session rate
   - 'ssl-sessions global' to set the per-process maximum SSL session rate
   - 'http-compression global' to set the per-process maximum compression speed in kB/s
";
