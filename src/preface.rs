//! What a connection to a server begins with, before its user has it: a tunnel through a SOCKS4 proxy, then the
//! header of the PROXY protocol.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use crate::balance::hash::crc32c;
use crate::proxy::preface::ProxyHeader;
use crate::transport::Stream;

/// Octets of a SOCKS4 proxy's reply.
const REPLY_BYTES: usize = 8;
/// The second octet of a reply that grants the request.
const GRANTED: u8 = 90;
/// How this end introduces itself to SOCKS4 proxies.
const USER: &[u8] = b"HAProxy\0";

/// What the second version of the PROXY protocol begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, about this end itself.
const LOCAL: u8 = 0x20;
/// Version 2, about somebody else.
const PROXIED: u8 = 0x21;
/// Kinds of what follows the addresses.
const CHECKSUM: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const TLS: u8 = 0x20;
/// About a client that does not speak TLS: no flag, and nothing was verified.
const NO_TLS: &[u8] = &[0; 5];

/// The addresses of a client's connection: where it comes from and where it went.
pub type Addresses = (Option<SocketAddr>, Option<SocketAddr>);

/// Whom a header is about.
#[derive(Clone, Copy, Debug)]
pub enum About<'a> {
    /// A client, and its request's identifier.
    Client(Addresses, &'a [u8]),
    /// This end itself: the connection's own addresses.
    Own(Addresses),
}

/// The header of the PROXY protocol.
#[must_use]
pub fn header(settings: ProxyHeader, about: About<'_>) -> Vec<u8> {
    if settings.contains(ProxyHeader::V2) { second(settings, about) } else { first(about) }
}

