//! Format to line: what each variable prints (manual 8.2.2 to 8.2.6).

use std::net::{IpAddr, SocketAddr};

use super::encode::{Unsafe, coded, encode, hex, number, padded, text};
use super::{Flags, Format, Node, Var};
use crate::facts::{Facts, Responder};
use crate::http::uri;
use crate::log::{date, host_name};
use crate::proxy::{Frontend, Mode};
use crate::sample::Ctx;
use crate::time::Now;

impl Format {
    /// Appends the line. Allocates only when `out` must grow, or when a sample has to.
    pub fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        let mut after_space = true;
        for node in &self.nodes {
            match node {
                Node::Text(bytes) => {
                    out.extend_from_slice(bytes);
                    after_space = false;
                }
                Node::Space => {
                    if !after_space {
                        out.push(b' ');
                    }
                    after_space = true;
                }
                Node::Var(var, flags) => after_space &= !variable(*var, *flags, ctx, out),
                Node::Sample(expr, flags) => {
                    sample(expr, *flags, ctx, out);
                    after_space = false;
                }
            }
        }
    }
}

fn sample(expr: &super::Expr, flags: Flags, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
    let value = expr.eval(ctx);
    if flags.contains(Flags::HTTP) {
        if let Some(value) = value {
            encode(out, flags, &value.into_text(), Unsafe::Http);
        }
        return;
    }
    match value {
        Some(value) => text(out, flags, &value.into_text()),
        None => text(out, flags, b""),
    }
}

/// Prints one variable; says whether it counts as printed, for the merging of spaces.
fn variable(var: Var, flags: Flags, ctx: &Ctx<'_>, out: &mut Vec<u8>) -> bool {
    let facts = ctx.facts;
    match var {
        Var::Global => return false,
        Var::RequestCaptures => return captures(&facts.request_captures, flags, out),
        Var::ResponseCaptures => return captures(&facts.response_captures, flags, out),
        Var::RequestCapturesClf => return captures_clf(&facts.request_captures, flags, out),
        Var::ResponseCapturesClf => return captures_clf(&facts.response_captures, flags, out),
        Var::ClientIp => return peer_ip(out, flags, ctx.client.source),
        Var::ClientPort => return peer_port(out, flags, ctx, ctx.client.source),
        Var::FrontendIp => return peer_ip(out, flags, ctx.client.destination),
        Var::FrontendPort => return peer_port(out, flags, ctx, ctx.client.destination),
        Var::Method | Var::UriPath | Var::PathOnly | Var::Query | Var::Uri | Var::Version | Var::RequestLine => {
            request(var, flags, ctx, out)
        }
        Var::GmtDate
        | Var::LocalDate
        | Var::AcceptDate
        | Var::RequestDate
        | Var::RequestDateGmt
        | Var::RequestDateLocal => dates(var, ctx, out),
        Var::ActiveTime | Var::TotalTime | Var::UserTime => grown(out, facts, timer(var, ctx)),
        Var::ConnectTime
        | Var::DataTime
        | Var::HandshakeTime
        | Var::IdleTime
        | Var::QueryTime
        | Var::RequestTime
        | Var::ResponseTime
        | Var::WaitTime => number(out, timer(var, ctx)),
        Var::UpstreamSourceIp => address(out, flags, facts.upstream_local),
        Var::UpstreamSourcePort => port(out, flags, facts.upstream_local),
        Var::ServerIp => address(out, flags, facts.upstream_peer),
        Var::ServerPort => port(out, flags, facts.upstream_peer),
        _ => return named(var, flags, ctx, out) || counted(var, flags, ctx, out),
    }
    true
}

/// Names and states; says whether `var` is one.
fn named(var: Var, flags: Flags, ctx: &Ctx<'_>, out: &mut Vec<u8>) -> bool {
    let facts = ctx.facts;
    let frontend = &ctx.config[ctx.client.frontend];
    match var {
        Var::FrontendName | Var::FrontendTransport => text(out, flags, frontend.name.as_bytes()),
        Var::BackendName => {
            let name = ctx.backend.map_or(&frontend.name, |id| &ctx.config[id].name);
            text(out, flags, name.as_bytes());
        }
        Var::ServerName => text(out, flags, server_name(ctx)),
        Var::Hostname => text(out, flags, host_name().as_bytes()),
        Var::RequestCookie => text(out, flags, &facts.request_cookie),
        Var::ResponseCookie => text(out, flags, &facts.response_cookie),
        Var::UniqueId => text(out, flags, frontend.unique_id(ctx)),
        // No listener speaks TLS yet.
        Var::SslCipher | Var::SslVersion => text(out, flags, b""),
        Var::Termination | Var::TerminationCookie => {
            let end = facts.termination;
            out.extend_from_slice(&[end.cause.letter(), end.phase.letter()]);
            if var == Var::TerminationCookie {
                out.extend_from_slice(&[end.client_cookie, end.server_cookie]);
            }
        }
        Var::ConnectFrom if ctx.client.source.is_none() => out.extend_from_slice(b"Connect to"),
        Var::ConnectFrom => {
            out.extend_from_slice(b"Connect from ");
            address(out, flags, ctx.client.source);
            out.push(b':');
            port(out, flags, ctx.client.source);
            out.extend_from_slice(b" to");
        }
        Var::FrontendMode => out.extend_from_slice(match frontend.mode {
            Mode::Http => b"HTTP",
            Mode::Tcp => b"TCP",
        }),
        _ => return false,
    }
    true
}

