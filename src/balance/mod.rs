//! Choosing a server (manual 4, `balance`).
//!
//! Pure: a [`Balancer`] knows each server's weight and whether it may be used, is told when that changes,
//! and picks in exactly the order in which HAProxy picks. Servers go by their index in the backend. Whether
//! a server has room is the caller's to say, at the moment of the pick.
//!
//! While a server that is not a backup is usable, backups are left alone. When none is, the first usable
//! backup takes everything, or all of them do by the same algorithm (`option allbackups`).

mod farm;
pub mod hash;
mod least_conn;
mod map;
mod round_robin;

pub use farm::{Member, WEIGHT_MAX, Weight};
pub use hash::{HashType, source_hash};

use farm::Farm;
use least_conn::LeastConn;
use map::Map;
use round_robin::RoundRobin;

/// The state of one backend's algorithm.
pub struct Balancer {
    farm: Farm,
    order: Order,
}

enum Order {
    RoundRobin(RoundRobin),
    StaticRr(Map),
    LeastConn(LeastConn),
    Hash(Map),
}

/// What a pick depends on, beside the servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Hash of the key, for algorithms that hash; without one (the key is missing) servers take turns.
    pub hash: Option<u32>,
    /// A server to pick only if there is no other: the one that just failed (`option redispatch`).
    pub avoid: Option<u32>,
}

impl Balancer {
    /// `balance roundrobin`.
    pub fn round_robin(members: Vec<Member>, all_backups: bool) -> Balancer {
        let order = RoundRobin::new(&members);
        Balancer { farm: Farm::new(members, all_backups), order: Order::RoundRobin(order) }
    }

    /// `balance static-rr`.
    pub fn static_rr(members: Vec<Member>, all_backups: bool) -> Balancer {
        let farm = Farm::new(members, all_backups);
        Balancer { order: Order::StaticRr(Map::new(&farm)), farm }
    }

    /// `balance leastconn`.
    pub fn least_conn(members: Vec<Member>, all_backups: bool) -> Balancer {
        let order = LeastConn::new(&members);
        Balancer { farm: Farm::new(members, all_backups), order: Order::LeastConn(order) }
    }

    /// `balance source` and the other keys, with `hash-type map-based`.
    pub fn hash(members: Vec<Member>, all_backups: bool) -> Balancer {
        let farm = Farm::new(members, all_backups);
        Balancer { order: Order::Hash(Map::new(&farm)), farm }
    }

    /// Whether weights may change at run time to other values than 0 and the one configured. The runtime
    /// API refuses others where they may not.
    pub fn is_dynamic(&self) -> bool {
        matches!(self.order, Order::RoundRobin(_) | Order::LeastConn(_))
    }

    /// The server for one connection, or none when no server is usable or none of them has room.
    ///
    /// `has_room` says whether a server would serve at once. Round robin and least connections go on to
    /// the next one otherwise; a hash has one answer, and so has a single backup in charge: the caller
    /// queues there.
    pub fn pick(&mut self, wish: Wish, has_room: impl Fn(u32) -> bool) -> Option<u32> {
        let farm = &self.farm;
        match &mut self.order {
            Order::RoundRobin(order) => {
                farm.single_backup().or_else(|| order.pick(farm.backups_in_charge(), wish.avoid, has_room))
            }
            Order::LeastConn(order) => {
                farm.single_backup().or_else(|| order.pick(farm.backups_in_charge(), wish.avoid, has_room))
            }
            Order::StaticRr(map) => map.next(farm, wish.avoid, has_room),
            Order::Hash(map) => match wish.hash {
                Some(hash) => map.at(farm, hash),
                None => map.next(farm, wish.avoid, has_room),
            },
        }
    }

    /// A server's weight changed, or it became usable or unusable (health, or the operator).
    pub fn update(&mut self, server: u32, weight: Weight, usable: bool) {
        let before = self.farm.member(server);
        let after = Member { weight, usable, ..before };
        if before == after {
            return;
        }
        self.farm.set(server, after);
        match &mut self.order {
            Order::RoundRobin(order) => order.update(server, after),
            Order::LeastConn(order) => order.update(server, after),
            Order::StaticRr(map) | Order::Hash(map) => map.changed(),
        }
    }

    /// Whether loads matter.
    pub fn is_by_load(&self) -> bool {
        matches!(self.order, Order::LeastConn(_))
    }

    /// A server's load changed: `connections` it serves now plus those that wait in its queue.
    pub fn set_load(&mut self, server: u32, connections: u32) {
        if let Order::LeastConn(order) = &mut self.order {
            order.set_load(server, connections);
        }
    }

    /// Whether new connections may go to this server: it takes part, and is a backup only where backups are in
    /// charge.
    pub fn is_in_charge(&self, server: u32) -> bool {
        self.farm.in_charge().any(|(index, _)| index == server)
    }

    /// Usable servers that are not backups, and usable backups.
    pub fn usable_counts(&self) -> (u32, u32) {
        self.farm.usable_counts()
    }

    /// The sum of the weights of the servers in charge.
    pub fn total_weight(&self) -> Weight {
        self.farm.total_weight()
    }
}

#[cfg(test)]
mod tests;
