//! Which server takes which address, and which part of a service, of those that name servers tell of (manual 5.3;
//! 5.2 `resolve-prefer`, `resolve-net`, `resolve-opts`).
//!
//! A server stays with what it has as long as that is told of: a better address does not move it. Servers of one
//! backend whose addresses come of one question take different ones.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use crate::dns::{Name, Service};
use crate::proxy::naming::Naming;
use crate::proxy::resolvers::Family;
use crate::proxy::{BackendId, ResolversId, ServerId};

/// What a server wants of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What its line says.
    pub naming: &'a Naming,
    /// Where it is now.
    pub current: Option<IpAddr>,
}

impl Wish<'_> {
    /// The address that suits best, the first of them if there are several: of the preferred family, then in a
    /// preferred network, then one that no other server has (`is_used`), then the one that it has. None if others
    /// have all.
    pub fn choose(&self, addresses: &[IpAddr], is_used: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let mut best: Option<([bool; 4], IpAddr)> = None;
        for &ip in addresses {
            let is_used = is_used(ip);
            if is_used && !self.naming.shares_address {
                continue;
            }
            let is_preferred = ip.is_ipv4() == (self.naming.family == Family::V4);
            let merits = [is_preferred, self.naming.prefers(ip), !is_used, self.current == Some(ip)];
            if best.is_none_or(|(most, _)| merits > most) {
                best = Some((merits, ip));
            }
        }
        best.map(|(_, ip)| ip)
    }
}

/// What makes servers take different addresses: one backend, one question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Their backend.
    pub backend: BackendId,
    /// Who is asked.
    pub section: ResolversId,
    /// For what.
    pub name: Name,
    /// Which kind of address first.
    pub family: Family,
}

/// Servers that are asked for, and the address that each took of the answers.
#[derive(Clone, Debug, Default)]
pub struct Takers {
    by_server: HashMap<ServerId, (Question, Option<IpAddr>)>,
    /// How many have an address.
    taken: HashMap<Question, HashMap<IpAddr, u32>>,
}

impl Takers {
    /// A server is asked for by this question from now on, and has taken nothing so far.
    pub fn enter(&mut self, server: ServerId, question: Question) {
        self.leave(server);
        self.by_server.insert(server, (question, None));
    }

    /// A server is not asked for any more.
    pub fn leave(&mut self, server: ServerId) {
        self.take(server, None);
        self.by_server.remove(&server);
    }

    /// Whether a server is asked for.
    pub fn has(&self, server: ServerId) -> bool {
        self.by_server.contains_key(&server)
    }

    /// A server takes an address, or gives the one back that it has.
    pub fn take(&mut self, server: ServerId, address: Option<IpAddr>) {
        let Some((question, taken)) = self.by_server.get_mut(&server) else { return };
        let before = std::mem::replace(taken, address);
        if before.is_none() && address.is_none() {
            return;
        }
        let counts = self.taken.entry(question.clone()).or_default();
        if let Some(count) = before.and_then(|before| counts.get_mut(&before)) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
        if let Some(address) = address {
            *counts.entry(address).or_default() += 1;
        }
        if counts.is_empty() {
            self.taken.remove(question);
        }
    }

    /// What a server has taken.
    pub fn taken(&self, server: ServerId) -> Option<IpAddr> {
        self.by_server.get(&server)?.1
    }

    /// Whether somebody has taken an address of the answers for a server.
    pub fn is_taken(&self, server: ServerId, address: IpAddr) -> bool {
        let question = self.by_server.get(&server).map(|(question, _)| question);
        question.and_then(|question| self.taken.get(question)).is_some_and(|taken| taken.contains_key(&address))
    }
}

/// A part of a service that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    server: ServerId,
    host: Name,
    port: u16,
}

/// The servers of a backend that share the parts of a service.
#[derive(Clone, Debug, Default)]
pub struct Sharers {
    /// In the order in which they were told of last.
    parts: Vec<Part>,
    /// Servers without a part; who lost his is the last to get another one.
    free: VecDeque<ServerId>,
}

impl Sharers {
    /// Adds a server, with the part that it has already.
    pub fn add(&mut self, server: ServerId, part: Option<(Name, u16)>) {
        match part {
            Some((host, port)) => self.parts.push(Part { server, host, port }),
            None => self.free.push_back(server),
        }
    }

    /// A server is none of them any more.
    pub fn leave(&mut self, server: ServerId) {
        self.parts.retain(|part| part.server != server);
        self.free.retain(|free| *free != server);
    }

