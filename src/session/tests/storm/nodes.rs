//! The far ends of a storm: nodes with their moods, and clients that hear their answers.

use super::*;

/// A handshake takes up to this.
const HANDSHAKE_US: u64 = 5_000;

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    Refusing,
    Silent,
    /// It says so when it is checked, and forgets requests.
    Broken,
}

/// A server as it really is.
pub struct Node {
    pub mood: Mood,
    pub since_us: u64,
    /// Requests and attempts to connect under way.
    pub busy: u64,
    pub maxconn: u64,
}

impl Node {
    pub fn new(maxconn: usize, now_us: u64) -> Node {
        Node { mood: Mood::Well, since_us: now_us, busy: 0, maxconn: maxconn as u64 }
    }
}

impl Storm {
    /// A node falls ill, or is well again.
    pub fn flip(&mut self, number: usize) {
        if self.now_us > STORM_US {
            return;
        }
        let mood = match (self.nodes[number].mood, self.dice.below(3)) {
            (Mood::Well, 0) => Mood::Refusing,
            (Mood::Well, 1) => Mood::Silent,
            // A check that only connects does not see that.
            (Mood::Well, _) if number >= FIRST_HASHED => Mood::Refusing,
            (Mood::Well, _) => Mood::Broken,
            _ => Mood::Well,
        };
        (self.nodes[number].mood, self.nodes[number].since_us) = (mood, self.now_us);
        // It may cut what it has under way, or forget it.
        if mood != Mood::Well && self.dice.chance(50) {
            self.cut_all(number);
        }
        let next = self.dice.about(MOOD_US);
        self.plan(next, Plan::Flip(number));
    }

    fn cut_all(&mut self, number: usize) {
        for worker in 0..self.workers.len() {
            let of = |far: &Far| matches!(far.role, Role::Traffic { node, .. } if node == number);
            let fars = self.workers[worker].fars.iter().filter(|(_, far)| of(far));
            let ids: Vec<Id> = fars.map(|(slot, far)| Id { worker, slot, generation: far.generation }).collect();
            for id in ids {
                if let Some(far) = self.far(id) {
                    far.end.reset();
                }
                self.drop_far(id);
            }
        }
    }

    /// The weather clears: everybody is well, and nobody comes any more.
    pub fn calm_down(&mut self) {
        for node in &mut self.nodes {
            (node.mood, node.since_us) = (Mood::Well, self.now_us);
        }
    }

    /// A node sees a connection attempt.
    pub fn shake_hands(&mut self, id: Id) {
        let Some(far) = self.far(id) else { return };
        let (Role::Check { node } | Role::Traffic { node, .. }) = far.role else { return };
        match self.nodes[node].mood {
            Mood::Silent => {}
            Mood::Refusing => {
                if let Some(far) = self.far(id) {
                    far.end.refuse(std::io::ErrorKind::ConnectionRefused);
                }
                self.drop_far(id);
            }
            Mood::Well | Mood::Broken => {
                if let Some(far) = self.far(id) {
                    far.end.establish();
                }
            }
        }
    }

    /// A node answers what it was asked last.
    pub fn answer(&mut self, id: Id) {
        let Some(far) = self.far(id) else { return };
        let (Role::Check { node } | Role::Traffic { node, .. }) = far.role else { return };
        let mood = self.nodes[node].mood;
        let Some(far) = self.far(id) else { return };
        match (&mut far.role, mood) {
            (Role::Check { .. }, Mood::Well) => _ = far.end.send(OK.as_bytes()),
            (Role::Check { .. }, Mood::Broken) => _ = far.end.send(b"HTTP/1.0 503 Broken\r\n\r\n"),
            (Role::Traffic { busy, .. }, Mood::Well) => {
                let was_busy = std::mem::replace(busy, false);
                _ = far.end.send(OK.as_bytes());
                assert!(was_busy, "an answer that nobody has asked for");
                self.nodes[node].busy -= 1;
            }
            // Forgotten.
            _ => {}
        }
    }

    /// Nodes and clients see what the worker has done.
    pub fn hear(&mut self, worker: usize) {
        while let Some((token, ..)) = self.next_event(worker, |kind| kind == Kind::Listener) {
            self.read(worker, token);
        }
        loop {
            let attempt = self.workers[worker].net.accepted.borrow_mut().pop_front();
            let Some((address, end)) = attempt else { return };
            let port = usize::from(address.expect("an address").port());
            let role = match port.checked_sub(CHECKS + 1) {
                Some(node) => Role::Check { node },
                None => Role::Traffic { node: port - 1, busy: true },
            };
            let id = self.adopt(worker, end, role);
            if let Role::Traffic { node, .. } = role {
                self.came(worker, node, "a connection");
            }
            let later = 1 + self.dice.below(HANDSHAKE_US);
            self.plan(later, Plan::Handshake(id));
        }
    }

    fn read(&mut self, worker: usize, token: Token) {
        let slot = token.slot();
        let fars = &mut self.workers[worker].fars;
        let Some(far) = fars.get_mut(slot).filter(|far| token.is_generation(far.generation)) else { return };
        let id = Id { worker, slot, generation: far.generation };
        let over = loop {
            far.got.reserve(1024);
            match far.end.recv(&mut far.got) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        let (role, got) = (far.role, std::mem::take(&mut far.got));
        let whole = got.ends_with(b"\r\n\r\n") || matches!(role, Role::Client { .. }) && got.ends_with(b"ok");
        match role {
            Role::Client { .. } => self.answered(id, &got, over),
            _ if over => self.drop_far(id),
            Role::Check { .. } if whole => {
                let later = 1 + self.dice.below(HANDSHAKE_US);
                self.plan(later, Plan::Answer(id));
            }
            Role::Traffic { node, busy } if whole => {
                if !busy {
                    self.workers[worker].fars[slot].role = Role::Traffic { node, busy: true };
                    self.came(worker, node, "a request on a connection that is kept");
                }
                let later = 1 + self.dice.below(SERVICE_US);
                self.plan(later, Plan::Answer(id));
            }
            _ => assert!(got.is_empty(), "requests come whole: {:?}", String::from_utf8_lossy(&got)),
        }
    }

    /// A client has an answer, or the end of its connection.
    fn answered(&mut self, id: Id, got: &[u8], over: bool) {
        let text = String::from_utf8_lossy(got);
        if text.is_empty() {
            if over {
                self.cut += 1;
                self.drop_far(id);
            }
            return;
        }
        *self.answers.entry(status(&text).to_owned()).or_default() += 1;
        let far = self.far(id).expect("it is there");
        match &mut far.role {
            Role::Client { more } if *more > 0 && !over => {
                *more -= 1;
                self.request(id);
            }
            _ => self.drop_far(id),
        }
    }

    /// Something for a node has left the worker.
    fn came(&mut self, worker: usize, node: usize, what: &str) {
        let Worker { core, seen, .. } = &self.workers[worker];
        assert!(
            seen.was_up(core, node),
            "{what} at {} us for s{node}, which is {}",
            self.now_us,
            core.services.servers[node].status_word()
        );
        self.nodes[node].busy += 1;
        let Node { busy, maxconn, .. } = self.nodes[node];
        assert!(busy <= maxconn, "{what} at {} us: s{node} has {busy} of {maxconn}", self.now_us);
    }
}
