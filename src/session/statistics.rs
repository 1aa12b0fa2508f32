//! The statistics page (`stats …`; manual 4.2): who asks for its URI gets it, if the password is right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::orders::Outcome;
use super::services::Services;
use super::{Phase, Step, Turn, capture, inspect, judge, reply};
use crate::facts::{Cause, Phase as Doing, Responder};
use crate::http::status::reason;
use crate::http::{Known, Method, Version, status};
use crate::proxy::{BackendId, Config, StatsPage};
use crate::rules::request::challenge;
use crate::rules::{Reply, Rules};
use crate::stats::Count;
use crate::stats::page::{Page, Section};
use crate::stats::record;
use crate::stats::snapshot::{self, Filter, ProxyParts, Snapshot};
use crate::stats::wish::{Form, Wish};

/// Answers a request for the page of the frontend, or of the `backend` that it was sent to.
pub fn serve(turn: &mut Turn<'_>, backend: Option<BackendId>) -> Option<Step> {
    let config = turn.services.config;
    let page = match backend {
        Some(id) => config[id].stats.as_ref()?,
        None => turn.frontend().stats.as_ref()?,
    };
    let method = turn.exchange.request.method();
    if !matches!(method, Method::Get | Method::Head | Method::Post) {
        return None;
    }
    let wish = Wish::parse(asked(&page.uri, turn.exchange.request.uri())?);
    let now = turn.services.now;
    if backend.is_none() {
        count(turn);
    }
    turn.exchange.facts.responder = Responder::Stats;
    (turn.exchange.facts.queue_left, turn.exchange.facts.connected) = (Some(now), Some(now));
    if let Some(step) = inspect::request_rules(turn, rules(turn, backend), true) {
        return Some(step);
    }
    turn.exchange.facts.termination.set_once(Cause::Local, Doing::Request);
    let context = turn.services.context(turn.session, turn.exchange);
    let header = if context.asks_a_proxy() { Known::ProxyAuthorization } else { Known::Authorization };
    if !may_see(page, turn.exchange.request.get_known(header)) {
        let answer = challenge(&context, &page.realm);
        return Some(refused(turn, &answer, Cause::Local));
    }
    turn.exchange.facts.response_received = Some(now);
    if method == Method::Post {
        return Some(match is_admin(turn, backend) {
            true => Step::Go(Phase::Orders { backend }),
            false => way_back(turn, backend, Outcome::Denied),
        });
    }
    let name = backend.map_or(&turn.frontend().name, |id| &config[id].name);
    let admin = is_admin(turn, backend);
    turn.services.publish();
    let (body, kind) = render(turn.services, page, &wish, name, admin);
    let response = &mut turn.exchange.response;
    response.clear();
    response.start_response(Version::Http11, 200, reason(200).as_bytes());
    response.add(b"cache-control", b"no-cache");
    response.add(b"content-type", kind);
    if let Some(refresh) = page.refresh.filter(|_| !wish.no_refresh) {
        response.add(b"refresh", refresh.0.div_ceil(1000).to_string().as_bytes());
    }
    capture::response(turn);
    Some(reply::chunked(turn, &body))
}

/// Counts a request that the frontend answers by itself. To the server side of a `listen` it is a session.
fn count(turn: &mut Turn<'_>) {
    let services = &*turn.services;
    services.counters.frontend(turn.session.frontend).add(Count::Intercepted, 1);
    let uuid = services.config[turn.session.frontend].uuid;
    if let Some(index) = services.config.backends.iter().position(|backend| backend.uuid == uuid) {
        services.counters.backend(BackendId(index as u32)).set(Count::LastSession, services.now.wall_s());
    }
}

/// What follows the page's prefix in a request's URI, which may be an absolute one.
fn asked<'a>(prefix: &[u8], uri: &'a [u8]) -> Option<&'a [u8]> {
    let relative = |uri: &'a [u8]| {
        let scheme = uri.windows(3).position(|part| part == b"://")?;
        let path = uri[scheme + 3..].iter().position(|&byte| byte == b'/')?;
        Some(&uri[scheme + 3 + path..])
    };
    let uri = if uri.starts_with(b"/") { uri } else { relative(uri).unwrap_or(uri) };
    uri.strip_prefix(prefix)
}

/// Whether the request has one of the passwords, where any is asked for.
fn may_see(page: &StatsPage, authorization: Option<&[u8]>) -> bool {
    if page.auth.is_empty() {
        return true;
    }
    let given = || {
        let value = authorization?;
        let space = value.iter().position(|&byte| byte == b' ')?;
        let (scheme, coded) = value.split_at(space);
        scheme.eq_ignore_ascii_case(b"basic").then(|| STANDARD.decode(coded.trim_ascii()).ok())?
    };
    let Some(given) = given() else { return false };
    page.auth.iter().any(|(user, password)| format!("{user}:{password}").as_bytes() == given)
}

/// Lets nobody in: asks for a password or denies, and closes without saying so. The log has 400, and the volume of such an answer, too,
/// as in HAProxy: a refusal that nobody gets follows the one that it sends.
pub fn refused(turn: &mut Turn<'_>, answer: &Reply, cause: Cause) -> Step {
    let response = &mut turn.exchange.response;
    response.clear();
    let refused = status::answer(400, response).unwrap_or_default();
    if judge::has_after_rules(turn) {
        judge::own(turn, refused.len());
    }
    let has_body = turn.exchange.request.method() != Method::Head;
    let refused_bytes = turn.exchange.response.counted_bytes() + if has_body { refused.len() as u64 } else { 0 };
    let step = reply::rendered(turn, answer, cause, Doing::Request);
    turn.exchange.facts.bytes_out += refused_bytes;
    turn.exchange.facts.status = Some(400);
    turn.exchange.client_keeps = false;
    step
}

