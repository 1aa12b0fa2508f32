//! Parameters of `server` lines about what a connection begins with: the PROXY protocol, SOCKS4 (section 5.2).

use super::address;
use super::draft::ServerDraft;
use super::scope::arg;
use super::server::row;
use super::word::Word;
use crate::proxy::preface::ProxyHeader;
use crate::registry::ServerKeyword;

/// The rows of this module.
pub static PARAMETERS: &[ServerKeyword] = &[
    row("check-send-proxy", 0, |s, _| flag(&mut s.preface.checks_tell, true)),
    row("check-via-socks4", 0, |s, _| flag(&mut s.preface.checks_tunnel, true)),
    row("no-check-send-proxy", 0, |s, _| flag(&mut s.preface.checks_tell, false)),
    row("no-send-proxy", 0, |s, _| off(s, ProxyHeader::V1)),
    row("no-send-proxy-v2", 0, |s, _| off(s, ProxyHeader::V2)),
    row("no-send-proxy-v2-ssl", 0, |s, _| off(s, ProxyHeader::V2 | ProxyHeader::TLS)),
    row("no-send-proxy-v2-ssl-cn", 0, |s, _| off(s, ProxyHeader::V2 | ProxyHeader::TLS | ProxyHeader::CERT_NAME)),
    row("proxy-v2-options", 1, options),
    row("send-proxy", 0, |s, _| on(s, ProxyHeader::V1)),
    row("send-proxy-v2", 0, |s, _| on(s, ProxyHeader::V2)),
    row("send-proxy-v2-ssl", 0, |s, _| on(s, ProxyHeader::V2 | ProxyHeader::TLS)),
    row("send-proxy-v2-ssl-cn", 0, |s, _| on(s, ProxyHeader::V2 | ProxyHeader::TLS | ProxyHeader::CERT_NAME)),
    row("socks4", 1, socks4),
];

fn flag(field: &mut bool, value: bool) -> Result<(), String> {
    *field = value;
    Ok(())
}

fn on(draft: &mut ServerDraft, flags: ProxyHeader) -> Result<(), String> {
    draft.preface.header.insert(flags);
    Ok(())
}

fn off(draft: &mut ServerDraft, flags: ProxyHeader) -> Result<(), String> {
    draft.preface.header.remove(flags);
    Ok(())
}

fn options(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    for name in arg(words, 1).split(',') {
        let option = ProxyHeader::option(name).ok_or_else(|| format!("'{name}' : proxy v2 option not implemented"))?;
        draft.preface.header.insert(option);
    }
    Ok(())
}

fn socks4(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'socks4' expects <addr>:<port> as argument.".into());
    }
    let address = address::dispatch(text).map_err(|e| match e.strip_suffix('\n') {
        Some(line) => format!("\n  'socks4 {text}' : {line}\n  \n"),
        None => format!("'socks4 {text}' : {e}"),
    })?;
    draft.preface.socks4 = Some(address);
    Ok(())
}
