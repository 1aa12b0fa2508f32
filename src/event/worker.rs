//! The loop: waits for events, hands them out, lets deadlines expire. The only caller of poll.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::{Events, Poll};
use nix::time::{ClockId, clock_gettime};

use super::accept::Listeners;
use super::ancestors::Ancestors;
use super::core::{Core, Readiness};
use super::signalled::Stop;
use crate::cli::Cli;
use crate::mesh::Post;
use crate::process::Signals;
use crate::proxy::FrontendId;
use crate::shm::SlotWord;
use crate::time::{Now, Tick};
use crate::token::{Kind, Token};

/// The clocks of a worker: read once a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Reads both clocks. The monotonic one counts from the start of the machine, so that the readings of
    /// all processes can be compared.
    pub fn now(self) -> Now {
        // It cannot fail for this clock (clock_gettime(2)).
        let mono = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_us: mono.as_micros() as u64, wall_us: wall.as_micros() as u64 }
    }
}

/// One worker: its poll and everything that events act on.
pub struct Worker {
    poll: Poll,
    clock: Clock,
    /// Sessions and services.
    pub core: Core,
    /// Listening sockets.
    pub listeners: Listeners,
    /// Runtime sockets.
    pub cli: Cli,
    /// Where other workers reach this one.
    pub post: Option<Post>,
    pub(super) signals: Signals,
    /// Where a supervisor sees since when it is busy, and with what.
    busy_since: &'static AtomicU64,
    doing: &'static AtomicU64,
    ancestors: Ancestors,
    /// The bell has rings left for the next turn.
    ringing: bool,
    pub(super) ended: Option<ExitCode>,
    pub(super) stop: Stop,
    /// Frontends that go on to listen although the process stops, and until when (`grace` of a proxy).
    pub(super) lingering: Vec<(Tick, FrontendId)>,
}

impl Worker {
    /// A worker over a poll; `core` has been made with the poll's registry and the clock's time.
    pub fn new(poll: Poll, clock: Clock, core: Core, signals: Signals) -> Worker {
        let (segment, slot) = (core.services.counters.segment(), core.services.counters.slot());
        let ancestors = Ancestors::of(segment, slot, core.services.now);
        Worker {
            poll,
            clock,
            core,
            listeners: Listeners::default(),
            cli: Cli::default(),
            post: None,
            signals,
            busy_since: segment.word(slot, SlotWord::BusySinceUs),
            doing: segment.word(slot, SlotWord::Doing),
            ancestors,
            ringing: false,
            ended: None,
            stop: Stop::Not,
            lingering: Vec::new(),
        }
    }

    /// The poll's registry.
    pub fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    /// Turns until a stop is complete; gives the exit code of the process.
    ///
    /// # Errors
    /// The kernel refuses to wait: nothing can be done then.
    pub fn run(&mut self) -> io::Result<ExitCode> {
        let mut events = Events::with_capacity(self.core.services.config.global.tune.events_max);
        let mut more = true;
        loop {
            if let Some(code) = self.ended {
                return Ok(code);
            }
            let before = self.stop;
            if self.stop_goes_on() {
                return Ok(ExitCode::SUCCESS);
            }
            // Nothing else may come that would have it looked at again.
            more |= self.stop != before;
            self.busy_since.store(0, Relaxed);
            self.core.services.publish();
            let timeout = if more || self.is_busy() { Some(Duration::ZERO) } else { self.timeout() };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            self.core.set_now(self.clock.now());
            self.busy_since.store(self.core.services.now.mono_us, Relaxed);
            self.follow();
            // First what servers closed: a request of this turn must not go to a connection that is gone.
            for event in &events {
                self.drop_closed(event);
            }
            if std::mem::take(&mut self.ringing) {
                self.rung();
            }
            self.dispatch_all(&events);
            self.show(Token::new(Kind::Worker, 0, 0));
            self.core.expire();
            self.ancestors.look(self.core.services.now);
            self.cli.expire(&mut self.core, &mut self.listeners);
            more = self.cli.accept(self.post.as_ref(), &mut self.core, &mut self.listeners);
            more |= self.ringing;
            more |= self.core.run_again();
            more |= self.listeners.accept(&mut self.core);
            self.core.services.ring_others();
        }
    }

    /// Follows what other workers have changed, before anything else is done.
    fn follow(&mut self) {
        self.core.follow();
        self.follow_frontends();
        let boards = &mut self.core.services.boards;
        if boards.is_untold() {
            boards.tell_seen();
        }
    }

    /// Lets listening sockets follow their frontends.
    pub(super) fn follow_frontends(&mut self) {
        while let Some(id) = self.core.services.states.moved.pop() {
            self.listeners.follow_frontend(&mut self.core.services, id);
        }
    }

    fn timeout(&mut self) -> Option<Duration> {
        let now = self.core.services.now.tick();
        let ours = self.stop_deadline().min(self.ancestors.next_look()).min(self.listeners.next_deadline());
        let deadline = self.core.next_deadline().min(self.cli.next_deadline(now)).min(ours);
        (deadline != Tick::NEVER).then(|| Duration::from_millis(deadline.since(now)))
    }

    /// Whether the worker waits without sleeping (`busy-polling`); one that leaves lets its successor have the processor.
    fn is_busy(&self) -> bool {
        self.core.services.config.global.busy_polling && self.stop == Stop::Not
    }

    fn drop_closed(&mut self, event: &Event) {
        let token = Token::from(event.token());
        if token.kind() == Some(Kind::Upstream) && (event.is_readable() || event.is_read_closed() || event.is_error()) {
            self.core.idle_event(token);
        }
    }

    /// Another worker rang.
    fn rung(&mut self) {
        self.ringing = self.post.as_ref().is_some_and(|post| !post.silence());
        self.core.rung();
    }

    /// Shows the supervisor what is being done.
    fn show(&self, token: Token) {
        self.doing.store(token.0, Relaxed);
    }

    /// Whoever is to come first comes first (`set-nice`, `nice`).
    fn dispatch_all(&mut self, events: &Events) {
        if !self.core.services.orders_sessions {
            for event in events {
                self.dispatch(event);
            }
            return;
        }
        let place = |event| (self.core.place(Token::from(Event::token(event))), event);
        let mut ordered: Vec<(i16, &Event)> = events.iter().map(place).collect();
        ordered.sort_by_key(|(place, _)| *place);
        for (_, event) in ordered {
            self.dispatch(event);
        }
    }

    fn dispatch(&mut self, event: &Event) {
        let token = Token::from(event.token());
        self.show(token);
        let ready = Readiness {
            readable: event.is_readable(),
            writable: event.is_writable(),
            hangup: event.is_read_closed() || event.is_error(),
        };
        match token.kind() {
            Some(Kind::Listener) => self.listeners.ready(token.slot()),
            Some(Kind::Session) => self.core.session_event(token, ready),
            Some(Kind::Upstream) => self.core.upstream_event(token, ready),
            Some(Kind::Worker) => self.signalled(),
            Some(Kind::Check) => self.core.check_event(token, ready),
            Some(Kind::Spawner) => self.core.programs_reported(),
            Some(Kind::Bell) => self.rung(),
            Some(Kind::Door) => self.cli.door_event(),
            Some(Kind::Asked) => self.cli.answer_event(token, ready, &mut self.core, &mut self.listeners),
            Some(Kind::Cli) => self.cli.event(token, ready, &mut self.core, &mut self.listeners),
            Some(Kind::NameServer) => self.core.name_server_event(token),
            Some(Kind::NameStream) => self.core.name_stream_event(token, ready),
            None => {}
        }
    }
}
