//! Address patterns: addresses and networks of both families (manual 7.1.6).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::sample::arg::mask4;
use crate::sample::value::embedded_v4;

/// A set of networks. Those of contiguous masks are kept as sorted, disjoint ranges.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Networks of IPv4 masks with holes: address and mask.
    odd: Vec<(u32, u32)>,
}

impl Networks {
    /// Adds `192.0.2.0/24`, `192.0.2.1`, `10.1/255.0.0.0`, `2001:db8::/32` or a host name that may be resolved.
    pub(super) fn add(&mut self, pattern: &[u8], resolve: bool) -> Result<(), String> {
        let text = String::from_utf8_lossy(pattern);
        let added = self.add_v4(&text, resolve).or_else(|| self.add_v6(&text));
        added.ok_or_else(|| format!("'{text}' is not a valid IPv4 or IPv6 address"))
    }

    fn add_v4(&mut self, text: &str, resolve: bool) -> Option<()> {
        let (host, mask) = match text.split_once('/') {
            Some((host, mask)) => (host, mask4(mask)?),
            None => (text, Ipv4Addr::BROADCAST),
        };
        let address =
            short_v4(host).or_else(|| if resolve && !host.starts_with("0x") { resolve_v4(host) } else { None })?;
        let mask = u32::from(mask);
        let network = u32::from(address) & mask;
        if mask.count_ones() == mask.leading_ones() {
            self.v4.push((network, network | !mask));
        } else {
            self.odd.push((network, mask));
        }
        Some(())
    }

    fn add_v6(&mut self, text: &str) -> Option<()> {
        let (host, bits) = match text.split_once('/') {
            Some((host, bits)) => (host, bits.parse::<u32>().ok().filter(|bits| *bits <= 128)?),
            None => (text, 128),
        };
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        let network = u128::from(host.parse::<Ipv6Addr>().ok()?) & mask;
        self.v6.push((network, network | !mask));
        Some(())
    }

    pub(super) fn finish(&mut self) {
        merge(&mut self.v4);
        merge(&mut self.v6);
    }

    /// Whether an IPv4 address lies in one; IPv6 networks see it as `::ffff:a.b.c.d`.
    pub fn contain_v4(&self, address: Ipv4Addr) -> bool {
        self.has_v4(address) || (!self.v6.is_empty() && within(&self.v6, u128::from(address.to_ipv6_mapped())))
    }

    /// Whether an IPv6 address lies in one; IPv4 networks see the IPv4 address inside it, where there is one.
    pub fn contain_v6(&self, address: Ipv6Addr) -> bool {
        within(&self.v6, u128::from(address)) || embedded_v4(address).is_some_and(|v4| self.has_v4(v4))
    }

    fn has_v4(&self, address: Ipv4Addr) -> bool {
        let bits = u32::from(address);
        within(&self.v4, bits) || self.odd.iter().any(|(network, mask)| bits & mask == *network)
    }
}

/// Sorts ranges and joins those that overlap.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges.drain(..) {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    *ranges = merged;
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], point: T) -> bool {
    let next = ranges.partition_point(|(first, _)| *first <= point);
    next.checked_sub(1).is_some_and(|index| point <= ranges[index].1)
}

/// A dotted address; of a shorter one the last number fills what is left, as in `127.1`.
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    let numbers: Option<Vec<u32>> = text
        .split('.')
        .map(|part| part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect();
    let numbers = numbers?;
    let (last, leading) = numbers.split_last()?;
    if leading.len() > 3 || leading.iter().any(|n| *n > 255) {
        return None;
    }
    let free_bits = 32 - 8 * leading.len() as u32;
    if u64::from(*last) >= 1 << free_bits {
        return None;
    }
    let high = leading.iter().fold(0u64, |bits, n| bits << 8 | u64::from(*n));
    Some(Ipv4Addr::from((high << free_bits) as u32 | last))
}

fn resolve_v4(host: &str) -> Option<Ipv4Addr> {
    let mut found = (host, 0).to_socket_addrs().ok()?;
    found.find_map(|address| match address {
        SocketAddr::V4(v4) => Some(*v4.ip()),
        SocketAddr::V6(_) => None,
    })
}
