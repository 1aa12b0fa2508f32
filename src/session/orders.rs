//! Phase orders: a visitor of the statistics page who may change states sends the page's form (manual 4.2,
//! `stats admin`). The form is received as a whole, obeyed, and answered with a way back that tells the outcome.

use super::{Step, Turn, reply, statistics};
use crate::check::server::{Admin, Cause as By, CheckEffect, Ending};
use crate::check::{Operation, ServerState};
use crate::facts::{Cause, Phase as Doing};
use crate::http::uri;
use crate::proxy::{BackendId, ServerId};
use crate::time::Tick;

/// What became of the orders, as the address of the way back tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All were obeyed.
    Done,
    /// There was nothing to do.
    Nothing,
    /// Some servers do not exist.
    Part,
    /// The action, the backend or all servers do not exist.
    Wrong,
    /// The form is larger than a buffer.
    TooLarge,
    /// The visitor may not.
    Denied,
}

impl Outcome {
    /// HAProxy's code.
    pub fn code(self) -> &'static str {
        match self {
            Outcome::Done => "DONE",
            Outcome::Nothing => "NONE",
            Outcome::Part => "PART",
            Outcome::Wrong => "ERRP",
            Outcome::TooLarge => "EXCD",
            Outcome::Denied => "DENY",
        }
    }
}

/// Waits for the whole form, then does what it says; `backend` is the one whose page it is.
pub fn run(turn: &mut Turn<'_>, backend: Option<BackendId>) -> Step {
    let received = turn.session.client.receive(&mut turn.services.buffers);
    let room = turn.services.config.global.tune.received_bytes_max();
    let (form, complete) = body(turn);
    if form.len() >= room || (!complete && turn.session.client.received().len() >= room) {
        return statistics::way_back(turn, backend, Outcome::TooLarge);
    }
    if complete {
        let outcome = obey(turn, &form);
        return statistics::way_back(turn, backend, outcome);
    }
    if turn.session.client.is_over() {
        return turn.abandon(Cause::ClientAbort, Doing::Request);
    }
    let now = turn.services.now.tick();
    if received > 0 || turn.exchange.client_deadline == Tick::NEVER {
        let timeout = turn.frontend().timeouts.client;
        turn.exchange.client_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    }
    if now < turn.exchange.client_deadline {
        return Step::Wait;
    }
    reply::error(turn, 408, Cause::ClientTimeout, Doing::Request)
}

/// The body as far as it is here, and whether that is all of it.
fn body(turn: &Turn<'_>) -> (Vec<u8>, bool) {
    let mut bytes = turn.session.client.received();
    let mut decoder = turn.exchange.upload.decoder;
    let mut body = Vec::new();
    while !decoder.is_done()
        && let Ok(piece) = decoder.next(bytes)
        && piece.consumed() > 0
    {
        body.extend_from_slice(&bytes[piece.framing..piece.framing + piece.payload]);
        bytes = &bytes[piece.consumed()..];
    }
    (body, decoder.is_done() || turn.exchange.upload.complete)
}

/// The fields that count: the backend, the action, the servers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    backend: Option<String>,
    action: Option<String>,
    servers: Vec<String>,
}

impl Form {
    fn parse(text: &[u8]) -> Form {
        let mut form = Form::default();
        for pair in text.split(|&byte| byte == b'&') {
            let Some(equals) = memchr::memchr(b'=', pair) else { continue };
            let plain = |text: &[u8]| String::from_utf8_lossy(&uri::decode_form(text)).into_owned();
            let value = plain(&pair[equals + 1..]);
            match plain(&pair[..equals]).as_str() {
                "b" => form.backend = Some(value),
                "action" => form.action = Some(value),
                "s" => form.servers.push(value),
                _ => {}
            }
        }
        form
    }
}

type Change = fn(&mut ServerState, u64) -> CheckEffect;
type Concerned = fn(Admin) -> bool;

/// What an action does to one server.
enum Order {
    Change(Change),
    /// Up, out or down as by checks: not of servers that follow another one.
    Health(Operation),
    /// The same with a condition.
    ChangeIf(Concerned, Change),
    /// Of servers that are checked only.
    Checks(bool),
    /// Whether it is well, as its agent would say. Of servers whose agent is asked only.
    Agent(bool),
    /// Whether agents are asked. Of servers that have one only.
    Agents(bool),
    EndSessions,
}

