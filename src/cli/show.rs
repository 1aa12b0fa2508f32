//! What can be looked at, beside the statistics.

use super::{Call, Command, Outcome, Scope};
use crate::check::Verdict;
use crate::proxy::{BackendId, CliLevel, ServerId};
use crate::session::Services;
use crate::shm::Slot;
use crate::stats::info::Form;
use crate::stats::{Count, Counters};
use crate::version::VERSION;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["show", "backend"],
        usage: "show backend",
        help: "list backends in the current running config",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_backend,
    },
    Command {
        words: &["show", "env"],
        usage: "show env [var]",
        help: "dump environment variables known to the process",
        level: CliLevel::Operator,
        scope: Scope::Here,
        run: show_env,
    },
    Command {
        words: &["show", "info"],
        usage: "show info [desc|json|typed|float]*",
        help: "report information about the running process",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_info,
    },
    Command {
        words: &["show", "servers", "conn"],
        usage: "show servers conn [<backend>]",
        help: "dump server connections status (all or for a single backend)",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_servers_conn,
    },
    Command {
        words: &["show", "servers", "state"],
        usage: "show servers state [<backend>]",
        help: "dump volatile server information (all or for a single backend)",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_servers_state,
    },
    Command {
        words: &["show", "version"],
        usage: "show version",
        help: "show version of the current process",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_version,
    },
];

fn show_backend(call: &mut Call<'_>) -> Outcome {
    call.say("# name\n");
    for backend in call.config().backends.iter() {
        call.say(format!("{}\n", backend.name));
    }
    Ok(())
}

fn show_version(call: &mut Call<'_>) -> Outcome {
    call.say(VERSION);
    call.say("\n");
    Ok(())
}

fn show_info(call: &mut Call<'_>) -> Outcome {
    let asked = |word: &str| call.words[2..].iter().any(|known| known == word);
    let form = match (asked("typed"), asked("json")) {
        (true, _) => Form::Typed,
        (_, true) => Form::Json,
        _ => Form::Plain,
    };
    let (float, describe) = (asked("float"), asked("desc"));
    call.core.services.publish();
    let counters = call.counters();
    call.core.services.process(&counters).write(form, float, describe, call.out);
    Ok(())
}

fn show_env(call: &mut Call<'_>) -> Outcome {
    let wanted = call.word(2).as_bytes().to_vec();
    let environment = call.config().environment.iter();
    let shown: Vec<_> = environment.filter(|(name, _)| wanted.is_empty() || *name == wanted).collect();
    if shown.is_empty() && !wanted.is_empty() {
        return Err("Variable not found\n".into());
    }
    for (name, value) in shown {
        call.out.extend_from_slice(&[name, &b"="[..], value, b"\n"].concat());
    }
    Ok(())
}

/// The backend that the fourth word names; all where there is none.
fn backends(call: &Call<'_>) -> Result<Vec<BackendId>, std::borrow::Cow<'static, str>> {
    match call.word(3) {
        "" => Ok((0..call.config().backends.len() as u32).map(BackendId).collect()),
        name => Ok(vec![call.config().find_backend(name).ok_or("Can't find backend.\n")?]),
    }
}

const STATE_HEADER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
    srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
    srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
    srv_check_addr srv_agent_addr srv_agent_port\n";

fn show_servers_state(call: &mut Call<'_>) -> Outcome {
    let backends = backends(call)?;
    call.say(STATE_HEADER);
    for id in backends {
        for (server_id, _) in call.config().servers_of(id) {
            let line = state_line(call, id, server_id);
            call.say(line);
        }
    }
    Ok(())
}

fn state_line(call: &Call<'_>, backend: BackendId, id: ServerId) -> String {
    let services = &call.core.services;
    let (backend, server) = (&services.config[backend], &services.config[id]);
    let state = &services.servers[id.0 as usize];
    let place = &services.places[id.0 as usize];
    let (address, port) = listed(services, id);
    let text = |address: Option<std::net::IpAddr>| address.map_or("-".to_owned(), |address| address.to_string());
    let (check_address, check_port) = (text(place.check_addr), place.check_port.unwrap_or(0));
    // `addr` and `port` of a server hold for an agent as well, which orders about checks do not concern.
    let check = server.check.as_ref();
    let agent = services.agent_settings(id).unwrap_or_default();
    let agent_address = text(agent.addr.or(check.and_then(|check| check.addr)));
    let agent_port = agent.port.or(check.and_then(|check| check.port)).unwrap_or(0);
    let is_under_way = services.boards.check(id).is_under_way() && !state.admin.is_maintenance();
    let verdict = if is_under_way { Verdict::Unknown } else { state.last.status.verdict() };
    format!(
        "{} {} {} {} {address} {} {} {} {} {} {} {} {} {} {} {} {} {} {port} {} 0 {check_port} {check_address} {agent_address} {agent_port}\n",
        backend.uuid,
        backend.name,
        server.uuid,
        server.name,
        state.operation as u8,
        state.admin.bits(),
        state.weight,
        server.weight,
        services.now.wall_s().saturating_sub(state.changed_at),
        state.last.status as u8,
        verdict as u8,
        state.health.value(),
        state.check_bits(is_under_way),
        state.agent.bits(services.boards.agent_check(id).is_under_way()),
        u8::from(backend.chose_id),
        u8::from(server.chose_id),
        place.name.as_deref().unwrap_or("-"),
        server.service.as_deref().unwrap_or("-"),
    )
}

/// A server's address and port: none while its name leads nowhere.
fn listed(services: &Services, id: ServerId) -> (String, u16) {
    let (address, port) = services.places[id.0 as usize].listed();
    let is_nowhere = services.servers[id.0 as usize].lacks_address();
    (if is_nowhere { "-".to_owned() } else { address }, port)
}

fn show_servers_conn(call: &mut Call<'_>) -> Outcome {
    let backends = backends(call)?;
    let counters = call.counters();
    let shown = counters.shown();
    let workers: Vec<Slot> = shown.map_or_else(|| counters.among().to_vec(), |slot| vec![slot]);
    call.say(format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim \
         idle_cur idle_per_thr[{}]\n",
        workers.len()
    ));
    for id in backends {
        for (server_id, _) in call.config().servers_of(id) {
            let line = connections_line(&call.core.services, &counters, server_id, &workers);
            call.say(line);
        }
    }
    Ok(())
}

/// A server's connections: of all workers, and the idle ones of each.
fn connections_line(services: &Services, counters: &Counters, id: ServerId, workers: &[Slot]) -> String {
    let server = &services.config[id];
    let backend = &services.config[server.backend];
    let (address, port) = listed(services, id);
    let row = counters.server(id);
    let [used, needed] = [Count::UsedCurrent, Count::NeededCurrent].map(|column| row.get(column));
    let [idle, proven] = [Count::IdleCurrent, Count::IdleProven].map(|column| row.get(column));
    let limit = server.pool_max_conn.map_or(-1, i64::from);
    let of = |worker: &Slot| row.cells(Count::IdleCurrent).find(|(slot, _)| slot == worker);
    let each = workers.iter().filter_map(of).map(|(_, cell)| cell.load(Relaxed).to_string());
    format!(
        "{}/{} {}/{} {address} {port} - {} {used} {} {needed} {} {proven} {limit} {idle} {}\n",
        backend.name,
        server.name,
        backend.uuid,
        server.uuid,
        server.pool_purge_delay.0,
        used.max(needed),
        idle.saturating_sub(proven),
        each.collect::<Vec<_>>().join(" "),
    )
}
