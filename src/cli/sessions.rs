//! Sessions: which there are, ending them, and the invalid messages that some have sent.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use super::inquiry::{Answer, together};
use super::{Call, Command, Outcome, Scope};
use crate::check::server::Ending;
use crate::facts::Cause;
use crate::log::date;
use crate::proxy::{BackendId, CliLevel, FrontendId, ServerId};
use crate::session::{Exchange, Session};
use crate::stats::Count;
use crate::stats::errors::Capture;
use crate::stats::snapshot;
use crate::time::Tick;

/// The commands of this file.
pub static ROWS: &[Command] = &[
    Command {
        words: &["show", "errors"],
        usage: "show errors [<px>] [request|response]",
        help: "report last request and/or response errors for each proxy",
        level: CliLevel::Operator,
        scope: Scope::Each(latest),
        run: show_errors,
    },
    Command {
        words: &["show", "sess"],
        usage: "show sess [id]",
        help: "report the list of current sessions or dump this exact session",
        level: CliLevel::Operator,
        scope: Scope::Each(together),
        run: show_sessions,
    },
    Command {
        words: &["shutdown", "session"],
        usage: "shutdown session [id]",
        help: "kill a specific session",
        level: CliLevel::Admin,
        scope: Scope::Everywhere,
        run: shutdown_session,
    },
    Command {
        words: &["shutdown", "sessions", "server"],
        usage: "shutdown sessions server <bk>/<srv>",
        help: "kill sessions on a server",
        level: CliLevel::Admin,
        scope: Scope::Here,
        run: shutdown_sessions_server,
    },
];

/// Bytes of a line in the dump of a message.
const DUMP_BYTES: usize = 70;

/// Sessions with an exchange under way, and the exchange.
fn busy<'a>(call: &'a Call<'_>) -> impl Iterator<Item = (usize, &'a Session, &'a Exchange)> {
    let core = &*call.core;
    core.sessions.iter().filter_map(|(slot, session)| Some((slot, session, &*core.exchanges[session.exchange?])))
}

/// A session's name in listings, one over all workers: the worker's slot, then what tells it from others there.
fn id(call: &Call<'_>, session: &Session) -> u64 {
    const SLOT_BITS: u32 = 24;
    let (worker, token) = (u64::from(call.core.services.counters.slot().0), session.token);
    (worker << (2 * SLOT_BITS)) | (token.generation() << SLOT_BITS) | token.slot() as u64
}

fn show_sessions(call: &mut Call<'_>) -> Outcome {
    let wanted = match call.word(2) {
        "" | "all" => None,
        word => parse_id(word),
    };
    let mut out = String::new();
    for (_, session, exchange) in
        busy(call).filter(|(_, session, _)| wanted.is_none_or(|wanted| wanted == id(call, session)))
    {
        line(call, session, exchange, &mut out);
    }
    if out.is_empty() && wanted.is_some() {
        return Err("Session not found.\n".into());
    }
    call.say(out);
    Ok(())
}

/// One session in HAProxy's form; what is internal to HAProxy is left empty.
fn line(call: &Call<'_>, session: &Session, exchange: &Exchange, out: &mut String) {
    let services = &call.core.services;
    let config = services.config;
    let backend = exchange.backend.map_or("<NONE>", |id| &config[id].name);
    let server = exchange.server.map_or("<none>", |id| &config[id].name);
    let now = services.now.tick();
    let left = |deadline: Tick| match deadline {
        Tick::NEVER => String::new(),
        deadline => format!("{}s", deadline.since(now) / 1000),
    };
    let protocol = match session.source {
        Some(SocketAddr::V4(_)) => "tcpv4",
        Some(SocketAddr::V6(_)) => "tcpv6",
        None => "unix_stream",
    };
    let source = session.source.map_or("unix:1".to_owned(), |source| source.to_string());
    let age = services.now.ms_since(session.accepted) / 1000;
    // Writes into strings do not fail.
    let _ = writeln!(
        out,
        "{:#x}: proto={protocol} src={source} fe={} be={backend} srv={server} ts=00 epoch=0 age={age}s calls={} rate=0 \
         cpu=0 lat=0 rq[f=0h,i=0,an=00h,rx={},wx=,ax=] rp[f=0h,i=0,an=00h,rx={},wx=,ax=] scf=[8,0h,fd=-1] \
         scb=[8,0h,fd=-1] exp={} rc={} c_exp=",
        id(call, session),
        config[session.frontend].name,
        session.requests,
        left(exchange.client_deadline),
        left(exchange.server_deadline),
        left(exchange.deadline()),
        exchange.facts.retries,
    );
}

