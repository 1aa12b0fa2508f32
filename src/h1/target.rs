//! The request target and `Host`: what HAProxy checks between them, and what it makes equal.
//!
//! - Several `Host` fields with the same value (in any case) become one; different ones are an error.
//! - The authority of an absolute target, or the target of `CONNECT`, must be the value of `Host`,
//!   user information and default ports aside; without `Host` nothing is compared.
//! - A default port in the target (80 for http, 443 for https, both for `CONNECT`, an empty one but
//!   there) is cut off, in the target except after `CONNECT`, and in `Host`.
//! - `option accept-invalid-http-request` turns off the comparisons, not the cuts.

use super::error::{Fault, ParseError};
use crate::http::{Head, Known, Method, uri};

/// Checks and normalises the head of a request.
pub(super) fn check(head: &mut Head, lenient: bool) -> Result<(), ParseError> {
    let host_index = single_host(head)?;
    websocket_key(head)?;
    let plain = matches!(head.uri().first(), Some(b'/' | b'*'));
    if plain && head.method() != Method::Connect {
        return Ok(());
    }
    let target_at = head.uri_offset();
    let connect = head.method() == Method::Connect;
    let found = if connect { Some(head.uri()) } else { uri::authority(head.uri()) };
    let Some(authority) = found else {
        // HAProxy lets a target of one letter pass.
        return match lenient || head.uri().len() == 1 {
            true => Ok(()),
            false => Err(ParseError::new(Fault::Target, target_at)),
        };
    };
    let scheme = uri::scheme(head.uri());
    let (name, port) = uri::host_and_port(authority);
    if connect && !lenient && port.is_none_or(<[u8]>::is_empty) {
        return Err(ParseError::new(Fault::Target, target_at));
    }
    if name.is_empty() && port.is_none() {
        return Ok(());
    }
    let default_port = port.is_some_and(|port| uri::is_default_port(scheme, port));
    let mut host_name_bytes = None;
    if let Some(host) = head.get_known(Known::Host) {
        let (host_name, host_port) = uri::split_port(host);
        let host_default = host_port.is_some_and(|host_port| match connect {
            true => host_port.is_empty() || Some(host_port) == port && default_port,
            false => uri::is_default_port(scheme, host_port),
        });
        let same_port = port.filter(|_| !default_port) == host_port.filter(|_| !host_default);
        let same = same_port && name.eq_ignore_ascii_case(host_name);
        if !lenient && !same {
            let at = host_index.map_or(0, |index| head.value_offset(index));
            return Err(ParseError::new(Fault::Host, at));
        }
        host_name_bytes = (default_port && host_default).then_some(host_name.len());
    }
    if default_port {
        if !connect {
            let port_bytes = port.map_or(0, |port| port.len() + 1);
            let scheme_bytes = scheme.map_or(0, |scheme| scheme.len() + 3);
            let port_at = scheme_bytes + authority.len() - port_bytes;
            head.cut_uri(port_at..port_at + port_bytes);
        }
        if let (Some(index), Some(length)) = (host_index, host_name_bytes) {
            head.shrink_value(index, 0..length);
        }
    }
    Ok(())
}

/// Keeps one of several equal `Host` fields; gives its place.
fn single_host(head: &mut Head) -> Result<Option<usize>, ParseError> {
    let mut hosts = head.fields_known(Known::Host);
    let Some(first) = hosts.next() else {
        return Ok(None);
    };
    let (index, mut doubled) = (first.index, false);
    for host in hosts {
        if !host.value.eq_ignore_ascii_case(first.value) {
            return Err(ParseError::new(Fault::Host, head.value_offset(host.index)));
        }
        doubled = true;
    }
    if doubled {
        head.keep_only(Known::Host, index);
    }
    Ok(Some(index))
}

/// A WebSocket handshake must have its key: 24 characters (RFC 6455 4.1).
fn websocket_key(head: &Head) -> Result<(), ParseError> {
    let Some(index) = head.find_known(Known::Upgrade, 0) else {
        return Ok(());
    };
    let says = |name, word: &[u8]| head.values(name).any(|value| value.eq_ignore_ascii_case(word));
    let handshake = says(b"upgrade", b"websocket") && says(b"connection", b"upgrade");
    let key = head.get(b"sec-websocket-key");
    match handshake && key.is_none_or(|key| key.len() != 24) {
        true => Err(ParseError::new(Fault::Upgrade, head.value_offset(index))),
        false => Ok(()),
    }
}
