//! What is known of one name, and how far asking for it is.

use std::net::IpAddr;
use std::rc::Rc;

use xxhash_rust::xxh32::xxh32;

use super::message::{Kind, Records};
use super::{Answer, Name, Requester, Service, Verdict, Wanted};
use crate::proxy::resolvers::{Family, ResolversId};
use crate::time::{Millis, Tick};

/// What makes two requesters share a resolution.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub section: ResolversId,
    pub name: Name,
    pub wanted: Wanted,
}

/// One name that somebody wants to know of.
#[derive(Debug)]
pub(super) struct Resolution {
    pub key: Key,
    /// Who wants to know, each with whether it wants to hear of every answer and not of the next one only.
    pub requesters: Vec<(Requester, bool)>,
    /// The question under way.
    pub running: Option<Running>,
    /// What the last one came to.
    pub verdict: Option<Verdict>,
    /// When it came to that.
    pub resolved: Option<Tick>,
    /// When there was a valid answer last.
    pub valid: Option<Tick>,
    pub answer: Rc<Answer>,
    records: Vec<Record>,
    /// When it is looked at next; as the engine has noted it.
    pub due: Tick,
}

/// A question that was sent.
#[derive(Debug)]
pub(super) struct Running {
    pub id: u16,
    pub kind: Kind,
    /// The message.
    pub bytes: Rc<[u8]>,
    /// Repetitions that are left.
    pub tries: u32,
    /// Its message has not left so far.
    pub is_waiting: bool,
    /// Who has been asked and has not answered, by the place in the section.
    pub asked: Vec<bool>,
    /// Somebody has answered, if only with an error.
    pub is_answered: bool,
    /// The last error, and whose it is.
    pub error: Option<(Verdict, usize)>,
}

/// A record of an answer.
#[derive(Debug)]
struct Record {
    item: Item,
    /// When an answer had it last.
    seen: Tick,
    /// When one had the address beside a service last.
    addressed: Tick,
}

#[derive(Debug, PartialEq, Eq)]
enum Item {
    Address(IpAddr),
    Service(Service),
}

impl Running {
    /// Whether all who were asked have answered.
    pub fn is_complete(&self) -> bool {
        !self.asked.contains(&true)
    }
}

impl Key {
    /// The type that is asked for first.
    pub fn first(&self) -> Kind {
        match self.wanted {
            Wanted::Addresses(Family::V4) => Kind::A,
            Wanted::Addresses(Family::V6) => Kind::Aaaa,
            Wanted::Services => Kind::Srv,
        }
    }

    /// The type that is asked for when there is nothing of the first.
    pub fn second(&self) -> Option<Kind> {
        match self.wanted {
            Wanted::Addresses(Family::V4) => Some(Kind::Aaaa),
            Wanted::Addresses(Family::V6) => Some(Kind::A),
            Wanted::Services => None,
        }
    }
}

impl Resolution {
    /// A name that nobody has asked for so far.
    pub fn new(key: Key) -> Resolution {
        Resolution {
            key,
            requesters: Vec::new(),
            running: None,
            verdict: None,
            resolved: None,
            valid: None,
            answer: Rc::default(),
            records: Vec::new(),
            due: Tick::NEVER,
        }
    }

    /// Takes a valid answer; records that it does not have stay for `obsolete` after they were seen last.
    pub fn learn(&mut self, new: Records, now: Tick, obsolete: Millis) {
        let addresses = new.addresses.into_iter().map(Item::Address);
        for item in addresses.chain(new.services.into_iter().map(Item::Service)) {
            let known = self.records.iter_mut().find(|record| record.item.is_same(&item));
            match known {
                Some(record) => record.update(item, now, obsolete),
                None => self.records.push(Record { item, seen: now, addressed: now }),
            }
        }
        self.records.retain(|record| record.seen == now || record.seen + obsolete > now);
        // In the order of their hashes, as HAProxy has them in a tree: so the first address is the same.
        self.records.sort_by_cached_key(|record| record.item.rank());
        let mut answer = Answer::default();
        for record in &self.records {
            match &record.item {
                Item::Address(address) => answer.addresses.push(*address),
                Item::Service(service) => answer.services.push(service.clone()),
            }
        }
        if *self.answer != answer {
            self.answer = Rc::new(answer);
        }
    }

    /// Forgets what was known, because it no longer counts.
    pub fn forget(&mut self) {
        self.records.clear();
        self.answer = Rc::default();
    }
}

impl Record {
    /// Takes what has changed; an address that the new answer does not tell stays known for a while.
    fn update(&mut self, new: Item, now: Tick, obsolete: Millis) {
        self.seen = now;
        if let (Item::Service(old), Item::Service(mut new)) = (&mut self.item, new) {
            match new.address {
                Some(_) => self.addressed = now,
                None if self.addressed + obsolete > now => new.address = old.address,
                None => {}
            }
            *old = new;
        }
    }
}

impl Item {
    /// Whether both mean the same record, whatever its weight is by now.
    fn is_same(&self, other: &Item) -> bool {
        match (self, other) {
            (Item::Service(a), Item::Service(b)) => a.target == b.target && a.port == b.port,
            _ => self == other,
        }
    }

    fn rank(&self) -> u32 {
        const A: u32 = 1;
        const AAAA: u32 = 28;
        const SRV: u32 = 33;
        match self {
            Item::Address(IpAddr::V4(address)) => xxh32(&address.octets(), A),
            Item::Address(IpAddr::V6(address)) => xxh32(&address.octets(), AAAA),
            Item::Service(service) => xxh32(&service.target.wire(), SRV),
        }
    }
}
