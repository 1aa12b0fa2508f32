//! Addresses as sections 11.1 to 11.3 write them: families, socket types, ports and hosts, for
//! `bind`, `server` and log targets alike; the caller says what it allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Longest path of a UNIX socket: sun_path less the room for the suffix under which a listener is
/// first bound (`.<pid>.tmp`).
pub const UNIX_PATH_BYTES_MAX: usize = 97;
/// Longest name in the abstract namespace: sun_path less its leading NUL.
pub const ABSTRACT_BYTES_MAX: usize = 107;

/// What a caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whether a port must be there.
    pub port: PortRule,
    /// `fd@N` and `sockpair@N` are meaningful.
    pub fd: bool,
    /// Only stream sockets, only datagram sockets, or both.
    pub transport: Option<Transport>,
    /// Host names are resolved now; otherwise left to the caller.
    pub resolve: bool,
}

/// Which forms of port are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// A port or a range of ports, from 1 (`bind`).
    Required,
    /// A port, none, or an offset such as `+10` (`server`).
    OffsetAllowed,
    /// A port or none (log targets, `source` of a backend).
    Optional,
    /// A port, a range of them, or none (`source` of a server).
    RangeAllowed,
    /// No port at all: the whole text is the host.
    Never,
}

/// Kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP or a UNIX stream.
    Stream,
    /// UDP or a UNIX datagram socket.
    Datagram,
}

/// An address as written, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub target: Target,
    /// What was asked by a prefix; `None` lets the caller choose.
    pub transport: Option<Transport>,
}

/// Where an address points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// IPv4 or IPv6.
    Inet {
        /// The host.
        host: Host,
        /// The port.
        port: Port,
    },
    /// A UNIX socket in the file system.
    Unix(PathBuf),
    /// A UNIX socket in the abstract namespace.
    Abstract(Vec<u8>),
    /// An inherited descriptor.
    Fd(RawFd),
    /// One end of a pair over which connections are passed.
    SocketPair(RawFd),
}

/// Host part of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address; unspecified (`0.0.0.0`, `::`) for `*` and for nothing.
    Ip(IpAddr),
    /// A name, when [`Allowed::resolve`] is off.
    Name(String, Family),
}

/// Address family asked by a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Either.
    Any,
    /// `ipv4@`.
    V4,
    /// `ipv6@`.
    V6,
}

/// Port part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Not written.
    None,
    /// One port.
    Fixed(u16),
    /// First and last of several ports.
    Range(u16, u16),
    /// Relative to the port of the incoming connection (`+10`, `-10`).
    Offset(i32),
}

/// `bind`.
pub const BIND: Allowed =
    Allowed { port: PortRule::Required, fd: true, transport: Some(Transport::Stream), resolve: true };
/// `dispatch`.
const DISPATCH: Allowed = Allowed { fd: false, ..BIND };
/// `server`; host names are resolved once all is read, when `init-addr` is known.
pub const SERVER: Allowed =
    Allowed { port: PortRule::OffsetAllowed, fd: false, transport: Some(Transport::Stream), resolve: false };
/// `log`.
pub const LOG: Allowed = Allowed { port: PortRule::Optional, fd: true, transport: None, resolve: true };

/// Parses the address of `dispatch`: one host, one port.
///
/// # Errors
/// As [`parse`].
pub fn dispatch(text: &str) -> Result<SocketAddr, String> {
    match parse(text, DISPATCH)?.target {
        Target::Inet { host: Host::Ip(ip), port: Port::Fixed(port) } => Ok(SocketAddr::new(ip, port)),
        Target::Inet { port: Port::Range(..), .. } => Err(format!("port range not permitted here in '{text}'")),
        _ => Err(format!("'{text}' is neither an IPv4 nor an IPv6 address")),
    }
}

