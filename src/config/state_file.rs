//! State files: `load-server-state-from-file` and where the files are (sections 3.1 and 4.2). Their lines are those
//! of `show servers state` (management manual 9.3).

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;

use super::draft::ProxyDraft;
use super::resolve::Resolver;
use super::scope::{Scope, arg};
use super::server::WEIGHT_MAX;
use super::unit;
use super::word::Word;
use crate::proxy::{SavedState, ServerId};
use crate::registry::{Keyword, Sections, sized_row as row};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("server-state-base", Sections::GLOBAL, None, base, "directory of state files"),
    row("server-state-file", Sections::GLOBAL, None, file, "the state file of several backends"),
    row("load-server-state-from-file", Sections::SERVER_SIDE, None, source, "where states of servers are found"),
    row("server-state-file-name", Sections::SERVER_SIDE, None, name, "the state file of a backend"),
];

/// `load-server-state-from-file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nowhere.
    #[default]
    None,
    /// The file of `global`.
    Global,
    /// A file of the backend's own.
    Local,
}

/// Fields that a line needs, and those that count.
const FIELDS_MIN: usize = 20;
const FIELDS_MAX: usize = 25;
/// Highest number of a check's status in HAProxy.
const STATUS_MAX: u64 = 23;

fn base(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let missing = "'server-state-base' expects one argument: a directory path.";
    once(words, &mut scope.draft.global_extra.state_base, missing)
}

fn file(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let missing = "'server-state-file' expect one argument: a file path.";
    once(words, &mut scope.draft.global_extra.state_file, missing)
}

fn once(words: &[Word], field: &mut Option<String>, missing: &str) -> Result<(), String> {
    if field.is_some() {
        return Err(format!("'{}' already specified. Continuing.", arg(words, 0)));
    }
    match arg(words, 1) {
        "" => Err(missing.to_owned()),
        value => {
            *field = Some(value.to_owned());
            Ok(())
        }
    }
}

fn source(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().state_source = match arg(words, 1) {
        "global" => Source::Global,
        "local" => Source::Local,
        "none" => Source::None,
        other => {
            return Err(format!("'load-server-state-from-file' expects 'global', 'local' or 'none'. Got '{other}'"));
        }
    };
    Ok(())
}

fn name(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if let Some(word) = words.get(2) {
        return Err(format!("'server-state-file-name' cannot handle unexpected argument '{}'.", word.text));
    }
    scope.settings().state_file = match arg(words, 1) {
        "" | "use-backend-name" => None,
        name => Some(name.to_owned()),
    };
    Ok(())
}

/// The lines of a file by backend and server; of several for one server the first counts.
type Lines = HashMap<(String, String), Vec<String>>;

/// Reads the files, once nothing is wrong, and notes with each server what they say of it.
pub(super) fn load(resolver: &mut Resolver<'_>) {
    if resolver.findings.fatal() {
        return;
    }
    let global = global_file(resolver);
    let mut first = 0;
    for proxy in resolver.draft.proxies.iter().filter(|proxy| proxy.kind.is_backend()) {
        let end = first + proxy.servers.len() as u32;
        let mut servers = (first..end).map(ServerId);
        first = end;
        match proxy.settings.state_source {
            Source::None => {}
            Source::Global => match &global {
                Some(lines) => servers.for_each(|id| note(resolver, proxy, id, lines, false)),
                None => resolver.findings.warning(format!(
                    "backend '{}' configured to load server state file from global section 'server-state-file' \
                     directive. Unfortunately, 'server-state-file' is not set!",
                    proxy.name
                )),
            },
            Source::Local => {
                let path = path(resolver, proxy.settings.state_file.as_deref().unwrap_or(&proxy.name));
                match read(&path, "") {
                    Ok(lines) => servers.by_ref().for_each(|id| note(resolver, proxy, id, &lines, true)),
                    Err(text) => resolver.findings.warning(format!("Proxy '{}': {text}", proxy.name)),
                }
            }
        }
    }
}

/// What the file of `global` says, if there is one, nothing if it cannot be used.
fn global_file(resolver: &mut Resolver<'_>) -> Option<Lines> {
    let path = path(resolver, resolver.draft.global_extra.state_file.as_deref()?);
    Some(read(&path, "global ").unwrap_or_else(|text| {
        // HAProxy ends this sentence in the case of a backend's own file only.
        let text = if text.starts_with("Can't open") { text.trim_end_matches('.') } else { &text };
        resolver.findings.warning(format!("config: {text}"));
        Lines::new()
    }))
}

