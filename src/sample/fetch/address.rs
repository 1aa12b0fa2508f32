//! Fetches of the connections: addresses, ports, what number a request has (manual 7.3.3).

use std::net::{SocketAddr, UdpSocket};

use super::Fetch;
use crate::sample::place::Needs::{Client, ClientSession, Frontend, RequestKept, ServerConnection};
use crate::sample::{Ctx, Type, Value};
use crate::stats::Count;

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("bc_dst", Type::Int, ServerConnection, |ctx, _| ip(ctx.facts.upstream_peer)),
    Fetch::new("bc_dst_port", Type::Int, ServerConnection, |ctx, _| port(ctx.facts.upstream_peer)),
    Fetch::new("bc_http_major", Type::Int, ServerConnection, |_, _| Some(Value::Int(1))),
    Fetch::new("bc_src", Type::Int, ServerConnection, |ctx, _| ip(upstream_local(ctx))),
    Fetch::new("bc_src_port", Type::Int, ServerConnection, |ctx, _| port(upstream_local(ctx))),
    Fetch::new("dst", Type::Ipv4, Client, |ctx, _| ip(ctx.client.destination)),
    Fetch::new("dst_conn", Type::Int, Frontend, |ctx, _| {
        let row = ctx.counters.listener(ctx.client.frontend, ctx.client.bind);
        Some(Value::Int(row.get(Count::SessionsCurrent) as i64))
    }),
    Fetch::new("dst_is_local", Type::Bool, Client, |ctx, _| is_local(ctx.client.destination)),
    Fetch::new("dst_port", Type::Int, Client, |ctx, _| port(ctx.client.destination)),
    Fetch::new("fc_dst", Type::Ipv4, Client, |ctx, _| ip(ctx.client.outside[1])),
    Fetch::new("fc_dst_is_local", Type::Bool, Client, |ctx, _| is_local(ctx.client.outside[1])),
    Fetch::new("fc_dst_port", Type::Int, Client, |ctx, _| port(ctx.client.outside[1])),
    Fetch::new("fc_http_major", Type::Int, Client, |_, _| Some(Value::Int(1))),
    Fetch::new("fc_src", Type::Ipv4, Client, |ctx, _| ip(ctx.client.outside[0])),
    Fetch::new("fc_src_is_local", Type::Bool, Client, |ctx, _| is_local(ctx.client.outside[0])),
    Fetch::new("fc_src_port", Type::Int, Client, |ctx, _| port(ctx.client.outside[0])),
    Fetch::new("http_first_req", Type::Bool, RequestKept, |ctx, _| Some(Value::Bool(ctx.client.requests <= 1))),
    Fetch::new("src", Type::Ipv4, Client, |ctx, _| ip(ctx.client.source)),
    Fetch::new("src_is_local", Type::Bool, Client, |ctx, _| is_local(ctx.client.source)),
    Fetch::new("src_port", Type::Int, Client, |ctx, _| port(ctx.client.source)),
    // No listener speaks TLS, and files that send clients to one that does ask for this everywhere.
    Fetch::new("ssl_fc", Type::Bool, ClientSession, |_, _| Some(Value::Bool(false))),
];

/// Asked of the system, unless it was for the log.
fn upstream_local(ctx: &Ctx<'_>) -> Option<SocketAddr> {
    ctx.facts.upstream_local.or_else(|| ctx.upstream?.stream.local_address())
}

fn ip<'a>(address: Option<SocketAddr>) -> Option<Value<'a>> {
    address.map(|a| Value::ip(a.ip()))
}

/// Whether the address is one of this host: nothing else can be bound. Costs three system calls.
fn is_local<'a>(address: Option<SocketAddr>) -> Option<Value<'a>> {
    address.map(|a| Value::Bool(UdpSocket::bind((a.ip(), 0)).is_ok()))
}

/// A rule may have set an address without a port: then there is none.
fn port<'a>(address: Option<SocketAddr>) -> Option<Value<'a>> {
    address.filter(|a| a.port() != 0).map(|a| Value::Int(i64::from(a.port())))
}
