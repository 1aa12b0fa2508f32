//! Cookie values that are made of servers' addresses (manual 4.2, `dynamic-cookie-key`).

use super::{Call, Command, Outcome, Scope};
use crate::proxy::{BackendId, CliLevel};

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["disable", "dynamic-cookie", "backend"],
        usage: "disable dynamic-cookie backend <bk>",
        help: "disable dynamic cookies on a specific backend",
        level: CliLevel::Admin,
        scope: Scope::Everywhere,
        run: |call| enable(call, false),
    },
    Command {
        words: &["enable", "dynamic-cookie", "backend"],
        usage: "enable dynamic-cookie backend <bk>",
        help: "enable dynamic cookies on a specific backend",
        level: CliLevel::Admin,
        scope: Scope::Everywhere,
        run: |call| enable(call, true),
    },
    Command {
        words: &["set", "dynamic-cookie-key", "backend"],
        usage: "set dynamic-cookie-key backend <bk> <k>",
        help: "change a backend secret key for dynamic cookies",
        level: CliLevel::Admin,
        scope: Scope::Everywhere,
        run: set_key,
    },
];

fn enable(call: &mut Call<'_>, enabled: bool) -> Outcome {
    let backend = backend(call)?;
    let config = call.config();
    let services = &mut call.core.services;
    services.cookies.enable(config, &services.places, backend, enabled);
    Ok(())
}

fn set_key(call: &mut Call<'_>) -> Outcome {
    let backend = backend(call)?;
    let (config, key) = (call.config(), call.word(4).to_owned());
    if key.is_empty() {
        return Err("String value expected.\n".into());
    }
    let services = &mut call.core.services;
    services.cookies.set_key(config, &services.places, backend, &key);
    Ok(())
}

fn backend(call: &Call<'_>) -> Result<BackendId, std::borrow::Cow<'static, str>> {
    match call.word(3) {
        "" => Err("A backend name is expected.\n".into()),
        name => call.config().find_backend(name).ok_or_else(|| "No such backend.\n".into()),
    }
}
