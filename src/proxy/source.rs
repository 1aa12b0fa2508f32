//! `source`: where connections to servers come from (manual 4.2 and 5.2).

use std::net::{Ipv4Addr, SocketAddr};

/// A `source` line or parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address; its port is 0 where the kernel chooses. One of nothing leaves the choice to the kernel, too.
    pub address: SocketAddr,
    /// First and last of the ports to choose from, on servers only.
    pub ports: Option<(u16, u16)>,
    /// `interface`.
    pub interface: Option<String>,
    /// `usesrc`: the address that servers see.
    pub foreign: Foreign,
}

/// Whose address servers see (`usesrc`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Foreign {
    /// The proxy's own.
    #[default]
    No,
    /// `client`: address and port of the client.
    Client,
    /// `clientip`: the client's address.
    ClientIp,
    /// This one.
    Address(SocketAddr),
    /// `hdr_ip`: the one in a header.
    Header {
        /// The header's name.
        name: String,
        /// Which of its values, from 1, or from -1 for the last one; 0 for none.
        occurrence: i32,
    },
}

impl Source {
    /// Whether each client has connections of its own.
    pub fn is_personal(&self) -> bool {
        matches!(self.foreign, Foreign::Client | Foreign::ClientIp | Foreign::Header { .. })
    }

    /// Ports that workers bind: 0 for what the kernel chooses, `None` for any.
    pub fn ports(&self) -> Option<std::ops::RangeInclusive<u16>> {
        match (&self.foreign, self.ports) {
            (Foreign::Client, _) => None,
            (Foreign::Address(address), _) => Some(address.port()..=address.port()),
            (_, Some((first, last))) => Some(first..=last),
            _ => Some(self.address.port()..=self.address.port()),
        }
    }
}

/// An IPv4 address at the start of a header's value, read as HAProxy does: what is no digit ends it, parts that are
/// missing are 0, and parts that are too large run over.
pub fn lenient_ip(text: &[u8]) -> Ipv4Addr {
    let mut ip = 0_u32;
    for (part, shift) in text.split(|byte| *byte == b'.').zip([24, 16, 8, 0]) {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.clone().fold(0_u32, |n, digit| n.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
        ip = ip.wrapping_add(number << shift);
        if digits.count() < part.len() {
            break;
        }
    }
    ip.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_headers_are_read_leniently() {
        for (text, ip) in [
            ("127.0.0.50", "127.0.0.50"),
            ("127.0.0.50:99", "127.0.0.50"),
            ("127.0.0", "127.0.0.0"),
            ("127.1", "127.1.0.0"),
            ("127.0.0.7x", "127.0.0.7"),
            ("127..0.5", "127.0.0.5"),
            ("127.0.0.1.9", "127.0.0.1"),
            ("127.0.0.0004", "127.0.0.4"),
            ("127.0.0.300", "127.0.1.44"),
            ("bad", "0.0.0.0"),
            ("", "0.0.0.0"),
            ("::1", "0.0.0.0"),
        ] {
            assert_eq!(lenient_ip(text.as_bytes()).to_string(), ip, "{text}");
        }
    }
}
