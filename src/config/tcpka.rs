//! Times and numbers of TCP keep-alives (section 4.2, `clitcpka-cnt` and its kin).

use super::draft::Settings;
use super::proxies::integer;
use super::scope::{Scope, arg};
use super::unit::{self, TimeUnit, UnitError};
use super::word::Word;
use crate::registry::{Keyword, Sections, row};

type Field = fn(&mut Settings) -> &mut u32;

const CLIENTS: Sections = Sections::CLIENT_SIDE;
const SERVERS: Sections = Sections::SERVER_SIDE;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("clitcpka-cnt", CLIENTS, |s, w| count(s, w, |x| &mut x.client_keepalive.probes), COUNT),
    row("clitcpka-idle", CLIENTS, |s, w| time(s, w, |x| &mut x.client_keepalive.idle_s), IDLE),
    row("clitcpka-intvl", CLIENTS, |s, w| time(s, w, |x| &mut x.client_keepalive.interval_s), INTERVAL),
    row("srvtcpka-cnt", SERVERS, |s, w| count(s, w, |x| &mut x.server_keepalive.probes), COUNT),
    row("srvtcpka-idle", SERVERS, |s, w| time(s, w, |x| &mut x.server_keepalive.idle_s), IDLE),
    row("srvtcpka-intvl", SERVERS, |s, w| time(s, w, |x| &mut x.server_keepalive.interval_s), INTERVAL),
];

const COUNT: &str = "keep-alive probes without an answer that end a connection";
const IDLE: &str = "silence before the first keep-alive probe, in seconds or with a unit";
const INTERVAL: &str = "time between two keep-alive probes, in seconds or with a unit";

fn count(scope: &mut Scope<'_>, words: &[Word], field: Field) -> Result<(), String> {
    let name = arg(words, 0);
    if arg(words, 1).is_empty() {
        return Err(format!("'{name}' expects an integer value"));
    }
    *field(scope.settings()) = integer(name, arg(words, 1))?.max(0).unsigned_abs();
    Ok(())
}

fn time(scope: &mut Scope<'_>, words: &[Word], field: Field) -> Result<(), String> {
    let (name, text) = (arg(words, 0), arg(words, 1));
    if text.is_empty() {
        return Err(format!("'{name}' expects an integer value"));
    }
    let seconds = unit::time_s(text, TimeUnit::S).map_err(|error| match error {
        // HAProxy ends this one message with a line of its own.
        UnitError::Unexpected(_) => error.argument(text, &format!("<{name}>"), name) + "\n",
        _ => error.timer(text, &format!("'{name}'")),
    })?;
    *field(scope.settings()) = seconds;
    Ok(())
}
