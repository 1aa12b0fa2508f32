//! `tcp-check connect`, `http-check connect`.

use super::StepDraft;
use super::line::{Line, dotted, ready};
use crate::config::scope::not_yet;
use crate::proxy::check::{Action, Connect, Port, Speech};
use crate::text::address::Port as Written;
use crate::text::address::{self, Host, Target};
use crate::text::unit::atoi;

/// Parameters of 2.6 that are not built yet.
const LATER: &[&str] = &["ssl", "sni", "alpn"];

pub(super) fn parse(line: &mut Line<'_>) -> Result<StepDraft, String> {
    let mut connect = Connect { is_bare: true, ..Connect::default() };
    let mut comment = None;
    while let Some(word) = line.next() {
        match word.text.as_str() {
            "default" => connect.is_bare = false,
            "send-proxy" => connect.tells = true,
            "via-socks4" => connect.tunnels = true,
            "proto" => proto(line)?,
            "linger" => connect.linger = true,
            "comment" => comment = Some(dotted(line.argument("comment", "a string"))?.bytes().into()),
            "port" => connect.port = Some(port(line)?),
            "addr" => connect.address = Some(addr(line)?),
            name if LATER.contains(&name) => return Err(line.error(&not_yet(name))),
            other => {
                return Err(line.error(&format!(
                    "expects 'comment', 'port', 'addr', 'send-proxy', 'ssl', 'sni', 'alpn' or 'via-socks4', 'linger', \
                     'default' but got '{other}' as argument.."
                )));
            }
        }
    }
    Ok(ready(Action::Connect(connect), comment))
}

/// The protocol that the step's connection is to speak, which is what the check speaks.
fn proto(line: &mut Line<'_>) -> Result<(), String> {
    let name = line.argument("proto", "a MUX protocol").map_err(|text| text + ".")?.text.as_str();
    let (own, kind) = if line.speech == Speech::Http { ("h1", "http-check") } else { ("none", "tcp-check") };
    match name {
        _ if name == own => Ok(()),
        "h1" | "none" => Err(line.error(&format!("'proto' : invalid MUX protocol '{name}' for {kind}."))),
        "h2" | "fcgi" => Err(line.error(&not_yet(&format!("proto {name}")))),
        _ => Err(line.error(&format!("'proto' : unknown MUX protocol '{name}'.."))),
    }
}

fn port(line: &mut Line<'_>) -> Result<Port, String> {
    let text = &dotted(line.argument("port", "a port number or a sample expression"))?.text;
    if text.bytes().next().is_some_and(|octet| octet.is_ascii_digit()) {
        let number = atoi(text);
        return match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Port::Fixed(port)),
            _ => Err(line.error(&format!(
                "expects a valid TCP port (from range 1 to 65535) or a sample expression, got {number}.."
            ))),
        };
    }
    line.expression("port", text).map(Port::Computed)
}

fn addr(line: &mut Line<'_>) -> Result<(std::net::IpAddr, Option<u16>), String> {
    let text = &dotted(line.argument("addr", "<ipv4|ipv6>"))?.text;
    let parsed = address::parse(text, address::SERVER).map_err(|e| line.error(&format!("'addr' : {e}\n..")))?;
    match parsed.target {
        Target::Inet { host: Host::Ip(ip), port } => Ok((ip, fixed(&port))),
        Target::Inet { .. } => Err(line.error(&format!("'addr' : invalid address: '{text}' in '{text}'\n.."))),
        _ => Err(line.error(&not_yet("addr of another kind than IPv4 or IPv6"))),
    }
}

/// The port that an address names.
fn fixed(port: &Written) -> Option<u16> {
    match port {
        Written::Fixed(port) => Some(*port).filter(|port| *port > 0),
        _ => None,
    }
}
