//! `resolvers` sections (section 5.3.2).

use std::collections::HashMap;
use std::net::SocketAddr;

use super::address::{self, Allowed, Host, Port, PortRule, Target};
use super::draft::{At, Draft, Kind, ProxyDraft, Settings};
use super::finding::{Findings, Place};
use super::scope::{Scope, Section, arg};
use super::server;
use super::unit::{TimeUnit, UnitError, atoi, invalid_char, time_ms};
use super::word::Word;
use crate::proxy::resolvers::{Hold, NameServer, Resolvers, TcpTransport, Transport};
use crate::registry::{Keyword, Sections, row};
use crate::time::Millis;

/// Where the system's name servers are told.
const SYSTEM_FILE: &str = "/etc/resolv.conf";
/// The port of name servers.
const DNS_PORT: u16 = 53;
/// The section that is there unless there is one of this name.
const DEFAULT_NAME: &str = "default";
/// Octets of an answer at least: its header; and at most: what a length in front of it can say.
const PAYLOAD_BYTES: std::ops::RangeInclusive<i32> = 12..=65535;

const HERE: Sections = Sections::RESOLVERS;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("nameserver", HERE, nameserver, "whom to ask"),
    row("parse-resolv-conf", HERE, |scope, _| system_nameservers(scope), "ask whom the system asks"),
    row("hold", HERE, hold, "how long what was known stays true"),
    row("timeout", HERE, timeout, "when to ask again"),
    row("resolve_retries", HERE, retries, "how often to ask until giving up"),
    row("accepted_payload_size", HERE, payload, "octets of the longest answer"),
];

const ADDRESS: Allowed = Allowed { port: PortRule::Required, fd: false, transport: None, resolve: true };
const HOST: Allowed = Allowed { port: PortRule::Never, ..ADDRESS };

/// A `resolvers` section as it was written.
#[derive(Debug)]
pub struct ResolversDraft {
    /// Where it begins.
    at: At,
    settings: Resolvers,
    /// Where each name server's line is, by its name.
    places: HashMap<String, At>,
    /// Name servers that no socket leads to.
    unreachable: Vec<String>,
    /// What parameters of servers look at: a proxy of the section's name, as in HAProxy.
    pub proxy: ProxyDraft,
}

impl ResolversDraft {
    fn new(name: &str, at: At) -> ResolversDraft {
        let settings = Resolvers {
            name: name.to_owned(),
            nameservers: Vec::new(),
            payload_bytes_max: 512,
            retries: 3,
            resolve_every: Millis::from_secs(1),
            retry_after: Millis::from_secs(1),
            hold: Hold::default(),
        };
        let proxy = ProxyDraft::new(Kind::Backend, name, at.clone(), Settings::default());
        ResolversDraft { at, settings, places: HashMap::new(), unreachable: Vec::new(), proxy }
    }

    /// Takes the name servers of a text like resolv.conf(5); gives what is wrong with its lines.
    fn read_system(&mut self, text: &str) -> Vec<String> {
        let mut remarks = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let at = At { file: SYSTEM_FILE.into(), line: number };
            let Some(rest) = line.strip_prefix("nameserver").filter(|rest| !rest.starts_with(|c: char| !is_blank(c)))
            else {
                continue;
            };
            let host = rest.trim_start_matches(is_blank).split(|c| is_blank(c) || c == '\r').next().unwrap_or_default();
            if host.is_empty() {
                remarks.push(format!("parsing [{at}] : nameserver line is missing address."));
                continue;
            }
            let Ok(Target::Inet { host: Host::Ip(ip), .. }) = address::parse(host, HOST).map(|found| found.target)
            else {
                let what = format!("address '{host}' could not be recognized, nameserver will be excluded.");
                remarks.push(format!("parsing [{at}] : {what}"));
                continue;
            };
            if let Some(other) = self.places.get(host) {
                remarks.push(format!(
                    "Parsing [{at}] : generated name for {SYSTEM_FILE} nameserver '{host}' conflicts with another \
                     nameserver (declared at {other}), it appears to be a duplicate and will be excluded."
                ));
                continue;
            }
            let address = SocketAddr::new(ip, DNS_PORT);
            self.places.insert(host.to_owned(), at);
            let nameserver = NameServer { name: host.to_owned(), address, transport: Transport::Udp };
            self.settings.nameservers.push(nameserver);
        }
        remarks
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Opens a section.
///
/// # Errors
/// It has no name, a bad one, or another's: the file is given up.
pub fn open(scope: &mut Scope<'_>, words: &[Word]) -> Result<Section, String> {
    named(scope, words).inspect_err(|_| scope.findings.give_up())
}

fn named(scope: &mut Scope<'_>, words: &[Word]) -> Result<Section, String> {
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("missing name for resolvers section.".into());
    }
    if let Some(c) = invalid_char(name) {
        return Err(format!("character '{c}' is not permitted in 'resolvers' name '{name}'."));
    }
    if let Some(other) = scope.draft.resolvers.iter().find(|other| other.settings.name == name) {
        let text = format!(
            "Parsing [{}]: resolvers '{name}' has same name as another resolvers (declared at {}).",
            scope.at, other.at
        );
        scope.place = Place::None;
        scope.alert(text);
        scope.place = Place::Keyword;
        // So HAProxy goes on.
        return Err("out of memory.".into());
    }
    scope.draft.resolvers.push(ResolversDraft::new(name, scope.at.clone()));
    Ok(Section::Resolvers(scope.draft.resolvers.len() - 1))
}

