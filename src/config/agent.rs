//! Parameters of `server` lines about agents (section 5.2).

use super::address;
use super::draft::ServerDraft;
use super::scope::arg;
use super::unit::atoi;
use super::word::Word;

pub(super) fn addr(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'agent-addr' expects an address as argument.".into());
    }
    match text.parse().ok().or_else(|| address::resolve_host(text, address::Family::Any)) {
        Some(ip) => {
            draft.agent.addr = Some(ip);
            Ok(())
        }
        None => Err(format!("parsing agent-addr failed. Check if '{text}' is correct address.")),
    }
}

pub(super) fn port(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'agent-port' expects a port number as argument.".into());
    }
    // As in HAProxy, only the low sixteen bits count.
    draft.agent.port = Some(atoi(text) as u16).filter(|port| *port > 0);
    Ok(())
}

pub(super) fn send(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    if arg(words, 1).is_empty() {
        return Err("'agent-send' expects a string as argument.".into());
    }
    draft.agent.send = arg(words, 1).into();
    Ok(())
}
