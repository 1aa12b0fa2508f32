//! What connections to a server begin with: a tunnel through a SOCKS4 proxy (manual 5.2, `socks4`), and what the PROXY
//! protocol tells of clients (`send-proxy` and its kin).

use std::io;
use std::net::SocketAddr;

/// Parameters of a `server` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefaceSettings {
    /// What it is told; nothing if empty.
    pub header: ProxyHeader,
    /// `socks4`: the proxy that leads to it.
    pub socks4: Option<SocketAddr>,
    /// `check-send-proxy`, or what stands for it: its checks tell, too.
    pub checks_tell: bool,
    /// `check-via-socks4`: its checks and agent checks take that way, too.
    pub checks_tunnel: bool,
}

impl PrefaceSettings {
    /// Where a connection to `target` goes in its place: to the SOCKS4 proxy.
    ///
    /// # Errors
    /// `EINVAL`: SOCKS4 knows no such addresses.
    pub fn detour(&self, target: Option<SocketAddr>) -> io::Result<Option<SocketAddr>> {
        match (self.socks4, target) {
            (Some(_), Some(SocketAddr::V6(_))) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            (Some(proxy), Some(SocketAddr::V4(_))) => Ok(Some(proxy)),
            _ => Ok(None),
        }
    }

    /// What a SOCKS4 proxy is asked for where a connection is to lead to `target`. Who asks for a UNIX socket asks that
    /// socket for an address that there is not, as in HAProxy.
    #[must_use]
    pub fn tunnel(&self, target: Option<SocketAddr>) -> Option<SocketAddr> {
        self.socks4.map(|_| target.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))))
    }
}

bitflags::bitflags! {
    /// The parameters of a `server` line, each as it was switched on and not off again. A server with any of them is told,
    /// also where that is but an option of a form that it is not told in.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ProxyHeader: u16 {
        /// `send-proxy`
        const V1 = 0x001;
        /// `send-proxy-v2`
        const V2 = 0x002;
        /// `ssl`, and what goes with it
        const TLS = 0x004;
        /// `cert-cn`
        const CERT_NAME = 0x008;
        /// `ssl-cipher`
        const CIPHER = 0x010;
        /// `cert-sig`
        const CERT_SIGNATURE = 0x020;
        /// `cert-key`
        const CERT_KEY = 0x040;
        /// `crc32c`
        const CHECKSUM = 0x080;
        /// `authority`: only of clients that speak TLS and name one.
        const AUTHORITY = 0x100;
        /// `unique-id`
        const UNIQUE_ID = 0x200;
    }
}

impl ProxyHeader {
    /// An option of `proxy-v2-options` and what it switches on.
    #[must_use]
    pub fn option(name: &str) -> Option<ProxyHeader> {
        Some(match name {
            "ssl" => ProxyHeader::TLS,
            "cert-cn" => ProxyHeader::TLS | ProxyHeader::CERT_NAME,
            "ssl-cipher" => ProxyHeader::TLS | ProxyHeader::CIPHER,
            "cert-sig" => ProxyHeader::TLS | ProxyHeader::CERT_SIGNATURE,
            "cert-key" => ProxyHeader::TLS | ProxyHeader::CERT_KEY,
            "authority" => ProxyHeader::AUTHORITY,
            "crc32c" => ProxyHeader::CHECKSUM,
            "unique-id" => ProxyHeader::UNIQUE_ID,
            _ => return None,
        })
    }
}
