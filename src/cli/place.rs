//! Where servers and their checks are reached: `set server … addr`, `check-addr` and `check-port`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Call, Outcome};
use crate::check::Place;
use crate::dns::Name;
use crate::proxy::{ServerAddress, ServerId};

/// Whom the answers name as the one who changed something.
const BY: &str = " by 'stats socket command'\n";

/// `set server <b>/<s> addr <ip> [port <port>]`: says what has changed.
pub fn set_addr(call: &mut Call<'_>, id: ServerId) -> Outcome {
    let (addr, port) = (call.word(4).to_owned(), port_word(call).map(str::to_owned));
    if addr.is_empty() {
        return Err("set server <b>/<s> addr requires an address and optionally a port.\n".into());
    }
    let Some(ip) = address(&addr) else {
        call.say(format!("Invalid addr '{addr}'{BY}"));
        return Ok(());
    };
    let lacked = call.core.services.servers[id.0 as usize].lacks_address();
    let said = call.core.services.change_place(id, |place| order(place, lacked, (&addr, ip), port.as_deref()));
    if lacked {
        call.core.services.change_server(id, |state, now_s| state.find_address(now_s).into());
    }
    call.say(said + BY);
    Ok(())
}

/// `set server <b>/<s> fqdn <name>`: its address is asked for by another name from now on.
pub fn set_name(call: &mut Call<'_>, id: ServerId) -> Outcome {
    let (config, word) = (call.config(), call.word(4).to_owned());
    if word.is_empty() {
        return Err("set server <b>/<s> fqdn requires a FQDN.\n".into());
    }
    let Some(naming) = &config[id].naming else {
        return Err("set server <b>/<s> fqdn failed because no resolution is configured.\n".into());
    };
    if naming.service.is_some() {
        return Err("set server <b>/<s> fqdn failed because SRV resolution is configured.\n".into());
    }
    let (backend, server) = config.server_names(id);
    if Name::parse(word.as_bytes()).is_none() {
        call.say(format!("could not update {backend}/{server} FQDN{BY}"));
        return Ok(());
    }
    let before = call.core.services.places[id.0 as usize].name.clone();
    if before.as_deref() == Some(word.as_str()) {
        call.say(format!("no need to change the FDQN{BY}"));
        return Ok(());
    }
    call.core.services.rename_server(id, &word);
    let from = before.as_deref().unwrap_or("(null)");
    call.say(format!("{backend}/{server} changed its FQDN from {from} to {word}{BY}"));
    Ok(())
}

/// `set server <b>/<s> check-addr <ip> [port <port>]`
pub fn set_check_addr(call: &mut Call<'_>, id: ServerId) -> Outcome {
    let addr = call.word(4);
    if addr.is_empty() {
        return Err("set server <b>/<s> check-addr requires an address and optionally a port.\n".into());
    }
    is_checked(call, id)?;
    let ip = address(addr).ok_or_else(|| format!("invalid addr '{addr}'"))?;
    let port = port_word(call).map(|word| check_port(call, id, word)).transpose()?;
    call.core.services.change_place(id, |place| {
        place.order_check_addr(ip);
        port.into_iter().for_each(|port| place.order_check_port(port));
    });
    Ok(())
}

/// `set server <b>/<s> check-port <port>`
pub fn set_check_port(call: &mut Call<'_>, id: ServerId) -> Outcome {
    let word = call.word(4);
    if word.is_empty() {
        return Err("set server <b>/<s> check-port requires a port.\n".into());
    }
    is_checked(call, id)?;
    let port = check_port(call, id, word)?;
    call.core.services.change_place(id, |place| place.order_check_port(port));
    Ok(())
}

/// What follows the word `port`.
fn port_word<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    (call.word(5) == "port").then(|| call.word(6))
}

fn is_checked(call: &Call<'_>, id: ServerId) -> Outcome {
    match call.core.services.servers[id.0 as usize].is_checked {
        true => Ok(()),
        false => Err("health checks are not enabled on this server".into()),
    }
}

fn check_port(call: &Call<'_>, id: ServerId, word: &str) -> Result<u16, Cow<'static, str>> {
    let number: i64 = word.parse().map_err(|_| "provided port is not an integer")?;
    let port = u16::try_from(number).map_err(|_| "provided port is invalid")?;
    let relative = matches!(call.core.services.places[id.0 as usize].address, ServerAddress::IpRelative(..));
    if port == 0 && relative {
        return Err("can't unset 'port' since MAPPORTS is in use".into());
    }
    Ok(port)
}

/// An IP address as HAProxy reads one that is no name.
fn address(word: &str) -> Option<IpAddr> {
    if word == "*" {
        return Some(Ipv4Addr::UNSPECIFIED.into());
    }
    let inner = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => word.parse().ok(),
    }
}

