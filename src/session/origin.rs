//! Where a connection to a server comes from (`source`, manual 4.2 and 5.2).

use std::net::SocketAddr;

use super::{Services, Turn};
use crate::log::Level;
use crate::notice as stderr;
use crate::proxy::source::{Foreign, Source, lenient_ip};
use crate::proxy::{Backend, BackendId, Mode, ServerId};
use crate::transport::net::{ConnectError, Origin};
use crate::upstream::Peer;

/// There is no address where `usesrc hdr_ip` looks for one: as in HAProxy, that is an internal error.
pub struct Nameless;

/// The origin of an exchange's connection to `peer`.
///
/// # Errors
/// See [`Nameless`].
pub fn of(turn: &Turn<'_>, backend: &'static Backend, peer: Peer) -> Result<Option<Origin>, Nameless> {
    let config = turn.services.config;
    let (source, server) = match peer {
        Peer::Server(id) => (config[id].source.as_ref(), Some(id)),
        Peer::Address(_) => (backend.source.as_ref(), None),
    };
    let Some(source) = source else { return Ok(None) };
    let mut origin = own(turn.services, source, server);
    let client = turn.session.source;
    let seen = match &source.foreign {
        Foreign::No => None,
        Foreign::Client | Foreign::ClientIp => client,
        Foreign::Address(address) => Some(*address),
        Foreign::Header { name, occurrence } => {
            let value = header(turn, backend, name, *occurrence).ok_or(Nameless)?;
            Some(SocketAddr::new(lenient_ip(value).into(), 0))
        }
    };
    origin.shown = seen;
    if let Some(mut seen) = seen.filter(|seen| !seen.ip().is_unspecified()) {
        if source.foreign == Foreign::ClientIp {
            seen.set_port(0);
        }
        (origin.address, origin.is_foreign) = (Some(seen), true);
    }
    Ok(Some(origin))
}

/// The origin of what leads to a server on no client's behalf.
pub fn own(services: &Services, source: &'static Source, server: Option<ServerId>) -> Origin {
    let ports = server.and_then(|id| services.counters.ports(id));
    Origin {
        address: Some(source.address),
        ports: ports.zip(source.ports),
        interface: source.interface.as_deref(),
        ..Origin::default()
    }
}

fn header<'a>(turn: &'a Turn<'_>, backend: &Backend, name: &'a str, occurrence: i32) -> Option<&'a [u8]> {
    if backend.mode != Mode::Http {
        return None;
    }
    let mut values = turn.exchange.request.values(name.as_bytes());
    let from_end = || values.clone().count().checked_sub(occurrence.unsigned_abs() as usize);
    let at = if occurrence < 0 { from_end()? } else { usize::try_from(occurrence).ok()?.checked_sub(1)? };
    values.nth(at)
}

impl Services {
    /// Tells why a connection for a backend could not even be tried, where HAProxy does. Says whether it did: then
    /// another attempt need not wait.
    pub fn complain(&mut self, backend: BackendId, error: &ConnectError) -> bool {
        let backend = &self.config[backend];
        let Some(complaint) = error.complaint(&backend.name) else { return false };
        let text = &complaint.text;
        let level = if complaint.is_grave {
            stderr::running(true, format_args!("{text} Aborting."));
            Level::Emerg
        } else {
            stderr::page(&format!("{text}\n"));
            Level::Err
        };
        self.log.message(self.now, level, &backend.log, format_args!("{text}"));
        true
    }

    /// Makes the ports free that an earlier worker in this one's place had.
    pub(super) fn inherit_ports(&self) {
        for (id, server) in self.config.servers_of_all() {
            let range = server.source.as_ref().and_then(|source| source.ports);
            if let Some((ports, range)) = self.counters.ports(id).zip(range) {
                ports.inherit(range);
            }
        }
    }
}