    /// Takes away what is not told of any more; says from whom.
    pub fn release(&mut self, services: &[Service]) -> Vec<ServerId> {
        let told: HashSet<(&Name, u16)> = services.iter().map(|told| (&told.target, told.port)).collect();
        let mut gone = Vec::new();
        self.parts.retain(|part| {
            let stays = told.contains(&(&part.host, part.port));
            gone.extend((!stays).then_some(part.server));
            stays
        });
        self.free.extend(&gone);
        gone
    }

    /// Gives what is told of to servers that are free: for each service its server, and whether that has it only now.
    /// Nobody has what is left when all servers have something.
    pub fn share<'a>(&mut self, services: &'a [Service]) -> Vec<(ServerId, &'a Service, bool)> {
        let parts = std::mem::take(&mut self.parts);
        let mut known: HashMap<(&Name, u16), ServerId> = HashMap::new();
        for part in &parts {
            // Of two that were said to have the same at the start, one is free for another.
            self.free.extend(known.insert((&part.host, part.port), part.server));
        }
        let mut shared = Vec::new();
        for service in services {
            let server = match known.remove(&(&service.target, service.port)) {
                Some(server) => Some((server, false)),
                None => self.free.pop_front().map(|server| (server, true)),
            };
            let Some((server, is_new)) = server else { continue };
            self.parts.push(Part { server, host: service.target.clone(), port: service.port });
            shared.push((server, service, is_new));
        }
        shared
    }
}

