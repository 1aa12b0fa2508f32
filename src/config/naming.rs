//! Servers by name: `resolvers`, `resolve-prefer`, `resolve-net`, `resolve-opts` and `init-addr` of `server` lines
//! (sections 5.2 and 5.3).

use std::net::IpAddr;

use super::address::{Address, Host, Target};
use super::draft::ServerDraft;
use super::options::parse_network;
use super::resolve::Resolver;
use super::scope::arg;
use super::word::Word;
use crate::dns::Name;
use crate::proxy::Server;
use crate::proxy::naming::Naming;
use crate::proxy::resolvers::{Family, ResolversId};
use crate::registry::ServerKeyword;

/// Most networks of `resolve-net`, as in HAProxy.
const NETWORKS_MAX: usize = 5;

/// Parameters of `server` and `default-server`.
pub static PARAMETERS: &[ServerKeyword] = &[
    row("init-addr", init_addr),
    row("resolve-net", resolve_net),
    row("resolve-opts", resolve_opts),
    row("resolve-prefer", resolve_prefer),
    row("resolvers", |draft, words| {
        draft.naming.section = Some(arg(words, 1).to_owned());
        Ok(())
    }),
];

/// What the parameters say.
#[derive(Clone, Debug, Default)]
pub struct NamingDraft {
    /// `resolvers`
    pub section: Option<String>,
    family: Option<Family>,
    networks: Vec<(IpAddr, u8)>,
    shares_address: bool,
    ignores_weight: bool,
    /// `init-addr`; nothing stands for `last,libc`.
    pub init_addr: Vec<InitAddr>,
}

/// One way to find a server's address at the start (`init-addr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitAddr {
    /// The one that a state file tells.
    Last,
    /// The resolver of the system.
    Libc,
    /// None: the server stays in maintenance until it has one.
    None,
    /// This one.
    Ip(IpAddr),
}

const fn row(name: &'static str, parse: fn(&mut ServerDraft, &[Word]) -> Result<(), String>) -> ServerKeyword {
    ServerKeyword { name, args: 1, in_default: true, parse, help: "see the manual, 5.2" }
}

fn init_addr(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let mut methods = Vec::new();
    for word in arg(words, 1).split(',').filter(|word| !word.is_empty()) {
        methods.push(match word {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            _ => match word.parse() {
                Ok(_) if methods.iter().any(|method| matches!(method, InitAddr::Ip(_))) => {
                    return Err(format!("'init-addr' : initial address already specified, cannot add '{word}'."));
                }
                Ok(ip) => InitAddr::Ip(ip),
                Err(_) => {
                    return Err(format!(
                        "'init-addr' : unknown init-addr method '{word}', supported methods are 'libc', 'last', 'none'."
                    ));
                }
            },
        });
    }
    draft.naming.init_addr = methods;
    Ok(())
}

fn resolve_prefer(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    draft.naming.family = Some(match arg(words, 1) {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
        _ => return Err("'resolve-prefer' expects either ipv4 or ipv6 as argument.".into()),
    });
    Ok(())
}

fn resolve_net(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'resolve-net' expects a list of networks.".into());
    }
    for word in items(text) {
        if draft.naming.networks.len() == NETWORKS_MAX {
            return Err(format!("'resolve-net' exceed {NETWORKS_MAX} networks."));
        }
        let network = parse_network(word).ok_or_else(|| format!("'resolve-net' invalid network '{word}'."))?;
        draft.naming.networks.push(network);
    }
    Ok(())
}

fn resolve_opts(draft: &mut ServerDraft, words: &[Word]) -> Result<(), String> {
    for word in items(arg(words, 1)) {
        match word {
            "allow-dup-ip" => draft.naming.shares_address = true,
            "prevent-dup-ip" => draft.naming.shares_address = false,
            "ignore-weight" => draft.naming.ignores_weight = true,
            _ => {
                return Err(format!(
                    "'resolve-opts' : unknown resolve-opts option '{word}', supported methods are 'allow-dup-ip', \
                     'ignore-weight', and 'prevent-dup-ip'."
                ));
            }
        }
    }
    Ok(())
}

/// What stands between commas; nothing after the last one.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator(',')
}

/// Refuses a name that cannot be asked for.
///
/// # Errors
/// What HAProxy says of that.
pub fn check(draft: &ServerDraft, backend: &str) -> Result<(), String> {
    match draft.address.as_ref().and_then(host) {
        Some(name) if Name::parse(name.as_bytes()).is_some() => Ok(()),
        Some(name) if is_service(name) => {
            Err(format!("backend '{backend}', server '{}': failed to parse FQDN '{name}'", draft.name))
        }
        Some(_) if draft.naming.section.is_some() => {
            Err(format!("Can't create DNS resolution for server '{}'", draft.name))
        }
        _ => Ok(()),
    }
}

