//! `timeout …` of proxies (section 4.2).

use super::draft::Settings;
use super::scope::{Scope, arg};
use super::unit::TimeUnit;
use super::word::Word;
use crate::registry::{Keyword, Sections};
use crate::time::Millis;

type Field = fn(&mut Settings) -> &mut Option<Millis>;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "timeout",
        sections: Sections::ANY_PROXY,
        args_max: None,
        parse: unknown,
        help: "names no timeout: tells which there are",
    },
    row("timeout client", Sections::CLIENT_SIDE, |s, w| set(s, w, |x| &mut x.client_timeouts.client)),
    row("timeout client-fin", Sections::CLIENT_SIDE, |s, w| set(s, w, |x| &mut x.client_timeouts.client_fin)),
    row("timeout http-request", Sections::ANY_PROXY, |s, w| set(s, w, |x| &mut x.client_timeouts.http_request)),
    row("timeout http-keep-alive", Sections::ANY_PROXY, |s, w| set(s, w, |x| &mut x.client_timeouts.http_keep_alive)),
    row("timeout connect", Sections::SERVER_SIDE, |s, w| set(s, w, |x| &mut x.server_timeouts.connect)),
    row("timeout server", Sections::SERVER_SIDE, |s, w| set(s, w, |x| &mut x.server_timeouts.server)),
    row("timeout server-fin", Sections::SERVER_SIDE, |s, w| set(s, w, |x| &mut x.server_timeouts.server_fin)),
    row("timeout queue", Sections::SERVER_SIDE, |s, w| set(s, w, |x| &mut x.server_timeouts.queue)),
    row("timeout check", Sections::SERVER_SIDE, |s, w| set(s, w, |x| &mut x.server_timeouts.check)),
    row("timeout tunnel", Sections::SERVER_SIDE, |s, w| set(s, w, |x| &mut x.server_timeouts.tunnel)),
    row("timeout tarpit", Sections::ANY_PROXY, |s, w| {
        set(s, w, |x| &mut x.client_timeouts.tarpit)?;
        s.settings().server_timeouts.tarpit = s.settings().client_timeouts.tarpit;
        Ok(())
    }),
];

const fn row(
    name: &'static str,
    sections: Sections,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
) -> Keyword {
    Keyword { name, sections, args_max: None, parse, help: "how long to wait, in milliseconds or with a unit" }
}

fn set(scope: &mut Scope<'_>, words: &[Word], field: Field) -> Result<(), String> {
    let name = format!("'timeout {}'", arg(words, 1));
    let value = arg(words, 2);
    if value.is_empty() {
        return Err(format!("{name} expects an integer value (in milliseconds)"));
    }
    let ms = scope.time_ms(value, TimeUnit::Ms).map_err(|error| error.timer(value, &name))?;
    if let Some(extra) = words.get(3) {
        return Err(format!("{name} : unexpected extra argument '{}' after value '{value}'.", extra.text));
    }
    // Zero waits for ever, as if the timeout were not set.
    *field(scope.settings()) = (ms > 0).then_some(Millis(u64::from(ms)));
    Ok(())
}

fn unknown(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if matches!(name, "clitimeout" | "srvtimeout" | "contimeout") {
        return super::legacy::old_timeout(scope, &words[1..]);
    }
    Err(format!(
        "'timeout' supports 'client', 'server', 'connect', 'check', 'queue', 'http-keep-alive', 'http-request', \
         'tunnel', 'tarpit', 'client-fin' and 'server-fin' (got '{name}')"
    ))
}
