//! Servers from their drafts: numbers, addresses, host names, checks.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::address::{Address, Family, Host, Port, Target, resolve_host};
use super::connection;
use super::draft::{ProxyDraft, ServerDraft};
use super::finding::{Finding, Place, Severity};
use super::naming::{InitAddr, is_service};
use super::resolve::{Resolver, number};
use super::scope::not_yet;
use crate::proxy::check::Speech;
use crate::proxy::preface::PrefaceSettings;
use crate::proxy::reaction::{ERROR_LIMIT, Observe};
use crate::proxy::source::Source;
use crate::proxy::{AdminAtStart, AgentSettings, BackendId, Members, Mode, Server, ServerAddress, ServerId};
use crate::time::Millis;

/// `pool-purge-delay` when it is not written (section 5.2).
const POOL_PURGE_DELAY: Millis = Millis(5000);
/// `weight` when it is not written.
const WEIGHT_DEFAULT: u32 = 1;

/// Adds a proxy's servers to the configuration.
pub(super) fn servers(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) -> Members {
    distinct_names(resolver, proxy);
    let chosen: Vec<Option<u32>> = proxy.servers.iter().map(|server| server.id).collect();
    // There are far fewer than 2^32 servers and backends.
    let backend = BackendId(resolver.config.backends.len() as u32);
    let first = resolver.config.servers.len() as u32;
    for ((seat, draft), uuid) in (0..).zip(&proxy.servers).zip(number(&chosen, 1)) {
        let server = Server { seat, ..server(resolver, proxy, draft, backend, uuid) };
        resolver.config.servers.push(server);
    }
    Members::new(first..resolver.config.servers.len() as u32)
}

fn distinct_names(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    for (index, server) in proxy.servers.iter().enumerate() {
        let same = proxy.servers[..index].iter().find(|other| other.name == server.name);
        let (Some(other), Some(at)) = (same.and_then(|other| other.at.as_ref()), server.at.as_ref()) else {
            continue;
        };
        let text = format!(
            "{} '{}', another server named '{}' was already defined at line {}, please use distinct names.",
            proxy.kind.noun(),
            proxy.name,
            server.name,
            other.line
        );
        let mut finding = Finding::general(Severity::Alert, text);
        finding.place = Place::Keyword;
        finding.file = at.file.clone();
        finding.line = at.line;
        resolver.findings.push(finding);
    }
}

fn server(
    resolver: &mut Resolver<'_>,
    proxy: &ProxyDraft,
    draft: &ServerDraft,
    backend: BackendId,
    uuid: u32,
) -> Server {
    let place = match &draft.address {
        Some(address) => match target(address) {
            Ok(found) => found,
            Err(text) => {
                complain(resolver, Severity::Alert, proxy, draft, &text);
                (ServerAddress::Abstract(Vec::new()), None)
            }
        },
        // A `server` line without an address was refused when it was read.
        None => (ServerAddress::Abstract(Vec::new()), None),
    };
    let noun = proxy.kind.noun();
    for text in contradictions(draft, proxy.settings.mode, noun, &proxy.name) {
        resolver.findings.alert(text);
    }
    connection::check(resolver, proxy, draft);
    if lacks_check_port(draft, &place) {
        let check = proxy.settings.check.resolve();
        let scripted = !matches!(check.speech, Speech::Nothing | Speech::Program);
        let hint = if scripted { CHECK_PORT_HINT } else { "" };
        if !check.names_port() {
            let text = no_check_port(&draft.name);
            resolver.last_alerts.push(format!("config: {noun} '{}': {text}{hint}.", proxy.name));
        }
    }
    from_draft(draft, (backend, uuid), place, proxy.settings.source.as_ref())
}

