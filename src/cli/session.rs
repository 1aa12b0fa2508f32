//! What concerns the conversation itself: rights and timeout.

use super::{Call, Client, Command, Outcome, Scope};
use crate::proxy::{CliLevel, ListenAddress};
use crate::text::unit::{TimeUnit, time_ms};
use crate::time::Millis;

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["operator"],
        usage: "operator",
        help: "lower the level of the current CLI session to operator",
        level: CliLevel::Operator,
        scope: Scope::Here,
        run: |call| lower(call, CliLevel::Operator),
    },
    Command {
        words: &["user"],
        usage: "user",
        help: "lower the level of the current CLI session to user",
        level: CliLevel::User,
        scope: Scope::Here,
        run: |call| lower(call, CliLevel::User),
    },
    // Known but not listed, as in HAProxy.
    Command {
        words: &["expert-mode"],
        usage: "",
        help: "",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| mode(call, |client| &mut client.is_expert),
    },
    Command {
        words: &["experimental-mode"],
        usage: "",
        help: "",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: |call| mode(call, |client| &mut client.is_experimental),
    },
    Command {
        words: &["set", "timeout"],
        usage: "set timeout [cli] <delay>",
        help: "change a timeout setting",
        level: CliLevel::User,
        scope: Scope::Here,
        run: set_timeout,
    },
    Command {
        words: &["show", "cli", "level"],
        usage: "show cli level",
        help: "display the level of the current CLI session",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_level,
    },
    Command {
        words: &["show", "cli", "sockets"],
        usage: "show cli sockets",
        help: "dump list of cli sockets",
        level: CliLevel::User,
        scope: Scope::Here,
        run: show_sockets,
    },
];

fn lower(call: &mut Call<'_>, level: CliLevel) -> Outcome {
    call.client.level = level;
    Ok(())
}

/// Says what a mode is, or changes it: scripts of older versions do so before they add servers. Another word than `on`
/// is `off`.
fn mode(call: &mut Call<'_>, of: fn(&mut Client) -> &mut bool) -> Outcome {
    let word = call.word(1).to_owned();
    let is_on = of(call.client);
    if word.is_empty() {
        let state = if *is_on { "ON" } else { "OFF" };
        call.say(format!("{} is {state}\n", call.word(0)));
    } else {
        *is_on = word == "on";
    }
    Ok(())
}

/// A number without a unit counts seconds here.
fn set_timeout(call: &mut Call<'_>) -> Outcome {
    if call.word(2) != "cli" {
        return Err("'set timeout' only supports 'cli'.\n".into());
    }
    if call.word(3).is_empty() {
        return Err("Expects an integer value.\n".into());
    }
    match time_ms(call.word(3), TimeUnit::S) {
        Ok(ms) if ms > 0 => {
            call.client.timeout = Millis(u64::from(ms));
            Ok(())
        }
        _ => Err("Invalid timeout value.\n".into()),
    }
}

fn show_level(call: &mut Call<'_>) -> Outcome {
    call.say(call.client.level.name());
    call.say("\n");
    Ok(())
}

fn show_sockets(call: &mut Call<'_>) -> Outcome {
    call.say("# socket lvl processes\n");
    for bind in &call.config().global.cli_binds {
        let address = match &bind.address {
            ListenAddress::Ip(address) if address.is_ipv4() => format!("ipv4@{address}"),
            ListenAddress::Ip(address) => format!("ipv6@{address}"),
            ListenAddress::Unix(path) => format!("unix@{}", path.display()),
            ListenAddress::Abstract(name) => format!("abns@{}", String::from_utf8_lossy(name)),
            ListenAddress::Fd(number) => format!("sockpair@{number}"),
        };
        call.say(format!("{address} {} all\n", bind.level.name()));
    }
    Ok(())
}