/// The name in an address.
fn host(address: &Address) -> Option<&str> {
    match &address.target {
        Target::Inet { host: Host::Name(name, _), .. } => Some(name),
        _ => None,
    }
}

/// Whether a name is a service's, for whose parts SRV records are asked (section 5.3.1).
pub fn is_service(name: &str) -> bool {
    name.starts_with('_')
}

/// Finds the sections that servers name.
pub(super) fn resolve(resolver: &mut Resolver<'_>) {
    for (id, proxy, draft) in resolver.draft.servers() {
        let Some(name) = &draft.naming.section else { continue };
        let server = &mut resolver.config.servers[id];
        let section = resolver.config.resolvers.iter().position(|section| section.name == *name);
        match section {
            // There are far fewer than 2^32 sections in a file.
            Some(at) => server.naming = Some(naming(&draft.naming, server, ResolversId(at as u32))),
            None => resolver.findings.alert(format!(
                "{} '{}', server '{}': unable to find required resolvers '{name}'",
                proxy.kind.noun(),
                proxy.name,
                draft.name
            )),
        }
    }
}

fn naming(draft: &NamingDraft, server: &Server, section: ResolversId) -> Naming {
    Naming {
        section,
        family: draft.family.unwrap_or(Family::V6),
        networks: draft.networks.clone(),
        shares_address: draft.shares_address,
        ignores_weight: draft.ignores_weight,
        service: server.service.clone(),
    }
}

#[cfg(test)]
mod tests {
    fn verdict(parameters: &str) -> Vec<String> {
        let text = format!(
            "resolvers r\n nameserver a 127.0.0.1:53\nbackend be\n timeout server 1s\n timeout connect 1s\n server {parameters}\n"
        );
        let loaded = crate::config::load_text("n.cfg", &text);
        loaded.findings.iter().map(|finding| finding.text.clone()).collect()
    }

    #[test]
    fn what_haproxy_refuses_is_refused_in_its_words() {
        for (parameters, said) in [
            (
                "s a.test:80 resolvers q init-addr none",
                "backend 'be', server 's': unable to find required resolvers 'q'",
            ),
            ("s a.test:80 resolve-prefer IPv4", "'resolve-prefer' expects either ipv4 or ipv6 as argument.."),
            ("s a.test:80 resolve-net", "'resolve-net' expects a list of networks.."),
            ("s a.test:80 resolve-net 10.0.0.0/33", "'resolve-net' invalid network '10.0.0.0/33'.."),
            ("s a.test:80 resolve-net 10.0.0.0/8,,10.0.0.1", "'resolve-net' invalid network ''.."),
            (
                "s a.test:80 resolve-net 1.0.0.0,2.0.0.0,3.0.0.0,4.0.0.0,5.0.0.0,6.0.0.0",
                "'resolve-net' exceed 5 networks..",
            ),
            (
                "s a.test:80 resolve-opts allow-dup-ip,,ignore-weight",
                "'resolve-opts' : unknown resolve-opts option '', supported methods are 'allow-dup-ip', 'ignore-weight', and 'prevent-dup-ip'..",
            ),
            ("s _a..b resolvers r", "backend 'be', server 's': failed to parse FQDN '_a..b'"),
            ("s a..b:80 resolvers r", "Can't create DNS resolution for server 's'"),
            ("s _http._tcp.a.test", "no method found to resolve address '_http._tcp.a.test'."),
        ] {
            let said_here = verdict(parameters);
            assert!(said_here.iter().any(|text| text.contains(said)), "{parameters}: {said_here:?}");
        }
    }

    #[test]
    fn what_haproxy_takes_is_taken() {
        for parameters in [
            "s a.test:80 resolvers r init-addr none resolve-net 10.0.0.0/8, resolve-opts allow-dup-ip,",
            "s a.test:80 resolvers r init-addr none resolve-net 10.0.0.0/255.0.0.0 resolve-opts",
            "s _http._tcp.a.test resolvers r check",
            "s a.test resolvers r init-addr none check",
            "s _http init-addr none",
            "s 127.0.0.1:80 resolvers r check",
        ] {
            assert_eq!(verdict(parameters), Vec::<String>::new(), "{parameters}");
        }
    }
}
