//! `track` (section 5.2): which server follows which, once all of them are known.

use super::draft::{ProxyDraft, ServerDraft};
use super::finding::Severity;
use super::resolve::Resolver;
use super::resolve_server::complain;
use crate::proxy::ServerId;

/// Resolves the references of all servers.
pub(super) fn resolve(resolver: &mut Resolver<'_>) {
    let draft = resolver.draft;
    let proxies = draft.proxies.iter().filter(|proxy| proxy.kind.is_backend());
    let servers = proxies.flat_map(|proxy| proxy.servers.iter().map(move |server| (proxy, server)));
    let servers: Vec<(&ProxyDraft, &ServerDraft)> = servers.collect();
    for (id, (proxy, server)) in (0..).map(ServerId).zip(&servers) {
        let Some(name) = &server.track else { continue };
        match find(resolver, &servers, id, name) {
            Ok(of) => {
                resolver.config.servers[id].track = Some(of);
                resolver.config.servers[of].tracked_by.borrow_mut().push(id);
            }
            Err(text) => complain(resolver, Severity::Alert, proxy, server, &text),
        }
    }
}

/// The server that `id` may track by this name.
fn find(
    resolver: &Resolver<'_>,
    servers: &[(&ProxyDraft, &ServerDraft)],
    id: ServerId,
    name: &str,
) -> Result<ServerId, String> {
    let (own, server) = servers[id.0 as usize];
    let (proxy, wanted) = name.rsplit_once('/').map_or((None, name), |(proxy, server)| (Some(proxy), server));
    let proxy = proxy.unwrap_or(&own.name);
    let Some(backend) = resolver.backends.get(proxy) else {
        return Err(format!("unable to find required proxy '{proxy}' for tracking."));
    };
    let Some((of, _)) = resolver.config.servers_of(*backend).find(|(_, server)| server.name == wanted) else {
        return Err(format!("unable to find required server '{wanted}' for tracking."));
    };
    let (other, tracked) = servers[of.0 as usize];
    if !tracked.check && !tracked.agent_check && tracked.track.is_none() {
        return Err(format!(
            "unable to use {proxy}/{wanted} for tracking as it does not have any check nor agent enabled."
        ));
    }
    let mut chain = std::iter::successors(Some(of), |of| resolver.config[*of].track);
    if chain.any(|other| other == id) {
        return Err(format!(
            "unable to track {proxy}/{wanted} as it belongs to a tracking chain looping back to {}/{}.",
            own.name, server.name
        ));
    }
    let disables = |proxy: &ProxyDraft| proxy.settings.check.resolve().disable_on_404;
    if disables(own) != disables(other) {
        // HAProxy's words, as they are.
        return Err(format!("unable to use {proxy}/{wanted} fortracking: disable-on-404 option inconsistency."));
    }
    Ok(of)
}
