//! Rules that put other addresses in the place of those of the client's connection (manual 4.2, `http-request set-src`,
//! `set-dst` and others).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::sample::{Ctx, Expr, Type, Value};

/// A part of the addresses of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `set-src`
    Source,
    /// `set-src-port`
    SourcePort,
    /// `set-dst`
    Destination,
    /// `set-dst-port`
    DestinationPort,
}

/// One such rule.
#[derive(Clone, Debug)]
pub struct SetAddress {
    /// What it sets.
    pub part: Part,
    /// What it becomes.
    pub expr: Box<Expr>,
}

impl SetAddress {
    /// Source and destination as the rule makes them of those in `ctx`. Without a value they stay.
    pub fn apply(&self, ctx: &Ctx<'_>) -> [Option<SocketAddr>; 2] {
        let mut addresses = [ctx.client.source, ctx.client.destination];
        let address = &mut addresses[usize::from(matches!(self.part, Part::Destination | Part::DestinationPort))];
        let Some(value) = self.expr.eval(ctx) else { return addresses };
        match self.part {
            Part::Source | Part::Destination => {
                if let Some(ip) = value.address() {
                    *address = Some(SocketAddr::new(ip, address.map_or(0, |address| address.port())));
                }
            }
            Part::SourcePort | Part::DestinationPort => {
                if let Some(Value::Int(port)) = value.cast(Type::Int) {
                    let ip = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
                    // Higher digits are cut off, as HAProxy cuts them.
                    *address = Some(SocketAddr::new(ip, port as u16));
                }
            }
        }
        addresses
    }
}
