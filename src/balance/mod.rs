//! Choosing a server (manual 4, `balance`).
//!
//! Pure: a [`Balancer`] knows each server's weight and whether it may be used, is told when that changes,
//! and picks in exactly the order in which HAProxy picks. Servers go by their index in the backend. Whether
//! a server has room is the caller's to say, at the moment of the pick.
//!
//! While a server that is not a backup is usable, backups are left alone. When none is, the first usable
//! backup takes everything, or all of them do by the same algorithm (`option allbackups`).

mod farm;
mod first;
pub mod hash;
pub mod key;
mod least_conn;
mod map;
mod ring;
mod round_robin;

pub use farm::{Member, WEIGHT_MAX, Weight};
pub use hash::{key_hash, source_hash};

use farm::Farm;
use first::First;
use least_conn::LeastConn;
use map::Map;
use ring::Ring;
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
    First(First),
    Map(Map),
    Ring(Ring),
    Random { ring: Ring, draws: u32 },
}

/// Which connections of a server an algorithm looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// None.
    Ignored,
    /// Those that it serves.
    Served,
    /// Those, and those that wait in its queue.
    ServedAndWaiting,
}

/// What a pick depends on, beside the servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Hash of the key, for algorithms that hash; without one (the key is missing) servers take turns.
    pub hash: Option<u32>,
    /// What `balance random` draws from; another number for each pick.
    pub random: u64,
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

    /// `balance first`.
    pub fn first(members: Vec<Member>, all_backups: bool) -> Balancer {
        let order = First::new(&members);
        Balancer { farm: Farm::new(members, all_backups), order: Order::First(order) }
    }

    /// `balance random(draws)` with `hash-balance-factor`, in percent; 0 for none.
    pub fn random(members: Vec<Member>, all_backups: bool, draws: u32, factor: u32) -> Balancer {
        let farm = Farm::new(members, all_backups);
        Balancer { order: Order::Random { ring: Ring::new(&farm, factor), draws }, farm }
    }

    /// `balance source` and the other keys, with `hash-type map-based`.
    pub fn map(members: Vec<Member>, all_backups: bool) -> Balancer {
        let farm = Farm::new(members, all_backups);
        Balancer { order: Order::Map(Map::new(&farm)), farm }
    }

    /// The same with `hash-type consistent`, and `hash-balance-factor` as for [`Balancer::random`].
    pub fn ring(members: Vec<Member>, all_backups: bool, factor: u32) -> Balancer {
        let farm = Farm::new(members, all_backups);
        Balancer { order: Order::Ring(Ring::new(&farm, factor)), farm }
    }

    /// Gives a seat to a server: one that no usable server has, or the next one.
    pub fn seat(&mut self, server: u32, member: Member) {
        self.farm.seat(server, Member { usable: false, ..member });
        match &mut self.order {
            Order::RoundRobin(order) => order.seat(server, member),
            Order::LeastConn(order) => order.seat(server, member),
            Order::First(order) => order.seat(server, &self.farm),
            Order::Ring(ring) | Order::Random { ring, .. } => ring.seat(server, member),
            Order::StaticRr(map) | Order::Map(map) => map.changed(),
        }
        self.update(server, member.weight, member.usable);
    }

    /// Whether weights may change at run time to other values than 0 and the one configured. The runtime
    /// API refuses others where they may not.
    pub fn is_dynamic(&self) -> bool {
        !matches!(self.order, Order::StaticRr(_) | Order::Map(_))
    }

    /// The server for one connection, or none when no server is usable or none of them has room.
    ///
    /// `has_room` says whether a server would serve at once. Round robin and least connections go on to
    /// the next one otherwise; a hash has one answer, and so has a single backup in charge: the caller
    /// queues there. Of random draws one remains, or nobody if it is full.
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
            Order::First(order) => farm.single_backup().or_else(|| order.pick(farm, wish.avoid, has_room)),
            Order::Map(map) => match wish.hash {
                Some(hash) => map.at(farm, hash),
                None => map.next(farm, wish.avoid, has_room),
            },
            Order::Ring(ring) => match wish.hash {
                Some(hash) => ring.at(farm, hash, wish.avoid),
                None => ring.next(farm, wish.avoid, has_room),
            },
            Order::Random { ring, draws } => {
                let draws = (1..=*draws).map(|n| draw(wish.random, n));
                ring.draw(farm, draws, wish.avoid).filter(|&server| has_room(server))
            }
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
            Order::StaticRr(map) | Order::Map(map) => map.changed(),
            Order::Ring(ring) | Order::Random { ring, .. } => ring.update(&self.farm, server),
            Order::First(_) => {}
        }
    }

    /// The loads that matter.
    pub fn by_load(&self) -> Load {
        match &self.order {
            Order::LeastConn(_) => Load::ServedAndWaiting,
            Order::Random { .. } => Load::Served,
            Order::Ring(ring) if ring.is_bounded() => Load::Served,
            _ => Load::Ignored,
        }
    }

    /// A server's load changed (see [`Balancer::by_load`]).
    pub fn set_load(&mut self, server: u32, connections: u32) {
        match &mut self.order {
            Order::LeastConn(order) => order.set_load(server, connections),
            Order::Ring(ring) | Order::Random { ring, .. } => ring.set_load(server, connections),
            _ => {}
        }
    }

    /// Whether new connections may go to this server: it takes part, and is a backup only where backups are in
    /// charge.
    pub fn is_in_charge(&self, server: u32) -> bool {
        self.farm.is_in_charge(server)
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

/// The `n`-th number drawn from a seed (SplitMix64, by G. L. Steele and others).
fn draw(seed: u64, n: u32) -> u32 {
    let mut mixed = seed.wrapping_add(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as u32
}

#[cfg(test)]
mod tests;
