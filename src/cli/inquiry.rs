//! Commands that concern every worker: the others are asked at their doors (`mesh`), and their answers are
//! put together before the client hears anything. The loop does not wait for them: a conversation does, and
//! not for long.
//!
//! A question is one line: the rights of whoever asks, `each` or `alone` (the answer shows that worker and
//! nothing of the service), and the command. The answer ends with an octet that says whether the command was
//! carried out; without it, the worker has gone and so has its answer.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use slab::Slab;

use super::line;
use crate::event::Core;
use crate::event::core::Readiness;
use crate::proxy::CliLevel;
use crate::shm::Slot;
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::{Connection, Stream};

/// Silence after which workers that have not answered are left out: they hang, or are being replaced.
/// Longer than an answer may wait for workers that have to follow a change.
const ANSWER_WAIT: Millis = Millis::from_secs(2);

/// How often a full door is knocked at.
const KNOCK_EVERY: Millis = Millis(5);

/// The last octet of an answer: what was asked is done, or was refused with the text before.
const DONE: u8 = 0x06;
const REFUSED: u8 = 0x15;

/// What a worker says of a command, done or refused.
pub type Answer = Result<Vec<u8>, Vec<u8>>;

/// Makes one text of the answers of all workers, in the order of their slots.
pub type Merge = fn(Vec<Answer>) -> Vec<u8>;

/// What is to be asked.
#[derive(Debug)]
pub struct Question {
    /// Whom.
    pub to: Vec<Slot>,
    /// As it is sent.
    pub text: Vec<u8>,
    /// The asking worker's own answer.
    pub own: Option<(Slot, Answer)>,
    /// What is made of all of them.
    pub merge: Merge,
    /// What is said when there is none.
    pub nobody: String,
}

/// A question on its way.
pub struct Inquiry {
    conversation: usize,
    generation: u32,
    text: Vec<u8>,
    /// Workers at whose doors too many wait already.
    outside: Vec<Slot>,
    asked: Vec<usize>,
    answers: Vec<(Slot, Answer)>,
    merge: Merge,
    nobody: String,
    /// Nobody is waited for any longer.
    pub deadline: Tick,
}

/// A connection to a worker that was asked.
pub struct Line {
    /// The conversation that waits for it.
    pub conversation: usize,
    token: Token,
    slot: Slot,
    connection: Connection,
    question: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
}

/// The question for a command.
pub fn question(level: CliLevel, alone: bool, words: &[String]) -> Vec<u8> {
    let scope = if alone { "alone" } else { "each" };
    format!("{} {scope} {}\n", level.name(), line::join(words)).into_bytes()
}

/// What the first words of a question say: rights, and whether only this worker is of interest.
pub fn asker(words: &[String]) -> Option<(CliLevel, bool)> {
    let [level, scope, ..] = words else { return None };
    let levels = [CliLevel::User, CliLevel::Operator, CliLevel::Admin];
    let level = levels.into_iter().find(|known| known.name() == level)?;
    Some((level, scope == "alone"))
}

/// Marks the end of an answer.
pub fn close(answer: Answer) -> Vec<u8> {
    let (mut text, end) = match answer {
        Ok(text) => (text, DONE),
        Err(text) => (text, REFUSED),
    };
    text.push(end);
    text
}

/// What a worker sent, if that is all of it.
pub fn complete(mut text: Vec<u8>) -> Option<Answer> {
    match text.pop()? {
        DONE => Some(Ok(text)),
        REFUSED => Some(Err(text)),
        _ => None,
    }
}

/// Whatever any worker has to say; a refusal counts only where all refuse, for what was meant is elsewhere then.
pub fn together(answers: Vec<Answer>) -> Vec<u8> {
    if answers.iter().all(Result::is_err) {
        return answers.into_iter().find_map(Result::err).unwrap_or_default();
    }
    answers.into_iter().filter_map(Result::ok).flatten().collect()
}

impl Inquiry {
    /// Asks; `generation` tells this use of the slots of `lines` from others.
    pub fn begin(
        question: Question,
        conversation: usize,
        generation: u32,
        lines: &mut Slab<Line>,
        core: &mut Core,
    ) -> Inquiry {
        let mut inquiry = Inquiry {
            conversation,
            generation,
            text: question.text,
            outside: question.to,
            asked: Vec::new(),
            answers: question.own.into_iter().collect(),
            merge: question.merge,
            nobody: question.nobody,
            deadline: core.services.now.tick() + ANSWER_WAIT,
        };
        inquiry.knock(lines, core);
        inquiry
    }

