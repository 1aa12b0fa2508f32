//! Whether connections live on, and the `Connection` field. HAProxy 2.6's rules, seen on both sides:
//!
//! - A 1.1 peer keeps its connection unless it says `close`; an older one closes unless it says
//!   `keep-alive`. `close` wins over `keep-alive`. `Proxy-Connection` and `Keep-Alive` are not looked
//!   at and pass.
//! - The tokens `close` and `keep-alive` are for us and are cut out of `Connection`; others stay (so
//!   do the fields they name); a field that is left without tokens goes away.
//! - What the proxy itself wants is a field of its own after all others, only where it is not what
//!   the version says anyway. To a server: `close` in a 1.1 request, `keep-alive` in an older one. To
//!   a client: `close` in a 1.1 response; `keep-alive` if the client's or the response's version is
//!   older.
//! - A message whose `Connection` still says `upgrade` gets none of these.
//! - In keep-alive mode (the default) the server's connection is kept even when the client's closes.
//!   `option http-server-close` closes the server's, `option httpclose` both.

use super::framing::says;
use crate::http::{Head, Known, Values, Version};

/// What a peer said in its `Connection` fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`, if the message may have it: not a request with an `Upgrade` field and a body.
    pub upgrade: bool,
}

impl Asked {
    /// Whether a peer of this version lets its connection live after the exchange.
    pub fn keeps(self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

/// Reads the `Connection` fields and removes what was meant for the proxy alone. Call it after
/// `framing`, which may take `Upgrade` away.
pub fn take(head: &mut Head) -> Asked {
    let mut asked = Asked::default();
    let mut from = 0;
    while let Some(index) = head.find_known(Known::Connection, from) {
        let value = head.value_at(index);
        // How far the tokens of others go.
        let mut kept_bytes = 0;
        let mut ours = false;
        for token in Values::new(value) {
            let (close, keep_alive) = (token.eq_ignore_ascii_case(b"close"), token.eq_ignore_ascii_case(b"keep-alive"));
            asked.close |= close;
            asked.keep_alive |= keep_alive;
            asked.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            if close || keep_alive {
                ours = true;
            } else if !token.is_empty() {
                kept_bytes = token.as_ptr() as usize - value.as_ptr() as usize + token.len();
            }
        }
        if kept_bytes == 0 {
            head.remove_at(index);
        } else if ours {
            cut_tokens(head, index);
        } else if kept_bytes < value.len() {
            head.shrink_value(index, 0..kept_bytes);
        }
        from = index + 1;
    }
    // Not if `framing` took `Upgrade` off a request with a body. Where there never was one, HAProxy
    // upgrades all the same.
    asked.upgrade &= !head.had(Known::Upgrade) || head.has(Known::Upgrade);
    asked
}

/// Leaves in a `Connection` field the tokens that are not for us: what stands before the first of
/// ours as it is, the rest joined by commas.
fn cut_tokens(head: &mut Head, index: usize) {
    let value = head.value_at(index);
    let mut rest = Vec::with_capacity(value.len());
    let mut cut = false;
    for token in Values::new(value) {
        if is_ours(token) {
            cut = true;
        } else if cut {
            if !rest.is_empty() {
                rest.push(b',');
            }
            rest.extend_from_slice(token);
        } else {
            let end = token.as_ptr() as usize - value.as_ptr() as usize + token.len();
            rest = value.get(..end).unwrap_or_default().to_vec();
        }
    }
    while rest.last() == Some(&b',') {
        rest.pop();
    }
    head.set_value(index, &rest);
}

fn is_ours(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive")
}

/// Adds the `Connection` field to a request for a server whose connection shall live on (`keep`). A
/// request that asks for an upgrade goes out with what the client said.
pub fn to_server(head: &mut Head, keep: bool) {
    match (head.version(), keep) {
        _ if upgrades(head) => {}
        (Version::Http11, false) => add(head, b"close"),
        (Version::Http10, true) => add(head, b"keep-alive"),
        _ => {}
    }
}

/// Adds the `Connection` field to a final response for a client of version `client` whose connection
/// shall live on (`keep`), unless it speaks of an upgrade. Not for 1xx, nor when a tunnel begins.
pub fn to_client(head: &mut Head, keep: bool, client: Version) {
    match (head.version(), keep) {
        _ if upgrades(head) => {}
        (Version::Http11, false) => add(head, b"close"),
        (version, true) if version == Version::Http10 || client == Version::Http10 => add(head, b"keep-alive"),
        _ => {}
    }
}

fn upgrades(head: &Head) -> bool {
    head.has(Known::Connection) && says(head, b"connection", b"upgrade")
}

fn add(head: &mut Head, token: &[u8]) {
    head.add_classified(Known::Connection, b"connection", token);
}