impl Order {
    /// The actions of the page's form.
    fn named(name: &str) -> Option<Order> {
        Some(Order::Change(match name {
            "ready" => |state, now_s| state.order_ready(now_s).into(),
            "drain" => |state, now_s| state.order_drain(now_s).into(),
            "maint" => |state, now_s| state.order_maintenance(now_s).into(),
            "hrunn" => return Some(Order::Health(Operation::Running)),
            "hnolb" => return Some(Order::Health(Operation::Stopping)),
            "hdown" => return Some(Order::Health(Operation::Stopped)),
            "ehlth" => return Some(Order::Checks(true)),
            "dhlth" => return Some(Order::Checks(false)),
            "eagent" => return Some(Order::Agents(true)),
            "dagent" => return Some(Order::Agents(false)),
            "arunn" => return Some(Order::Agent(true)),
            "adown" => return Some(Order::Agent(false)),
            "shutdown" => return Some(Order::EndSessions),
            _ => return Order::old(name),
        }))
    }

    /// The actions of the form's older versions, which leave servers alone that are as they are wanted.
    fn old(name: &str) -> Option<Order> {
        let (concerned, change): (Concerned, Change) = match name {
            "disable" => (
                |admin| !admin.contains(Admin::FORCED_MAINT),
                |state, now_s| state.order_maintenance(now_s).map(|it| it.because("'disable' on stats page")).into(),
            ),
            "enable" => (|admin| admin.contains(Admin::FORCED_MAINT), |state, now_s| state.order_enable(now_s).into()),
            "stop" => (
                |admin| !admin.contains(Admin::FORCED_DRAIN),
                |state, now_s| state.order_drain(now_s).map(|it| it.because("'stop' on stats page")).into(),
            ),
            "start" => (
                |admin| admin.contains(Admin::FORCED_DRAIN),
                |state, now_s| match state.admin.is_maintenance() {
                    true => CheckEffect::default(),
                    false => state.order_ready(now_s).into(),
                },
            ),
            _ => return None,
        };
        Some(Order::ChangeIf(concerned, change))
    }
}

fn obey(turn: &mut Turn<'_>, text: &[u8]) -> Outcome {
    let form = Form::parse(text);
    let backend = form.backend.as_deref().map(|name| turn.services.config.find_backend(name));
    let order = form.action.as_deref().map(Order::named);
    if matches!(backend, Some(None)) || matches!(order, Some(None)) {
        return Outcome::Wrong;
    }
    let (Some(Some(backend)), Some(Some(order))) = (backend, order) else { return Outcome::Nothing };
    let config = turn.services.config;
    let (mut done, mut unknown) = (0, 0);
    // From the last one on, as HAProxy does.
    for name in form.servers.iter().rev() {
        match config.servers_of(backend).find(|(_, server)| server.name == *name) {
            Some((id, _)) => done += usize::from(give(turn, id, &order)),
            None => unknown += 1,
        }
    }
    match (done, unknown) {
        (0, 0) => Outcome::Nothing,
        (0, _) => Outcome::Wrong,
        (_, 0) => Outcome::Done,
        _ => Outcome::Part,
    }
}

/// Gives an order to a server; whether it concerns it.
fn give(turn: &mut Turn<'_>, id: ServerId, order: &Order) -> bool {
    let services = &mut *turn.services;
    match order {
        Order::Change(change) => services.change_server(id, change),
        Order::Health(operation) if services.config[id].track.is_none() => {
            services.change_server(id, |state, now_s| state.order_health_by(By::Page, *operation, now_s).into());
        }
        Order::ChangeIf(concerned, change) if concerned(services.servers[id.0 as usize].admin) => {
            services.change_server(id, change);
        }
        Order::Checks(enabled) if services.servers[id.0 as usize].is_checked => {
            services.change_server(id, |state, _| {
                state.checks_enabled = *enabled;
                CheckEffect::default()
            });
        }
        Order::Agents(enabled) if services.servers[id.0 as usize].agent.is_configured => {
            services.enable_agent(id, *enabled);
        }
        Order::Agent(up) if services.servers[id.0 as usize].agent.enabled => {
            services.change_server(id, |state, now_s| state.order_agent(By::Page, *up, now_s).into());
        }
        Order::ChangeIf(..) | Order::Checks(_) | Order::Health(_) | Order::Agents(_) | Order::Agent(_) => {
            return false;
        }
        Order::EndSessions => services.end_sessions(id, Ending::Ordered),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_in_any_order() {
        let expected =
            Form { backend: Some("#3".into()), action: Some("drain".into()), servers: vec!["s 1".into(), "s2".into()] };
        assert_eq!(Form::parse(b"s=s+1&action=drain&b=%233&s=s2&x=y&z"), expected);
        assert_eq!(Form::parse(b"b=%233&s=s%201&s=s2&action=%64rain&"), expected);
        assert_eq!(Form::parse(b""), Form::default());
        for bytes in [&b"%"[..], b"=", b"s=%4", b"s=%zz&&=\xff", b"b=%00"] {
            let _ = Form::parse(bytes);
        }
    }
}
