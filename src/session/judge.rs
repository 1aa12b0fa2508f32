//! The rules for responses: the backend's, then the frontend's; and those for every answer, also the proxy's own.

use std::sync::Arc;

use super::errands::{self, Paused};
use super::inspect::silent_drop;
use super::{After, Step, Turn, finish, reply};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::{Body, framing};
use crate::rules::filter::Outcome;
use crate::rules::{Errand, Rules, Run, Verdict};
use crate::stats::Count;

/// What rules for a response came to.
pub enum Judged {
    /// It goes on.
    Passes,
    /// They wait until [`super::Exchange::phase_deadline`] for so many octets of the body; 0 is all.
    Waits(u64),
    /// The exchange goes another way.
    Ends(Step),
}

/// The sets of a response in their order: the backend's, then the frontend's; a `listen` has one.
fn sets(turn: &Turn<'_>) -> [Option<&'static Arc<Rules>>; 2] {
    let frontend = &turn.frontend().rules;
    let backend = turn.exchange.backend.map(|id| &turn.services.config[id].rules);
    [backend, Some(frontend).filter(|frontend| !backend.is_some_and(|rules| Arc::ptr_eq(rules, frontend)))]
}

/// The rules for responses, from where they waited.
pub fn response(turn: &mut Turn<'_>) -> Judged {
    let [backend, frontend] = sets(turn);
    let paused_in_frontend = matches!(turn.exchange.paused, Some(Paused::Response { frontend: true, .. }));
    for (rules, is_frontend) in [(backend.filter(|_| !paused_in_frontend), false), (frontend, true)] {
        let Some(rules) = rules else { continue };
        match response_rules(turn, rules, is_frontend) {
            Judged::Passes => {}
            other => return other,
        }
    }
    Judged::Passes
}

fn response_rules(turn: &mut Turn<'_>, rules: &Rules, is_frontend: bool) -> Judged {
    if !rules.response.is_empty() {
        let mut run = errands::take_response_run(turn);
        let verdict = loop {
            match judge(turn, &mut run, |run, context, head, scratch| rules.on_response(run, context, head, scratch)) {
                Verdict::Errand(Errand::WaitForBody(time, octets)) => {
                    turn.exchange.paused = Some(Paused::Response { run, frontend: is_frontend, octets });
                    turn.exchange.phase_deadline = turn.services.now.tick() + time;
                    return Judged::Waits(octets);
                }
                Verdict::Errand(errand) => errands::run_errand(turn, errand),
                verdict => break verdict,
            }
        };
        framing::restore(&mut turn.exchange.response, turn.exchange.response_body);
        if let Some(step) = response_judged(turn, verdict) {
            return Judged::Ends(step);
        }
    }
    response_filters(turn, rules).map_or(Judged::Passes, Judged::Ends)
}

