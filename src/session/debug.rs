//! What debug mode shows of each exchange on standard output (`-d`, `debug`; management manual 3): when it begins and
//! ends, and the heads of both sides as they came.

use std::io::Write;
use std::os::fd::AsRawFd;

use super::Turn;
use crate::http::Head;
use crate::transport::Connection;

/// An exchange begins: its client. The listener's descriptor is another process's matter; its place among those of
/// the frontend stands for it.
pub fn begins(turn: &mut Turn<'_>) {
    if !turn.services.config.global.debug {
        return;
    }
    turn.exchange.shown = true;
    let from = turn.session.source.map_or("unix:1".to_owned(), |from| format!("{}:{}", from.ip(), from.port()));
    let (bind, client) = (turn.session.bind, descriptor(Some(&turn.session.client)));
    show(line(turn, "accept", &format!("({bind:04x})={client} from [{from}] ALPN=<none>")));
}

/// A request has come.
pub fn request(turn: &mut Turn<'_>) {
    if !turn.services.config.global.debug {
        return;
    }
    begins(turn);
    let who = format!("[{}:ffffffff]: ", descriptor(Some(&turn.session.client)));
    let head = &turn.exchange.request;
    let mut out = line(turn, "clireq", &who);
    let words: Vec<String> =
        [head.method_token(), head.uri(), head.version_text()].map(|word| word.escape_ascii().to_string()).to_vec();
    out.insert_str(out.len() - 1, &words.join(" "));
    show(out + &fields(turn, "clihdr", &who, head));
}

/// A response has come.
pub fn response(turn: &mut Turn<'_>) {
    if !turn.services.config.global.debug {
        return;
    }
    let who = format!("[{}:{}]: ", descriptor(Some(&turn.session.client)), descriptor(upstream(turn)));
    let head = &turn.exchange.response;
    let mut out = line(turn, "srvrep", &who);
    let version = head.version_text().escape_ascii();
    out.insert_str(out.len() - 1, &format!("{version} {} {}", head.status(), head.reason().escape_ascii()));
    show(out + &fields(turn, "srvhdr", &who, head));
}

/// An exchange has ended: whose connections were part of it.
pub fn ends(turn: &mut Turn<'_>) {
    if !turn.exchange.shown {
        return;
    }
    let server = upstream(turn);
    let http = turn.is_http();
    // In TCP mode HAProxy's connection to the server has gone by then.
    let who = format!("[{}:{}]", descriptor(Some(&turn.session.client)), descriptor(server.filter(|_| http)));
    let client_ends = line(turn, "clicls", &who);
    let server_ends = if server.is_some() { line(turn, "srvcls", &who) } else { String::new() };
    let both = if http { client_ends + &server_ends } else { server_ends + &client_ends };
    show(both + &line(turn, "closed", &who));
}

/// A line of this exchange, under the name of the proxy that it has come to.
fn line(turn: &Turn<'_>, what: &str, rest: &str) -> String {
    // As in a log, by its low digits.
    let number = turn.exchange.facts.request_counter as u32;
    let name = turn.exchange.backend.map_or(&turn.frontend().name, |id| &turn.services.config[id].name);
    format!("{number:08x}:{name}.{what}{rest}\n")
}

/// A line a field, names as HAProxy writes them.
fn fields(turn: &Turn<'_>, what: &str, who: &str, head: &Head) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let one = |(name, value): (String, String)| line(turn, what, &format!("{who}{}: {value}", name.to_lowercase()));
    head.fields().map(|field| (text(field.name), text(field.value))).map(one).collect()
}

fn upstream<'a>(turn: &'a Turn<'_>) -> Option<&'a Connection> {
    turn.exchange.upstream.map(|key| &turn.services.upstreams.get(key).connection)
}

/// A connection's descriptor, `ffff` where there is none.
fn descriptor(connection: Option<&Connection>) -> String {
    let descriptor = connection.and_then(|connection| connection.stream.descriptor());
    descriptor.map_or("ffff".to_owned(), |descriptor| format!("{:04x}", descriptor.as_raw_fd()))
}

/// All at once, so that the lines of several workers stay apart. A reader that has gone is no error.
fn show(text: String) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