/// Where a file is that is written as `name`.
fn path(resolver: &Resolver<'_>, name: &str) -> String {
    match &resolver.draft.global_extra.state_base {
        Some(base) if !name.starts_with('/') => format!("{base}{}{name}", if base.ends_with('/') { "" } else { "/" }),
        _ => name.to_owned(),
    }
}

/// The lines of a file. One that is cut or too short makes the whole file worthless.
fn read(path: &str, kind: &str) -> Result<Lines, String> {
    let text = fs::read(path)
        .map_err(|error| format!("Can't open {kind}server state file '{path}': {}.", unit::reason(&error)))?;
    parse(&String::from_utf8_lossy(&text)).map_err(|line| match line {
        0 => format!("Can't get version of the {kind}server state file '{path}'."),
        _ => format!("corrupted {kind}server state file '{path}' at line {line}."),
    })
}

/// The lines of a text, or where it is wrong. The line of the version does not count.
fn parse(text: &str) -> Result<Lines, usize> {
    let mut rest = text.split_inclusive('\n');
    if rest.next() != Some("1\n") {
        return Err(0);
    }
    let mut lines = Lines::new();
    for (number, line) in (1..).zip(rest) {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(FIELDS_MAX).collect();
        let is_whole = line.ends_with('\n');
        if is_whole && fields.first().is_none_or(|field| field.starts_with('#')) {
            continue;
        }
        if !is_whole || fields.len() < FIELDS_MIN {
            return Err(number);
        }
        let key = (fields[1].to_owned(), fields[3].to_owned());
        lines.entry(key).or_insert_with(|| fields.into_iter().map(str::to_owned).collect());
    }
    Ok(lines)
}

/// Notes what a file says of a server.
fn note(resolver: &mut Resolver<'_>, proxy: &ProxyDraft, id: ServerId, lines: &Lines, is_own_file: bool) {
    let server = &resolver.config.servers[id];
    let backend = resolver.config.backends.get(server.backend.0 as usize);
    let uuid = backend.map_or(0, |backend| backend.uuid);
    let Some(fields) = lines.get(&(proxy.name.clone(), server.name.clone())) else {
        let is_same = |fields: &&Vec<String>| fields[0].parse() == Ok(uuid) && fields[3] == server.name;
        if let Some(fields) = lines.values().find(|fields| is_own_file && is_same(fields)) {
            resolver.findings.warning(format!(
                "Proxy '{0}': backend name mismatch: from server state file: '{1}', from running config '{0}'",
                proxy.name, fields[1]
            ));
        }
        return;
    };
    if is_own_file && fields[0].parse() != Ok(uuid) {
        resolver.findings.warning(format!(
            "Proxy '{}': backend ID mismatch: from server state file: '{}', from running config '{uuid}'",
            proxy.name, fields[0]
        ));
    }
    let of = format!("for server '{}/{}'", proxy.name, server.name);
    match numbers(fields) {
        Err(wrong) => resolver.findings.warning(format!("server-state application failed {of}, {}", wrong.join(", "))),
        Ok(mut saved) => {
            let told = |at: usize| fields.get(at).filter(|field| *field != "-").cloned();
            (saved.address, saved.name, saved.service) = (fields[4].parse().ok(), told(17), told(19));
            if let (Some(own), Some(other)) = (&server.service, &saved.service)
                && own != other
            {
                resolver.findings.warning(format!(
                    "server-state partially applied {of}, SRV record mismatch between configuration ('{own}') and \
                     state file ('{other}) for server '{}'. Previous state not applied",
                    server.name
                ));
            }
            if let Err(text) = checks(fields, server.check.is_some(), server.agent.is_some(), &mut saved) {
                resolver.findings.warning(format!("server-state partially applied {of}, {text}"));
            }
            resolver.config.servers[id].saved = Some(saved);
        }
    }
}

