//! From the draft to `proxy::Config`: ids, references and the checks that need the whole
//! configuration. Each check words its finding as HAProxy does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::draft::{BindDraft, Draft, Kind, ProxyDraft};
use super::finding::Findings;
use super::{
    balance, confinement, naming, pages, resolve_log, resolve_proxy, resolve_rules, resolve_server, resolvers,
    spelling, track, userlist, workers,
};
use crate::log::{Format, LogSettings};
use crate::proxy::backend::Beyond;
use crate::proxy::{Backend, BackendId, CliBind, Config, Frontend, Mode, Resolvers};
use crate::rules::parse::Parser;

/// Buffers must be smaller than this.
const BUFSIZE_BYTES_MAX: usize = 256 << 20;
/// Buffers must hold at least an error message with its head.
const BUFSIZE_BYTES_MIN: usize = 256;
const _: () = assert!(BUFSIZE_BYTES_MIN < BUFSIZE_BYTES_MAX);

/// Everything that the checks look at and fill in.
pub(super) struct Resolver<'a> {
    /// What was written.
    pub draft: &'a Draft,
    /// What comes of it.
    pub config: Config,
    /// Where findings go.
    pub findings: &'a mut Findings,
    /// The backends by name.
    pub backends: BTreeMap<&'a str, BackendId>,
    /// The current proxy's log format could not be parsed.
    pub bad_format: bool,
    /// Alerts that stand behind all others, because HAProxy looks for their reasons last.
    pub last_alerts: Vec<String>,
}

/// Resolves `draft`, whose rule lines `parsers` hold. The configuration is only to be used when no finding is fatal.
pub fn resolve(draft: &Draft, resolvers: &[Resolvers], parsers: Vec<Parser<'_>>, findings: &mut Findings) -> Config {
    let (global, resolvers) = (draft.global.clone(), resolvers.to_vec());
    let config = Config { global, resolvers, ..Config::default() };
    let mut resolver =
        Resolver { draft, config, findings, backends: BTreeMap::new(), bad_format: false, last_alerts: Vec::new() };
    resolver.global();
    resolver.name_backends();
    resolver.proxies(parsers);
    resolver.config
}

/// Numbers for a list of objects of which some chose their own: the others get the next free number,
/// and every object, numbered or not, uses one up.
pub(super) fn number(chosen: &[Option<u32>], first: u32) -> Vec<u32> {
    let used: HashSet<u32> = chosen.iter().flatten().copied().collect();
    let mut next = first;
    let mut numbers = Vec::with_capacity(chosen.len());
    for choice in chosen {
        match choice {
            Some(id) => numbers.push(*id),
            None => {
                while used.contains(&next) {
                    next += 1;
                }
                numbers.push(next);
            }
        }
        next += 1;
    }
    numbers
}

impl<'a> Resolver<'a> {
    fn global(&mut self) {
        let extra = &self.draft.global_extra;
        let tune = &mut self.config.global.tune;
        if let Some(maxrewrite) = extra.maxrewrite {
            tune.maxrewrite = maxrewrite;
        }
        // HAProxy lets the reserve have at most half of a buffer.
        tune.maxrewrite = tune.maxrewrite.min(tune.bufsize / 2);
        let bytes = tune.bufsize;
        if bytes >= BUFSIZE_BYTES_MAX {
            self.findings.alert(format!(
                "global.tune.bufsize must be below 256 MB when HTTP is in use (current value = {bytes})."
            ));
        } else if bytes < BUFSIZE_BYTES_MIN {
            // HAProxy refuses them for its error messages, which no longer fit.
            self.findings.alert(format!(
                "global.tune.bufsize must be at least {BUFSIZE_BYTES_MIN} bytes (current value = {bytes})."
            ));
        }
        if let Some(path) = &extra.spelling_file {
            spelling::read(path, &mut self.config.global.spellings, self.findings);
        }
        workers::check_counts(self);
        confinement::check(&self.config.global, self.findings);
        self.config.userlists = userlist::resolve(self.draft, self.findings);
        let extra = &self.draft.global_extra;
        self.config.global.log_targets = resolve_log::global_targets(&extra.logs);
        self.config.global.cli_binds = extra.cli.iter().flat_map(cli_binds).collect();
    }

    /// Gives every backend its id before any reference is looked up.
    fn name_backends(&mut self) {
        let draft: &'a Draft = self.draft;
        let backends = draft.proxies.iter().filter(|proxy| proxy.kind.is_backend());
        for (index, proxy) in backends.enumerate() {
            // There are far fewer than 2^32 sections in a file.
            let id = BackendId(index as u32);
            self.backends.entry(proxy.name.as_str()).or_insert(id);
        }
    }

