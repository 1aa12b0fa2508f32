//! Servers that come and go: `add server`, `del server`.

use super::{Call, Command, Outcome, Scope};
use crate::notice;
use crate::proxy::CliLevel;
use crate::text::unit::invalid_char;

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["add", "server"],
        usage: "add server <bk>/<srv>",
        help: "create a new server",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: add,
    },
    Command {
        words: &["del", "server"],
        usage: "del server <bk>/<srv>",
        help: "remove a dynamically added server",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: remove,
    },
];

fn add(call: &mut Call<'_>) -> Outcome {
    let word = call.word(2).to_owned();
    let named = word.split_once('/').filter(|(backend, server)| !backend.is_empty() && !server.is_empty());
    let (backend, name) = named.ok_or("Require 'backend/server'.")?;
    let id = call.config().find_backend(backend).ok_or("No such backend.")?;
    if !call.core.services.takes_servers(id) {
        return Err("Backend must use a dynamic load balancing to support dynamic servers.".into());
    }
    let words = call.words.get(3..).unwrap_or_default();
    let wrong = match words {
        [] => Some("'server' expects <name> and <addr>[:<port>] as arguments.".to_owned()),
        _ => invalid_char(name).map(|c| format!("character '{c}' is not permitted in server name '{name}'.")),
    };
    if let Some(wrong) = wrong {
        notice::running(true, format!("CLI : {wrong}"));
        return Err((wrong + "\n").into());
    }
    let added = call.core.services.add_server(id, name, words);
    let text = added.as_ref().err().map_or("New server registered.", |text| text.trim_end());
    let line = format!("CLI : 'server {}/{name}' : {text}", call.config()[id].name);
    match added {
        Ok(()) => notice::notice(line),
        Err(_) => notice::running(true, line),
    }
    added?;
    call.say("New server registered.\n");
    Ok(())
}

fn remove(call: &mut Call<'_>) -> Outcome {
    let id = call.server(call.word(2)).map_err(|text| text.trim_end().to_owned())?;
    call.core.services.remove_server(id)?;
    notice::notice("CLI : Server deleted.");
    call.say("Server deleted.");
    Ok(())
}