/// Parses one address.
///
/// # Errors
/// A message in HAProxy's words (some end with a line feed, as its own do), to follow `'bind' : `, `'server b/s' : ` and so on.
pub fn parse(text: &str, allowed: Allowed) -> Result<Address, String> {
    if text.is_empty() {
        return Err("'' resolves to an empty address (environment variable missing?)".to_owned());
    }
    let (forced, rest) = if let Some(rest) = text.strip_prefix("stream+") {
        (Some(Transport::Stream), rest)
    } else if let Some(rest) = text.strip_prefix("dgram+") {
        (Some(Transport::Datagram), rest)
    } else {
        (None, text)
    };
    let (kind, implied, rest) = family(rest);
    let address = Address {
        target: match kind {
            Kind::Inet(family) => inet(text, rest, family, allowed)?,
            Kind::Unix => Target::Unix(unix_path(rest)?),
            Kind::Abstract => abstract_name(text, rest)?,
            Kind::Fd if allowed.fd => Target::Fd(descriptor(text, rest)?),
            Kind::Fd => {
                return Err(format!("a file descriptor is not acceptable here in '{text}'\n"));
            }
            Kind::SocketPair => Target::SocketPair(descriptor(text, rest)?),
            Kind::Quic => {
                return Err(format!(
                    "unsupported stream protocol for datagram family 2 address '{text}'; QUIC is not compiled in if this is what you were looking for."
                ));
            }
        },
        transport: implied.or(forced),
    };
    match (allowed.transport, address.transport) {
        (Some(Transport::Stream), Some(Transport::Datagram)) => {
            Err(format!("dgram-type address not acceptable in '{text}'\n"))
        }
        (Some(Transport::Datagram), Some(Transport::Stream)) => {
            Err(format!("stream-type address not acceptable in '{text}'\n"))
        }
        _ => Ok(address),
    }
}

enum Kind {
    Inet(Family),
    Unix,
    Abstract,
    Fd,
    SocketPair,
    Quic,
}

/// Family prefix of section 11.1 or protocol prefix of 11.3.
fn family(text: &str) -> (Kind, Option<Transport>, &str) {
    use Transport::{Datagram, Stream};
    if text.starts_with('/') {
        return (Kind::Unix, None, text);
    }
    let Some((prefix, rest)) = text.split_once('@') else {
        return (Kind::Inet(Family::Any), None, text);
    };
    let (kind, transport) = match prefix {
        "ipv4" => (Kind::Inet(Family::V4), None),
        "ipv6" => (Kind::Inet(Family::V6), None),
        "tcp" => (Kind::Inet(Family::Any), Some(Stream)),
        "tcp4" => (Kind::Inet(Family::V4), Some(Stream)),
        "tcp6" => (Kind::Inet(Family::V6), Some(Stream)),
        "udp" => (Kind::Inet(Family::Any), Some(Datagram)),
        "udp4" => (Kind::Inet(Family::V4), Some(Datagram)),
        "udp6" => (Kind::Inet(Family::V6), Some(Datagram)),
        "quic4" | "quic6" => (Kind::Quic, None),
        "unix" => (Kind::Unix, None),
        "uxst" => (Kind::Unix, Some(Stream)),
        "uxdg" => (Kind::Unix, Some(Datagram)),
        "abns" => (Kind::Abstract, None),
        "fd" => (Kind::Fd, None),
        "sockpair" => (Kind::SocketPair, Some(Stream)),
        _ => return (Kind::Inet(Family::Any), None, text),
    };
    (kind, transport, rest)
}

fn unix_path(path: &str) -> Result<PathBuf, String> {
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(format!("socket path '{path}' too long (max {UNIX_PATH_BYTES_MAX})"));
    }
    Ok(PathBuf::from(path))
}

fn abstract_name(text: &str, name: &str) -> Result<Target, String> {
    if name.len() > ABSTRACT_BYTES_MAX {
        return Err(format!("socket path '{text}' too long (max {ABSTRACT_BYTES_MAX})"));
    }
    Ok(Target::Abstract(name.as_bytes().to_vec()))
}