/// A server as its line has it.
pub(super) fn from_draft(
    draft: &ServerDraft,
    (backend, uuid): (BackendId, u32),
    (address, name): (ServerAddress, Option<String>),
    source: Option<&Source>,
) -> Server {
    let (service, fqdn) = match name {
        Some(name) if is_service(&name) => (Some(name), None),
        name => (None, name),
    };
    Server {
        name: draft.name.clone(),
        uuid,
        chose_id: draft.id.is_some(),
        backend,
        seat: 0,
        written: draft.at.as_ref().map(|at| (Rc::clone(&at.file), at.line)),
        address,
        lacks_address: false,
        service,
        fqdn,
        naming: None,
        weight: draft.weight.unwrap_or(WEIGHT_DEFAULT),
        backup: draft.backup,
        // Who wants a minimum wants that many at most, at least.
        maxconn: draft.maxconn.max(draft.minconn),
        minconn: draft.minconn.filter(|min| draft.maxconn.is_some_and(|max| *min < max)),
        slowstart_s: draft.slowstart_s,
        maxqueue: draft.maxqueue,
        admin: if draft.disabled == Some(true) { AdminAtStart::Maintenance } else { AdminAtStart::Ready },
        check: draft.check.then(|| draft.settings.clone()),
        redirect: draft.redirect.clone(),
        user_timeout: draft.user_timeout,
        track: None,
        tracked_by: RefCell::default(),
        observe: draft.observe.filter(|_| draft.check).map(|layer| Observe {
            layer,
            error_limit: draft.error_limit.unwrap_or(ERROR_LIMIT),
            on_error: draft.on_error,
        }),
        ends_sessions_when_down: draft.ends_sessions_when_down,
        ends_backup_sessions_when_up: draft.ends_backup_sessions_when_up,
        agent: draft.agent_check.then(|| agent(draft)),
        pool_max_conn: draft.pool_max_conn,
        pool_purge_delay: draft.pool_purge_delay.unwrap_or(POOL_PURGE_DELAY),
        pool_low_conn: draft.pool_low_conn,
        cookie: draft.cookie.clone(),
        saved: None,
        source: draft.source.as_ref().or(source).cloned(),
        preface: preface(draft),
        connection: draft.connection.clone(),
    }
}

/// What connections to a server begin with. Its checks tell it the same as traffic does, if they go to the same place.
fn preface(draft: &ServerDraft) -> PrefaceSettings {
    let same_place = draft.settings.port.is_none() && draft.settings.addr.is_none();
    let checks_tell = draft.preface.checks_tell || !draft.preface.header.is_empty() && same_place;
    PrefaceSettings { checks_tell, ..draft.preface }
}

/// The agent of a server; `addr` and `port` stand for what it does not have.
fn agent(draft: &ServerDraft) -> AgentSettings {
    let (addr, port) = (draft.agent.addr.or(draft.settings.addr), draft.agent.port.or(draft.settings.port));
    AgentSettings { addr, port, ..draft.agent.clone() }
}

/// The address and the host name of a server; an unresolved name stands as an unspecified address
/// until [`addresses`] looks it up.
pub(super) fn target(address: &Address) -> Result<(ServerAddress, Option<String>), String> {
    let Target::Inet { host, port } = &address.target else {
        return match &address.target {
            Target::Unix(path) => Ok((ServerAddress::Unix(path.clone()), None)),
            Target::Abstract(name) => Ok((ServerAddress::Abstract(name.clone()), None)),
            _ => Err(not_yet("sockpair@")),
        };
    };
    let (ip, fqdn) = match host {
        Host::Ip(ip) => (*ip, None),
        Host::Name(name, Family::V6) => (std::net::Ipv6Addr::UNSPECIFIED.into(), Some(name.clone())),
        Host::Name(name, _) => (std::net::Ipv4Addr::UNSPECIFIED.into(), Some(name.clone())),
    };
    let address = match port {
        Port::Fixed(port) if *port > 0 => ServerAddress::Ip(SocketAddr::new(ip, *port)),
        Port::Offset(offset) => ServerAddress::IpRelative(ip, *offset),
        Port::None | Port::Fixed(_) | Port::Range(..) => ServerAddress::IpRelative(ip, 0),
    };
    Ok((address, fqdn))
}

/// What is said of such a server.
pub(super) fn no_check_port(name: &str) -> String {
    format!("server '{name}' has neither service port nor check port")
}

/// What more is said where scripts of checks could name a port.
pub(super) const CHECK_PORT_HINT: &str = " nor tcp_check rule 'connect' with port information";

/// Whether a server's checks need a port that the server does not have: they cannot use the client's destination
/// port, for there is no client. As in HAProxy, servers whose address is found later are not looked at.
pub(super) fn lacks_check_port(draft: &ServerDraft, (address, name): &(ServerAddress, Option<String>)) -> bool {
    let has_port = !matches!(address, ServerAddress::IpRelative(..)) || draft.settings.port.is_some();
    draft.check && !has_port && name.is_none()
}