    /// Asks those that could not be asked so far.
    pub fn knock(&mut self, lines: &mut Slab<Line>, core: &mut Core) {
        for slot in std::mem::take(&mut self.outside) {
            match core.services.mesh.connect(slot) {
                Ok(socket) => self.ask(slot, socket, lines, core),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.outside.push(slot),
                // Who cannot be reached has gone.
                Err(_) => {}
            }
        }
    }

    fn ask(&mut self, slot: Slot, socket: OwnedFd, lines: &mut Slab<Line>, core: &mut Core) {
        let entry = lines.vacant_entry();
        let (at, stream) = (entry.key(), Stream::Socket(socket));
        let token = Token::new(Kind::Asked, at, self.generation);
        if core.services.net.register(&stream, token).is_err() {
            return;
        }
        let mut connection = Connection::new(stream);
        connection.ready(false, true, false);
        let (conversation, question) = (self.conversation, self.text.clone());
        entry.insert(Line { conversation, token, slot, connection, question, sent: 0, answer: Vec::new() });
        self.asked.push(at);
        self.go_on(at, lines, core);
    }

    /// Moves what can be moved on one of its lines.
    pub fn go_on(&mut self, at: usize, lines: &mut Slab<Line>, core: &mut Core) {
        let Some(line) = lines.get_mut(at) else { return };
        if line.transfer(core) > 0 {
            self.deadline = core.services.now.tick() + ANSWER_WAIT;
        }
        if line.connection.is_over() || line.connection.unwritable.is_some() {
            let mut line = lines.remove(at);
            line.connection.release(&mut core.services.buffers);
            self.asked.retain(|asked| *asked != at);
            self.answers.extend(complete(line.answer).map(|answer| (line.slot, answer)));
        }
    }

    /// Whether nobody is waited for.
    pub fn is_over(&self) -> bool {
        self.asked.is_empty() && self.outside.is_empty()
    }

    /// When it is to be looked after without an event, to knock again or to end it.
    pub fn next_deadline(&self, now: Tick) -> Tick {
        if self.outside.is_empty() { self.deadline } else { self.deadline.min(now + KNOCK_EVERY) }
    }