/// Rows are dispatched by section: there is one.
fn edit(scope: &mut Scope<'_>, change: impl FnOnce(&mut ResolversDraft)) -> Result<(), String> {
    if let Section::Resolvers(index) = scope.section {
        change(&mut scope.draft.resolvers[index]);
    }
    Ok(())
}

fn nameserver(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (name, text) = (arg(words, 1), arg(words, 2));
    if name.is_empty() || text.is_empty() {
        return Err("'nameserver' expects <name> and <addr>[:<port>] as arguments.".into());
    }
    if let Some(c) = invalid_char(name) {
        return Err(format!("character '{c}' is not permitted in server name '{name}'."));
    }
    let mut other = None;
    edit(scope, |section| other = section.places.get(name).cloned())?;
    if let Some(other) = other {
        let text = format!(
            "Parsing [{}]: nameserver '{name}' has same name as another nameserver (declared at {other}).",
            scope.at
        );
        scope.place = Place::None;
        scope.alert(text);
        return Ok(());
    }
    scope.point_at(&words[2]);
    let place = format!("'nameserver {name}' : ");
    let parsed = address::parse(&scope.draft.env.expand(text), ADDRESS).map_err(|error| format!("{place}{error}"))?;
    let at = scope.at.clone();
    let transport = match parsed.transport {
        Some(address::Transport::Stream) => match tcp(scope, name, &words[2..])? {
            Some(transport) => Transport::Tcp(transport),
            None => return Ok(()),
        },
        _ => Transport::Udp,
    };
    let address = match parsed.target {
        Target::Inet { host: Host::Ip(ip), port: Port::Fixed(port) } => Some(SocketAddr::new(ip, port)),
        Target::Inet { port: Port::Range(..), .. } => {
            return Err(format!("{place}port range not permitted here in '{text}'"));
        }
        _ => None,
    };
    edit(scope, |section| {
        section.places.insert(name.to_owned(), at);
        match address {
            Some(address) => {
                section.settings.nameservers.push(NameServer { name: name.to_owned(), address, transport });
            }
            None => section.unreachable.push(name.to_owned()),
        }
    })
}

/// What follows the address of a name server that is asked over TCP: parameters of servers, of which those about
/// connections count. `None` if there is an unknown one, which has been reported.
fn tcp(scope: &mut Scope<'_>, name: &str, words: &[Word]) -> Result<Option<TcpTransport>, String> {
    scope.place = Place::Server;
    let text = words[0].text.clone();
    let draft = server::one(scope, name, &text, words);
    if !matches!(draft, Ok(Some(_))) {
        scope.findings.give_up();
    }
    let draft = draft?;
    scope.place = Place::Keyword;
    Ok(draft.map(|draft| TcpTransport {
        maxconn: draft.maxconn,
        source: draft.source,
        user_timeout: draft.user_timeout,
    }))
}

fn system_nameservers(scope: &mut Scope<'_>) -> Result<(), String> {
    scope.place = Place::Reader;
    let text = std::fs::read(SYSTEM_FILE).map_err(|_| format!("failed to open {SYSTEM_FILE}."))?;
    let text = String::from_utf8_lossy(&text);
    let mut remarks = Vec::new();
    edit(scope, |section| remarks = section.read_system(&text))?;
    match &remarks[..] {
        [] => {}
        [only] => scope.warn(only),
        several => scope.warn(several.iter().map(|remark| format!("\n        {remark}")).collect::<String>()),
    }
    Ok(())
}

