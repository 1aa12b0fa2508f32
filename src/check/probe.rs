//! One check of one server, from the connection attempt to its result. Pure: the driver connects, moves
//! bytes, tells the time, and does what it is told.
//!
//! ```text
//!   connecting ──connected──▶ answering ──bytes, close──▶ ended
//!        └───────failure, deadline──┴──────────────────────▲
//! ```

use super::http::{Answer, Judgement};
use super::result::{Outcome, Status};
use crate::proxy::{CheckKind, ServerTimeouts};
use crate::time::{Millis, Tick};

/// A check under way.
#[derive(Debug)]
pub struct Probe {
    started: Tick,
    deadline: Tick,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Connecting,
    Answering(Answer),
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Send this, then wait for bytes until [`Probe::deadline`].
    Send(&'a [u8]),
    /// Wait until [`Probe::deadline`].
    Wait,
    /// Close the connection, by a reset: the check is over.
    End(Outcome),
}

impl Probe {
    /// A check that starts to connect at `now`; `inter` is the server's. It has `inter` for all it does;
    /// with `timeout check` it has `timeout connect` (but not more than `inter`) to connect, then that long.
    pub fn new(now: Tick, inter: Millis, timeouts: &ServerTimeouts) -> Probe {
        let connect = timeouts.check.and(timeouts.connect).map_or(inter, |connect| connect.min(inter));
        Probe { started: now, deadline: now + connect, phase: Phase::Connecting }
    }

    /// When [`Probe::expired`] is to be called.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }

    /// The connection is established.
    pub fn connected<'a>(&mut self, kind: &'a CheckKind, timeouts: &ServerTimeouts, now: Tick) -> Next<'a> {
        match kind {
            CheckKind::Tcp => self.end(Status::L4Passed, 0, String::new(), now),
            CheckKind::Http(check) => {
                if let Some(check) = timeouts.check {
                    self.deadline = now + check;
                }
                self.phase = Phase::Answering(Answer::default());
                Next::Send(&check.request)
            }
        }
    }

    /// Connecting failed, or the connection broke: `info` is the error in the system's words.
    pub fn failed(&mut self, info: String, now: Tick) -> Next<'static> {
        let status = match self.phase {
            Phase::Connecting => Status::L4Failed,
            Phase::Answering(_) => Status::SocketError,
        };
        self.end(status, 0, info, now)
    }

    /// There is no way to connect at all: no descriptor, no route of our own.
    pub fn impossible(&mut self, info: String, now: Tick) -> Next<'static> {
        self.end(Status::SocketError, 0, info, now)
    }

    /// Bytes came; `over` when the server closed after them. `is_up` is the server's state so far.
    pub fn received(&mut self, kind: &CheckKind, bytes: &[u8], over: bool, is_up: bool, now: Tick) -> Next<'static> {
        let (Phase::Answering(answer), CheckKind::Http(check)) = (&mut self.phase, kind) else { return Next::Wait };
        match answer.receive(check, bytes, over, is_up) {
            Judgement::Open => Next::Wait,
            Judgement::Final(status, code, info) => self.end(status, code, info, now),
        }
    }

    /// The deadline is reached.
    pub fn expired(&mut self, now: Tick) -> Next<'static> {
        let status = match self.phase {
            Phase::Connecting => Status::L4Timeout,
            Phase::Answering(_) => Status::L7Timeout,
        };
        self.end(status, 0, String::new(), now)
    }

    fn end(&mut self, status: Status, code: u16, info: String, now: Tick) -> Next<'static> {
        Next::End(Outcome { status, code, info, duration: Millis(now.since(self.started)) })
    }
}

/// A system error as HAProxy's messages give it: `Connection refused`.
pub fn error_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::HttpCheck;

    const START: Tick = Tick(1000);

    fn http() -> CheckKind {
        CheckKind::Http(Box::new(HttpCheck { request: b"OPTIONS / HTTP/1.0\r\n\r\n".to_vec(), ..HttpCheck::default() }))
    }

    fn outcome(next: Next<'_>) -> (Status, u16, String, u64) {
        match next {
            Next::End(Outcome { status, code, info, duration }) => (status, code, info, duration.0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tcp_check_ends_with_the_connection() {
        let timeouts = ServerTimeouts::default();
        let mut probe = Probe::new(START, Millis(200), &timeouts);
        let end = probe.connected(&CheckKind::Tcp, &timeouts, Tick(1003));
        assert_eq!(outcome(end), (Status::L4Passed, 0, String::new(), 3));
        let mut probe = Probe::new(START, Millis(200), &timeouts);
        let end = probe.failed("Connection refused".into(), START);
        assert_eq!(outcome(end), (Status::L4Failed, 0, "Connection refused".into(), 0));
    }

    #[test]
    fn without_timeout_check_the_interval_limits_everything() {
        let timeouts = ServerTimeouts { connect: Some(Millis(300)), ..ServerTimeouts::default() };
        let mut probe = Probe::new(START, Millis(1000), &timeouts);
        assert_eq!(probe.deadline(), Tick(2000));
        assert_eq!(outcome(probe.expired(Tick(2000))).0, Status::L4Timeout);
        let kind = http();
        assert_eq!(probe.connected(&kind, &timeouts, Tick(1500)), Next::Send(b"OPTIONS / HTTP/1.0\r\n\r\n"));
        assert_eq!(probe.deadline(), Tick(2000));
        assert_eq!(outcome(probe.expired(Tick(2000))), (Status::L7Timeout, 0, String::new(), 1000));
    }

    #[test]
    fn timeout_check_begins_with_the_connection() {
        let timeouts =
            ServerTimeouts { connect: Some(Millis(300)), check: Some(Millis(100)), ..ServerTimeouts::default() };
        let mut probe = Probe::new(START, Millis(1000), &timeouts);
        assert_eq!(probe.deadline(), Tick(1300));
        probe.connected(&http(), &timeouts, Tick(1200));
        assert_eq!(probe.deadline(), Tick(1300));
        assert_eq!(Probe::new(START, Millis(50), &timeouts).deadline(), Tick(1050));
    }

    #[test]
    fn an_answer_may_come_in_pieces_or_never() {
        let (kind, timeouts) = (http(), ServerTimeouts::default());
        let begin = || {
            let mut probe = Probe::new(START, Millis(1000), &timeouts);
            probe.connected(&kind, &timeouts, START);
            probe
        };
        let mut probe = begin();
        assert_eq!(probe.received(&kind, b"HTTP/1.1 2", false, true, Tick(1001)), Next::Wait);
        let end = probe.received(&kind, b"04 No Content\r\n\r\n", false, true, Tick(1040));
        assert_eq!(outcome(end), (Status::L7Passed, 204, String::new(), 40));
        let end = begin().received(&kind, b"", true, true, START);
        assert_eq!(outcome(end), (Status::L7Invalid, 0, String::new(), 0));
        let end = begin().failed("Connection reset by peer".into(), START);
        assert_eq!(outcome(end), (Status::SocketError, 0, "Connection reset by peer".into(), 0));
    }

    #[test]
    fn errors_speak_as_the_system_does() {
        let text = |number| error_text(&std::io::Error::from_raw_os_error(number));
        assert_eq!(text(libc::ECONNREFUSED), "Connection refused");
        assert_eq!(text(libc::ECONNRESET), "Connection reset by peer");
        assert_eq!(text(libc::EHOSTUNREACH), "No route to host");
        assert_eq!(text(libc::ENETUNREACH), "Network is unreachable");
    }
}