    /// Hangs up where no answer came; gives what the client is told.
    pub fn end(mut self, lines: &mut Slab<Line>, core: &mut Core) -> Vec<u8> {
        for at in self.asked {
            lines.remove(at).connection.release(&mut core.services.buffers);
        }
        if self.answers.is_empty() {
            return self.nobody.into_bytes();
        }
        self.answers.sort_by_key(|(slot, _)| *slot);
        (self.merge)(self.answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

impl Line {
    /// Whether the token is its own.
    pub fn is_named(&self, token: Token) -> bool {
        self.token == token
    }

    /// Takes note of an event.
    pub fn ready(&mut self, ready: Readiness) {
        self.connection.ready(ready.readable, ready.writable, ready.hangup);
    }

    /// Sends and receives; says how many octets.
    fn transfer(&mut self, core: &mut Core) -> usize {
        let pool = &mut core.services.buffers;
        let sent = self.connection.send_through(&self.question[self.sent..], false);
        self.sent += sent;
        let mut received = 0;
        while self.connection.receive(pool) > 0 {
            let bytes = self.connection.received();
            let length = bytes.len();
            self.answer.extend_from_slice(bytes);
            self.connection.consume(length, pool);
            received += length;
        }
        sent + received
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Post;
    use crate::proxy::Config;
    use crate::session::Services;
    use crate::shm::Segment;
    use crate::stats::Counters;
    use crate::sys::socket::send;
    use crate::time::Now;
    use crate::transport::Net;

    #[test]
    fn a_question_arrives_as_it_was_meant() {
        let words = ["show", "stat", "a b", "x;y", "\\"].map(str::to_owned);
        let text = question(CliLevel::Operator, true, &words);
        let end = line::command_end(&text).expect("one line");
        let arrived = line::words(&text[..end]);
        assert_eq!(end + 1, text.len());
        assert_eq!(asker(&arrived), Some((CliLevel::Operator, true)));
        assert_eq!(arrived[2..], words);
        assert_eq!(asker(&["root".to_owned(), "alone".to_owned()]), None);
        assert_eq!(asker(&[]), None);
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(complete(close(Ok(b"a\n".to_vec()))), Some(Ok(b"a\n".to_vec())));
        assert_eq!(complete(close(Err(b"no\n".to_vec()))), Some(Err(b"no\n".to_vec())));
        assert_eq!(complete(b"a\n".to_vec()), None);
        assert_eq!(complete(Vec::new()), None);
    }

    #[test]
    fn refusals_count_where_all_refuse() {
        let (done, refused) = (|text: &str| Ok(text.into()), |text: &str| Err(text.into()));
        assert_eq!(together(vec![refused("no\n"), done("a\n"), done("b\n")]), b"a\nb\n");
        assert_eq!(together(vec![refused("no\n"), refused("no\n")]), b"no\n");
        assert_eq!(together(vec![refused("no\n"), done("")]), b"");
    }

    /// A worker of a service of two, and the post of the other one.
    fn worker_and_post() -> (Core, Slot, Post, mio::Poll) {
        let config: &Config = Box::leak(Box::default());
        let segment = Segment::private(Counters::objects_needed(config), 2).expect("memory");
        let generation = segment.begin_generation();
        let slots = [1, 2].map(|number| segment.slots().take(generation, number).expect("a slot"));
        let counters = Counters::new(config, segment, slots[0], slots.to_vec()).expect("room");
        let poll = mio::Poll::new().expect("poll");
        let net = Net::Real(poll.registry().try_clone().expect("registry"));
        let core = Core::new(Services::new(config, counters, Now::default(), net, "epoxy"));
        (core, slots[1], Post::open(segment.id(), slots[1]).expect("post"), poll)
    }

    #[test]
    fn a_full_door_is_knocked_at_until_there_is_room() {
        let (mut core, other, post, _poll) = worker_and_post();
        let (mut lines, segment) = (Slab::new(), core.services.counters.segment());
        let visitors: Vec<OwnedFd> = std::iter::from_fn(|| core.services.mesh.connect(other).ok()).take(1000).collect();
        assert!((100..1000).contains(&visitors.len()), "{} wait at a door", visitors.len());
        let text = question(CliLevel::Admin, false, &["clear".to_owned(), "counters".to_owned()]);
        let question = Question { to: vec![other], text, own: None, merge: together, nobody: "nobody".to_owned() };
        let mut inquiry = Inquiry::begin(question, 0, 1, &mut lines, &mut core);
        inquiry.knock(&mut lines, &mut core);
        assert!(!inquiry.is_over() && lines.is_empty());
        assert_eq!(inquiry.next_deadline(Tick(0)), Tick(0) + KNOCK_EVERY);
        drop(post.answer(segment).expect("a visitor"));
        inquiry.knock(&mut lines, &mut core);
        assert_eq!((lines.len(), inquiry.next_deadline(Tick(0))), (1, inquiry.deadline));
        // The others in front of it left without a word.
        drop(visitors);
        let asked = std::iter::from_fn(|| post.answer(segment).ok()).last().expect("a question");
        send(&asked, &close(Ok(b"done\n".to_vec())), false).expect("an answer");
        drop(asked);
        lines[0].ready(Readiness { readable: true, writable: false, hangup: true });
        inquiry.go_on(0, &mut lines, &mut core);
        assert!(inquiry.is_over());
        assert_eq!(inquiry.end(&mut lines, &mut core), b"done\n");
    }

    #[test]
    fn who_never_opens_is_left_out() {
        let (mut core, other, _post, _poll) = worker_and_post();
        let mut lines = Slab::new();
        let _visitors: Vec<OwnedFd> =
            std::iter::from_fn(|| core.services.mesh.connect(other).ok()).take(1000).collect();
        let own = Some((core.services.mesh.own(), Ok(b"own\n".to_vec())));
        let question = Question { to: vec![other], text: Vec::new(), own, merge: together, nobody: String::new() };
        let inquiry = Inquiry::begin(question, 0, 1, &mut lines, &mut core);
        assert!(!inquiry.is_over());
        assert_eq!(inquiry.deadline, Tick(0) + ANSWER_WAIT);
        assert_eq!(inquiry.end(&mut lines, &mut core), b"own\n");
    }
}
