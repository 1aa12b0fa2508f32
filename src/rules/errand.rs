//! What rules have the session do, and how far a run of rules has come (manual 4.2, `http-request`).
//!
//! A rule cannot reach sockets and timers. So a run stops at such a rule with an [`Errand`], and goes on behind it
//! once the session has done that, maybe much later.

use std::net::SocketAddr;

use super::address::SetAddress;
use super::lookup::{Lookup, Question};
use super::{Acls, Rule};
use crate::http::Head;
use crate::sample::{Ctx, Expr, Needs};
use crate::time::Millis;

/// HAProxy's own part of a buffer that holds a message.
const BUFFER_OVERHEAD_BYTES: usize = 48;

/// HAProxy's own part of each block of a message: start line, fields, the head's end, a piece of body.
const BLOCK_OVERHEAD_BYTES: usize = 8;

/// What a rule says that the session is to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// `set-nice`: -1024 (first) to 1024 (last).
    Nice(i16),
    /// `set-tos`
    Tos(u8),
    /// `set-mark`
    Mark(u32),
    /// `capture`: into this slot; into none if there can be no such slot.
    Capture(Side, Option<usize>, Expr),
    /// `wait-for-body`: for so long, or until so many octets are here; 0 is all.
    WaitForBody(Millis, u64),
    /// `set-src` and others
    Readdress(SetAddress),
    /// `do-resolve`
    Resolve(Lookup),
}

/// Whose captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// What the session is to do before the rules go on.
#[derive(Clone, Debug)]
pub enum Errand {
    /// To give the exchange this place among those that are ready at the same time.
    Nice(i16),
    /// To mark what is sent to the client.
    Tos(u8),
    /// Likewise, for the kernel's own eyes.
    Mark(u32),
    /// To keep a text for the log; `None` where there is nothing to keep.
    Capture(Side, usize, Vec<u8>),
    /// To send this interim answer.
    Hint(Box<Head>),
    /// To wait for the body, or for a part of it.
    WaitForBody(Millis, u64),
    /// To take these for the addresses of the client's connection.
    Readdress([Option<SocketAddr>; 2]),
    /// To ask for a name, and to wait for the answer.
    Resolve(Box<Question>),
}

impl Order {
    /// Whether it needs CAP_NET_ADMIN.
    pub(super) fn administers_net(&self) -> bool {
        matches!(self, Order::Mark(_))
    }

    /// What a capture looks at.
    pub(super) fn captured(&self) -> Option<Needs> {
        match self {
            Order::Capture(_, _, expr) => Some(expr.needs()),
            _ => None,
        }
    }

    /// What is to be done for the exchange that `ctx` shows.
    pub(super) fn errand(&self, ctx: &Ctx<'_>) -> Option<Errand> {
        Some(match self {
            Order::Nice(nice) => Errand::Nice(*nice),
            Order::Tos(tos) => Errand::Tos(*tos),
            Order::Mark(mark) => Errand::Mark(*mark),
            Order::Capture(side, slot, expr) => Errand::Capture(*side, (*slot)?, expr.eval(ctx)?.into_text().into()),
            Order::WaitForBody(time, octets) => Errand::WaitForBody(*time, *octets),
            Order::Resolve(rule) => Errand::Resolve(Box::new(rule.question(ctx)?)),
            Order::Readdress(rule) => Errand::Readdress(rule.apply(ctx)),
        })
    }
}

/// How far the rules of one set have come with one message.
#[derive(Debug)]
pub struct Run {
    /// The rule to look at next.
    pub(super) next: usize,
    /// A rewrite that fails is an error (`strict-mode`).
    pub(super) strict: bool,
    /// The interim answer that is being made.
    pub(super) hint: Option<Box<Head>>,
    /// Octets that head and body may take as HAProxy keeps them.
    room: usize,
    /// Rewrites that failed since they were last counted.
    failed: u64,
}

impl Run {
    /// A run over a message in a buffer of `buffer_bytes`, of whose body `body_bytes` are here.
    pub fn new(buffer_bytes: usize, body_bytes: usize) -> Run {
        let body = if body_bytes == 0 { 0 } else { body_bytes + BLOCK_OVERHEAD_BYTES };
        let room = buffer_bytes.saturating_sub(BUFFER_OVERHEAD_BYTES + body);
        Run { next: 0, strict: true, hint: None, room, failed: 0 }
    }

    /// The action of the next of `rules` that applies to what `ctx` shows.
    pub(super) fn next_applying<'r, A>(&mut self, rules: &'r [Rule<A>], acls: &Acls, ctx: &Ctx<'_>) -> Option<&'r A> {
        let rest = rules.get(self.next..)?;
        let skipped = rest.iter().take_while(|rule| !rule.applies(acls, ctx)).count();
        self.next += skipped + 1;
        rest.get(skipped).map(|rule| &rule.action)
    }

    /// Gives the number of failed rewrites and counts anew.
    pub fn take_failed(&mut self) -> u64 {
        std::mem::take(&mut self.failed)
    }

    /// Changes the head; says whether the rules go on. A change for which there is no room is undone, or ends the
    /// message where rules are strict.
    pub(super) fn rewrite(&mut self, head: &mut Head, change: impl FnOnce(&mut Head)) -> bool {
        let before = (!self.strict).then(|| head.clone());
        change(head);
        if fits(head, self.room) {
            return true;
        }
        self.failed += 1;
        before.is_some_and(|before| {
            *head = before;
            true
        })
    }
}

fn fits(head: &Head, room: usize) -> bool {
    // What was ever written into the head is more than what is left of it.
    let most = head.written_bytes() + (head.field_places() + 2) * BLOCK_OVERHEAD_BYTES + Head::START_LINE_FIXED_BYTES;
    most <= room || {
        let blocks = head.fields().count() + 2;
        head.counted_bytes() as usize + blocks * BLOCK_OVERHEAD_BYTES <= room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture;

    #[test]
    fn a_change_without_room_is_an_error_or_undone() {
        let mut head = fixture::head("GET / HTTP/1.1\nhost: t");
        // As tried with HAProxy: 84 octets and twice the value fill a buffer.
        let value = [b'a'; 8126];
        head.add(b"x-a", &value);
        let mut run = Run::new(16384, 0);
        assert!(run.rewrite(&mut head, |head| head.set(b"x-b", &value)));
        assert!(!run.rewrite(&mut head, |head| head.set(b"x-b", &[b'a'; 8127])));
        run.strict = false;
        head.set(b"x-b", b"1");
        assert!(run.rewrite(&mut head, |head| head.set(b"x-b", &[b'a'; 8127])));
        assert_eq!(head.get(b"x-b"), Some(&b"1"[..]));
        assert_eq!(run.take_failed(), 2);
        assert_eq!(run.take_failed(), 0);
    }

    #[test]
    fn the_body_takes_its_room() {
        let mut head = fixture::head("POST / HTTP/1.1\nhost: t\nContent-Length: 1000");
        let value = [b'a'; 7608];
        head.add(b"x-a", &value);
        let mut run = Run::new(16384, 1000);
        assert!(run.rewrite(&mut head, |head| head.set(b"x-b", &value)));
        assert!(!run.rewrite(&mut head, |head| head.set(b"x-b", &[b'a'; 7610])));
    }
}