/// Changes a server's address (`addr` as written) and says what became of each part; it `lacked` one so far, or not.
/// A part that is wrong does not undo the other.
fn order(place: &mut Place, lacked: bool, (addr, ip): (&str, IpAddr), port: Option<&str>) -> String {
    let (before, now) = match place.address {
        ServerAddress::Ip(address) => (address.ip(), ServerAddress::Ip(SocketAddr::new(ip, address.port()))),
        ServerAddress::IpRelative(before, offset) => (before, ServerAddress::IpRelative(ip, offset)),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {
            return "Update for the current server address family is only supported through configuration file".into();
        }
    };
    let before = Some(before).filter(|_| !lacked);
    let said = if before == Some(ip) {
        "no need to change the addr".to_owned()
    } else {
        place.order_address(now);
        let before = before.map_or("(none)".to_owned(), |before| before.to_string());
        format!("IP changed from '{before}' to '{addr}'")
    };
    match port {
        Some(word) => format!("{said}, {}", order_port(place, ip, word)),
        None => said,
    }
}

/// Ports count modulo 65536; a sign makes an offset to the client's port, which checks have no use for.
fn order_port(place: &mut Place, ip: IpAddr, word: &str) -> String {
    let Some(number) = leading_number(word) else {
        return format!("problem converting port '{word}' to an int");
    };
    let is_offset = word.starts_with(['+', '-']);
    let (old, was_offset) = match place.address {
        ServerAddress::Ip(address) => (address.port(), false),
        ServerAddress::IpRelative(_, offset) => (offset as u16, true),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => return String::new(),
    };
    if is_offset && !was_offset && place.check_port.is_none() {
        return "can't change <port> to port map because it is incompatible with current health check port \
                configuration (use 'port' statement from the 'server' directive."
            .into();
    }
    // HAProxy compares numbers, without the sign that makes an offset of one where there was one before.
    let new = number as u16;
    if old == new && (was_offset || !is_offset) {
        return "no need to change the port".into();
    }
    place.order_address(match is_offset {
        true => ServerAddress::IpRelative(ip, i32::from(new)),
        false => ServerAddress::Ip(SocketAddr::new(ip, new)),
    });
    let from = if was_offset { format!("+{old}") } else { old.to_string() };
    let to = match (is_offset, number < 0) {
        (false, _) => new.to_string(),
        (true, false) => format!("+{new}"),
        (true, true) => format!("-{}", new.wrapping_neg()),
    };
    format!("port changed from '{from}' to '{to}'")
}

/// The number that a word begins with, if it has one that fits.
fn leading_number(word: &str) -> Option<i64> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let sign = word.len() - digits.len();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    word[..sign + end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::place::Orders;

    fn place(check_port: Option<u16>) -> Place {
        let address = ServerAddress::Ip(([127, 0, 0, 1], 80).into());
        Place { address, check_addr: None, check_port, name: None, orders: Orders::empty() }
    }

    #[test]
    fn each_part_says_what_became_of_it() {
        let mut place = place(Some(9));
        let mut say = |addr: &str, port: Option<&str>| {
            let ip = address(addr).expect("address");
            order(&mut place, false, (addr, ip), port)
        };
        let same = "no need to change the addr, ";
        assert_eq!(say("127.0.0.2", None), "IP changed from '127.0.0.1' to '127.0.0.2'");
        for (port, expected) in [
            ("8080", "port changed from '80' to '8080'"),
            ("8080", "no need to change the port"),
            ("+5", "port changed from '8080' to '+5'"),
            ("5", "no need to change the port"),
            ("-5", "port changed from '+5' to '-5'"),
            ("+7", "port changed from '+65531' to '+7'"),
            ("+70000", "port changed from '+7' to '+4464'"),
            ("9x", "port changed from '+4464' to '9'"),
            ("70000", "port changed from '9' to '4464'"),
            ("+", "problem converting port '+' to an int"),
            ("99999999999999999999", "problem converting port '99999999999999999999' to an int"),
        ] {
            assert_eq!(say("127.0.0.2", Some(port)), format!("{same}{expected}"), "{port}");
        }
    }

    #[test]
    fn an_offset_needs_a_port_for_checks() {
        let said = order_port(&mut place(None), [127, 0, 0, 1].into(), "+5");
        assert!(said.starts_with("can't change <port> to port map"), "{said}");
    }

    #[test]
    fn addresses_are_no_names() {
        assert_eq!(address("*"), Some(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(address("[::1]"), address("::1"));
        for word in ["localhost", "1.2.3", "1.2.3.4:80", "ipv4@1.2.3.4", "[1.2.3.4]", "/tmp/x"] {
            assert_eq!(address(word), None, "{word}");
        }
    }
}
