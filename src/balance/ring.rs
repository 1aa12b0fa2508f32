//! `hash-type consistent` and `balance random`: servers on a ring of 2^32 points.
//!
//! A server has as many points as its effective weight has sixteenths, and where they lie depends on its id
//! alone. A hash belongs to the nearest point, so that a server that leaves gives away its own keys only.
//! With a balance factor no server may have more than its share of the connections, times the factor; a key
//! whose server is above that goes on to the next point.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::farm::{Farm, Member};
use super::hash::avalanche;
use crate::proxy::servers::put;

/// Between the first points of servers whose ids are neighbours: the most points that a server has.
const POINTS_MAX: u32 = 4096;

pub(super) struct Ring {
    /// Primaries, backups.
    rings: [BTreeSet<Point>; 2],
    seats: Vec<Seat>,
    /// Where the rotation of keyless requests is.
    cursor: Option<Point>,
    /// `hash-balance-factor` in percent, 0 for none.
    factor: u64,
    /// Connections of all servers.
    connections: u64,
}

/// Place, server.
type Point = (u32, u32);

struct Seat {
    backup: bool,
    points: u32,
    /// The most that it ever had.
    points_most: u32,
    connections: u64,
}

impl Seat {
    fn new(member: Member) -> Seat {
        Seat { backup: member.backup, points: 0, points_most: member.weight.0, connections: 0 }
    }
}

impl Ring {
    pub fn new(farm: &Farm, factor: u32) -> Ring {
        let mut ring = Ring {
            rings: [BTreeSet::new(), BTreeSet::new()],
            seats: (0..farm.len()).map(|server| Seat::new(farm.member(server))).collect(),
            cursor: None,
            factor: u64::from(factor),
            connections: 0,
        };
        (0..farm.len()).for_each(|server| ring.update(farm, server));
        ring
    }

    /// Gives a seat to a server, which has no points yet.
    pub fn seat(&mut self, server: u32, member: Member) {
        let before = self.seats.get(server as usize).map_or(0, |seat| seat.connections);
        self.connections -= before;
        put(&mut self.seats, server, Seat::new(member));
    }

    /// Whether a balance factor bounds loads.
    pub fn is_bounded(&self) -> bool {
        self.factor > 0
    }

    /// The server of `hash`: never `avoid` while there is another.
    pub fn at(&self, farm: &Farm, hash: u32, avoid: Option<u32>) -> Option<u32> {
        if let Some(backup) = farm.single_backup() {
            return Some(backup);
        }
        let ring = self.ring(farm);
        let above = ring.range((hash, 0)..).next().or(ring.first())?;
        let below = ring.range(..above).next_back().or(ring.last())?;
        let is_below = hash.wrapping_sub(below.0) <= above.0.wrapping_sub(hash);
        let nearest = if is_below { below } else { above };
        let total = u64::from(farm.total_weight().0);
        let suits = |server: u32| avoid != Some(server) && self.is_below_its_share(server, total);
        let mut onward = ring.range(nearest..).chain(ring.range(..nearest)).map(|point| point.1);
        Some(onward.find(|&server| suits(server)).unwrap_or(nearest.1))
    }

    /// The next server with room; `avoid` only if no other has.
    pub fn next(&mut self, farm: &Farm, avoid: Option<u32>, has_room: impl Fn(u32) -> bool) -> Option<u32> {
        if let Some(backup) = farm.single_backup() {
            return Some(backup);
        }
        let ring = &self.rings[usize::from(farm.backups_in_charge())];
        let mut avoided = None;
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let until = self.cursor.map_or(Bound::Excluded((0, 0)), Bound::Included);
        let mut onward = ring.range((after, Bound::Unbounded)).chain(ring.range((Bound::Unbounded, until)));
        let free = onward.find(|point| {
            let free = has_room(point.1);
            let avoid = free && avoid == Some(point.1);
            if avoid {
                avoided = Some(**point);
            }
            free && !avoid
        });
        let chosen = free.copied().or(avoided)?;
        self.cursor = Some(chosen);
        Some(chosen.1)
    }

    /// The least loaded for its weight of as many servers as there are `draws`.
    pub fn draw(&self, farm: &Farm, draws: impl Iterator<Item = u32>, avoid: Option<u32>) -> Option<u32> {
        let load = |one: u32, other: u32| self.seats[one as usize].connections * u64::from(farm.member(other).weight.0);
        let drawn = draws.filter_map(|hash| self.at(farm, hash, avoid));
        drawn.reduce(|best, server| if load(server, best) > load(best, server) { best } else { server })
    }

    pub fn set_load(&mut self, server: u32, connections: u32) {
        let seat = &mut self.seats[server as usize];
        self.connections = self.connections - seat.connections + u64::from(connections);
        seat.connections = u64::from(connections);
    }

    /// A server's weight or state changed: it takes or gives up as many points.
    pub fn update(&mut self, farm: &Farm, server: u32) {
        let member = farm.member(server);
        let seat = &mut self.seats[server as usize];
        let ring = &mut self.rings[usize::from(seat.backup)];
        let points = if member.takes_part() { member.weight.0 } else { 0 };
        let point = |n: u32| (avalanche(member.id.wrapping_mul(POINTS_MAX).wrapping_add(n)), server);
        // As in HAProxy, a weight above all former ones lays all points anew. That moves nothing but the cursor:
        // it leaves a point that goes for the next one, whose turn is passed over then.
        let kept = if points > seat.points_most { 0 } else { points.min(seat.points) };
        for n in (kept..seat.points).rev() {
            if self.cursor == Some(point(n)) {
                self.cursor = ring.range((Bound::Excluded(point(n)), Bound::Unbounded)).next().copied();
            }
            ring.remove(&point(n));
        }
        ring.extend((kept..points).map(point));
        seat.points = points;
        seat.points_most = seat.points_most.max(points);
    }

    fn ring(&self, farm: &Farm) -> &BTreeSet<Point> {
        &self.rings[usize::from(farm.backups_in_charge())]
    }

    /// Whether a server may have another connection. Shares are rounded up, and everyone may have one.
    fn is_below_its_share(&self, server: u32, total_weight: u64) -> bool {
        if self.factor == 0 || total_weight == 0 {
            return true;
        }
        let seat = &self.seats[server as usize];
        let allowed = ((self.connections + 1) * self.factor).div_ceil(100);
        let weight = u64::from(seat.points);
        let share = weight * (allowed / total_weight) + (weight * (allowed % total_weight)).div_ceil(total_weight);
        seat.connections < share.max(1)
    }
}
