//! Fetches of the connections: addresses, ports, what number a request has (manual 7.3.3).

use std::net::SocketAddr;

use super::Fetch;
use crate::sample::place::Needs::{Client, RequestKept, ServerConnection};
use crate::sample::{Type, Value};

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("bc_dst", Type::Ipv4, ServerConnection, |ctx, _| ip(ctx.facts.upstream_peer)),
    Fetch::new("bc_dst_port", Type::Int, ServerConnection, |ctx, _| port(ctx.facts.upstream_peer)),
    Fetch::new("bc_http_major", Type::Int, ServerConnection, |_, _| Some(Value::Int(1))),
    Fetch::new("bc_src", Type::Ipv4, ServerConnection, |ctx, _| ip(ctx.facts.upstream_local)),
    Fetch::new("bc_src_port", Type::Int, ServerConnection, |ctx, _| port(ctx.facts.upstream_local)),
    Fetch::new("dst", Type::Ipv4, Client, |ctx, _| ip(ctx.client.destination)),
    Fetch::new("dst_port", Type::Int, Client, |ctx, _| port(ctx.client.destination)),
    Fetch::new("fc_dst", Type::Ipv4, Client, |ctx, _| ip(ctx.client.outside[1])),
    Fetch::new("fc_dst_port", Type::Int, Client, |ctx, _| port(ctx.client.outside[1])),
    Fetch::new("fc_http_major", Type::Int, Client, |_, _| Some(Value::Int(1))),
    Fetch::new("fc_src", Type::Ipv4, Client, |ctx, _| ip(ctx.client.outside[0])),
    Fetch::new("fc_src_port", Type::Int, Client, |ctx, _| port(ctx.client.outside[0])),
    Fetch::new("http_first_req", Type::Bool, RequestKept, |ctx, _| Some(Value::Bool(ctx.client.requests <= 1))),
    Fetch::new("src", Type::Ipv4, Client, |ctx, _| ip(ctx.client.source)),
    Fetch::new("src_port", Type::Int, Client, |ctx, _| port(ctx.client.source)),
];

fn ip<'a>(address: Option<SocketAddr>) -> Option<Value<'a>> {
    address.map(|a| Value::ip(a.ip()))
}

fn port<'a>(address: Option<SocketAddr>) -> Option<Value<'a>> {
    address.map(|a| Value::Int(i64::from(a.port())))
}
