//! Phase reply: the proxy answers by itself.

use super::{After, Phase, Step, Turn, judge, names};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::persistence;
use crate::http::{Known, Method, Version, status};
use crate::rules::{Ending, Reply, pages};
use crate::time::Tick;

/// Answers with HAProxy's page for `status` and notes how the exchange ended.
pub fn error(turn: &mut Turn<'_>, code: u16, cause: Cause, doing: Doing) -> Step {
    turn.exchange.facts.termination.set_once(cause, doing);
    if !turn.is_http() {
        return turn.abandon(cause, doing);
    }
    if matches!(turn.exchange.phase, Phase::Receive) {
        turn.exchange.client_keeps = false;
        turn.exchange.reply.clear();
        status::write_closing_answer(code, &mut turn.exchange.reply);
        return start(turn, code);
    }
    if let Some(page) = pages::replacement(&turn.services.context(turn.session, turn.exchange), code) {
        return rendered(turn, &page, cause, doing);
    }
    if status::closes(code) {
        turn.exchange.client_keeps = false;
    }
    turn.exchange.response.clear();
    let body = status::answer(code, &mut turn.exchange.response).unwrap_or_default();
    message(turn, body)
}

/// Answers as a rule wants it.
pub fn rendered(turn: &mut Turn<'_>, answer: &Reply, cause: Cause, doing: Doing) -> Step {
    turn.exchange.facts.termination.set_once(cause, doing);
    if answer.ending == Ending::Silence {
        turn.exchange.client_keeps = false;
        turn.exchange.reply.clear();
        return start(turn, answer.status);
    }
    let closes_after_body = answer.ending == Ending::CloseAfterBody && !turn.exchange.request_has_no_body;
    turn.exchange.client_keeps &= answer.ending != Ending::Close && !closes_after_body;
    turn.exchange.response.clone_from(&answer.head);
    if closes_after_body {
        turn.exchange.response.add(b"connection", b"close");
    }
    let step = message(turn, &answer.body);
    // Unless rules changed it: a page may bear another status than the one that it stands for.
    if turn.exchange.response.status() == answer.head.status() {
        turn.exchange.facts.status = Some(answer.status);
    }
    step
}

/// Answers with a server's head whose new status forbids the body that it has (RFC 9110 15.3.5, 15.4.5).
pub fn bodiless(turn: &mut Turn<'_>) -> Step {
    let exchange = &mut *turn.exchange;
    if exchange.response.status() == 204 {
        exchange.response.remove_known(Known::ContentLength);
    }
    exchange.response.remove_known(Known::TransferEncoding);
    let (received, bytes_out) = (exchange.facts.response_received, exchange.facts.bytes_out);
    judge::drop_answer(turn);
    let step = send(turn, b"");
    (turn.exchange.facts.response_received, turn.exchange.facts.bytes_out) = (received, bytes_out);
    step
}

/// Answers with the head in [`super::Exchange::response`], which says the body's length, and `body`.
pub fn message(turn: &mut Turn<'_>, body: &[u8]) -> Step {
    let body = if judge::has_after_rules(turn) { ruled(turn, body) } else { body };
    send(turn, body)
}

/// The same, past the rules for every answer.
fn send(turn: &mut Turn<'_>, body: &[u8]) -> Step {
    let stops = turn.services.ends_after_answer(turn.session);
    drain_body(turn);
    let exchange = &mut *turn.exchange;
    exchange.client_keeps &= exchange.upload.complete && !stops;
    let body = if exchange.request.method() == Method::Head { b"" } else { body };
    exchange.facts.bytes_out += exchange.response.counted_bytes() + body.len() as u64;
    if exchange.response.status() == 204 {
        // Counted, as in HAProxy, but not to be said (RFC 9110 8.6).
        exchange.response.remove_known(Known::ContentLength);
    }
    // What a page says of the connection counts, as in HAProxy; what is sent is what happens.
    if exchange.response.has(Known::Connection) {
        persistence::take(&mut exchange.response);
    }
    persistence::to_client(&mut exchange.response, exchange.client_keeps, exchange.request.version());
    if turn.services.config[turn.session.frontend].respells {
        names::respell(&mut exchange.response, &turn.services.config.global.spellings);
    }
    exchange.reply.clear();
    exchange.response.write_response_to(&mut exchange.reply);
    exchange.reply.extend_from_slice(body);
    let code = exchange.response.status();
    start(turn, code)
}

/// Lets the rules for every answer look at the one in [`super::Exchange::response`]. Where they fail, 500 takes its
/// place, and goes as it is if they fail again.
fn ruled<'b>(turn: &mut Turn<'_>, body: &'b [u8]) -> &'b [u8] {
    if judge::own(turn, body.len()) {
        return body;
    }
    let twice = turn.exchange.response.status() == 500;
    let refusal = status::answer(500, &mut turn.exchange.response).unwrap_or_default();
    if !twice && !judge::own(turn, refusal.len()) {
        status::answer(500, &mut turn.exchange.response);
    }
    refusal
}

