//! The cookie that a terminal server gave its client: it says the server's address (manual 4.2,
//! `persist rdp-cookie`; MS-RDPBCGR 3.2.5.3.1).

use std::net::{Ipv4Addr, SocketAddr};

/// Octets before the cookie: TPKT header (RFC 1006 6) and X.224 connection request.
const HEAD_BYTES: usize = 11;
const TPKT_VERSION: u8 = 3;
const CONNECTION_REQUEST: u8 = 0xe0;

/// The server that the first bytes of a connection name by the cookie `name`.
pub fn server(bytes: &[u8], name: &[u8]) -> Option<SocketAddr> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    if head[0] != TPKT_VERSION || head[1] != 0 || head[5] & 0xf0 != CONNECTION_REQUEST {
        return None;
    }
    let (label, rest) = rest.split_at_checked(b"Cookie: ".len())?;
    let line = rest.split(|c| *c == b'\r' || *c == b'\n').next()?;
    let (own, value) = line.split_at_checked(name.len())?;
    if !label.eq_ignore_ascii_case(b"Cookie: ") || !own.eq_ignore_ascii_case(name) {
        return None;
    }
    let mut numbers = value.strip_prefix(b"=")?.split(|c| *c == b'.');
    let mut number = || std::str::from_utf8(numbers.next()?).ok()?.parse::<u32>().ok();
    let (address, port) = (number()?, u16::try_from(number()?).ok()?);
    // Both are in the order of the network, read by a machine of the other.
    Some(SocketAddr::new(Ipv4Addr::from(address.to_le_bytes()).into(), port.swap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_in_the_cookie() {
        let packet =
            |text: &str| [b"\x03\x00\x00\x2a\x25\xe0\x00\x00\x00\x00\x00".as_slice(), text.as_bytes()].concat();
        let found = |text: &str| server(&packet(text), b"msts");
        assert_eq!(
            found("Cookie: msts=3640205228.15629.0000\r\n"),
            Some("172.31.249.216:3389".parse().expect("address"))
        );
        assert_eq!(found("cookie: MSTS=16777343.15629.0000\r\n"), Some("127.0.0.1:3389".parse().expect("address")));
        for text in [
            "",
            "Cookie: msts=",
            "Cookie: msts=1",
            "Cookie: other=1.2.3",
            "Cookie: msts=x.y.z",
            "Cookie: msts=1.99999.0",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(server(b"GET / HTTP/1.1\r\nCookie: msts=1.2.3\r\n", b"msts"), None);
    }
}
