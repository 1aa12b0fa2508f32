//! `balance roundrobin`: smooth weighted rotation whose weights may change at any time.
//!
//! Time is counted in positions, one a pick. A round has as many positions as the weights sum up to, and a
//! server of weight `w` comes back every `sum / w` positions, the remainders carried so that nothing is
//! lost. A server waits in one of three queues:
//!
//! ```text
//!   fresh    not picked yet in this round; heaviest first
//!   current  picked in this round, due again at a position of it
//!   next     its turns of this round are over; heaviest first; the `fresh` of the round to come
//! ```
//!
//! A pick takes the head of `current` when its position is reached, else fills the hole from `fresh`, else
//! takes the head of `current` before its time. When both are empty the next round begins. A changed weight
//! moves turns at once; only where the round under way ends (`round_weight`) is kept.

use std::collections::VecDeque;

use super::farm::{Member, WEIGHT_MAX, Weight};
use crate::proxy::servers::put;

/// Finest order among servers due at one position.
const KEY_SCALE: i64 = 256;

pub(super) struct RoundRobin {
    primaries: Group,
    backups: Group,
    seats: Vec<Seat>,
    /// Servers taken out during one pick, to be put back at its end.
    set_aside: Vec<u32>,
}

/// A server's place in the rotation. Positions are the group's.
#[derive(Clone, Copy)]
struct Seat {
    backup: bool,
    weight: i64,
    /// Position of its last turn and of its next one.
    last: i64,
    due: i64,
    /// Remainder of `sum / weight`, carried from turn to turn.
    carry: i64,
    queue: Queue,
    ticket: Ticket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Nowhere,
    Fresh,
    Current,
    Next,
}

/// Order in a queue: a key, then who came first.
type Ticket = (i64, u64, u32);

/// Tickets in order. They are drawn at the front and nearly always handed out at the back, by every request, so
/// that a ring of them beats a tree, which would allocate as well.
#[derive(Default)]
struct Line(VecDeque<Ticket>);

#[derive(Default)]
struct Group {
    round_weight: i64,
    next_weight: i64,
    position: i64,
    fresh: Line,
    current: Line,
    next: Line,
    /// Insertions so far: equal keys leave in the order in which they came.
    arrivals: u64,
}

impl RoundRobin {
    pub fn new(members: &[Member]) -> RoundRobin {
        let mut order = RoundRobin {
            primaries: Group::default(),
            backups: Group::default(),
            seats: members.iter().map(Seat::new).collect(),
            set_aside: Vec::new(),
        };
        for (index, member) in (0..).zip(members) {
            if member.takes_part() {
                let (group, seat) = order.parts(index);
                group.next_weight += seat.weight;
                group.enter_by_weight(seat, index, Queue::Fresh);
            }
        }
        order.primaries.begin_round();
        order.backups.begin_round();
        order
    }

    /// Gives a seat to a server, which has no turns yet.
    pub fn seat(&mut self, server: u32, member: Member) {
        put(&mut self.seats, server, Seat::new(&member));
    }

    /// Picks among the primaries or among all backups.
    pub fn pick(&mut self, backups: bool, avoid: Option<u32>, has_room: impl Fn(u32) -> bool) -> Option<u32> {
        let group = if backups { &mut self.backups } else { &mut self.primaries };
        let seats = &mut self.seats;
        let mut avoided = None;
        let mut switched = false;
        let picked = loop {
            if group.round_weight == 0 {
                group.begin_round();
            }
            if group.round_weight == 0 {
                break None;
            }
            let Some(index) = group.head(seats) else {
                if switched {
                    break avoided;
                }
                switched = true;
                group.switch_rounds(seats);
                continue;
            };
            let seat = &mut seats[index as usize];
            group.leave(seat);
            group.count_turn(seat);
            if has_room(index) {
                if avoid != Some(index) || avoided.is_some() {
                    break Some(index);
                }
                avoided = Some(index);
            }
            self.set_aside.push(index);
        };
        if let Some(index) = picked {
            group.enter(&mut seats[index as usize], index);
        }
        while let Some(index) = self.set_aside.pop() {
            if Some(index) != picked {
                group.enter(&mut seats[index as usize], index);
            }
        }
        picked
    }

    /// Takes a changed weight or state into account.
    pub fn update(&mut self, index: u32, member: Member) {
        let weight = i64::from(member.weight.0);
        let (group, seat) = self.parts(index);
        match (seat.queue, member.takes_part()) {
            (Queue::Nowhere, false) => seat.weight = weight,
            (Queue::Nowhere, true) => group.come_up(seat, index, weight),
            (_, false) => {
                group.leave(seat);
                group.next_weight -= seat.weight;
                seat.weight = weight;
            }
            (_, true) => group.reweigh(seat, index, weight),
        }
    }

    fn parts(&mut self, index: u32) -> (&mut Group, &mut Seat) {
        let seat = &mut self.seats[index as usize];
        (if seat.backup { &mut self.backups } else { &mut self.primaries }, seat)
    }
}

