//! Fetches of the proxy's own state: names, ids, live counts (manual 7.3.2 and 7.3.3).

use super::Fetch;
use crate::proxy::{BackendId, FrontendId};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::{Backend, Frontend, Internal, Nothing, Server};
use crate::sample::{Ctx, Type, Value};
use crate::stats::Count;

const BACKEND: &[Kind] = &[Kind::Backend];
const FRONTEND: &[Kind] = &[Kind::Frontend];
const SERVER: &[Kind] = &[Kind::Server];

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("be_conn", Type::Int, Internal, be_conn).args(BACKEND, 1),
    Fetch::new("be_id", Type::Int, Backend, |ctx, _| Some(Value::Int(i64::from(ctx.config[ctx.backend?].uuid)))),
    Fetch::new("be_name", Type::Str, Backend, |ctx, _| Some(name(&ctx.config[ctx.backend?].name))),
    Fetch::new("be_sess_rate", Type::Int, Internal, be_sess_rate).args(BACKEND, 1),
    Fetch::new("fe_conn", Type::Int, Internal, fe_conn).args(FRONTEND, 1),
    Fetch::new("fe_defbe", Type::Str, Frontend, fe_defbe),
    Fetch::new("fe_id", Type::Int, Frontend, |ctx, _| {
        Some(Value::Int(i64::from(ctx.config[ctx.client.frontend].uuid)))
    }),
    Fetch::new("fe_name", Type::Str, Frontend, |ctx, _| Some(name(&ctx.config[ctx.client.frontend].name))),
    Fetch::new("fe_req_rate", Type::Int, Internal, fe_req_rate).args(FRONTEND, 1),
    Fetch::new("fe_sess_rate", Type::Int, Internal, fe_sess_rate).args(FRONTEND, 1),
    Fetch::new("nbproc", Type::Int, Nothing, |_, _| Some(Value::Int(1))),
    Fetch::new("proc", Type::Int, Nothing, |_, _| Some(Value::Int(1))),
    Fetch::new("queue", Type::Int, Internal, queue).args(BACKEND, 1),
    Fetch::new("so_id", Type::Int, Frontend, so_id),
    Fetch::new("so_name", Type::Str, Frontend, so_name),
    Fetch::new("srv_conn", Type::Int, Internal, srv_conn).args(SERVER, 1),
    Fetch::new("srv_id", Type::Int, Server, |ctx, _| Some(Value::Int(i64::from(ctx.config[ctx.server?].uuid)))),
    Fetch::new("srv_name", Type::Str, Server, |ctx, _| Some(name(&ctx.config[ctx.server?].name))),
    Fetch::new("srv_queue", Type::Int, Internal, srv_queue).args(SERVER, 1),
    Fetch::new("srv_sess_rate", Type::Int, Internal, srv_sess_rate).args(SERVER, 1),
    Fetch::new("thread", Type::Int, Nothing, |_, _| Some(Value::Int(0))),
    Fetch::new("wait_end", Type::Bool, Internal, |_, _| Some(Value::Bool(true))),
];

fn name(text: &str) -> Value<'_> {
    Value::str(text.as_bytes())
}

fn count<'a>(n: u64) -> Option<Value<'a>> {
    Some(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn frontend(args: &[Arg]) -> Option<FrontendId> {
    args.frontend(0)
}

fn backend(args: &[Arg]) -> Option<BackendId> {
    args.backend(0)
}

fn be_conn<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.backend(backend(args)?).get(Count::SessionsCurrent))
}

fn be_sess_rate<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.backend(backend(args)?).rate(Count::SessionRate, ctx.now))
}

fn queue<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    let backend = backend(args)?;
    let own = ctx.counters.backend(backend).get(Count::QueueCurrent);
    let servers = ctx.config.servers_of(backend).map(|(id, _)| ctx.counters.server(id).get(Count::QueueCurrent));
    count(own + servers.sum::<u64>())
}

fn fe_conn<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.frontend(frontend(args)?).get(Count::SessionsCurrent))
}

fn fe_sess_rate<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.frontend(frontend(args)?).rate(Count::SessionRate, ctx.now))
}

fn fe_req_rate<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.frontend(frontend(args)?).rate(Count::RequestRate, ctx.now))
}

fn fe_defbe<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    let backend = ctx.config[ctx.client.frontend].default_backend?;
    Some(name(&ctx.config[backend].name))
}

fn so_id<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    let bind = ctx.config[ctx.client.frontend].binds.get(ctx.client.bind)?;
    Some(Value::Int(i64::from(bind.uuid)))
}

fn so_name<'a>(ctx: &Ctx<'a>, _: &'a [Arg]) -> Option<Value<'a>> {
    let bind = ctx.config[ctx.client.frontend].binds.get(ctx.client.bind)?;
    bind.name.as_deref().map(name)
}

fn srv_conn<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.server(args.server(0)?).get(Count::SessionsCurrent))
}

fn srv_queue<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.server(args.server(0)?).get(Count::QueueCurrent))
}

fn srv_sess_rate<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.server(args.server(0)?).rate(Count::SessionRate, ctx.now))
}
