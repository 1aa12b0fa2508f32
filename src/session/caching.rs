//! `option checkcache` (manual 4.2): a server's cookie in an answer that caches may keep does not go out.

use super::{Step, Turn, judge, reply};
use crate::facts::{Cause, Phase as Doing};
use crate::http::{Head, status};
use crate::persist::{self, ServerCookie};
use crate::stats::Count;

/// Whether the server's answer, before a cookie of the proxy's own is added, would give a cookie to a cache.
pub fn is_risky(turn: &Turn<'_>) -> bool {
    let Some(backend) = turn.exchange.backend else { return false };
    let answer = &turn.exchange.response;
    turn.services.config[backend].checks_caching
        && has_cookie(answer)
        && persist::may_keep_cookie(turn.exchange.request.method(), answer)
}

fn has_cookie(answer: &Head) -> bool {
    [&b"set-cookie"[..], b"set-cookie2"].iter().any(|name| answer.get(name).is_some())
}

/// Answers in place of the server, unless the proxy's own cookie has just told caches to keep nothing. HAProxy
/// answers with the page of the server's status.
pub fn block(turn: &mut Turn<'_>) -> Option<Step> {
    let (backend, server) = (turn.exchange.backend?, turn.exchange.server);
    let config = turn.services.config;
    let kept_off = config[backend].cookie.as_ref().is_some_and(|cookie| cookie.no_cache)
        && matches!(turn.exchange.hold.server, ServerCookie::Inserted | ServerCookie::Updated);
    if kept_off {
        return None;
    }
    let server = server.map_or("<NOSRV>", |id| &config[id].name);
    let name = &config[backend].name;
    let text = format!("Blocking cacheable cookie in response from instance {name}, server {server}.");
    turn.services.alert(backend, &text);
    turn.count_everywhere(Count::DeniedResponses);
    let code = turn.exchange.response.status();
    judge::drop_answer(turn);
    let step = reply::error(turn, if status::has_page(code) { code } else { 500 }, Cause::Proxy, Doing::Headers);
    turn.exchange.facts.status = Some(code);
    Some(step)
}