/// The weight of a server, 0 to 256, for that of a record, 0 to 65535.
pub fn weight(record: u16) -> u32 {
    const SCALE: u32 = 256;
    u32::from(record).div_ceil(SCALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(networks: &[(&str, u8)]) -> Naming {
        Naming {
            section: ResolversId(0),
            family: Family::V4,
            networks: networks.iter().map(|(ip, bits)| (ip.parse().expect("address"), *bits)).collect(),
            shares_address: false,
            ignores_weight: false,
            service: None,
        }
    }

    fn choose(naming: &Naming, current: &str, used: &[&str]) -> Option<String> {
        let addresses =
            ["2001:db8::1", "10.0.0.1", "10.1.0.1", "10.2.0.1"].map(|ip| ip.parse::<IpAddr>().expect("address"));
        let wish = Wish { naming, current: current.parse().ok() };
        wish.choose(&addresses, |ip| used.contains(&ip.to_string().as_str())).map(|ip| ip.to_string())
    }

    #[test]
    fn family_comes_before_network_before_an_unused_one_before_the_current_one() {
        let any = naming(&[]);
        assert_eq!(choose(&any, "", &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(choose(&any, "10.2.0.1", &[]).as_deref(), Some("10.2.0.1"));
        assert_eq!(choose(&any, "2001:db8::1", &[]).as_deref(), Some("10.0.0.1"));
        let near = naming(&[("10.1.0.0", 16), ("2001:db8::", 32)]);
        assert_eq!(choose(&near, "10.2.0.1", &[]).as_deref(), Some("10.1.0.1"));
        assert_eq!(choose(&near, "", &["10.1.0.1"]).as_deref(), Some("10.0.0.1"));
        let sharing = Naming { shares_address: true, ..near };
        assert_eq!(choose(&sharing, "", &["10.1.0.1"]).as_deref(), Some("10.1.0.1"));
        let sixth = Naming { family: Family::V6, ..any.clone() };
        assert_eq!(choose(&sixth, "", &[]).as_deref(), Some("2001:db8::1"));
        assert_eq!(choose(&sixth, "", &["2001:db8::1"]).as_deref(), Some("10.0.0.1"));
        let all = ["2001:db8::1", "10.0.0.1", "10.1.0.1", "10.2.0.1"];
        assert_eq!(choose(&any, "", &all), None);
        assert_eq!(choose(&Naming { shares_address: true, ..any }, "", &all).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn networks_may_be_as_wide_as_all_and_as_narrow_as_one() {
        let prefers = |network: &str, bits, ip: &str| naming(&[(network, bits)]).prefers(ip.parse().expect("address"));
        assert!(prefers("0.0.0.0", 0, "10.0.0.1") && prefers("::", 0, "2001:db8::1"));
        assert!(prefers("10.0.0.1", 32, "10.0.0.1") && !prefers("10.0.0.1", 32, "10.0.0.2"));
        assert!(prefers("2001:db8::1", 128, "2001:db8::1") && !prefers("2001:db8::1", 128, "2001:db8::2"));
        assert!(!prefers("0.0.0.0", 0, "::1"));
    }

    #[test]
    fn addresses_are_taken_within_a_backend_and_a_question() {
        let mut takers = Takers::default();
        let question = |backend, name: &str| Question {
            backend: BackendId(backend),
            section: ResolversId(0),
            name: Name::parse(name.as_bytes()).expect("name"),
            family: Family::V4,
        };
        for (server, question) in [(1, question(1, "A.test")), (2, question(1, "a.test")), (3, question(2, "a.test"))] {
            takers.enter(ServerId(server), question);
        }
        let ip = IpAddr::from([10, 0, 0, 1]);
        let other = IpAddr::from([10, 0, 0, 2]);
        takers.take(ServerId(1), Some(ip));
        let seen = |takers: &Takers| [1, 2, 3].map(|server| takers.is_taken(ServerId(server), ip));
        assert_eq!(seen(&takers), [true, true, false]);
        takers.take(ServerId(2), Some(ip));
        takers.take(ServerId(1), Some(other));
        assert_eq!((seen(&takers), takers.taken(ServerId(1))), ([true, true, false], Some(other)));
        takers.enter(ServerId(2), question(1, "b.test"));
        assert_eq!(seen(&takers), [false, false, false]);
        takers.leave(ServerId(1));
        assert!(takers.taken.is_empty() && !takers.has(ServerId(1)) && takers.has(ServerId(2)));
    }

    fn service(host: &str, port: u16) -> Service {
        let target = Name::parse(host.as_bytes()).expect("name");
        Service { target, port, weight: 0, priority: 0, address: None }
    }

    /// Who has which part, and who has his only now.
    fn share(sharers: &mut Sharers, services: &[&Service]) -> Vec<(u32, String, bool)> {
        let services: Vec<Service> = services.iter().map(|service| (*service).clone()).collect();
        let shared = sharers.share(&services);
        shared.into_iter().map(|(id, part, new)| (id.0, format!("{}:{}", part.target, part.port), new)).collect()
    }

    #[test]
    fn parts_stay_with_their_servers_and_who_lost_one_is_the_last_to_get_another() {
        let mut sharers = Sharers::default();
        let [a, b, c, d] = [("a", 1), ("b", 1), ("b", 2), ("d", 1)].map(|(host, port)| service(host, port));
        let had = |server: u32, part: &str, new| (server, part.to_owned(), new);
        sharers.add(ServerId(1), None);
        sharers.add(ServerId(2), None);
        sharers.add(ServerId(3), Some((b.target.clone(), 1)));
        sharers.add(ServerId(4), None);
        assert_eq!(
            share(&mut sharers, &[&a, &b, &c]),
            [had(1, "a:1", true), had(3, "b:1", false), had(2, "b:2", true)]
        );
        assert_eq!(sharers.release(std::slice::from_ref(&b)), [ServerId(1), ServerId(2)]);
        let shared = share(&mut sharers, &[&c, &b, &a, &d]);
        assert_eq!(shared, [had(4, "b:2", true), had(3, "b:1", false), had(1, "a:1", true), had(2, "d:1", true)]);
        let fifth = service("e", 1);
        let shared = share(&mut sharers, &[&fifth, &a, &b, &c, &d]);
        assert_eq!(shared.len(), 4);
        assert!(shared.iter().all(|(_, _, new)| !new));
        // In the order in which they were told of last.
        assert_eq!(sharers.release(&[]), [1, 3, 4, 2].map(ServerId));
    }

    #[test]
    fn of_two_that_had_the_same_part_one_gets_another() {
        let mut sharers = Sharers::default();
        let [a, b] = ["a", "b"].map(|host| service(host, 1));
        [1, 2].into_iter().for_each(|id| sharers.add(ServerId(id), Some((a.target.clone(), 1))));
        let shared = share(&mut sharers, &[&a, &b]);
        assert_eq!(shared, [(2, "a:1".to_owned(), false), (1, "b:1".to_owned(), true)]);
    }

    #[test]
    fn weights_fit() {
        let weights = [0, 1, 255, 256, 257, 512, 1000, 2000, u16::MAX].map(weight);
        assert_eq!(weights, [0, 1, 1, 1, 2, 2, 4, 8, 256]);
    }
}
