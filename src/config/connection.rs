//! Parameters of `server` lines about how connections are made and how long they serve (section 5.2), and what does not go
//! together.

use std::io;

use super::draft::{ProxyDraft, ServerDraft};
use super::finding::Severity;
use super::resolve::Resolver;
use super::resolve_server::complain;
use super::scope::{arg, not_yet};
use super::server::row;
use super::unit::atoi;
use super::word::Word;
use crate::proxy::backend::RetryOn;
use crate::proxy::check::Speech;
use crate::proxy::namespace::Namespace;
use crate::registry::ServerKeyword;

/// Why a namespace cannot be opened that is there.
const CLOSED: &str = "permission denied (a sandbox has only those open that its configuration names)";

/// The rows of this module.
pub static PARAMETERS: &[ServerKeyword] = &[
    row("check-proto", 1, check_proto),
    row("max-reuse", 1, max_reuse),
    row("namespace", 1, namespace),
    row("no-tfo", 0, |s, _| fast_open(s, false)),
    row("tfo", 0, |s, _| fast_open(s, true)),
];

fn fast_open(draft: &mut ServerDraft, value: bool) -> Result<(), String> {
    draft.connection.fast_open = value;
    Ok(())
}

fn namespace(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    draft.connection.namespace = Some(match arg(words, 1) {
        "" => return Err("'namespace' : expects <name> as argument".into()),
        // The one that an incoming header of the PROXY protocol names.
        "*" => return Err(not_yet("namespace *")),
        name => match draft.open_namespaces.iter().find(|open| open.name == name) {
            Some(open) => open.clone(),
            None => Namespace::open(name).map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => format!("{} : {CLOSED}", cannot_open(name)),
                _ => cannot_open(name),
            })?,
        },
    });
    Ok(())
}

/// What is said of a namespace that is not there.
pub(super) fn cannot_open(name: &str) -> String {
    format!("Cannot open namespace '{name}'")
}

fn max_reuse(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'max-reuse' expects <value> as argument.".into());
    }
    // Negative numbers stand for no limit.
    draft.connection.max_reuse = u32::try_from(atoi(text)).ok();
    Ok(())
}

fn check_proto(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("'check-proto' : missing value".into()),
        name @ ("h1" | "none") => {
            draft.check_proto = Some(name.to_owned());
            Ok(())
        }
        name @ ("h2" | "fcgi") => Err(not_yet(&format!("check-proto {name}"))),
        name => Err(format!("'check-proto' :  unknown MUX protocol '{name}'")),
    }
}

/// Tells what of a server's parameters does not go with its backend.
pub(super) fn check(resolver: &mut Resolver<'_>, proxy: &ProxyDraft, draft: &ServerDraft) {
    let settings = &proxy.settings;
    if settings.disabled {
        return;
    }
    if draft.connection.fast_open && !settings.retry_on.contains(RetryOn::EMPTY | RetryOn::TIMEOUT) {
        let text = "server has tfo activated, the backend should be configured with at least 'conn-failure', \
                    'empty-response' and 'response-timeout' or we wouldn't be able to retry the connection on failure.";
        complain(resolver, Severity::Warning, proxy, draft, text);
    }
    if let Some(name) = draft.check_proto.as_ref().filter(|_| draft.check)
        && (name == "h1") != (settings.check.speech == Speech::Http)
    {
        resolver.findings.alert(format!(
            "config: {} '{}': server '{}' uses an incompatible MUX protocol for the selected check type",
            proxy.kind.noun(),
            proxy.name,
            draft.name
        ));
    }
}
