//! `balance leastconn`: the server with the fewest connections for its weight; equals take turns.

use std::collections::BTreeSet;

use super::farm::{Member, WEIGHT_MAX, Weight};
use crate::proxy::servers::put;

pub(super) struct LeastConn {
    /// Servers by load, then by who came to that load first: primaries, backups.
    queues: [BTreeSet<Ticket>; 2],
    seats: Vec<Seat>,
    arrivals: u64,
}

struct Seat {
    member: Member,
    connections: u32,
    ticket: Option<Ticket>,
}

impl Seat {
    fn new(member: Member) -> Seat {
        Seat { member, connections: 0, ticket: None }
    }
}

/// Load, order of arrival, server.
type Ticket = (u64, u64, u32);

impl LeastConn {
    pub fn new(members: &[Member]) -> LeastConn {
        let mut order = LeastConn {
            queues: [BTreeSet::new(), BTreeSet::new()],
            seats: members.iter().copied().map(Seat::new).collect(),
            arrivals: 0,
        };
        (0..members.len() as u32).for_each(|index| order.place(index));
        order
    }

    /// Gives a seat to a server, which is in no queue yet.
    pub fn seat(&mut self, server: u32, member: Member) {
        put(&mut self.seats, server, Seat::new(member));
    }

    /// Picks among the primaries or among all backups. The pick itself changes nothing: the load that it
    /// brings comes by [`LeastConn::set_load`].
    pub fn pick(&self, backups: bool, avoid: Option<u32>, has_room: impl Fn(u32) -> bool) -> Option<u32> {
        let by_load = self.queues[usize::from(backups)].iter().map(|ticket| ticket.2);
        let mut free = by_load.filter(|&index| has_room(index));
        let first = free.next()?;
        if avoid == Some(first) { free.next().or(Some(first)) } else { Some(first) }
    }

    pub fn update(&mut self, index: u32, member: Member) {
        self.seats[index as usize].member = member;
        self.place(index);
    }

    pub fn set_load(&mut self, index: u32, connections: u32) {
        let seat = &mut self.seats[index as usize];
        if seat.connections != connections {
            seat.connections = connections;
            self.place(index);
        }
    }

    fn place(&mut self, index: u32) {
        let seat = &mut self.seats[index as usize];
        let queue = &mut self.queues[usize::from(seat.member.backup)];
        if let Some(ticket) = seat.ticket.take() {
            queue.remove(&ticket);
        }
        if seat.member.takes_part() {
            self.arrivals += 1;
            let ticket = (load(seat.connections, seat.member.weight), self.arrivals, index);
            queue.insert(ticket);
            seat.ticket = Some(ticket);
        }
    }
}

/// Load relative to weight. An idle server is idle whatever its weight; a busy one counts the connection
/// that it would get as well, so that heavy servers fill up first.
fn load(connections: u32, weight: Weight) -> u64 {
    match connections {
        0 => 0,
        n => (u64::from(n) + 1) * u64::from(WEIGHT_MAX.0) / u64::from(weight.0.max(1)),
    }
}
