//! `balance first`: the first server with room, by server id.

use super::farm::{Farm, Member};

pub(super) struct First {
    /// Servers by id.
    order: Vec<u32>,
}

impl First {
    pub fn new(members: &[Member]) -> First {
        let mut order: Vec<u32> = (0..members.len() as u32).collect();
        order.sort_by_key(|&server| members[server as usize].id);
        First { order }
    }

    /// Takes in the server in this seat.
    pub fn seat(&mut self, server: u32, farm: &Farm) {
        self.order.retain(|other| *other != server);
        let id = farm.member(server).id;
        let at = self.order.partition_point(|&other| farm.member(other).id <= id);
        self.order.insert(at, server);
    }

    /// The first one that has room; `avoid` only if no other has.
    pub fn pick(&self, farm: &Farm, avoid: Option<u32>, has_room: impl Fn(u32) -> bool) -> Option<u32> {
        let mut free = self.order.iter().copied().filter(|&server| farm.is_in_charge(server) && has_room(server));
        let first = free.next()?;
        if avoid == Some(first) { free.next().or(Some(first)) } else { Some(first) }
    }
}