/// Counts and sizes; says whether `var` is one.
fn counted(var: Var, flags: Flags, ctx: &Ctx<'_>, out: &mut Vec<u8>) -> bool {
    let facts = ctx.facts;
    match var {
        Var::BytesOut => grown(out, facts, facts.bytes_out as i64),
        Var::BytesIn => number(out, facts.bytes_in),
        Var::Status => number(out, status(&ctx.config[ctx.client.frontend], facts)),
        Var::ProcessConnections => number(out, facts.concurrent.process),
        Var::FrontendConnections => number(out, facts.concurrent.frontend),
        Var::BackendConnections => number(out, facts.concurrent.backend),
        Var::ServerConnections => number(out, facts.concurrent.server),
        Var::ServerQueue => number(out, facts.server_queue),
        Var::BackendQueue => number(out, facts.backend_queue),
        Var::Retries => {
            if facts.redispatched {
                out.push(b'+');
            }
            number(out, facts.retries);
        }
        Var::Timestamp => wide(out, flags, started(ctx).wall_s(), 4),
        Var::AcceptMs if flags.contains(Flags::HEX) => hex(out, u64::from(started(ctx).wall_ms_part()), 2),
        Var::AcceptMs => padded(out, started(ctx).wall_ms_part(), 3),
        Var::LogCounter => wide(out, flags, facts.log_counter, 4),
        Var::RequestCounter => wide(out, flags, facts.request_counter, 4),
        Var::Pid => wide(out, flags, u64::from(std::process::id()), 4),
        _ => return false,
    }
    true
}

/// A value that may still grow when the line is written early.
fn grown(out: &mut Vec<u8>, facts: &Facts, value: i64) {
    if facts.logged_early {
        out.push(b'+');
    }
    number(out, value);
}

/// A number that X shows in hexadecimal.
fn wide(out: &mut Vec<u8>, flags: Flags, value: u64, width: usize) {
    if flags.contains(Flags::HEX) {
        hex(out, value, width);
    } else {
        number(out, value);
    }
}

fn status(frontend: &Frontend, facts: &Facts) -> i32 {
    match (facts.status, frontend.mode) {
        (Some(status), _) => i32::from(status),
        (None, Mode::Http) => -1,
        (None, Mode::Tcp) => 0,
    }
}

fn server_name<'a>(ctx: &Ctx<'a>) -> &'a [u8] {
    match (ctx.server, ctx.facts.responder) {
        (_, Responder::Stats) => b"<STATS>",
        (Some(id), _) => ctx.config[id].name.as_bytes(),
        (None, _) => b"<NOSRV>",
    }
}

/// The moment from which this exchange's times count: the accept for the first of a connection, the end of
/// the one before for those that follow.
fn started(ctx: &Ctx<'_>) -> Now {
    if ctx.client.requests <= 1 { ctx.facts.accepted } else { ctx.facts.idle_since }
}

fn dates(var: Var, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
    let accept = started(ctx);
    let request = ctx.facts.first_byte.unwrap_or(ctx.facts.idle_since);
    match var {
        Var::GmtDate => date::write_gmt(out, accept),
        Var::LocalDate => date::write_local(out, accept),
        Var::RequestDate => date::write_ms(out, request),
        Var::RequestDateGmt => date::write_gmt(out, request),
        Var::RequestDateLocal => date::write_local(out, request),
        _ => date::write_ms(out, accept),
    }
}

/// A timer in milliseconds; -1 when its end was not reached (manual 8.4).
fn timer(var: Var, ctx: &Ctx<'_>) -> i64 {
    let facts = ctx.facts;
    let start = started(ctx);
    let first = facts.first_byte.unwrap_or(facts.idle_since);
    let ended = facts.ended.unwrap_or(ctx.now);
    let span = |from: Option<Now>, to: Option<Now>| match (from, to) {
        (Some(from), Some(to)) => to.ms_since(from) as i64,
        _ => -1,
    };
    let handshake = facts.idle_since.ms_since(start) as i64;
    let idle = first.ms_since(facts.idle_since) as i64;
    let request = span(Some(first), facts.request_received);
    match var {
        Var::HandshakeTime => handshake,
        Var::IdleTime => idle,
        Var::RequestTime => request,
        Var::QueryTime if request < 0 => -1,
        Var::QueryTime => handshake + idle + request,
        Var::WaitTime => span(Some(facts.request_received.unwrap_or(first)), facts.queue_left),
        Var::ConnectTime => span(facts.queue_left, facts.connected),
        Var::ResponseTime => span(facts.connected, facts.response_received),
        Var::DataTime => match ctx.config[ctx.client.frontend].mode {
            Mode::Tcp => span(facts.connected, Some(ended)),
            Mode::Http => span(facts.response_received, Some(ended)),
        },
        Var::ActiveTime => ended.ms_since(first) as i64,
        Var::UserTime => (ended.ms_since(start) as i64 - idle).max(0),
        _ => ended.ms_since(start) as i64,
    }
}