/// The first version, a line of text.
fn first(about: About<'_>) -> Vec<u8> {
    let (About::Client(addresses, _) | About::Own(addresses)) = about;
    let Some((source, destination)) = of_one_family(addresses) else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { 4 } else { 6 };
    let [from, to] = [source, destination].map(|address| address.ip());
    format!("PROXY TCP{family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// The second version, binary.
fn second(settings: ProxyHeader, about: About<'_>) -> Vec<u8> {
    let addresses = match about {
        About::Client(addresses, _) => of_one_family(addresses),
        About::Own(_) => None,
    };
    let mut bytes = SIGNATURE.to_vec();
    match addresses {
        None => bytes.extend([LOCAL, 0, 0, 0]),
        Some((source, destination)) => {
            bytes.extend([PROXIED, if source.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
            for address in [source, destination] {
                match address.ip() {
                    IpAddr::V4(ip) => bytes.extend(ip.octets()),
                    IpAddr::V6(ip) => bytes.extend(ip.octets()),
                }
            }
            bytes.extend(source.port().to_be_bytes());
            bytes.extend(destination.port().to_be_bytes());
        }
    }
    let sum_at = settings.contains(ProxyHeader::CHECKSUM).then(|| {
        append(&mut bytes, CHECKSUM, &[0; 4]);
        bytes.len() - 4
    });
    if let (About::Client(_, id), true) = (about, settings.contains(ProxyHeader::UNIQUE_ID)) {
        append(&mut bytes, UNIQUE_ID, id);
    }
    if settings.contains(ProxyHeader::TLS) {
        append(&mut bytes, TLS, NO_TLS);
    }
    let rest = (bytes.len() - SIGNATURE.len() - 4) as u16;
    bytes[SIGNATURE.len() + 2..][..2].copy_from_slice(&rest.to_be_bytes());
    if let Some(at) = sum_at {
        let sum = crc32c(&bytes);
        bytes[at..][..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// Appends a value with its kind and length; the value is cut where a length cannot say more.
fn append(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    bytes.push(kind);
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
}

/// Longest value: the header's length has sixteen bits, and all else that is in it takes less than the rest.
const VALUE_BYTES_MAX: usize = u16::MAX as usize - 64;

/// Both addresses, as those of IPv6 if one of them is.
fn of_one_family((source, destination): Addresses) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination) = (source?, destination?);
    if source.is_ipv4() == destination.is_ipv4() {
        return Some((source, destination));
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    Some((mapped(source), mapped(destination)))
}

/// A preface under way.
#[derive(Debug)]
pub struct Preface {
    /// What is to be sent now.
    output: Vec<u8>,
    /// Octets of it that have gone.
    sent: usize,
    /// The header that follows the tunnel.
    header: Vec<u8>,
    /// The SOCKS4 proxy's reply, so far.
    reply: Option<Vec<u8>>,
}

/// What a preface comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// [`Preface::output`] is to be sent.
    Send,
    /// So many octets are to be received.
    Receive(usize),
    /// It is over: the connection is its user's.
    Done,
    /// The SOCKS4 proxy refuses.
    Denied,
}

/// Why a preface comes to nothing.
#[derive(Debug)]
pub enum Failure {
    /// The SOCKS4 proxy closed before it had replied.
    Ended,
    /// It refuses.
    Denied,
    /// The connection broke.
    Broken(std::io::Error),
}

impl Preface {
    /// Asks a SOCKS4 proxy for a `tunnel` to that address, if one is to be asked, and sends the header after it.
    #[must_use]
    pub fn new(tunnel: Option<SocketAddr>, header: Vec<u8>) -> Preface {
        let Some(target) = tunnel else { return Preface { output: header, sent: 0, header: Vec::new(), reply: None } };
        let ip = match target.ip() {
            IpAddr::V4(ip) => ip.octets(),
            // The protocol has none; nobody asks for it.
            IpAddr::V6(_) => [0; 4],
        };
        let output = [&[4, 1], &target.port().to_be_bytes()[..], &ip, USER].concat();
        Preface { output, sent: 0, header, reply: Some(Vec::with_capacity(REPLY_BYTES)) }
    }

    /// What is left to be sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So many octets of it have gone.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
    }

    /// Takes what came, not more than [`Progress::Receive`] said.
    pub fn received(&mut self, bytes: &[u8]) {
        let Some(reply) = &mut self.reply else { return };
        reply.extend_from_slice(bytes);
        if self.is_granted() {
            (self.output, self.sent, self.reply) = (std::mem::take(&mut self.header), 0, None);
        }
    }

    fn is_granted(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.len() >= REPLY_BYTES && reply[0] == 0 && reply[1] == GRANTED)
    }

    /// Sends and receives as far as it goes without waiting, and not an octet of what follows; `more` says that bytes of the
    /// user's follow the last of its own at once. Whether it is over.
    ///
    /// # Errors
    /// Why there is no connection for the user.
    pub fn advance(&mut self, stream: &Stream, more: bool) -> Result<bool, Failure> {
        loop {
            match self.progress() {
                Progress::Send => match stream.send(self.output(), more && self.reply.is_none()) {
                    Ok(count) => self.sent(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(Failure::Broken(error)),
                },
                Progress::Receive(count) => {
                    let mut room = Vec::with_capacity(count);
                    match stream.recv(&mut room) {
                        Ok(0) => return Err(Failure::Ended),
                        Ok(_) => self.received(&room),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(Failure::Broken(error)),
                    }
                }
                Progress::Done => return Ok(true),
                Progress::Denied => return Err(Failure::Denied),
            }
        }
    }

    /// Whether the SOCKS4 proxy has not replied yet.
    #[must_use]
    pub fn is_tunnelling(&self) -> bool {
        self.reply.is_some()
    }

    /// What comes next.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &self.reply {
            _ if self.sent < self.output.len() => Progress::Send,
            None => Progress::Done,
            Some(reply) if reply.len() < REPLY_BYTES => Progress::Receive(REPLY_BYTES - reply.len()),
            Some(_) => Progress::Denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Addresses {
        (source.parse().ok(), destination.parse().ok())
    }

    fn client(source: &str, destination: &str) -> About<'static> {
        About::Client(addresses(source, destination), b"id-127.0.0.9")
    }

    #[test]
    fn the_first_version_is_a_line() {
        for (source, destination, line) in [
            ("127.0.0.9:40001", "127.0.0.1:9001", "PROXY TCP4 127.0.0.9 127.0.0.1 40001 9001\r\n"),
            ("[::1]:44000", "[::1]:9001", "PROXY TCP6 ::1 ::1 44000 9001\r\n"),
            ("127.0.0.5:41005", "[::1]:9005", "PROXY TCP6 ::ffff:127.0.0.5 ::1 41005 9005\r\n"),
            ("[::1]:1", "1.2.3.4:9001", "PROXY TCP6 ::1 ::ffff:1.2.3.4 1 9001\r\n"),
            ("", "127.0.0.1:9001", "PROXY UNKNOWN\r\n"),
        ] {
            let bytes = header(ProxyHeader::V1, client(source, destination));
            assert_eq!(String::from_utf8_lossy(&bytes), line);
        }
        let own = About::Own(addresses("127.0.0.1:53382", "127.0.0.1:9110"));
        assert_eq!(header(ProxyHeader::empty(), own), b"PROXY TCP4 127.0.0.1 127.0.0.1 53382 9110\r\n");
    }

    #[test]
    fn the_second_version_is_binary() {
        let (source, destination) = ("127.0.0.9:40002", "127.0.0.1:9002");
        let bytes = header(ProxyHeader::V2 | ProxyHeader::V1, client(source, destination));
        assert_eq!(bytes, b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c\x7f\x00\x00\x09\x7f\x00\x00\x01\x9cB#*");
        let all = ProxyHeader::V2 | ProxyHeader::TLS | ProxyHeader::UNIQUE_ID;
        let bytes = header(all, client("127.0.0.9:40002", ""));
        assert_eq!(bytes[12..], *b"\x20\x00\x00\x17\x05\x00\x0cid-127.0.0.9\x20\x00\x05\x00\x00\x00\x00\x00");
        let own = About::Own(addresses("127.0.0.1:1", "127.0.0.1:2"));
        assert_eq!(header(all, own)[12..], *b"\x20\x00\x00\x08\x20\x00\x05\x00\x00\x00\x00\x00");
    }

    #[test]
    fn the_checksum_is_over_all() {
        let settings = ProxyHeader::V2 | ProxyHeader::CHECKSUM | ProxyHeader::UNIQUE_ID;
        let bytes = header(settings, client("127.0.0.9:40003", "127.0.0.1:9003"));
        assert_eq!(bytes[28..], *b"\x03\x00\x04\x9b\x07\xb1\xdd\x05\x00\x0cid-127.0.0.9");
    }

    #[test]
    fn a_long_identifier_does_not_falsify_lengths() {
        let id = vec![b'x'; 70_000];
        let about = About::Client(addresses("[::1]:1", "[::1]:2"), &id);
        let bytes = header(ProxyHeader::all(), about);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[14], bytes[15]])), bytes.len() - 16);
    }

    #[test]
    fn a_tunnel_is_asked_for_before_the_header_goes() {
        let target = "10.1.2.3:8080".parse().ok();
        let mut preface = Preface::new(target, b"PROXY UNKNOWN\r\n".to_vec());
        assert_eq!(preface.output(), b"\x04\x01\x1f\x90\x0a\x01\x02\x03HAProxy\0");
        preface.sent(3);
        assert_eq!(preface.progress(), Progress::Send);
        preface.sent(13);
        assert_eq!(preface.progress(), Progress::Receive(8));
        preface.received(b"\0\x5a\0");
        assert_eq!(preface.progress(), Progress::Receive(5));
        preface.received(b"\0\0\0\0\0");
        assert_eq!((preface.progress(), preface.output()), (Progress::Send, &b"PROXY UNKNOWN\r\n"[..]));
        preface.sent(15);
        assert_eq!(preface.progress(), Progress::Done);
    }

    #[test]
    fn anything_but_a_grant_is_a_refusal() {
        for reply in [b"\0\x5b\0\0\0\0\0\0", b"\x04\x5a\0\0\0\0\0\0", b"HTTP/1.1"] {
            let mut preface = Preface::new("10.1.2.3:80".parse().ok(), Vec::new());
            preface.sent(preface.output().len());
            preface.received(reply);
            assert_eq!(preface.progress(), Progress::Denied);
        }
        assert_eq!(Preface::new(None, Vec::new()).progress(), Progress::Done);
    }
}
