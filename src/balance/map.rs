//! A static map of servers by weight: `balance static-rr` walks over it, hashes point into it
//! (`hash-type map-based`).
//!
//! The map has as many places as the weights sum up to, divided by their greatest common divisor. At each
//! place every server has earned `weight / sum` of a turn; the place goes to the one that is owed most
//! whole turns, the first in the order written among equals.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::farm::Farm;

pub(super) struct Map {
    /// A server for each place; rebuilt at the first pick after a change.
    places: Vec<u32>,
    stale: bool,
    /// The place whose turn is next.
    cursor: usize,
    /// Weights are divided by this.
    divisor: u32,
}

impl Map {
    pub fn new(farm: &Farm) -> Map {
        Map { places: Vec::new(), stale: true, cursor: 0, divisor: farm.weight_divisor() }
    }

    /// Some server's weight or state changed.
    pub fn changed(&mut self) {
        self.stale = true;
    }

    /// The next server that has room; `avoid` only if no other has.
    pub fn next(&mut self, farm: &Farm, avoid: Option<u32>, has_room: impl Fn(u32) -> bool) -> Option<u32> {
        self.refresh(farm);
        let count = self.places.len();
        if self.cursor >= count {
            self.cursor = 0;
        }
        let mut avoided = None;
        for place in (self.cursor..count).chain(0..self.cursor) {
            let server = self.places[place];
            if !has_room(server) {
                continue;
            }
            if avoid == Some(server) {
                avoided = avoided.or(Some((place, server)));
                continue;
            }
            self.cursor = place + 1;
            return Some(server);
        }
        let (place, server) = avoided?;
        self.cursor = place + 1;
        Some(server)
    }

    /// The server that `hash` points at.
    pub fn at(&mut self, farm: &Farm, hash: u32) -> Option<u32> {
        self.refresh(farm);
        let place = (hash as usize).checked_rem(self.places.len())?;
        Some(self.places[place])
    }

    fn refresh(&mut self, farm: &Farm) {
        if self.stale {
            self.stale = false;
            if let Some(backup) = farm.single_backup() {
                self.places.clear();
                self.places.push(backup);
                return;
            }
            let weights: Vec<(u32, u64)> =
                farm.in_charge().map(|(server, weight)| (server, u64::from(weight.0.div_ceil(self.divisor)))).collect();
            fill(&mut self.places, &weights);
        }
    }
}

/// Fills the map for the servers given, in the order written, with weights above zero.
fn fill(places: &mut Vec<u32>, weights: &[(u32, u64)]) {
    places.clear();
    let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
    // The place at which a server has earned its n-th whole turn.
    let earned_at = |which: usize, turns: u64| (turns * sum).div_ceil(weights[which].1) - 1;
    let mut earnings: BinaryHeap<_> =
        (0..weights.len()).map(|which| Reverse((earned_at(which, 1), which, 1))).collect();
    let mut owed = vec![0i64; weights.len()];
    let mut creditors: BTreeSet<_> = (0..weights.len()).map(|which| (Reverse(0), which)).collect();
    let mut pay = |creditors: &mut BTreeSet<_>, which: usize, turns: i64| {
        creditors.remove(&(Reverse(owed[which]), which));
        owed[which] += turns;
        creditors.insert((Reverse(owed[which]), which));
    };
    for place in 0..sum {
        while let Some(&Reverse((at, which, turns))) = earnings.peek()
            && at <= place
        {
            earnings.pop();
            earnings.push(Reverse((earned_at(which, turns + 1), which, turns + 1)));
            pay(&mut creditors, which, 1);
        }
        if let Some(&(_, which)) = creditors.first() {
            places.push(weights[which].0);
            pay(&mut creditors, which, -1);
        }
    }
}