/// Takes what has come of the request's body, which nobody is going to read: if that is all of it, the
/// client's connection can go on.
fn drain_body(turn: &mut Turn<'_>) {
    let upload = &mut turn.exchange.upload;
    while !upload.complete && !turn.session.client.received().is_empty() {
        let Ok(piece) = upload.decoder.next(turn.session.client.received()) else { return };
        if piece.consumed() == 0 {
            return;
        }
        turn.exchange.facts.bytes_in += piece.payload as u64;
        turn.session.client.consume(piece.consumed(), &mut turn.services.buffers);
        upload.complete = upload.decoder.is_done();
    }
}

/// Answers with the head in [`super::Exchange::response`] and `body` as one chunk; whoever knows no chunks
/// gets it bare, and the end of the connection after it.
pub fn chunked(turn: &mut Turn<'_>, body: &[u8]) -> Step {
    let exchange = &mut *turn.exchange;
    if exchange.request.method() == Method::Head {
        return page(turn, b"");
    }
    if exchange.request.version() == Version::Http10 {
        exchange.client_keeps = false;
        return page(turn, body);
    }
    exchange.response.add(b"Transfer-Encoding", b"chunked");
    let mut framed = format!("{:X}\r\n", body.len()).into_bytes();
    framed.extend_from_slice(body);
    framed.extend_from_slice(b"\r\n0\r\n\r\n");
    let step = page(turn, &framed);
    turn.exchange.facts.bytes_out -= (framed.len() - body.len()) as u64;
    step
}

/// As [`message`]; what rules add to a page is not counted, as it is not to a server's answer.
fn page(turn: &mut Turn<'_>, body: &[u8]) -> Step {
    let made = turn.exchange.response.counted_bytes();
    let body = if judge::has_after_rules(turn) { ruled(turn, body) } else { body };
    let sent = turn.exchange.response.counted_bytes();
    let step = send(turn, body);
    turn.exchange.facts.bytes_out = turn.exchange.facts.bytes_out + made - sent;
    step
}

fn start(turn: &mut Turn<'_>, code: u16) -> Step {
    turn.give_up_server();
    let exchange = &mut *turn.exchange;
    exchange.facts.status = Some(code);
    exchange.reply_sent = 0;
    exchange.server_deadline = Tick::NEVER;
    exchange.client_deadline = Tick::NEVER;
    exchange.phase_deadline = Tick::NEVER;
    Step::Go(Phase::Reply)
}

/// Sends what is left of the answer.
pub fn run(turn: &mut Turn<'_>) -> Step {
    let client = &mut turn.session.client;
    let exchange = &mut *turn.exchange;
    // What an interrupted exchange still had queued goes first.
    let mut sent = client.flush(&mut turn.services.buffers);
    if client.pending() == 0 {
        let direct = client.send_through(&exchange.reply[exchange.reply_sent..], false);
        exchange.reply_sent += direct;
        sent += direct;
    }
    if client.unwritable.is_some() {
        exchange.facts.termination.set_once(Cause::ClientAbort, Doing::Data);
        return Step::Over(After::Close);
    }
    if exchange.reply_sent == exchange.reply.len() {
        return Step::Over(if exchange.client_keeps { After::KeepAlive } else { After::Close });
    }
    let now = turn.services.now.tick();
    if sent > 0 || exchange.client_deadline == Tick::NEVER {
        let timeout = turn.services.config[turn.session.frontend].timeouts.client;
        exchange.client_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    }
    if now < exchange.client_deadline {
        return Step::Wait;
    }
    exchange.facts.termination.set_once(Cause::ClientTimeout, Doing::Data);
    Step::Over(After::Close)
}

/// Holds a refusal back, then answers 500 (manual 4, `http-request tarpit`).
pub fn tarpit(turn: &mut Turn<'_>, until: Tick) -> Step {
    // A client that gave up has been trapped for long enough.
    let gave_up = turn.client_gave_up(Doing::Tarpit).is_some();
    if turn.services.now.tick() < until && !gave_up {
        return Step::Wait;
    }
    // HAProxy counts the time in the trap as time in a queue.
    turn.exchange.facts.request_received = None;
    turn.exchange.facts.queue_left = Some(turn.services.now);
    match turn.exchange.held.take() {
        Some(answer) => rendered(turn, &answer, Cause::Proxy, Doing::Tarpit),
        None => error(turn, 500, Cause::Proxy, Doing::Tarpit),
    }
}
