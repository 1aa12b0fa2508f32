//! What connections of checks begin with.

use std::io;
use std::net::SocketAddr;

use crate::check::probe::{World, error_text};
use crate::check::{Next, Probe};
use crate::preface::{About, Failure, Preface, header};
use crate::proxy::preface::PrefaceSettings;
use crate::transport::Stream;
use crate::transport::net::Target;

/// The address of what is checked, and the way to it.
///
/// # Errors
/// As [`PrefaceSettings::detour`].
pub fn way(target: Target, settings: Option<PrefaceSettings>) -> io::Result<(Option<SocketAddr>, Target)> {
    let address = target.ip();
    let detour = settings.map_or(Ok(None), |settings| settings.detour(address))?;
    Ok((address, detour.map_or(target, Target::from)))
}

/// What a connection begins with that leads to `target`.
pub fn begin(settings: PrefaceSettings, stream: &Stream, target: Option<SocketAddr>) -> Preface {
    let header = match settings.header.is_empty() {
        true => Vec::new(),
        false => header(settings.header, About::Own((stream.local_address(), target))),
    };
    Preface::new(settings.tunnel(target), header)
}

/// Goes on with it, now that something is known of the connection. Whether that is the probe's now.
pub fn advance(
    probe: &mut Probe,
    preface: Option<&mut Preface>,
    stream: &Stream,
    world: &World<'_>,
) -> Result<(), Next> {
    let aborted = |error| format!("SOCKS4 Proxy handshake aborted by server ({})", error_text(error));
    if let Some(error) = stream.take_error() {
        let tunnels = probe.is_beginning() && preface.is_some_and(|preface| preface.is_tunnelling());
        return Err(probe.failed(&if tunnels { aborted(&error) } else { error_text(&error) }, world));
    }
    let Some(preface) = preface else { return Ok(()) };
    probe.reached();
    let text = match preface.advance(stream, false) {
        Ok(true) => return Ok(()),
        Ok(false) => return Err(Next::Wait),
        Err(Failure::Ended) => "SOCKS4 Proxy read error during handshake".to_owned(),
        Err(Failure::Denied) => "SOCKS4 Proxy deny the request".to_owned(),
        Err(Failure::Broken(error)) if preface.is_tunnelling() => aborted(&error),
        Err(Failure::Broken(error)) => error_text(&error),
    };
    Err(probe.failed(&text, world))
}
