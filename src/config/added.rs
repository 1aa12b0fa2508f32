//! Servers that are added while the program runs (management manual 9.3, `add server`): the words of a `server` line
//! (manual 5.2), read beside a configuration that is in use.
//!
//! Names are not looked up, for nobody may wait for that here; and other than in HAProxy, `default-server` lines of
//! the backend hold for such servers, too.

use std::rc::Rc;

use super::address;
use super::draft::{At, Draft, Kind, ProxyDraft, ServerDraft, Settings};
use super::env::Env;
use super::finding::{Findings, Place};
use super::resolve_server::{
    CHECK_PORT_HINT, contradictions as in_backend, from_draft, lacks_check_port, no_check_port, target,
};
use super::scope::{Prefix, Scope, Section};
use super::server::{Line, contradictions, parameters};
use super::track;
use super::word::Word;
use crate::notice;
use crate::proxy::namespace::Namespace;
use crate::proxy::{AdminAtStart, BackendId, Config, Server, ServerId};

/// When workers may enter namespaces.
const MAY_ENTER: &str = "a server of the configuration has a namespace and they stay root";

/// A server called `name` for a backend, with `words` from its address on. It has the id that the words choose, or
/// the lowest that is free.
///
/// # Errors
/// What is wrong, in HAProxy's words; a line feed ends it.
pub fn server(config: &Config, backend: BackendId, name: &str, words: &[String]) -> Result<Server, String> {
    let Some((text, words)) = words.split_first() else {
        return Err("'server' expects <name> and <addr>[:<port>] as arguments.\n".into());
    };
    let mut draft = Draft::new(Env::of(&config.environment));
    let mut settings = Settings { mode: config[backend].mode, ..Settings::default() };
    settings.source.clone_from(&config[backend].source);
    draft.proxies.push(ProxyDraft::new(Kind::Backend, &config[backend].name, nowhere(), settings));
    let text = draft.env.expand(text);
    let parsed = address::parse(&text, address::SERVER).map_err(line)?;
    let name = name.to_owned();
    let open_namespaces = namespaces(config);
    let mut server = ServerDraft { name, address: Some(parsed), open_namespaces, ..ServerDraft::default() };
    let words: Vec<Word> = words.iter().map(|word| Word::from(word.as_str())).collect();
    // What a `default-server` line has of names is not for servers that are added.
    read(&mut draft, &mut server, &config[backend].preset, Line::Default)?;
    read(&mut draft, &mut server, &words, Line::Command)?;
    let uuid = match server.id {
        Some(id) => distinct(config, backend, id)?,
        None => free_number(config, backend),
    };
    contradictions(&server).map_err(line)?;
    if let Some(namespace) = &server.connection.namespace {
        namespace.enter().map_err(|error| {
            let reason = notice::reason(&error);
            format!(
                "Cannot enter namespace '{}' : {reason} (workers keep that right if {MAY_ENTER}).\n",
                namespace.name
            )
        })?;
    }
    finish(config, (backend, uuid), &server)
}

/// The namespaces that a configuration names: a worker in its sandbox opens no others, and may enter them only if servers
/// that were written need that.
fn namespaces(config: &Config) -> Vec<Namespace> {
    let of_servers = config.servers.written().iter().filter_map(|server| server.connection.namespace.clone());
    let of_binds =
        config.frontends.iter().flat_map(|frontend| &frontend.binds).filter_map(|bind| bind.options.namespace.clone());
    of_servers.chain(of_binds).collect()
}

/// Reads parameters into `server`.
fn read(draft: &mut Draft, server: &mut ServerDraft, words: &[Word], from: Line<'_>) -> Result<(), String> {
    let mut findings = Findings::default();
    let mut scope = Scope {
        draft,
        findings: &mut findings,
        section: Section::Proxy(0),
        at: nowhere(),
        place: Place::None,
        column: 0,
        end: 0,
        prefix: Prefix::None,
        source: Rc::from(&[][..]),
    };
    let outcome = parameters(&mut scope, server, words, from);
    if outcome.map_err(line)? && !findings.fatal() {
        return Ok(());
    }
    Err(findings.iter().map(|finding| line(finding.text.clone())).collect())
}

/// The server itself, once its words are understood.
fn finish(config: &Config, (backend, uuid): (BackendId, u32), draft: &ServerDraft) -> Result<Server, String> {
    let own = &config[backend];
    let noun = if own.is_listen { Kind::Listen.noun() } else { Kind::Backend.noun() };
    let track = draft.track.as_deref().map(|name| tracked(config, backend, name).map_err(line)).transpose()?;
    // There is an address, or nothing would have been read.
    let place = draft.address.as_ref().map(target).transpose().map_err(line)?;
    let Some(place) = place else { return Err(line("no address".to_owned())) };
    let lacks_address = place.1.is_some();
    let wrong = in_backend(draft, own.mode, noun, &own.name).into_iter().next();
    if let Some(text) = wrong {
        return Err(line(text));
    }
    if lacks_check_port(draft, &place) && !own.check.names_port() {
        let text = no_check_port(&draft.name);
        return Err(format!("config: {noun} '{}': {text}{CHECK_PORT_HINT}.\n", own.name));
    }
    let mut servers = config.servers_of(backend);
    if servers.any(|(_, other)| other.name == draft.name) {
        return Err("Already exists a server with the same name in backend.\n".into());
    }
    let admin = match draft.disabled {
        None => AdminAtStart::Added,
        Some(true) => AdminAtStart::Maintenance,
        Some(false) => AdminAtStart::Ready,
    };
    let server = from_draft(draft, (backend, uuid), place, own.source.as_ref());
    Ok(Server { lacks_address, admin, track, ..server })
}

/// The lowest number that no server of a backend has.
pub fn free_number(config: &Config, backend: BackendId) -> u32 {
    let mut used: Vec<u32> = config.servers_of(backend).map(|(_, server)| server.uuid).collect();
    used.sort_unstable();
    used.into_iter().fold(1, |free, used| if used == free { free + 1 } else { free })
}

fn distinct(config: &Config, backend: BackendId, id: u32) -> Result<u32, String> {
    let mut servers = config.servers_of(backend);
    let Some((_, other)) = servers.find(|(_, other)| other.uuid == id) else { return Ok(id) };
    let at = other.written.as_ref().map_or("(null):0".to_owned(), |(file, line)| format!("{file}:{line}"));
    Err(format!("'id' : custom id {id} already used at {at} ('server {}').\n", other.name))
}

/// The server that a server of `backend` may track by this name.
fn tracked(config: &Config, backend: BackendId, name: &str) -> Result<ServerId, String> {
    track::find(config, backend, name, |id, named| {
        let server = &config[id];
        if server.written.is_none() {
            return Err(format!("unable to use {named} for tracking as it is a dynamic server."));
        }
        if server.check.is_none() && server.agent.is_none() && server.track.is_none() {
            return Err(track::unchecked(named));
        }
        Ok(())
    })
}

fn nowhere() -> At {
    At { file: Rc::from(""), line: 0 }
}

fn line(text: String) -> String {
    text + "\n"
}