impl Seat {
    fn new(member: &Member) -> Seat {
        Seat {
            backup: member.backup,
            weight: i64::from(member.weight.0),
            last: 0,
            due: 0,
            carry: 0,
            queue: Queue::Nowhere,
            ticket: (0, 0, 0),
        }
    }
}

impl Line {
    fn first(&self) -> Option<&Ticket> {
        self.0.front()
    }

    fn insert(&mut self, ticket: Ticket) {
        if self.0.back().is_none_or(|last| *last < ticket) {
            return self.0.push_back(ticket);
        }
        self.0.insert(self.0.partition_point(|other| *other < ticket), ticket);
    }

    fn remove(&mut self, ticket: &Ticket) {
        if self.0.front() == Some(ticket) {
            self.0.pop_front();
        } else if let Ok(at) = self.0.binary_search(ticket) {
            self.0.remove(at);
        }
    }
}

impl Group {
    /// Takes over the weights of the servers that are there now. Positions start at the weight of the
    /// round, so that a server which goes back by one round stays above zero.
    fn begin_round(&mut self) {
        self.round_weight = self.next_weight;
        self.position = self.round_weight;
    }

    fn switch_rounds(&mut self, seats: &mut [Seat]) {
        std::mem::swap(&mut self.fresh, &mut self.next);
        for &(_, _, index) in &self.fresh.0 {
            seats[index as usize].queue = Queue::Fresh;
        }
        self.begin_round();
    }

    /// Whose turn it is.
    fn head(&self, seats: &mut [Seat]) -> Option<u32> {
        let current = self.current.first().map(|ticket| ticket.2);
        if let Some(index) = current
            && seats[index as usize].due <= self.position
        {
            return current;
        }
        let Some(&(_, _, index)) = self.fresh.first() else {
            return current;
        };
        let seat = &mut seats[index as usize];
        seat.due = 0;
        seat.carry = 0;
        Some(index)
    }

    /// A server has had the turn at this position: when is its next one?
    fn count_turn(&mut self, seat: &mut Seat) {
        if seat.due == 0 {
            seat.due = self.position;
        }
        seat.last = seat.due;
        seat.due += self.next_weight / seat.weight;
        seat.carry += self.next_weight % seat.weight;
        if seat.carry >= seat.weight {
            seat.carry -= seat.weight;
            seat.due += 1;
        }
        self.position += 1;
    }

    /// Queues a server by the position at which it is due.
    fn enter(&mut self, seat: &mut Seat, index: u32) {
        let end = self.round_weight + self.round_weight.min(self.next_weight);
        if seat.due >= end {
            seat.due -= self.round_weight;
            self.enter_by_weight(seat, index, Queue::Next);
            return;
        }
        let rank = (i64::from(WEIGHT_MAX.0) + seat.carry - seat.weight) / i64::from(Weight::SCALE);
        seat.queue = Queue::Current;
        seat.ticket = (seat.due * KEY_SCALE + rank, self.arrive(), index);
        self.current.insert(seat.ticket);
    }

    fn enter_by_weight(&mut self, seat: &mut Seat, index: u32, queue: Queue) {
        seat.queue = queue;
        seat.ticket = (-seat.weight, self.arrive(), index);
        self.queue(queue).insert(seat.ticket);
    }

    /// Takes a server out of its queue; its positions are then those of the round under way.
    fn leave(&mut self, seat: &mut Seat) {
        if seat.queue != Queue::Nowhere {
            self.queue(seat.queue).remove(&seat.ticket);
            seat.queue = Queue::Nowhere;
        }
    }

    fn come_up(&mut self, seat: &mut Seat, index: u32, weight: i64) {
        seat.weight = weight;
        self.next_weight += weight;
        let wait = (self.next_weight + self.round_weight - self.position) / weight;
        seat.due = self.position + wait;
        self.enter(seat, index);
    }

    fn reweigh(&mut self, seat: &mut Seat, index: u32, weight: i64) {
        self.next_weight += weight - seat.weight;

        seat.weight = weight;
        let queue = seat.queue;
        self.leave(seat);
        match queue {
            Queue::Fresh => self.enter_by_weight(seat, index, Queue::Fresh),
            Queue::Current | Queue::Next | Queue::Nowhere => {
                if queue == Queue::Next {
                    seat.due += self.round_weight;
                }
                let step = self.next_weight / weight;
                seat.due = seat.due.min(seat.last + step);
                seat.carry = 0;
                if seat.due < self.position + 2 {
                    seat.due = self.position + step;
                }
                self.enter(seat, index);
            }
        }
    }

    fn queue(&mut self, queue: Queue) -> &mut Line {
        match queue {
            Queue::Current => &mut self.current,
            Queue::Next => &mut self.next,
            Queue::Fresh | Queue::Nowhere => &mut self.fresh,
        }
    }

    fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }
}
