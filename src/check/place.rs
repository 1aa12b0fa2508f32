//! Where a server and its checks are reached: as configured, as the operator ordered since (management manual 9.3,
//! `set server … addr`, `fqdn`, `check-addr`, `check-port`), or as name servers have said (manual 5.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy::{Server, ServerAddress};
use crate::shm::{Page, TEXT_BYTES_MAX, TEXT_NUMBERS};

/// Octets of a name (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// Where a name begins, behind the numbers.
const NAME_AT: usize = 5;
const _: () = assert!(NAME_BYTES_MAX <= 2 * TEXT_BYTES_MAX);

bitflags::bitflags! {
    /// What was ordered, and how the words of a board are to be read.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Orders: u16 {
        /// The server's address.
        const ADDRESS = 0x01;
        /// The checks' address.
        const CHECK_ADDR = 0x02;
        /// The checks' port.
        const CHECK_PORT = 0x04;
        /// On a board: the port is an offset.
        const RELATIVE = 0x08;
        /// On a board: the server's address is an IPv4 one.
        const ADDRESS_V4 = 0x10;
        /// On a board: so is the checks'.
        const CHECK_V4 = 0x20;
        /// The name that the server's address is asked for by; there may be none.
        const NAME = 0x40;
        /// On a board: there is one.
        const IS_NAMED = 0x80;
    }
}

impl Orders {
    /// All about checks.
    const CHECKS: Orders = Orders::CHECK_ADDR.union(Orders::CHECK_PORT);
    /// All orders.
    const ALL: Orders = Orders::ADDRESS.union(Orders::CHECKS).union(Orders::NAME);
}

/// Where a server and its checks are reached now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it listens.
    pub address: ServerAddress,
    /// Where its checks go, if not there.
    pub check_addr: Option<IpAddr>,
    /// The port of its checks, if not its own.
    pub check_port: Option<u16>,
    /// The name that its address is asked for by; none for a service's server that has no part of it.
    pub name: Option<Box<str>>,
    /// What of it is not as configured.
    pub orders: Orders,
}

impl Place {
    /// Numbers that it takes on a board.
    pub const NUMBERS: usize = 5 + 2 * TEXT_NUMBERS;

    /// As configured.
    pub fn configured(server: &Server) -> Place {
        let check = server.check.as_ref();
        Place {
            address: server.address.clone(),
            check_addr: check.and_then(|check| check.addr),
            check_port: check.and_then(|check| check.port),
            name: server.fqdn.as_deref().map(Box::from),
            orders: Orders::empty(),
        }
    }

    /// Orders where it listens.
    pub fn order_address(&mut self, address: ServerAddress) {
        self.address = address;
        self.orders.insert(Orders::ADDRESS);
    }

    /// Its IP address is another one; the port stays.
    pub fn move_to(&mut self, ip: IpAddr) {
        match self.address {
            ServerAddress::Ip(address) => self.order_address(ServerAddress::Ip(SocketAddr::new(ip, address.port()))),
            ServerAddress::IpRelative(_, offset) => self.order_address(ServerAddress::IpRelative(ip, offset)),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {}
        }
    }

    /// Its name leads nowhere.
    pub fn lose_address(&mut self) {
        self.move_to(Ipv4Addr::UNSPECIFIED.into());
    }

    /// Orders the name that its address is asked for by.
    pub fn order_name(&mut self, name: &str) {
        self.name = Some(name.into());
        self.orders.insert(Orders::NAME);
    }

    /// Takes a service's part that is offered at a port of a host.
    pub fn take(&mut self, host: &str, port: u16) {
        self.order_name(host);
        let ip = self.ip().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        self.order_address(ServerAddress::Ip(SocketAddr::new(ip, port)));
    }

    /// Gives back its part of a service.
    pub fn give_back(&mut self) {
        self.name = None;
        self.orders.insert(Orders::NAME);
        self.order_address(ServerAddress::IpRelative(Ipv4Addr::UNSPECIFIED.into(), 0));
    }

