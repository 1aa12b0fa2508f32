//! `track` (section 5.2): which server follows which, once all of them are known.

use super::draft::ServerDraft;
use super::finding::Severity;
use super::resolve::Resolver;
use super::resolve_server::complain;
use crate::proxy::{BackendId, Config, ServerId};

/// Resolves the references of all servers.
pub(super) fn resolve(resolver: &mut Resolver<'_>) {
    let draft = resolver.draft;
    let servers: Vec<&ServerDraft> = draft.servers().map(|(_, _, server)| server).collect();
    for (id, proxy, server) in draft.servers() {
        let Some(name) = &server.track else { continue };
        let config = &resolver.config;
        let found = find(config, config[id].backend, name, |of, named| {
            let tracked = servers[of.0 as usize];
            if !tracked.check && !tracked.agent_check && tracked.track.is_none() {
                return Err(unchecked(named));
            }
            let mut chain = std::iter::successors(Some(of), |of| config[*of].track);
            match chain.any(|other| other == id) {
                true => Err(format!(
                    "unable to track {named} as it belongs to a tracking chain looping back to {}/{}.",
                    proxy.name, server.name
                )),
                false => Ok(()),
            }
        });
        match found {
            Ok(of) => {
                resolver.config.servers[id].track = Some(of);
                resolver.config.servers[of].tracked_by.borrow_mut().push(id);
            }
            Err(text) => complain(resolver, Severity::Alert, proxy, server, &text),
        }
    }
}

/// The server that a server of `backend` may track by this name, unless `look` finds that it may not; that is told the
/// name with the backend's.
pub(super) fn find(
    config: &Config,
    backend: BackendId,
    name: &str,
    look: impl FnOnce(ServerId, &str) -> Result<(), String>,
) -> Result<ServerId, String> {
    let (proxy, wanted) = name.rsplit_once('/').unwrap_or((&config[backend].name, name));
    let Some(other) = config.backend_named(proxy) else {
        return Err(format!("unable to find required proxy '{proxy}' for tracking."));
    };
    let Some((of, _)) = config.servers_of(other).find(|(_, server)| server.name == wanted) else {
        return Err(format!("unable to find required server '{wanted}' for tracking."));
    };
    look(of, &format!("{proxy}/{wanted}"))?;
    if config[backend].check.disable_on_404 != config[other].check.disable_on_404 {
        // HAProxy's words, as they are.
        return Err(format!("unable to use {proxy}/{wanted} fortracking: disable-on-404 option inconsistency."));
    }
    Ok(of)
}

/// What is said of a server whose state nobody would know.
pub(super) fn unchecked(named: &str) -> String {
    format!("unable to use {named} for tracking as it does not have any check nor agent enabled.")
}
