//! Asks for the names of servers and does what the answers say (manual 5.3): in the worker that runs the checks; the
//! others follow by the boards.

use std::net::IpAddr;

use super::Services;
use crate::check::names::{Question, Sharers, Takers, Wish, weight};
use crate::check::notice;
use crate::check::server::{Admin, CheckEffect};
use crate::dns::{Name, Report, Requester, Service, Tallied, Verdict, Wanted};
use crate::log::Level;
use crate::proxy::naming::Naming;
use crate::proxy::{BackendId, Config, ResolversId, ServerAddress, ServerId};

/// Why a server whose part of a service is gone is in maintenance.
const REMOVED: &str = "entry removed from SRV record";
/// Why one is that found all addresses taken; the blank is HAProxy's.
const NO_ADDRESS: &str = "No IP for server ";
/// Where addresses come from that stood beside SRV records.
const BESIDE: &str = "DNS additional record";

/// What the worker that runs the checks knows of names.
#[derive(Default)]
pub struct Asked {
    is_on: bool,
    takers: Takers,
    shared: Vec<Shared>,
}

/// A service, and the servers of a backend that share it.
struct Shared {
    section: ResolversId,
    name: Name,
    backend: BackendId,
    sharers: Sharers,
}

impl Services {
    /// Begins to ask for all names. Servers keep what they have as long as the answers have it, too.
    pub fn start_naming(&mut self) {
        self.asked = Asked { is_on: true, ..Asked::default() };
        let config: &'static Config = self.config;
        for (id, server) in config.servers_of_all().filter(|(_, server)| !config[server.backend].disabled) {
            match &server.naming {
                Some(Naming { service: Some(service), section, .. }) => self.share(id, *section, service),
                Some(_) => self.watch(id),
                None => {}
            }
        }
        let now = self.now.tick();
        for (number, shared) in (0..).zip(&self.asked.shared) {
            let who = Requester::Service(number);
            self.names.watch(shared.section, shared.name.clone(), Wanted::Services, who, now);
        }
    }

    /// Asks no more: another worker does.
    pub fn stop_naming(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.config
            .servers
            .ids()
            .filter(|id| asked.takers.has(*id))
            .for_each(|id| self.names.cancel(Requester::Server(id)));
        (0..asked.shared.len() as u32).for_each(|number| self.names.cancel(Requester::Service(number)));
    }

    /// What became of a question for the name of a server or a service.
    pub fn named(&mut self, report: &Report) {
        match report.who {
            Requester::Server(id) if self.asked.takers.has(id) => self.server_named(id, report),
            Requester::Service(number) if (number as usize) < self.asked.shared.len() => {
                self.service_named(number as usize, report);
            }
            _ => {}
        }
    }

    /// A check could not connect: the server may be elsewhere by now.
    pub fn doubt_address(&mut self, id: ServerId) {
        if self.asked.takers.has(id) {
            self.names.hasten(Requester::Server(id), self.now.tick());
        }
    }

    /// Asks for a server by another name (`set server … fqdn`).
    pub fn rename_server(&mut self, id: ServerId, name: &str) {
        self.change_place(id, |place| place.order_name(name));
        self.note_name(id);
        self.follow_name(id);
    }

    /// A server has another name: that is asked for from now on.
    pub(super) fn follow_name(&mut self, id: ServerId) {
        let is_asked_for = self.config[id].naming.as_ref().is_some_and(|naming| naming.service.is_none());
        if self.asked.is_on && is_asked_for {
            self.names.cancel(Requester::Server(id));
            self.asked.takers.leave(id);
            self.watch(id);
        }
    }

    /// A server has gone: nobody asks for its name, and it takes no part of a service.
    pub(super) fn forget_name(&mut self, id: ServerId) {
        if self.asked.takers.has(id) {
            self.names.cancel(Requester::Server(id));
            self.asked.takers.leave(id);
        }
        self.asked.shared.iter_mut().for_each(|shared| shared.sharers.leave(id));
    }

    /// A server shares a service with others.
    fn share(&mut self, id: ServerId, section: ResolversId, service: &str) {
        let Some(name) = Name::parse(service.as_bytes()) else { return };
        let (backend, place) = (self.config[id].backend, &self.places[id.0 as usize]);
        let host = place.name.as_ref().and_then(|host| Name::parse(host.as_bytes()));
        let port = if let ServerAddress::Ip(address) = place.address { address.port() } else { 0 };
        let shared = &mut self.asked.shared;
        let is_it = |shared: &Shared| (shared.section, shared.backend) == (section, backend) && shared.name == name;
        let at = shared.iter().position(is_it).unwrap_or_else(|| {
            shared.push(Shared { section, name, backend, sharers: Sharers::default() });
            shared.len() - 1
        });
        shared[at].sharers.add(id, host.map(|host| (host, port)));
    }

    /// Asks for a server's name, if it has one.
    fn watch(&mut self, id: ServerId) {
        let (server, place) = (&self.config[id], &self.places[id.0 as usize]);
        let (Some(naming), Some(name)) = (&server.naming, &place.name) else { return };
        let Some(name) = Name::parse(name.as_bytes()) else { return };
        let (section, family) = (naming.section, naming.family);
        let question = Question { backend: server.backend, section, name: name.clone(), family };
        let current = self.current_ip(id);
        let takers = &mut self.asked.takers;
        takers.enter(id, question);
        // Several may have found the same address at the start: one of them stays there.
        let is_free = |ip: &IpAddr| naming.shares_address || !takers.is_taken(id, *ip);
        takers.take(id, current.filter(is_free));
        let now = self.now.tick();
        self.names.watch(section, name, Wanted::Addresses(family), Requester::Server(id), now);
    }