/// The numbers of a line, or what is wrong with each.
fn numbers(fields: &[String]) -> Result<SavedState, Vec<String>> {
    let mut wrong = Vec::new();
    let mut number = |at: usize, name: &str, max: u64| match fields[at].parse::<u64>() {
        Ok(number) if number <= max => number,
        _ => {
            wrong.push(format!("invalid {name} value '{}'", fields[at]));
            0
        }
    };
    let weight_max = u64::from(WEIGHT_MAX.unsigned_abs());
    // All are within limits that their types have room for.
    let operation = number(5, "srv_op_state", 3) as u8;
    let admin = number(6, "srv_admin_state", 0x7f) as u8;
    let weight = number(7, "srv_uweight", weight_max) as u32;
    let initial_weight = number(8, "srv_iweight", weight_max) as u32;
    let changed_ago_s = number(9, "srv_last_time_change", u64::MAX);
    let status = number(10, "srv_check_status", STATUS_MAX) as u8;
    number(11, "srv_check_result", 4);
    number(12, "srv_check_health", u64::MAX);
    let check_state = number(13, "srv_check_state", 0x0f) as u8;
    number(14, "srv_agent_state", 0x1f);
    number(15, "bk_f_forced_id", 1);
    number(16, "srv_f_forced_id", 1);
    let port = number(18, "srv_port", u64::from(u16::MAX)) as u16;
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let saved = SavedState {
        operation,
        admin,
        weight,
        initial_weight,
        changed_ago_s,
        status,
        check_state,
        port,
        ..SavedState::default()
    };
    Ok(saved)
}

/// What a line may have beyond that: where checks go. What stands before a mistake counts.
fn checks(fields: &[String], is_checked: bool, has_agent: bool, saved: &mut SavedState) -> Result<(), String> {
    let given = |at: usize, none: &str| fields.get(at).map(String::as_str).filter(|field| *field != none);
    let address = |addr: &str| addr.parse::<IpAddr>().map_err(|_| format!("invalid addr '{addr}'"));
    let number = |port: &str| {
        let number = port.parse::<i64>().map_err(|_| "provided port is not an integer")?;
        u16::try_from(number).map_err(|_| "provided port is invalid")
    };
    let (port, addr) = (given(21, "0"), given(22, "-"));
    if (port.is_some() || addr.is_some()) && !is_checked {
        return Err("health checks are not enabled on this server".into());
    }
    if let Some(addr) = addr {
        saved.check_addr = Some(address(addr)?);
    }
    if let Some(port) = port {
        saved.check_port = Some(number(port)?);
    }
    let (addr, port) = (given(23, "-"), given(24, "0"));
    if (port.is_some() || addr.is_some()) && !has_agent {
        return Err("agent checks are not enabled on this server".into());
    }
    saved.agent_addr = addr.map(address).transpose()?;
    saved.agent_port = port.map(number).transpose()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "3 b 1 s 127.0.0.1 2 8 7 1 100 6 3 4 6 0 0 0 - 80 - 0 81 127.0.0.2 - 0";

    #[test]
    fn a_line_that_is_cut_makes_the_file_worthless() {
        assert_eq!(parse(""), Err(0));
        assert_eq!(parse("2\n"), Err(0));
        assert_eq!(parse(&format!("1\n# x\n\n{LINE}")), Err(3));
        assert_eq!(parse(&format!("1\n{LINE}\n3 b 1 t 127.0.0.1\n")), Err(2));
        let lines = parse(&format!("1\n{LINE} more\n{}\n", LINE.replace(" 7 ", " 8 "))).expect("lines");
        let fields = &lines[&("b".to_owned(), "s".to_owned())];
        assert_eq!((fields[7].as_str(), fields.len()), ("7", FIELDS_MAX), "the first one counts");
    }

    #[test]
    fn each_number_that_is_wrong_is_told() {
        let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut saved = numbers(&fields(LINE)).expect("numbers");
        assert_eq!((saved.operation, saved.admin, saved.weight, saved.port), (2, 8, 7, 80));
        assert_eq!(checks(&fields(LINE), true, false, &mut saved), Ok(()));
        assert_eq!((saved.check_port, saved.check_addr), (Some(81), Some([127, 0, 0, 2].into())));
        assert!(checks(&fields(LINE), false, false, &mut saved).is_err());
        let with_agent = fields(&LINE.replace("127.0.0.2 - 0", "127.0.0.2 127.0.0.3 82"));
        assert!(checks(&with_agent, true, false, &mut saved).is_err());
        assert_eq!(checks(&with_agent, true, true, &mut saved), Ok(()));
        assert_eq!((saved.agent_port, saved.agent_addr), (Some(82), Some([127, 0, 0, 3].into())));
        let wrong = numbers(&fields(&LINE.replace("2 8 7 1 100", "9 999 257 -1 x"))).unwrap_err();
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert_eq!(wrong[4], "invalid srv_last_time_change value 'x'");
    }
}