/// What of the request's start line a variable shows. The line is kept up to `tune.http.logurilen` less the
/// terminating byte that HAProxy counts; a version that was cut away shows as HTTP/0.9.
fn request(var: Var, flags: Flags, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
    const BAD: &[u8] = b"<BADREQ>";
    let line = &ctx.facts.request_line[..];
    if line.is_empty() || ctx.facts.bad_request {
        return coded(out, flags, BAD, Unsafe::Line);
    }
    let kept = ctx.config.global.tune.http_logurilen.saturating_sub(1).min(line.len());
    let line = &line[..kept];
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (method, target, version) = (words.next(), words.next().unwrap_or(b""), words.next());
    let shown = match var {
        Var::Method => method.unwrap_or(BAD),
        Var::Uri => target,
        Var::UriPath => target.split(|&byte| byte == b'?').next().unwrap_or(b""),
        Var::PathOnly => path(target),
        Var::Query => memchr::memchr(b'?', target).map_or(&b""[..], |at| &target[at..]),
        Var::Version => version.filter(|v| !v.is_empty()).unwrap_or(b"HTTP/0.9"),
        _ => line,
    };
    coded(out, flags, shown, Unsafe::Line);
}

/// The path of a request target; nothing for `*` and for CONNECT's authority.
fn path(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') || uri::scheme(target).is_some() { uri::path(target) } else { b"" }
}

fn captures(list: &[Vec<u8>], flags: Flags, out: &mut Vec<u8>) -> bool {
    if list.is_empty() {
        return false;
    }
    let quoted = flags.contains(Flags::QUOTE);
    out.extend_from_slice(if quoted { b"\"{" } else { b"{" });
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            out.push(b'|');
        }
        encode(out, flags, value, Unsafe::Header);
    }
    out.extend_from_slice(if quoted { b"}\"" } else { b"}" });
    true
}

fn captures_clf(list: &[Vec<u8>], flags: Flags, out: &mut Vec<u8>) -> bool {
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        if value.is_empty() {
            text(out, flags | Flags::MANDATORY, b"");
        } else {
            coded(out, flags, value, Unsafe::Header);
        }
    }
    !list.is_empty()
}

/// The client's side: `unix` stands for peers that have no address, nothing does in hexadecimal.
fn peer_ip(out: &mut Vec<u8>, flags: Flags, peer: Option<SocketAddr>) -> bool {
    match peer {
        Some(_) => address(out, flags, peer),
        None if flags.contains(Flags::HEX) => return false,
        None => text(out, flags, b"unix"),
    }
    true
}

/// The client's side: the listener's id stands for the port of a UNIX socket (manual 8.2.2).
fn peer_port(out: &mut Vec<u8>, flags: Flags, ctx: &Ctx<'_>, peer: Option<SocketAddr>) -> bool {
    let binds = &ctx.config[ctx.client.frontend].binds;
    match peer {
        Some(_) => port(out, flags, peer),
        None if flags.contains(Flags::HEX) => return false,
        None => number(out, binds.get(ctx.client.bind).map_or(0, |bind| bind.uuid)),
    }
    true
}

fn address(out: &mut Vec<u8>, flags: Flags, of: Option<SocketAddr>) {
    use std::io::Write;
    let Some(of) = of else { return text(out, flags, b"") };
    if flags.contains(Flags::HEX) {
        match of.ip() {
            IpAddr::V4(ip) => ip.octets().iter().for_each(|&byte| hex(out, u64::from(byte), 2)),
            IpAddr::V6(ip) => ip.octets().iter().for_each(|&byte| hex(out, u64::from(byte), 2)),
        }
        return;
    }
    let quoted = flags.contains(Flags::QUOTE);
    if quoted {
        out.push(b'"');
    }
    match of.ip() {
        IpAddr::V4(ip) => {
            for (index, byte) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, byte);
            }
        }
        // Writes into vectors do not fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
    if quoted {
        out.push(b'"');
    }
}

fn port(out: &mut Vec<u8>, flags: Flags, of: Option<SocketAddr>) {
    match of {
        Some(of) => wide(out, flags, u64::from(of.port()), 4),
        None => text(out, flags, b""),
    }
}