    fn server_named(&mut self, id: ServerId, report: &Report) {
        let Some(answer) = &report.answer else {
            if !report.is_held {
                self.asked.takers.take(id, None);
                self.lose_address(id, why(report.verdict));
            }
            return;
        };
        let lacked = self.servers[id.0 as usize].lacks_address();
        let taken = self.asked.takers.taken(id);
        if !lacked && taken.is_some_and(|taken| answer.addresses.contains(&taken)) {
            return;
        }
        self.asked.takers.take(id, None);
        let Some(naming) = &self.config[id].naming else { return };
        let current = self.current_ip(id);
        let wish = Wish { naming, current };
        let takers = &self.asked.takers;
        let Some(ip) = wish.choose(&answer.addresses, |ip| takers.is_taken(id, ip)) else {
            return self.lose_address(id, NO_ADDRESS);
        };
        self.asked.takers.take(id, Some(ip));
        let by = match report.nameserver {
            Some(at) => {
                if current != Some(ip) {
                    self.names.count(report.section, at, Tallied::Updates);
                }
                let section = &self.config[report.section];
                format!("{}/{}", section.name, section.nameservers.get(at).map_or("", |server| &server.name))
            }
            None => "DNS cache".to_owned(),
        };
        self.move_server(id, ip, &by);
        if lacked {
            self.find_address(id);
            let ready = notice::ready_by_name(self.names_of(id));
            self.say(self.config[id].backend, &ready);
        }
    }

    fn service_named(&mut self, number: usize, report: &Report) {
        let services: &[Service] = match &report.answer {
            Some(answer) => &answer.services,
            None if report.is_held => return,
            None => &[],
        };
        for id in self.asked.shared[number].sharers.release(services) {
            self.names.cancel(Requester::Server(id));
            self.asked.takers.leave(id);
            self.lose_address(id, REMOVED);
            self.change_place(id, |place| place.give_back());
        }
        for (id, service, is_new) in self.asked.shared[number].sharers.share(services) {
            self.employ(id, service, is_new);
        }
    }

    /// A server has a part of a service.
    fn employ(&mut self, id: ServerId, service: &Service, is_new: bool) {
        let host = service.target.as_str();
        let is_there = matches!(self.places[id.0 as usize].address, ServerAddress::Ip(at) if at.port() == service.port);
        if is_new || !is_there {
            self.change_place(id, |place| place.take(host, service.port));
        }
        match service.address {
            Some(ip) => {
                self.names.cancel(Requester::Server(id));
                self.asked.takers.leave(id);
                self.move_server(id, ip, BESIDE);
            }
            None if is_new || !self.asked.takers.has(id) => self.watch(id),
            None => {}
        }
        if is_new {
            let text = format!("changed its FQDN from (null) to {host} by 'SRV record'");
            let said = notice::named(self.names_of(id), &text);
            let backend = &self.config[self.config[id].backend];
            self.log.message(self.now, Level::Notice, &backend.log, format_args!("{}", said.log));
            self.note_name(id);
        }
        if service.address.is_some() {
            self.find_address(id);
        }
        let weight = weight(service.weight);
        let ignored = self.config[id].naming.as_ref().is_some_and(|naming| naming.ignores_weight);
        if !ignored && self.servers[id.0 as usize].weight != weight {
            self.set_server_weight(id, weight);
        }
    }

    /// A server is at another address, as `by` says.
    fn move_server(&mut self, id: ServerId, ip: IpAddr, by: &str) {
        let before = self.current_ip(id);
        if before == Some(ip) {
            return;
        }
        self.change_place(id, |place| place.move_to(ip));
        let from = before.map_or("(none)".to_owned(), |ip| ip.to_string());
        let said = notice::named(self.names_of(id), &format!("changed its IP from {from} to {ip} by {by}."));
        self.say(self.config[id].backend, &said);
    }

    /// The address of a server that has one at the moment.
    fn current_ip(&self, id: ServerId) -> Option<IpAddr> {
        self.places[id.0 as usize].ip().filter(|_| !self.servers[id.0 as usize].lacks_address())
    }

    fn find_address(&mut self, id: ServerId) {
        self.change_server(id, |state, now_s| state.find_address(now_s).into());
    }

    fn lose_address(&mut self, id: ServerId, why: &'static str) {
        if !self.servers[id.0 as usize].lacks_address() {
            self.change_server(id, |state, now_s| state.lose_address(why, now_s).into());
            self.change_place(id, |place| place.lose_address());
        }
    }

    /// Notes that a server's name is not the configuration's.
    fn note_name(&mut self, id: ServerId) {
        self.change_server(id, |state, _| {
            state.admin.insert(Admin::NAME_SET);
            CheckEffect::default()
        });
    }
}

/// Why a server is in maintenance after such an answer.
fn why(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NxDomain => "DNS NX status",
        Verdict::Refused => "DNS refused status",
        Verdict::Timeout => "DNS timeout status",
        Verdict::Valid | Verdict::Invalid | Verdict::Other => "unspecified DNS error",
    }
}