fn hold(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (event, text) = (arg(words, 1), arg(words, 2));
    if text.is_empty() {
        scope.alert("'hold' expects an <event> and a <time> as arguments.");
        scope.place = Place::None;
        return Err("<event> can be either 'valid', 'nx', 'refused', 'timeout', or 'other'".into());
    }
    let ms = time_ms(text, TimeUnit::Ms).map_err(|error| {
        scope.point_at(&words[2]);
        time_error(scope, error, text, event, "hold")
    })?;
    let field: fn(&mut Hold) -> &mut Millis = match event {
        "nx" => |hold| &mut hold.nx,
        "other" => |hold| &mut hold.other,
        "refused" => |hold| &mut hold.refused,
        "timeout" => |hold| &mut hold.timeout,
        "valid" => |hold| &mut hold.valid,
        "obsolete" => |hold| &mut hold.obsolete,
        _ => {
            let known = "'nx', 'timeout', 'valid', 'obsolete' or 'other'";
            return Err(format!("'hold' unknown <event>: '{event}', expects either {known}."));
        }
    };
    edit(scope, |section| *field(&mut section.settings.hold) = Millis(ms.into()))
}

fn timeout(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (event, text) = (arg(words, 1), arg(words, 2));
    match event {
        "" => return Err("'timeout' expects 'retry' or 'resolve' and <time> as arguments.".into()),
        "retry" | "resolve" if text.is_empty() => {
            return Err(format!("'timeout {event}' expects <time> as argument."));
        }
        "retry" | "resolve" => {}
        _ => return Err(format!("'timeout' expects 'retry' or 'resolve' and <time> as arguments got '{event}'.")),
    }
    let what = format!("timeout {event}");
    let ms = time_ms(text, TimeUnit::Ms).map_err(|error| {
        scope.point_at(&words[2]);
        time_error(scope, error, text, text, &what)
    })?;
    // Without any pause it would never do anything else.
    let pause = Millis(u64::from(ms.max(1)));
    edit(scope, |section| match event {
        "retry" => section.settings.retry_after = pause,
        _ => section.settings.resolve_every = pause,
    })
}

/// `shown` is what HAProxy takes for the value.
fn time_error(scope: &mut Scope<'_>, error: UnitError, text: &str, shown: &str, what: &str) -> String {
    scope.place = Place::Reader;
    match error {
        UnitError::Unexpected(c) => format!("unexpected character '{c}' in argument to <{what}>."),
        UnitError::Overflow => {
            format!("timer overflow in argument <{shown}> to <{what}>, maximum value is 2147483647 ms (~24.8 days).")
        }
        UnitError::Underflow => {
            format!("timer underflow in argument <{text}> to <{what}>, minimum non-null value is 1 ms.")
        }
    }
}

fn retries(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'resolve_retries' expects <nb> as argument.".into());
    }
    // A number below zero never gets to it.
    let retries = u32::try_from(atoi(text)).unwrap_or(0);
    edit(scope, |section| section.settings.retries = retries)
}

fn payload(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'accepted_payload_size' expects <nb> as argument.".into());
    }
    let bytes = u16::try_from(atoi(text)).ok().filter(|bytes| PAYLOAD_BYTES.contains(&i32::from(*bytes)));
    let bytes = bytes.ok_or_else(|| {
        let (min, max) = (PAYLOAD_BYTES.start(), PAYLOAD_BYTES.end());
        format!("'accepted_payload_size' must be between {min} and {max} inclusive (was {text}).")
    })?;
    edit(scope, |section| section.settings.payload_bytes_max = bytes)
}

/// All sections, and the one that is there if nobody wrote it: it asks whom the system asks (manual 5.3.2).
pub(super) fn resolve(draft: &Draft) -> Vec<Resolvers> {
    let mut all: Vec<Resolvers> = draft.resolvers.iter().map(|section| section.settings.clone()).collect();
    if all.iter().all(|section| section.name != DEFAULT_NAME)
        && let Ok(text) = std::fs::read(SYSTEM_FILE)
    {
        let mut section = ResolversDraft::new(DEFAULT_NAME, At { file: SYSTEM_FILE.into(), line: 0 });
        section.read_system(&String::from_utf8_lossy(&text));
        if !section.settings.nameservers.is_empty() {
            all.push(section.settings);
        }
    }
    all
}

/// What is wrong with the sections once all is read.
pub(super) fn check(draft: &Draft, findings: &mut Findings) {
    for section in &draft.resolvers {
        let name = &section.settings.name;
        for nameserver in &section.unreachable {
            findings.alert(format!("resolvers '{name}': can't create socket for nameserver '{nameserver}'."));
        }
        if section.places.is_empty() {
            findings.warning(format!("resolvers '{name}' [{}] has no nameservers configured!", section.at));
        }
    }
}