    /// Its IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.address {
            ServerAddress::Ip(address) => Some(address.ip()),
            ServerAddress::IpRelative(ip, _) => Some(ip),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
        }
    }

    /// Orders where its checks go.
    pub fn order_check_addr(&mut self, addr: IpAddr) {
        self.check_addr = Some(addr);
        self.orders.insert(Orders::CHECK_ADDR);
    }

    /// Orders the port of its checks; 0 is the server's own.
    pub fn order_check_port(&mut self, port: u16) {
        self.check_port = Some(port).filter(|port| *port > 0);
        self.orders.insert(Orders::CHECK_PORT);
    }

    /// The orders about the address, without those about checks if `changed` says that their configuration did.
    pub fn carried(&self, fresh: &Place, changed: bool) -> Place {
        let kept = if changed { self.orders - Orders::CHECKS } else { self.orders };
        Place {
            address: if kept.contains(Orders::ADDRESS) { &self.address } else { &fresh.address }.clone(),
            check_addr: if kept.contains(Orders::CHECK_ADDR) { self.check_addr } else { fresh.check_addr },
            check_port: if kept.contains(Orders::CHECK_PORT) { self.check_port } else { fresh.check_port },
            name: if kept.contains(Orders::NAME) { &self.name } else { &fresh.name }.clone(),
            orders: kept,
        }
    }

    /// Where a check connects that names no other address; `None` if that is no IP address.
    pub fn check_target(&self) -> Option<SocketAddr> {
        let (ip, port) = match self.address {
            ServerAddress::Ip(address) => (address.ip(), address.port()),
            ServerAddress::IpRelative(ip, _) => (ip, 0),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {
                return self.check_addr.zip(self.check_port).map(SocketAddr::from);
            }
        };
        Some(SocketAddr::new(self.check_addr.unwrap_or(ip), self.check_port.unwrap_or(port)))
    }

    /// The address and the port as the runtime socket lists them: offsets stand as ports, and what is no IP
    /// address as none.
    pub fn listed(&self) -> (String, u16) {
        match self.address {
            ServerAddress::Ip(address) => (address.ip().to_string(), address.port()),
            ServerAddress::IpRelative(ip, offset) => (ip.to_string(), offset as u16),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => ("-".to_owned(), 0),
        }
    }

    /// Writes what was ordered to a board's page, from number `first` on.
    pub(super) fn write(&self, page: Page, first: usize) {
        let mut bits = self.orders;
        let (ip, port) = match self.address {
            ServerAddress::Ip(address) => (Some(address.ip()), address.port()),
            ServerAddress::IpRelative(ip, offset) => {
                bits.insert(Orders::RELATIVE);
                (Some(ip), offset as u16)
            }
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => (None, 0),
        };
        bits.set(Orders::ADDRESS_V4, ip.is_some_and(|ip| ip.is_ipv4()));
        bits.set(Orders::IS_NAMED, self.name.is_some());
        bits.set(Orders::CHECK_V4, self.check_addr.is_some_and(|ip| ip.is_ipv4()));
        let head = u64::from(bits.bits()) | u64::from(port) << 16 | u64::from(self.check_port.unwrap_or(0)) << 32;
        let ([high, low], [check_high, check_low]) = (words(ip), words(self.check_addr));
        for (at, word) in (first..).zip([head, high, low, check_high, check_low]) {
            page.set(at, word);
        }
        if self.orders.contains(Orders::NAME) {
            let name = self.name.as_deref().unwrap_or_default().as_bytes();
            let (head, tail) = name.split_at(name.len().min(TEXT_BYTES_MAX));
            page.set_text_at(first + NAME_AT, head);
            page.set_text_at(first + NAME_AT + TEXT_NUMBERS, tail);
        }
    }

    /// Reads what was ordered; the rest is as `fresh`, the configuration, has it.
    pub(super) fn read(page: Page, first: usize, fresh: &Place) -> Place {
        let [head, high, low, check_high, check_low] = std::array::from_fn(|at| page.get(first + at));
        let bits = Orders::from_bits_truncate(head as u16);
        let (port, check_port) = ((head >> 16) as u16, (head >> 32) as u16);
        let mut place = fresh.clone();
        if bits.contains(Orders::ADDRESS) {
            let ip = address(high, low, bits.contains(Orders::ADDRESS_V4));
            place.address = match bits.contains(Orders::RELATIVE) {
                true => ServerAddress::IpRelative(ip, i32::from(port)),
                false => ServerAddress::Ip(SocketAddr::new(ip, port)),
            };
        }
        if bits.contains(Orders::CHECK_ADDR) {
            place.check_addr = Some(address(check_high, check_low, bits.contains(Orders::CHECK_V4)));
        }
        if bits.contains(Orders::CHECK_PORT) {
            place.check_port = Some(check_port).filter(|port| *port > 0);
        }
        if bits.contains(Orders::NAME) {
            let text = || [NAME_AT, NAME_AT + TEXT_NUMBERS].map(|at| page.text_at(first + at)).concat();
            let is_named = bits.contains(Orders::IS_NAMED);
            place.name = is_named.then(|| String::from_utf8_lossy(&text()).into());
        }
        place.orders = bits & Orders::ALL;
        place
    }
}