fn descriptor(text: &str, number: &str) -> Result<RawFd, String> {
    let fd: RawFd = number
        .parse()
        .ok()
        .filter(|fd| *fd >= 0)
        .ok_or_else(|| format!("file descriptor '{number}' is not a valid integer in '{text}'"))?;
    match nix::sys::socket::getsockname::<nix::sys::socket::SockaddrStorage>(fd) {
        Ok(_) => Ok(fd),
        Err(errno) => Err(format!("cannot use file descriptor '{number}' : {}.", super::unit::os_error(errno as i32))),
    }
}

fn inet(text: &str, rest: &str, family: Family, allowed: Allowed) -> Result<Target, String> {
    let (host, port_text) = split_port(rest, allowed.port);
    let port = port(text, port_text, allowed.port)?;
    let host =
        self::host(host, family, allowed.resolve).ok_or_else(|| format!("invalid address: '{host}' in '{text}'\n"))?;
    Ok(Target::Inet { host, port })
}

/// Host and port: the last colon separates them, unless it stands within brackets.
fn split_port(rest: &str, rule: PortRule) -> (&str, &str) {
    if rule == PortRule::Never {
        return (rest, "");
    }
    let from = if rest.starts_with('[') { rest.rfind(']').unwrap_or(0) } else { 0 };
    match rest[from..].rfind(':') {
        Some(colon) => (&rest[..from + colon], &rest[from + colon + 1..]),
        None => (rest, ""),
    }
}

fn port(text: &str, port: &str, rule: PortRule) -> Result<Port, String> {
    let required = rule == PortRule::Required;
    let Some(first) = port.chars().next() else {
        return if required { Err(format!("missing port specification in '{text}'")) } else { Ok(Port::None) };
    };
    if matches!(first, '+' | '-') {
        return if rule == PortRule::OffsetAllowed {
            Ok(Port::Offset(super::unit::atoi(port)))
        } else {
            Err(format!("port offset not permitted here in '{text}'"))
        };
    }
    if !first.is_ascii_digit() {
        return Err(format!("invalid character '{first}' in port number '{port}' in '{text}'\n"));
    }
    let number = |digits: &str| {
        let value = super::unit::atoi(digits);
        u16::try_from(value)
            .ok()
            .filter(|port| *port > 0 || !required)
            .ok_or_else(|| format!("invalid port '{digits}'"))
    };
    match port.split_once('-') {
        Some(_) if !required && rule != PortRule::RangeAllowed => {
            Err(format!("port range not permitted here in '{text}'"))
        }
        Some((low, high)) => {
            let (low, high) = (number(low)?, number(high)?);
            if low > high {
                return Err(format!("invalid port range '{low}-{high}'"));
            }
            Ok(Port::Range(low, high))
        }
        None => Ok(Port::Fixed(number(port)?)),
    }
}

/// An address, a name, or nothing at all; `None` when it cannot be one.
fn host(text: &str, family: Family, resolve: bool) -> Option<Host> {
    if text.is_empty() || text == "*" {
        return Some(Host::Ip(match family {
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            Family::Any | Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        }));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return fits(&ip, family).then_some(Host::Ip(ip));
    }
    if !resolve {
        return Some(Host::Name(text.to_owned(), family));
    }
    resolve_host(text, family).map(Host::Ip)
}

fn fits(ip: &IpAddr, family: Family) -> bool {
    match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    }
}

/// The process serves: nobody may wait for the system's resolver any more.
static LOOKUPS_ENDED: AtomicBool = AtomicBool::new(false);

/// From now on no name leads anywhere, because clients would wait for the answer.
pub fn end_lookups() {
    LOOKUPS_ENDED.store(true, Relaxed);
}

