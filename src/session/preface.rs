//! What an exchange's connection begins with (`send-proxy` and `socks4`, manual 5.2).

use std::net::SocketAddr;

use super::{Services, Turn};
use crate::preface::{About, Preface, header};
use crate::proxy::preface::PrefaceSettings;
use crate::proxy::{Config, Mode};
use crate::upstream::Peer;

/// The header of the PROXY protocol for a connection to `peer`, if that is to have one.
pub fn header_for(turn: &Turn<'_>, peer: Peer) -> Option<Box<[u8]>> {
    let settings = settings(turn.services.config, peer)?.header;
    if settings.is_empty() {
        return None;
    }
    let addresses = (turn.session.source, turn.session.destination);
    let context = turn.services.context(turn.session, turn.exchange);
    let about = About::Client(addresses, turn.frontend().unique_id(&context));
    Some(header(settings, about).into())
}

/// Where the connection goes in place of a server at `target`.
///
/// # Errors
/// As [`PrefaceSettings::detour`].
pub fn detour(config: &Config, peer: Peer, target: Option<SocketAddr>) -> std::io::Result<Option<SocketAddr>> {
    settings(config, peer).map_or(Ok(None), |settings| settings.detour(target))
}

/// What a new connection to a server at `target` begins with.
pub fn begin(services: &mut Services, key: usize, target: Option<SocketAddr>, header: Option<Box<[u8]>>) {
    let upstream = services.upstreams.get_mut(key);
    let tunnel = settings(services.config, upstream.peer).and_then(|settings| settings.tunnel(target));
    if tunnel.is_some() || header.is_some() {
        upstream.preface = Some(Box::new(Preface::new(tunnel, header.as_deref().unwrap_or_default().to_vec())));
    }
    upstream.header = header;
}

/// Goes on with the preface of a connection that is there. Whether it is over; `None` if it came to nothing.
pub fn advance(turn: &mut Turn<'_>, key: usize) -> Option<bool> {
    let http = turn.exchange.backend.is_some_and(|id| turn.services.config[id].mode == Mode::Http);
    let more = http || !turn.session.client.received().is_empty();
    let upstream = turn.services.upstreams.get_mut(key);
    let Some(preface) = &mut upstream.preface else { return Some(true) };
    let over = preface.advance(&upstream.connection.stream, more).ok()?;
    if over {
        upstream.preface = None;
    }
    Some(over)
}

fn settings(config: &Config, peer: Peer) -> Option<&PrefaceSettings> {
    match peer {
        Peer::Server(id) => Some(&config[id].preface),
        Peer::Address(_) => None,
    }
}