/// Resolves host names, once nothing else is wrong.
pub(super) fn addresses(resolver: &mut Resolver<'_>) {
    if resolver.findings.fatal() {
        return;
    }
    let mut failed = false;
    for (id, proxy, server) in resolver.draft.servers() {
        failed |= !resolve_one(resolver, proxy, server, id);
    }
    if failed {
        resolver.findings.alert("Failed to initialize server(s) addr.");
        // This ends the start later than other mistakes, where HAProxy has no last line.
        resolver.findings.give_up();
    }
}

fn resolve_one(resolver: &mut Resolver<'_>, proxy: &ProxyDraft, draft: &ServerDraft, id: ServerId) -> bool {
    let Some(Address { target: Target::Inet { host: Host::Name(name, family), .. }, .. }) = &draft.address else {
        return true;
    };
    let last = resolver.config.servers[id].saved.as_ref().and_then(|saved| saved.address);
    let Ok(ip) = first_address(resolver, proxy, draft, (name, *family), last) else { return false };
    let Some(ip) = ip else {
        resolver.config.servers[id].lacks_address = true;
        return true;
    };
    match &mut resolver.config.servers[id].address {
        ServerAddress::Ip(address) => address.set_ip(ip),
        ServerAddress::IpRelative(address, _) => *address = ip,
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {}
    }
    true
}

/// No way leads to an address, which has been told.
struct Unresolved;

/// What the first way of `init-addr` that leads to something gives: an address (`last` is that of a state file), or none.
fn first_address(
    resolver: &mut Resolver<'_>,
    proxy: &ProxyDraft,
    draft: &ServerDraft,
    (name, family): (&str, Family),
    last: Option<IpAddr>,
) -> Result<Option<IpAddr>, Unresolved> {
    let mut methods = draft.naming.init_addr.clone();
    if methods.is_empty() {
        methods = vec![InitAddr::Last, InitAddr::Libc];
        methods.extend(draft.naming.section.is_some().then_some(InitAddr::None));
    }
    if resolver.draft.ignore_unresolved {
        methods.push(InitAddr::None);
    }
    let mut failed = false;
    let text = format!("could not resolve address '{name}'");
    for method in methods {
        let warning = match method {
            InitAddr::Last => match last {
                Some(ip) => return Ok(Some(ip)),
                None => continue,
            },
            InitAddr::Libc if is_service(name) => continue,
            InitAddr::Libc => match resolve_host(name, family) {
                Some(ip) => return Ok(Some(ip)),
                None => {
                    failed = true;
                    continue;
                }
            },
            InitAddr::None => "disabling server",
            InitAddr::Ip(_) => "falling back to configured address",
        };
        if failed {
            complain(resolver, Severity::Warning, proxy, draft, &format!("{text}, {warning}."));
        }
        return Ok(if let InitAddr::Ip(ip) = method { Some(ip) } else { None });
    }
    let text = if failed { format!("{text}.") } else { format!("no method found to resolve address '{name}'.") };
    complain(resolver, Severity::Alert, proxy, draft, &text);
    Err(Unresolved)
}

/// What of a server does not fit its backend.
pub(super) fn contradictions(draft: &ServerDraft, mode: Mode, noun: &str, proxy: &str) -> Vec<String> {
    let http = mode == Mode::Http;
    let mut wrong = Vec::new();
    if !http && draft.redirect.is_some() {
        wrong.push(format!("{noun} '{proxy}' : server cannot have cookie or redirect prefix in non-HTTP mode."));
    }
    if let (Some(proto), Some(at)) = (&draft.proto, &draft.at)
        && http != (proto == "h1")
    {
        let name = &draft.name;
        let text = format!("MUX protocol '{proto}' is not usable for server '{name}' at [{at}].");
        wrong.push(format!("{noun} '{proxy}' : {text}"));
    }
    wrong
}

pub(super) fn complain(
    resolver: &mut Resolver<'_>,
    severity: Severity,
    proxy: &ProxyDraft,
    draft: &ServerDraft,
    text: &str,
) {
    let text = format!("'server {}/{}' : {text}", proxy.name, draft.name);
    let mut finding = Finding::general(severity, text);
    if let Some(at) = &draft.at {
        finding.place = Place::Server;
        finding.file = at.file.clone();
        finding.line = at.line;
    }
    resolver.findings.push(finding);
}