/// An address as two words.
fn words(ip: Option<IpAddr>) -> [u64; 2] {
    let bits = match ip {
        Some(IpAddr::V4(ip)) => u128::from(ip.to_bits()),
        Some(IpAddr::V6(ip)) => ip.to_bits(),
        None => 0,
    };
    [(bits >> 64) as u64, bits as u64]
}

fn address(high: u64, low: u64, is_v4: bool) -> IpAddr {
    match is_v4 {
        true => Ipv4Addr::from_bits(low as u32).into(),
        false => Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::{Board, Segment};

    fn fresh() -> Place {
        Place {
            address: ServerAddress::Ip(([127, 0, 0, 1], 80).into()),
            check_addr: None,
            check_port: Some(81),
            name: Some("www.example".into()),
            orders: Orders::empty(),
        }
    }

    #[test]
    fn orders_and_nothing_else_go_over_a_board() {
        let segment = Segment::private(1, 1).expect("segment");
        let found = segment.directory(segment.begin_generation()).object("server", b"b/s").expect("room");
        let board = Board::new(segment.shared(found.object));
        let mut place = fresh();
        let mut other = fresh();
        other.check_port = Some(99);
        let over = |place: &Place, other: &Place| {
            board.change(|page| place.write(page, 3));
            board.read(|page| Place::read(page, 3, other))
        };
        assert_eq!(over(&place, &other), other);
        place.order_address(ServerAddress::Ip("[2001:db8::ffff]:65535".parse().expect("address")));
        assert_eq!(over(&place, &other), Place { check_port: Some(99), ..place.clone() });
        place.order_check_addr([127, 9, 9, 9].into());
        place.order_check_port(0);
        assert_eq!(over(&place, &other), place);
        assert_eq!(place.check_target(), Some(([127, 9, 9, 9], 65535).into()));
        place.order_address(ServerAddress::IpRelative([10, 0, 0, 1].into(), -5));
        assert_eq!(over(&place, &other).listed(), ("10.0.0.1".to_owned(), 65531));
        place.take(&"long.".repeat(50), 8080);
        assert_eq!(over(&place, &other), place);
        assert_eq!(place.listed(), ("10.0.0.1".to_owned(), 8080));
        place.give_back();
        assert_eq!(over(&place, &other), place);
        assert_eq!((&place.name, place.listed().1), (&None, 0));
        let path = Place { address: ServerAddress::Unix("/a".into()), ..fresh() };
        assert_eq!(over(&path, &path), path);
    }

    #[test]
    fn what_the_configuration_says_of_checks_holds_if_it_changed() {
        let mut place = fresh();
        place.order_address(ServerAddress::Ip(([127, 0, 0, 2], 80).into()));
        place.order_check_port(7);
        assert_eq!(place.carried(&fresh(), false), place);
        let other = Place { check_port: Some(99), ..fresh() };
        let kept = place.carried(&other, true);
        assert_eq!((kept.check_port, &kept.address, kept.orders), (Some(99), &place.address, Orders::ADDRESS));
    }
}