    fn proxies(&mut self, parsers: Vec<Parser<'_>>) {
        let draft: &'a Draft = self.draft;
        let chosen: Vec<Option<u32>> = draft.proxies.iter().map(|proxy| proxy.id).collect();
        let names = resolve_rules::names(draft);
        // The runtime sockets count as a proxy, the first one.
        let first = if draft.global_extra.cli.is_empty() { 1 } else { 2 };
        let numbered = (0..).zip(&draft.proxies).zip(number(&chosen, first));
        for (((ordinal, proxy), uuid), parser) in numbered.zip(parsers) {
            resolve_proxy::check(self, proxy);
            self.bad_format = false;
            workers::check(self, proxy);
            let default_backend = self.default_backend(proxy);
            let rules = resolve_rules::rules(self, proxy, parser, &names);
            let own_pages = Arc::new(pages::resolve(self, proxy));
            let log = resolve_log::settings(self, proxy, &names);
            let unique_id_format = resolve_log::unique_id(self, proxy, &names);
            if proxy.kind.is_backend() {
                let servers = resolve_server::servers(self, proxy);
                let (rules, log) = (rules.clone(), LogSettings { format: Format::default(), ..log.clone() });
                let pages = own_pages.clone();
                let algorithm = balance::resolve(proxy, &names, self.findings);
                let rest = resolve_proxy::backend(proxy, uuid);
                self.config.backends.push(Backend { rules, log, pages, servers, algorithm, ordinal, ..rest });
            }
            if proxy.kind.is_frontend() {
                let pages = own_pages;
                let rest = resolve_proxy::frontend(proxy, uuid, &self.config.global.tune);
                let frontend = Frontend { default_backend, rules, log, pages, unique_id_format, ordinal, ..rest };
                self.config.frontends.push(frontend);
            }
            resolve_proxy::check_late(self, proxy);
        }
        track::resolve(self);
        self.last_alerts.drain(..).for_each(|text| self.findings.alert(text));
        naming::resolve(self);
        super::state_file::load(self);
        resolve_server::addresses(self);
        resolvers::check(self.draft, self.findings);
        let tune = &self.config.global.tune;
        let bytes_max = tune.check_bytes.unwrap_or(tune.bufsize);
        self.config.backends.iter_mut().for_each(|backend| backend.check.answer_bytes_max = bytes_max);
        if self.config.backends.iter().any(|backend| backend.beyond == Beyond::Uri) {
            self.config.hosts = hosts(&std::fs::read_to_string(HOSTS_FILE).unwrap_or_default());
        }
    }

    /// Where a frontend's requests go when no rule chooses; a `listen` has its own servers for that.
    fn default_backend(&mut self, proxy: &ProxyDraft) -> Option<BackendId> {
        // Its server side is the next one made; another backend may bear the same name.
        let own = (proxy.kind == Kind::Listen).then_some(BackendId(self.config.backends.len() as u32));
        let Some((name, _)) = &proxy.settings.default_backend else { return own };
        self.reference(proxy, name, "default_backend", "as its default backend")
    }

    /// Looks up a backend that `proxy` refers to and checks that the two fit together.
    pub(super) fn reference(&mut self, proxy: &ProxyDraft, name: &str, keyword: &str, role: &str) -> Option<BackendId> {
        let from = &proxy.name;
        let Some(id) = self.backends.get(name).copied() else {
            self.findings.alert(format!("Proxy '{from}': unable to find required {keyword}: '{name}'."));
            return None;
        };
        if proxy.kind == Kind::Listen && from == name {
            self.findings.alert(format!("Proxy '{from}': loop detected for {keyword}: '{name}'."));
            return None;
        }
        let target = &self.draft.proxies[*self.draft.first_backend.get(name)?];
        // A TCP frontend may be upgraded to HTTP, the other way round there is no way.
        if proxy.settings.mode == Mode::Http && target.settings.mode == Mode::Tcp {
            self.findings.alert(format!(
                "http {} '{from}' ({}) tries to use incompatible tcp {} '{name}' ({}) {role} (see 'mode').",
                proxy.kind.noun(),
                proxy.at,
                target.kind.noun(),
                target.at
            ));
            return None;
        }
        Some(id)
    }
}

/// Where names of hosts are found without a name server.
const HOSTS_FILE: &str = "/etc/hosts";

/// The addresses of a hosts file; of several for a name the first IPv4 address counts, or else the first.
fn hosts(text: &str) -> HashMap<String, IpAddr> {
    let mut hosts = HashMap::<String, IpAddr>::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            let entry = hosts.entry(name.to_ascii_lowercase()).or_insert(address);
            if entry.is_ipv6() && address.is_ipv4() {
                *entry = address;
            }
        }
    }
    hosts
}

pub(super) fn cli_binds(draft: &BindDraft) -> impl Iterator<Item = CliBind> + '_ {
    draft.addresses.iter().map(|address| CliBind {
        place: draft.at.to_string(),
        address: address.clone(),
        mode: draft.options.mode,
        uid: draft.options.uid,
        gid: draft.options.gid,
        level: draft.level.unwrap_or_default(),
        exposes_listeners: draft.exposes_listeners,
        processes: draft.options.processes,
        threads: draft.options.threads,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_hosts_file_prefer_ipv4() {
        let found = hosts("::1 localhost ip6 # x\n127.0.0.1\tLocalhost\nnone a\n#1.2.3.4 b\n");
        assert_eq!(found.get("localhost"), Some(&"127.0.0.1".parse().unwrap()));
        assert_eq!((found.get("ip6"), found.len()), (Some(&"::1".parse().unwrap()), 2));
    }

    #[test]
    fn numbers_count_every_object() {
        // As the oracle's `show stat` numbers proxies and servers.
        assert_eq!(number(&[None, Some(10), None, Some(1), None], 1), [2, 10, 4, 1, 6]);
        assert_eq!(number(&[None, Some(1), None], 1), [2, 1, 4]);
        assert_eq!(number(&[None, None], 1), [1, 2]);
    }
}