/// Lets rules look at the response.
fn judge(
    turn: &mut Turn<'_>,
    run: &mut Run,
    rules: impl FnOnce(&mut Run, &crate::sample::Ctx<'_>, &mut crate::http::Head, &mut Vec<u8>) -> Verdict,
) -> Verdict {
    let mut head = std::mem::take(&mut turn.exchange.response);
    let mut scratch = std::mem::take(&mut turn.services.scratch);
    let mut context = turn.services.context(turn.session, turn.exchange);
    context.upstream = turn.exchange.upstream.map(|key| &turn.services.upstreams.get(key).connection);
    context.response_bytes = context.upstream.map_or(&[], |connection| connection.received());
    let verdict = rules(run, &context, &mut head, &mut scratch);
    turn.exchange.response = head;
    turn.services.scratch = scratch;
    errands::count_failed(turn, run);
    verdict
}

/// What a verdict on the response comes to.
fn response_judged(turn: &mut Turn<'_>, verdict: Verdict) -> Option<Step> {
    if !matches!(verdict, Verdict::Continue | Verdict::Errand(_)) {
        drop_answer(turn);
    }
    match verdict {
        Verdict::Continue | Verdict::Errand(_) => None,
        Verdict::Deny(answer) | Verdict::Tarpit(answer) | Verdict::Auth(answer) => {
            turn.count_everywhere(Count::DeniedResponses);
            Some(reply::rendered(turn, &answer, Cause::Proxy, Doing::Headers))
        }
        Verdict::Answer(answer) => Some(reply::rendered(turn, &answer, Cause::Local, Doing::Headers)),
        Verdict::Reject => Some(Step::Over(After::Close)),
        Verdict::SilentDrop => {
            turn.exchange.facts.status = turn.exchange.facts.server_status;
            Some(silent_drop(turn))
        }
        Verdict::Failed => Some(failed(turn)),
    }
}

/// A rewrite of a server's answer for which there was no room.
fn failed(turn: &mut Turn<'_>) -> Step {
    errands::count(turn, Count::InternalErrors, 1);
    reply::error(turn, 500, Cause::Proxy, Doing::Headers)
}

/// The rules for every answer, of which there are some, look at a server's; a step if they failed.
pub fn forwarded(turn: &mut Turn<'_>) -> Option<Step> {
    if !after_response(turn, errands::response_run) {
        drop_answer(turn);
        return Some(failed(turn));
    }
    framing::restore(&mut turn.exchange.response, turn.exchange.response_body);
    None
}

/// What becomes of a server's answer whose status rules changed to one that has no body; `None` if it passes.
pub fn without_body(turn: &mut Turn<'_>) -> Option<Step> {
    let exchange = &turn.exchange;
    let status = exchange.response.status();
    let changed = exchange.facts.server_status != Some(status);
    if !changed || matches!(exchange.response_body, Body::None | Body::Tunnel) {
        return None;
    }
    match status {
        204 | 304 => Some(reply::bodiless(turn)),
        // Nobody would know where such an answer ends.
        ..200 => {
            turn.exchange.facts.status = Some(status);
            Some(turn.abandon(Cause::ClientAbort, Doing::Data))
        }
        _ => None,
    }
}

/// Whether there are rules for every answer.
pub fn has_after_rules(turn: &Turn<'_>) -> bool {
    sets(turn).into_iter().flatten().any(|rules| !rules.after_response.is_empty())
}

/// They look at an answer of the proxy's own with a body of so many octets. False if they failed.
pub fn own(turn: &mut Turn<'_>, body_bytes: usize) -> bool {
    let (has_length, is_chunked) = {
        let head = &turn.exchange.response;
        (head.get(b"content-length").is_some(), head.get(b"transfer-encoding").is_some())
    };
    let bufsize = turn.services.config.global.tune.bufsize;
    let passed = after_response(turn, |_| Run::new(bufsize, body_bytes));
    let body = match (has_length, is_chunked) {
        (_, true) => Body::Chunked,
        (true, _) => Body::Length(body_bytes as u64),
        _ => Body::UntilClose,
    };
    framing::restore(&mut turn.exchange.response, body);
    passed
}

/// False if a rule failed.
fn after_response(turn: &mut Turn<'_>, begin: impl Fn(&Turn<'_>) -> Run) -> bool {
    for rules in sets(turn).into_iter().flatten().filter(|rules| !rules.after_response.is_empty()) {
        let mut run = begin(turn);
        loop {
            match judge(turn, &mut run, |run, context, head, scratch| rules.after_response(run, context, head, scratch))
            {
                Verdict::Errand(errand) => errands::run_errand(turn, errand),
                Verdict::Failed => return false,
                _ => break,
            }
        }
    }
    true
}

/// The filters of older versions (`rsprep` and its kin).
fn response_filters(turn: &mut Turn<'_>, rules: &Rules) -> Option<Step> {
    if rules.response_filters.is_empty() && rules.response_additions.is_empty() {
        return None;
    }
    let mut head = std::mem::take(&mut turn.exchange.response);
    let mut scratch = std::mem::take(&mut turn.services.scratch);
    let context = turn.services.context(turn.session, turn.exchange);
    let outcome = rules.filter_response(&context, &mut head, &mut scratch);
    framing::restore(&mut head, turn.exchange.response_body);
    turn.exchange.response = head;
    turn.services.scratch = scratch;
    match outcome {
        Outcome::Continue(_) => return None,
        Outcome::Deny | Outcome::Tarpit => turn.count_everywhere(Count::DeniedResponses),
        Outcome::Invalid => turn.count_response_error(),
    }
    drop_answer(turn);
    Some(reply::error(turn, 502, Cause::Proxy, Doing::Headers))
}

/// Throws the server's answer away. If it is here as a whole, the server's connection can be used again.
pub fn drop_answer(turn: &mut Turn<'_>) {
    turn.exchange.facts.response_received = None;
    let Some(key) = turn.exchange.upstream else { return };
    if let Some(bytes) = turn.exchange.whole_answer_bytes.filter(|_| turn.exchange.upload.complete) {
        let connection = &mut turn.services.upstreams.get_mut(key).connection;
        connection.consume(bytes, &mut turn.services.buffers);
        finish::return_upstream(turn, true, After::KeepAlive);
    }
}