fn parse_id(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

fn shutdown_session(call: &mut Call<'_>) -> Outcome {
    let Some(wanted) = parse_id(call.word(2)).filter(|&id| id != 0 && call.word(2).starts_with("0x")) else {
        return Err("Session pointer expected (use 'show sess').\n".into());
    };
    let found = busy(call).find(|(_, session, _)| id(call, session) == wanted).map(|(slot, ..)| slot);
    let Some(slot) = found else { return Err("No such session (use 'show sess').\n".into()) };
    call.core.kill_those(Cause::Killed, |at, _| at == slot);
    Ok(())
}

fn shutdown_sessions_server(call: &mut Call<'_>) -> Outcome {
    let id = call.server(call.word(3))?;
    call.core.services.end_sessions(id, Ending::Ordered);
    Ok(())
}

fn show_errors(call: &mut Call<'_>) -> Outcome {
    let config = call.config();
    let wanted = match (call.word(2), call.word(2).parse::<i64>()) {
        ("" | "-1", _) => None,
        (_, Ok(id)) => Some(id as u32),
        (name, _) => {
            let all = snapshot::proxies(config);
            let found = all.iter().find(|parts| snapshot::proxy_name(config, parts) == name);
            Some(found.ok_or("No such proxy.\n")?.uuid)
        }
    };
    let (requests, responses) = match call.word(3) {
        "request" => (true, false),
        "response" => (false, true),
        _ => (true, true),
    };
    let captures = &call.core.services.captures;
    let mut out = String::new();
    let total = call.counters().process().get(Count::Captured);
    let _ = writeln!(out, "Total events captured on {} : {total}", stamp(call.core.services.now));
    for parts in snapshot::proxies(config) {
        if wanted.is_some_and(|wanted| wanted != parts.uuid) {
            continue;
        }
        if let Some(capture) = parts.frontend.filter(|_| requests).and_then(|id| captures.request(id)) {
            start_record(parts.uuid, "request", capture, &mut out);
            write_capture(call, capture, None, &mut out);
        }
        if let Some((id, capture)) =
            parts.backend.filter(|_| responses).and_then(|id| Some((id, captures.response(id)?)))
        {
            start_record(parts.uuid, "response", capture, &mut out);
            write_capture(call, capture, Some(id), &mut out);
        }
    }
    call.say(out);
    Ok(())
}

/// Begins a message in a worker's answer: for [`latest`] to see whose it is, and when it came. Nothing that
/// follows has a NUL.
fn start_record(uuid: u32, kind: &str, capture: &Capture, out: &mut String) {
    let _ = writeln!(out, "\0{uuid:010} {kind} {:020}", capture.when.wall_us);
}

/// Of the messages that the workers have kept, the last one of each proxy and direction.
fn latest(answers: Vec<Answer>) -> Vec<u8> {
    let mut title = None;
    let mut last: BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)> = BTreeMap::new();
    let (heard, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    for answer in heard.into_iter().flatten() {
        let mut parts = answer.split(|byte| *byte == 0);
        title = title.or(parts.next().map(<[u8]>::to_vec));
        for part in parts {
            let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
            let (key, text) = (&part[..end], part.get(end + 1..).unwrap_or_default());
            let space = key.iter().rposition(|byte| *byte == b' ').unwrap_or(key.len());
            let (whose, when) = (key[..space].to_vec(), key[space..].to_vec());
            if last.get(&whose).is_none_or(|(known, _)| *known < when) {
                last.insert(whose, (when, text.to_vec()));
            }
        }
    }
    match title {
        Some(title) => title.into_iter().chain(last.into_values().flat_map(|(_, text)| text)).collect(),
        None => together(refused),
    }
}

/// `[21/Nov/2026:03:00:29.074]`
fn stamp(now: crate::time::Now) -> String {
    let mut text = Vec::new();
    date::write_ms(&mut text, now);
    format!("[{}]", String::from_utf8_lossy(&text))
}

/// One invalid message: where it came from, where it is wrong, and its bytes.
fn write_capture(call: &Call<'_>, capture: &Capture, response_of: Option<BackendId>, out: &mut String) {
    let config = call.config();
    let frontend = |id: FrontendId| format!("{} (#{})", config[id].name, config[id].uuid);
    let backend = |id: BackendId| format!("{} (#{})", config[id].name, config[id].uuid);
    let server = |id: ServerId| format!("{} (#{})", config[id].name, config[id].uuid);
    let nobody = || "<NONE> (#-1)".to_owned();
    let on_server = capture.server.map_or_else(nobody, server);
    let source = capture.source.map_or("unix".to_owned(), |source| source.to_string());
    let event = capture.event;
    let _ = match response_of {
        None => write!(
            out,
            " \n{} frontend {}: invalid request\n  backend {}, server {on_server}, event #{event}, src {source}\n",
            stamp(capture.when),
            frontend(capture.frontend),
            capture.backend.map_or_else(nobody, backend),
        ),
        Some(id) => write!(
            out,
            " \n{} backend {}: invalid response\n  frontend {}, server {on_server}, event #{event}, src {source}\n",
            stamp(capture.when),
            backend(id),
            frontend(capture.frontend),
        ),
    };
    let size = config.global.tune.bufsize;
    let (length, position) = (capture.bytes.len(), capture.position);
    let free = size.saturating_sub(length);
    let _ = write!(
        out,
        "  buffer starts at 0 (including 0 out), {free} free,\n  len {length}, wraps at {size}, error at position \
         {position}\n  \n"
    );
    dump(&capture.bytes, out);
}

/// The bytes, a line each of theirs, cut where it is long; a `+` tells that the line before goes on.
fn dump(bytes: &[u8], out: &mut String) {
    let (mut at, mut goes_on) = (0, false);
    while at < bytes.len() {
        let _ = write!(out, "  {at:05}{} ", if goes_on { '+' } else { ' ' });
        let mut width = 0;
        goes_on = true;
        while at < bytes.len() && width < DUMP_BYTES {
            let shown = escape(bytes[at]);
            width += shown.len();
            if width > DUMP_BYTES {
                break;
            }
            out.push_str(&shown);
            at += 1;
            if bytes[at - 1] == b'\n' {
                goes_on = false;
                break;
            }
        }
        out.push('\n');
    }
}

fn escape(byte: u8) -> String {
    match byte {
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        0x1b => "\\e".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("\\x{other:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_dumped_by_lines() {
        let mut out = String::new();
        dump(&[&b"GET /"[..], &[b'a'; 80], b"\x01 HTTP/1.1\r\nHost: x\r\n"].concat(), &mut out);
        let long = format!("  00000  GET /{}\n  00070+ {}\\x01 HTTP/1.1\\r\\n\n", "a".repeat(65), "a".repeat(15));
        assert_eq!(out, format!("{long}  00097  Host: x\\r\\n\n"));
    }

    #[test]
    fn the_last_message_of_each_proxy_is_shown() {
        let answer = |records: &[(u32, &str, u64, &str)]| {
            let mut out = "title\n".to_owned();
            for (uuid, kind, wall_us, text) in records {
                let _ = writeln!(out, "\0{uuid:010} {kind} {wall_us:020}\n{text}");
            }
            Ok(out.into_bytes())
        };
        let merged = latest(vec![
            answer(&[(2, "request", 5, "a"), (10, "request", 5, "b")]),
            Err(b"no\n".to_vec()),
            answer(&[(2, "request", 10, "c"), (2, "response", 1, "d")]),
        ]);
        assert_eq!(String::from_utf8_lossy(&merged), "title\nc\nd\nb\n");
        assert_eq!(latest(vec![Err(b"no\n".to_vec())]), b"no\n");
    }
}
