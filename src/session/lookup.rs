//! Phase lookup: a rule waits for the address of a name (manual 4.2, `http-request do-resolve`). Rules of contents wait
//! in their own phase.

use std::net::IpAddr;

use super::{Phase, Step, Turn, body};
use crate::dns::{Name, Report, Requester, Wanted};
use crate::facts::{Cause, Phase as Doing};
use crate::proxy::resolvers::Family;
use crate::rules::lookup::Question;
use crate::sample::Value;
use crate::stats::Count;
use crate::time::Tick;

/// What an exchange waits for.
#[derive(Debug)]
pub struct Pending {
    question: Question,
    /// What came of it.
    report: Option<Report>,
    /// Where rules of contents go on; they are many runs, not one.
    pub next: usize,
}

/// Whether there is reason to go on waiting.
enum Patience {
    Waits,
    /// Nobody waits any more: rules go on with what is known.
    Ends,
    /// The client left, or was silent for too long, in the middle of its request.
    Lost(Cause),
}

/// Asks for a name. Says whether the answer has to be waited for; what is no name is not asked for.
pub fn ask(turn: &mut Turn<'_>, question: Question) -> bool {
    let Some(name) = Name::parse(&question.name) else { return false };
    let (wanted, who) = (Wanted::Addresses(question.family), Requester::Session(turn.session.token));
    let now = turn.services.now.tick();
    let known = turn.services.names.ask(question.section, name, wanted, who, now);
    match known {
        Some(report) => take(turn, &question, &report),
        None => turn.exchange.lookup = Some(Box::new(Pending { question, report: None, next: 0 })),
    }
    turn.exchange.lookup.is_some()
}

/// Begins to wait.
pub fn wait(turn: &mut Turn<'_>) -> Step {
    let now = turn.services.now.tick();
    let timeout = turn.frontend().timeouts.client;
    turn.exchange.client_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    Step::Go(Phase::Lookup { since: now })
}

/// Waits for the answer, whatever becomes of a client that has sent all of its request, but for `option abortonclose`.
pub fn run(turn: &mut Turn<'_>, since: Tick) -> Step {
    if !is_answered(turn) {
        match patience(turn) {
            Patience::Waits => return Step::Wait,
            Patience::Ends => {}
            Patience::Lost(cause) => return lost(turn, cause),
        }
    }
    conclude(turn);
    turn.exchange.client_deadline = Tick::NEVER;
    if since != turn.services.now.tick() {
        turn.exchange.facts.request_received = Some(turn.services.now);
    }
    Step::Go(if turn.exchange.backend.is_none() { Phase::Inspect } else { Phase::InspectBackend })
}

/// Whether what was asked for has come, or will not.
pub fn is_answered(turn: &Turn<'_>) -> bool {
    turn.exchange.lookup.as_ref().is_none_or(|pending| pending.report.is_some())
}

/// Ends the wait, with or without an answer; says where rules of contents go on.
pub fn conclude(turn: &mut Turn<'_>) -> usize {
    let Some(pending) = turn.exchange.lookup.take() else { return 0 };
    match &pending.report {
        Some(report) => take(turn, &pending.question, report),
        None => turn.services.names.cancel(Requester::Session(turn.session.token)),
    }
    pending.next
}

/// The engine's report on what an exchange has asked.
pub fn answered(pending: &mut Pending, report: &Report) {
    pending.report = Some(report.clone());
}

/// Gives the variable its address; an error leaves it alone.
fn take(turn: &Turn<'_>, question: &Question, report: &Report) {
    let (Some(variable), Some(answer)) = (&question.variable, &report.answer) else { return };
    let preferred = |address: &&IpAddr| address.is_ipv4() == (question.family == Family::V4);
    if let Some(address) = answer.addresses.iter().find(preferred).or(answer.addresses.first()) {
        variable.set(Value::ip(*address), &turn.services.context(turn.session, turn.exchange));
    }
}

fn patience(turn: &mut Turn<'_>) -> Patience {
    let backend = turn.exchange.backend.map(|id| turn.services.config[id].abort_on_close);
    let aborts = backend.unwrap_or(turn.frontend().abort_on_close);
    let now = turn.services.now.tick();
    if aborts || !body::is_here(turn) {
        let received = turn.session.client.receive(&mut turn.services.buffers);
        if received > 0 {
            let timeout = turn.frontend().timeouts.client;
            turn.exchange.client_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
        }
    }
    let is_over = turn.session.client.is_over();
    if body::is_here(turn) || body::fills_the_buffer(turn) {
        turn.exchange.client_deadline = Tick::NEVER;
        return if aborts && is_over { Patience::Ends } else { Patience::Waits };
    }
    if is_over {
        return Patience::Lost(Cause::ClientAbort);
    }
    match now < turn.exchange.client_deadline {
        true => Patience::Waits,
        false if aborts => {
            turn.exchange.client_keeps = false;
            Patience::Ends
        }
        false => Patience::Lost(Cause::ClientTimeout),
    }
}

fn lost(turn: &mut Turn<'_>, cause: Cause) -> Step {
    turn.exchange.paused = None;
    // A request whose client is only late does not count as received, as in HAProxy.
    turn.exchange.facts.request_received = Some(turn.services.now).filter(|_| cause == Cause::ClientAbort);
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    turn.count_everywhere(Count::ClientAborts);
    turn.abandon(cause, Doing::Request)
}
