//! The rule lines of proxies: parsed once all lines are read, finished once all names are known.

use std::sync::Arc;

use super::draft::{Draft, ProxyDraft};
use super::finding::Findings;
use super::pages;
use super::resolve::Resolver;
use crate::proxy::{BackendId, FrontendId, Mode, Resolvers, ServerId};
use crate::rules::Rules;
use crate::rules::parse::{self, Parser, Proxy};
use crate::rules::switching::ServerTarget;
use crate::sample::arg::{Names, Reference};

/// Keywords after whose mistakes HAProxy gives up reading.
const GIVES_UP: &[&str] = &["http-request", "http-response", "http-after-response", "stats http-request", "block"];

/// Parses the rule lines of all proxies, in their order.
pub(super) fn parse<'a>(draft: &'a Draft, resolvers: &'a [Resolvers], findings: &mut Findings) -> Vec<Parser<'a>> {
    draft.proxies.iter().map(|proxy| parse_one(draft, resolvers, proxy, findings)).collect()
}

fn parse_one<'a>(
    draft: &'a Draft,
    resolvers: &'a [Resolvers],
    proxy: &'a ProxyDraft,
    findings: &mut Findings,
) -> Parser<'a> {
    let mut parser = Parser::new(Proxy {
        name: &proxy.name,
        noun: proxy.kind.noun(),
        is_frontend: proxy.kind.is_frontend(),
        is_backend: proxy.kind.is_backend(),
        mode: proxy.settings.mode,
        sections: &draft.http_errors,
        resolvers,
        page_bytes_max: draft.global.tune.bufsize,
        captures: [proxy.captures.request.len(), proxy.captures.response.len()],
    });
    for line in &proxy.rules {
        let before = findings.alerts();
        parser.give_slot(line.capture_slot);
        parser.line(line.keyword, &line.words, &line.at.file, line.at.line, findings);
        if findings.alerts() > before && GIVES_UP.contains(&line.keyword) {
            findings.give_up();
        }
    }
    parser
}

/// The ids that all proxies and servers will have; of several with one name the first counts.
pub(super) fn names(draft: &Draft) -> Arc<Names> {
    let mut names = Names::default();
    let (mut frontends, mut backends, mut servers) = (0, 0, 0);
    for proxy in &draft.proxies {
        if proxy.kind.is_frontend() {
            names.frontends.entry(proxy.name.clone()).or_insert(FrontendId(frontends));
            frontends += 1;
        }
        if proxy.kind.is_backend() {
            let backend = BackendId(backends);
            names.backends.entry(proxy.name.clone()).or_insert(backend);
            backends += 1;
            for server in &proxy.servers {
                names.servers.entry((backend, server.name.clone())).or_insert(ServerId(servers));
                servers += 1;
            }
        }
    }
    for (index, list) in draft.userlists.iter().enumerate() {
        names.userlists.insert(list.name.clone(), index as u32);
    }
    Arc::new(names)
}

/// The rules of a proxy; in TCP mode those that need HTTP are left out, of which others have warned.
pub(super) fn rules(
    resolver: &mut Resolver<'_>,
    proxy: &ProxyDraft,
    mut parser: Parser<'_>,
    names: &Arc<Names>,
) -> Arc<Rules> {
    parser.report_late(names, resolver.findings);
    if proxy.settings.inspect_delays.request.is_none() {
        parser.report_undelayed(resolver.findings);
    }
    let role = "in a 'use_backend' rule";
    let (mut rules, mut references) =
        parser.finish(names, |keyword, name| resolver.reference(proxy, name, keyword, role));
    references.extend(pages::references(proxy));
    references.extend_from_slice(proxy.settings.check.references());
    let named = rules.use_server.iter().filter_map(|rule| match &rule.action {
        ServerTarget::Server(id) => Some(*id),
        ServerTarget::Named(..) => None,
    });
    resolver.config.named_servers.extend(named);
    let known = parse::resolve(&references, names, &proxy.name, resolver.findings);
    resolver.config.named_servers.extend(references.iter().filter_map(Reference::server));
    if known {
        for (acl, group) in rules.acls.unknown_groups(&resolver.config.userlists) {
            let name = &proxy.name;
            let wrong = group.map_or("no groups specified".to_owned(), |group| format!("invalid group '{group}'"));
            resolver.findings.alert(format!("proxy {name}: acl {acl} http_auth_group(): {wrong}."));
        }
    }
    if proxy.settings.mode == Mode::Tcp {
        let Rules { acls, tcp, switching, persistence, use_server, .. } = rules;
        rules = Rules { acls, tcp, switching, persistence, use_server, ..Rules::default() };
    }
    Arc::new(rules)
}
