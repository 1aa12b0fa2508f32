//! Header names: which ones pass, how they are written for a side that insists, and the one that tells a server
//! its own name.

use super::{Step, Turn, inspect, persistence, reply};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::framing;
use crate::http::Head;
use crate::proxy::{HeaderNames, Spellings};

/// Deals with unusual names in the request (manual 4.2, `option http-restrict-req-hdr-names`); a step if it is
/// refused for them.
pub fn restrict(turn: &mut Turn<'_>, policy: HeaderNames) -> Option<Step> {
    let is_usual = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    match policy {
        HeaderNames::Preserve => {}
        HeaderNames::Delete => drop(turn.exchange.request.remove_if(|_, name, _| !is_usual(name))),
        HeaderNames::Reject => {
            if !turn.exchange.request.fields().all(|field| is_usual(field.name)) {
                persistence::refused(turn);
                inspect::count_denied(turn);
                return Some(reply::error(turn, 403, Cause::Proxy, Doing::Request));
            }
        }
    }
    None
}

/// Tells the server its name (manual 4.2, `http-send-name-header`); nobody else may.
pub fn announce(turn: &mut Turn<'_>, header: &str) {
    let exchange = &mut *turn.exchange;
    exchange.request.remove(header.as_bytes());
    if let Some(server) = exchange.server {
        exchange.request.add(header.as_bytes(), turn.services.config[server].name.as_bytes());
    }
    framing::restore(&mut exchange.request, exchange.request_body);
}

/// Writes names as `global` wants them (manual 3.2, `h1-case-adjust`).
pub fn respell(head: &mut Head, spellings: &Spellings) {
    head.respell(|name| spellings.get(name).map(|spelling| &spelling[..]));
}