/// The rules of the proxy whose page it is.
fn rules(turn: &Turn<'_>, backend: Option<BackendId>) -> &'static Rules {
    match backend {
        Some(id) => &turn.services.config[id].rules,
        None => &turn.frontend().rules,
    }
}

/// Whether the visitor may change states.
fn is_admin(turn: &Turn<'_>, backend: Option<BackendId>) -> bool {
    rules(turn, backend).is_admin(&turn.services.context(turn.session, turn.exchange))
}

/// Sends the visitor back to the page that a form came from, with a word about what became of it.
pub fn way_back(turn: &mut Turn<'_>, backend: Option<BackendId>, outcome: Outcome) -> Step {
    let config = turn.services.config;
    let page = match backend {
        Some(id) => config[id].stats.as_ref(),
        None => turn.frontend().stats.as_ref(),
    };
    let mut location = page.map(|page| page.uri.clone()).unwrap_or_default();
    let wish = Wish::parse(asked(&location, turn.exchange.request.uri()).unwrap_or_default());
    let refreshes = page.is_some_and(|page| page.refresh.is_some());
    location.extend_from_slice(wish.way_back(outcome.code(), refreshes).as_bytes());
    let response = &mut turn.exchange.response;
    response.clear();
    response.start_response(Version::Http11, 303, reason(303).as_bytes());
    response.add(b"cache-control", b"no-cache");
    response.add(b"content-type", b"text/plain");
    response.add(b"content-length", b"0");
    response.add(b"location", &location);
    capture::response(turn);
    reply::message(turn, b"")
}

/// The page's bytes and what they are.
fn render(services: &Services, page: &StatsPage, wish: &Wish, own_name: &str, admin: bool) -> (Vec<u8>, &'static [u8]) {
    let config = services.config;
    let legends = page.show_legends;
    let worker = wish.worker.and_then(|number| services.mesh.numbered(number));
    let counters = worker.map_or_else(|| services.counters.clone(), |slot| services.counters.only(slot));
    let snapshot = Snapshot {
        config,
        counters: &counters,
        now: services.now,
        states: services,
        maxconn: services.maxconn_at_start(),
        legends,
    };
    let filter = Filter { only_up: wish.only_up, ..Filter::default() };
    let in_scope = |name: &str| {
        let listed = |entry: &String| if entry == "." { name == own_name } else { entry == name };
        (page.scope.is_empty() || page.scope.iter().any(listed))
            && (wish.scope.is_empty() || name.contains(&wish.scope))
    };
    let mut sections = Vec::new();
    for parts in snapshot::proxies(config) {
        let name = snapshot::proxy_name(config, &parts);
        if in_scope(name) {
            let mut records = Vec::new();
            snapshot.proxy(&parts, &filter, &mut records);
            let (description, legend) = (description(config, &parts), legend(config, &parts));
            let form = parts.backend.filter(|id| admin && !config[*id].servers.is_empty()).map(|_| parts.uuid);
            sections.push(Section { name, description, legend, records, form });
        }
    }
    let mut body = Vec::new();
    let records = || sections.iter().flat_map(|section| &section.records);
    match wish.form {
        Form::Csv => {
            record::write_csv_header(&mut body);
            records().for_each(|record| record.write_csv(&mut body));
            (body, b"text/plain")
        }
        Form::Json => {
            record::write_json_records(records(), &mut body);
            (body, b"application/json")
        }
        Form::Html => {
            let process = services.process(&counters);
            let page = Page { settings: page, wish, process: &process, sections: &sections };
            (page.html().into_bytes(), b"text/html")
        }
    }
}

fn description<'a>(config: &'a Config, parts: &ProxyParts) -> Option<&'a str> {
    match (parts.frontend, parts.backend) {
        (Some(id), _) => config[id].description.as_deref(),
        (None, Some(id)) => config[id].description.as_deref(),
        (None, None) => None,
    }
}

fn legend(config: &Config, parts: &ProxyParts) -> String {
    let kind = match (parts.frontend, parts.backend) {
        (Some(_), Some(_)) => "proxy",
        (Some(_), None) => "frontend",
        _ => "backend",
    };
    let mode = match (parts.frontend, parts.backend) {
        (Some(id), _) => config[id].mode,
        (None, Some(id)) => config[id].mode,
        (None, None) => Default::default(),
    };
    format!("cap: {kind}, mode: {}, id: {}", snapshot::mode_name(mode), parts.uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_found_in_absolute_uris_too() {
        assert_eq!(asked(b"/st", b"/st;csv"), Some(&b";csv"[..]));
        assert_eq!(asked(b"/st", b"http://a/st;csv"), Some(&b";csv"[..]));
        assert_eq!(asked(b"/haproxy?stats", b"/haproxy?stats"), Some(&b""[..]));
        assert_eq!(asked(b"/st", b"/other"), None);
        assert_eq!(asked(b"/st", b"*"), None);
    }

    #[test]
    fn passwords_are_compared_whole() {
        let page = StatsPage { auth: vec![("admin".into(), "secret".into())], ..StatsPage::default() };
        assert!(may_see(&page, Some(b"Basic YWRtaW46c2VjcmV0")));
        assert!(may_see(&page, Some(b"basic YWRtaW46c2VjcmV0")));
        for wrong in [&b"Basic YWRtaW46c2VjcmV0="[..], b"Basic", b"", b"Basic d3Jvbmc6b25l", b"Bearer YWRtaW46c2VjcmV0"]
        {
            assert!(!may_see(&page, Some(wrong)));
        }
        assert!(!may_see(&page, None));
        assert!(may_see(&StatsPage::default(), None));
    }
}
