//! Requests that are sent once more although the server has had them (manual 4.2 `retry-on`).
//!
//! A backend that asks for this has each request kept as it goes out the first time, if all of it is here by then.
//! Whatever becomes of the answer up to its head may then be a reason to begin again.

use super::{Exchange, Phase, Step, Turn, connect};
use crate::h1::BodyDecoder;
use crate::http::Head;
use crate::proxy::backend::RetryOn;
use crate::stats::Count;
use crate::time::Tick;

/// A request as it was before it was sent.
#[derive(Debug)]
pub struct Kept {
    head: Head,
    /// The body as it came, framing included.
    body: Box<[u8]>,
    /// Octets of the request that were counted by then, and how many of these are the body's.
    counted: [u64; 2],
    /// What was known of the server's connection.
    server_keeps: bool,
}

/// Keeps the request, which the backend may want again.
pub fn keep(turn: &mut Turn<'_>) {
    let exchange = &mut *turn.exchange;
    if exchange.kept.is_some() || exchange.facts.never_again.get() {
        return;
    }
    let received = turn.session.client.received();
    let Some(length) = rest_of_body(exchange, received) else { return };
    exchange.kept = Some(Box::new(Kept {
        head: exchange.request.clone(),
        body: received[..length].into(),
        counted: [exchange.facts.bytes_in, exchange.upload.counted_ahead],
        server_keeps: exchange.server_keeps,
    }));
}

/// Begins again if the backend wants that for this `reason` and there are attempts left.
pub fn again(turn: &mut Turn<'_>, reason: RetryOn) -> Option<Step> {
    let backend = turn.exchange.backend?;
    if !is_reason(turn, reason) || turn.exchange.retries_left == 0 {
        return None;
    }
    let exchange = &mut *turn.exchange;
    let kept = exchange.kept.as_ref()?;
    let left = rest_of_body(exchange, turn.session.client.received())?;
    let taken = kept.body.len().checked_sub(left)?;
    turn.session.client.put_back(&kept.body[..taken], &mut turn.services.buffers);
    exchange.request = kept.head.clone();
    exchange.server_keeps = kept.server_keeps;
    exchange.upload.begin(exchange.request_body);
    [exchange.facts.bytes_in, exchange.upload.counted_ahead] = kept.counted;
    exchange.response.clear();
    exchange.facts.connected = None;
    exchange.facts.response_received = None;
    (exchange.server_deadline, exchange.client_deadline, exchange.phase_deadline) =
        (Tick::NEVER, Tick::NEVER, Tick::NEVER);
    exchange.retries_left -= 1;
    exchange.facts.retries += 1;
    let upstream = exchange.upstream.take();
    turn.services.close_upstream(upstream);
    // HAProxy counts the decision, and then where it leads.
    connect::count(turn, Count::Retries);
    let elsewhere = connect::choose_again(turn, backend);
    Some(Step::Go(if elsewhere { Phase::Pick } else { Phase::Connect }))
}

/// Whether the backend has kept the request for this `reason`.
pub fn is_reason(turn: &Turn<'_>, reason: RetryOn) -> bool {
    let conditions = turn.exchange.backend.map(|id| turn.services.config[id].retry_on);
    turn.exchange.kept.is_some() && conditions.is_some_and(|conditions| conditions.intersects(reason))
}

/// Octets of what was received that belong to the request's body from where it stands; `None` if they are not all of it.
fn rest_of_body(exchange: &Exchange, mut received: &[u8]) -> Option<usize> {
    let (mut decoder, mut length): (BodyDecoder, usize) = (exchange.upload.decoder, 0);
    while !decoder.is_done() {
        let consumed = decoder.next(received).ok().filter(|piece| piece.consumed() > 0)?.consumed();
        length += consumed;
        received = &received[consumed..];
    }
    Some(length)
}
