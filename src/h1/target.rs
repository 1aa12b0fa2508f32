//! The request target and `Host`: what HAProxy checks between them, and what it makes equal.
//!
//! - Several `Host` fields with the same value (in any case) become one; different ones are an error.
//! - The authority of an absolute target, or the target of `CONNECT`, must be the value of `Host`,
//!   user information and default ports aside; without `Host` nothing is compared.
//! - A default port in the target (80 for http, 443 for https, both for `CONNECT`, an empty one but
//!   there) is cut off and `Host` becomes what is left; after `CONNECT` only `Host` loses its port.
//! - The method `PRI`, kept for HTTP/2 (RFC 9113 3.4), is refused.
//! - `option accept-invalid-http-request` turns off the comparisons, not the changes.

use super::error::{Fault, ParseError};
use super::framing::says;
use crate::http::{Head, Known, Method, uri};

/// Makes the authority of an absolute target the only `Host`, whatever the client wrote there.
pub(super) fn replace_host(head: &mut Head) {
    let Some(authority) = uri::authority(head.uri()).filter(|authority| !authority.is_empty()) else { return };
    let without_user = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    let host = without_user.to_vec();
    match head.find_known(Known::Host, 0) {
        Some(index) if head.value_at(index) == host => head.keep_only(Known::Host, index),
        Some(index) => {
            head.set_value(index, &host);
            head.keep_only(Known::Host, index);
        }
        None => head.add(b"host", &host),
    }
}

/// Checks and normalises the head of a request.
pub(super) fn check(head: &mut Head, lenient: bool) -> Result<(), ParseError> {
    // The preface of HTTP/2 where no HTTP/2 begins.
    if head.method() == Method::Other && head.method_token() == b"PRI" {
        return Err(ParseError::new(Fault::Target, 0));
    }
    let host_index = single_host(head)?;
    websocket_key(head)?;
    let connect = head.method() == Method::Connect;
    if !connect && matches!(head.uri().first(), Some(b'/' | b'*')) {
        return Ok(());
    }
    let target = Target::of(head);
    if connect && !lenient && target.port.is_none_or(<[u8]>::is_empty) {
        return Err(ParseError::new(Fault::Target, head.uri_offset()));
    }
    let mut same = false;
    let (mut host_name_bytes, mut host_has_port) = (0, false);
    if let Some(host) = head.get_known(Known::Host) {
        let (name, port) = uri::split_port(host);
        let default = port.is_some_and(|port| target.is_default(port));
        same = target.is_host(name, port.filter(|_| !default));
        if !lenient && !same {
            let at = host_index.map_or(0, |index| head.value_offset(index));
            return Err(ParseError::new(Fault::Host, at));
        }
        host_name_bytes = name.len();
        host_has_port = port.is_some_and(|port| default && !port.is_empty());
    }
    if !target.port.is_some_and(|port| target.is_default(port)) {
        return Ok(());
    }
    let port = target.port_range();
    let name = port.start - target.name.len()..port.start;
    match host_index {
        Some(index) if !connect => head.value_from_uri(index, name),
        Some(index) if same && host_has_port => head.shrink_value(index, 0..host_name_bytes),
        _ => {}
    }
    if !connect {
        head.cut_uri(port);
    }
    Ok(())
}

/// A request target that names a host: an absolute one, that of `CONNECT`, and, as HAProxy takes it,
/// anything else that is neither a path nor `*`.
struct Target<'a> {
    connect: bool,
    scheme: Option<&'a [u8]>,
    authority: &'a [u8],
    name: &'a [u8],
    port: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    fn of(head: &'a Head) -> Target<'a> {
        let connect = head.method() == Method::Connect;
        let absolute = uri::authority(head.uri());
        let authority = absolute.unwrap_or(head.uri());
        let (name, port) = uri::host_and_port(authority);
        Target { connect, scheme: absolute.and_then(|_| uri::scheme(head.uri())), authority, name, port }
    }

    /// Whether a port, of the target or of `Host`, says no more than none.
    fn is_default(&self, port: &[u8]) -> bool {
        if self.connect {
            // Of the two default ports of `CONNECT`, `Host` may have only that of the target.
            return uri::is_default_port(None, port) && (port.is_empty() || self.port == Some(port));
        }
        self.scheme.is_some() && uri::is_default_port(self.scheme, port)
    }

    /// Whether the value of `Host`, its default port cut off, is the host of this target.
    fn is_host(&self, name: &[u8], port: Option<&[u8]>) -> bool {
        let own_port = self.port.filter(|port| !self.is_default(port));
        let empty = self.authority.is_empty();
        empty || (own_port == port && self.name.eq_ignore_ascii_case(name))
    }

    /// Where the port with its colon stands in the request target.
    fn port_range(&self) -> std::ops::Range<usize> {
        let before = self.scheme.map_or(0, |scheme| scheme.len() + "://".len());
        let end = before + self.authority.len();
        end - self.port.map_or(0, |port| port.len() + 1)..end
    }
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
    if !head.has(Known::Upgrade) {
        return Ok(());
    }
    let handshake = says(head, b"upgrade", b"websocket") && says(head, b"connection", b"upgrade");
    let key = head.get(b"sec-websocket-key");
    match handshake && key.is_none_or(|key| key.len() != 24) {
        true => Err(ParseError::new(Fault::Upgrade, head.raw_bytes())),
        false => Ok(()),
    }
}