/// Asks the system's resolver; the first address of the family is taken.
#[must_use]
pub fn resolve_host(name: &str, family: Family) -> Option<IpAddr> {
    if LOOKUPS_ENDED.load(Relaxed) {
        return None;
    }
    (name, 0).to_socket_addrs().ok()?.map(|address| address.ip()).find(|ip| fits(ip, family))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Result<(String, Port), String> {
        match parse(text, BIND)?.target {
            Target::Inet { host: Host::Ip(ip), port } => Ok((ip.to_string(), port)),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn binds_have_a_port_or_a_range() {
        for (text, ip, port) in [
            ("*:80", "0.0.0.0", Port::Fixed(80)),
            (":80", "0.0.0.0", Port::Fixed(80)),
            ("1.2.3.4:80-90", "1.2.3.4", Port::Range(80, 90)),
            ("::1:80", "::1", Port::Fixed(80)),
            (":::80", "::", Port::Fixed(80)),
            ("[::1]:80", "::1", Port::Fixed(80)),
            ("[127.0.0.1]:80", "127.0.0.1", Port::Fixed(80)),
            ("ipv6@:80", "::", Port::Fixed(80)),
            ("stream+ipv4@:80", "0.0.0.0", Port::Fixed(80)),
            ("tcp@:80", "0.0.0.0", Port::Fixed(80)),
            ("127.1:80", "127.0.0.1", Port::Fixed(80)),
            ("1.2.3.4:8x", "1.2.3.4", Port::Fixed(8)),
        ] {
            assert_eq!(bind(text), Ok((ip.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn wrong_addresses_in_haproxys_words() {
        for (text, message) in [
            ("80", "missing port specification in '80'"),
            (":0", "invalid port '0'"),
            (":70000", "invalid port '70000'"),
            (":90-80", "invalid port range '90-80'"),
            (":80-", "invalid port ''"),
            (":+80", "port offset not permitted here in ':+80'"),
            ("[::1", "invalid address: '[:' in '[::1'"),
            ("[*]:80", "invalid address: '[*]' in '[*]:80'"),
            ("ipv4@::1:80", "invalid address: '::1' in 'ipv4@::1:80'"),
            ("foo@:80", "invalid address: 'foo@' in 'foo@:80'"),
            ("udp@:80", "dgram-type address not acceptable in 'udp@:80'"),
            ("fd@x", "file descriptor 'x' is not a valid integer in 'fd@x'"),
            ("", "'' resolves to an empty address (environment variable missing?)"),
        ] {
            assert_eq!(bind(text).map_err(|e| e.trim_end().to_owned()), Err(message.to_owned()));
        }
        assert_eq!(
            parse("fd@99999", BIND),
            Err("cannot use file descriptor '99999' : Bad file descriptor.".to_owned())
        );
    }

    #[test]
    fn servers_may_lack_a_port_and_wait_for_their_name() {
        let server = |text: &str| parse(text, SERVER).map(|a| a.target);
        let ip = |ip: &str, port| Target::Inet { host: Host::Ip(ip.parse().unwrap()), port };
        assert_eq!(server("1.2.3.4"), Ok(ip("1.2.3.4", Port::None)));
        assert_eq!(server("1.2.3.4:"), Ok(ip("1.2.3.4", Port::None)));
        assert_eq!(server("1.2.3.4:+5"), Ok(ip("1.2.3.4", Port::Offset(5))));
        assert_eq!(server("*:-5"), Ok(ip("0.0.0.0", Port::Offset(-5))));
        assert_eq!(
            server("node:80"),
            Ok(Target::Inet { host: Host::Name("node".into(), Family::Any), port: Port::Fixed(80) })
        );
        assert_eq!(server("/run/x"), Ok(Target::Unix("/run/x".into())));
        assert_eq!(server("abns@x"), Ok(Target::Abstract(b"x".to_vec())));
        assert_eq!(server("1.2.3.4:80-90"), Err("port range not permitted here in '1.2.3.4:80-90'".to_owned()));
        assert_eq!(
            server("1.2.3.4:abc"),
            Err("invalid character 'a' in port number 'abc' in '1.2.3.4:abc'\n".to_owned())
        );
    }
}
