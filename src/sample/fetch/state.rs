//! Fetches of the proxy's own state: names, ids, live counts (manual 7.3.2 and 7.3.3).

use super::Fetch;
use crate::proxy::{BackendId, FrontendId, ServerId};
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::place::Needs::{Backend, Frontend, Internal, Nothing, Server};
use crate::sample::{Ctx, LiveServer, Type, Value};
use crate::stats::Count;
use crate::time::Millis;

const BACKEND: &[Kind] = &[Kind::Backend];
const FRONTEND: &[Kind] = &[Kind::Frontend];
const SERVER: &[Kind] = &[Kind::Server];

pub(super) const FETCHES: &[Fetch] = &[
    Fetch::new("avg_queue", Type::Int, Internal, avg_queue).args(BACKEND, 1),
    Fetch::new("be_conn", Type::Int, Internal, be_conn).args(BACKEND, 1),
    Fetch::new("be_conn_free", Type::Int, Internal, be_conn_free).args(BACKEND, 1),
    Fetch::new("be_id", Type::Int, Backend, |ctx, _| Some(Value::Int(i64::from(ctx.config[ctx.backend?].uuid)))),
    Fetch::new("be_name", Type::Str, Backend, |ctx, _| Some(name(&ctx.config[ctx.backend?].name))),
    Fetch::new("be_sess_rate", Type::Int, Internal, be_sess_rate).args(BACKEND, 1),
    Fetch::new("be_server_timeout", Type::Int, Backend, |ctx, _| timeout(ctx.config[ctx.backend?].timeouts.server)),
    Fetch::new("be_tunnel_timeout", Type::Int, Backend, |ctx, _| timeout(ctx.config[ctx.backend?].timeouts.tunnel)),
    Fetch::new("connslots", Type::Int, Internal, connslots).args(BACKEND, 1),
    Fetch::new("fe_client_timeout", Type::Int, Frontend, |ctx, _| {
        timeout(ctx.config[ctx.client.frontend].timeouts.client)
    }),
    Fetch::new("fe_conn", Type::Int, Internal, fe_conn).args(FRONTEND, 1),
    Fetch::new("fe_defbe", Type::Str, Frontend, fe_defbe),
    Fetch::new("fe_id", Type::Int, Frontend, |ctx, _| {
        Some(Value::Int(i64::from(ctx.config[ctx.client.frontend].uuid)))
    }),
    Fetch::new("fe_name", Type::Str, Frontend, |ctx, _| Some(name(&ctx.config[ctx.client.frontend].name))),
    Fetch::new("fe_req_rate", Type::Int, Internal, fe_req_rate).args(FRONTEND, 1),
    Fetch::new("fe_sess_rate", Type::Int, Internal, fe_sess_rate).args(FRONTEND, 1),
    Fetch::new("nbproc", Type::Int, Nothing, |ctx, _| {
        let crew = ctx.config.global.crew();
        Some(Value::Int(if crew.are_processes { i64::from(crew.count) } else { 1 }))
    }),
    Fetch::new("nbsrv", Type::Int, Internal, |ctx, args| count(usable_servers(ctx, args.backend(0)?))).args(BACKEND, 1),
    Fetch::new("proc", Type::Int, Nothing, |ctx, _| {
        Some(Value::Int(if ctx.config.global.crew().are_processes { worker(ctx) } else { 1 }))
    }),
    Fetch::new("queue", Type::Int, Internal, queue).args(BACKEND, 1),
    Fetch::new("so_id", Type::Int, Frontend, so_id),
    Fetch::new("so_name", Type::Str, Frontend, so_name),
    Fetch::new("srv_conn", Type::Int, Internal, srv_conn).args(SERVER, 1),
    Fetch::new("srv_conn_free", Type::Int, Internal, srv_conn_free).args(SERVER, 1),
    Fetch::new("srv_id", Type::Int, Server, |ctx, _| Some(Value::Int(i64::from(ctx.config[ctx.server?].uuid)))),
    Fetch::new("srv_is_up", Type::Bool, Internal, |ctx, args| Some(Value::Bool(live(ctx, args.server(0)?)?.up)))
        .args(SERVER, 1),
    Fetch::new("srv_iweight", Type::Int, Internal, |ctx, args| count(u64::from(ctx.config[args.server(0)?].weight)))
        .args(SERVER, 1),
    Fetch::new("srv_name", Type::Str, Server, |ctx, _| Some(name(&ctx.config[ctx.server?].name))),
    Fetch::new("srv_queue", Type::Int, Internal, srv_queue).args(SERVER, 1),
    Fetch::new("srv_sess_rate", Type::Int, Internal, srv_sess_rate).args(SERVER, 1),
    Fetch::new("srv_uweight", Type::Int, Internal, srv_user_weight).args(SERVER, 1),
    Fetch::new("srv_weight", Type::Int, Internal, srv_weight).args(SERVER, 1),
    Fetch::new("stopping", Type::Bool, Internal, |ctx, _| Some(Value::Bool(ctx.stopping))),
    Fetch::new("thread", Type::Int, Nothing, |ctx, _| {
        Some(Value::Int(if ctx.config.global.crew().are_processes { 0 } else { worker(ctx) - 1 }))
    }),
    Fetch::new("unique-id", Type::Str, Nothing, |ctx, _| {
        let id = ctx.config[ctx.client.frontend].unique_id(ctx);
        (!id.is_empty()).then(|| Value::str(id))
    }),
    Fetch::new("wait_end", Type::Bool, Internal, |ctx, _| {
        ctx.may_change();
        ctx.inspection.is_none().then_some(Value::Bool(true))
    }),
];

/// The number of the worker, from 1.
fn worker(ctx: &Ctx<'_>) -> i64 {
    ctx.counters.segment().number(ctx.counters.slot()) as i64
}

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

/// A timeout in milliseconds; none is 0.
fn timeout<'a>(timeout: Option<Millis>) -> Option<Value<'a>> {
    count(timeout.map_or(0, |timeout| timeout.0))
}

fn live<'a>(ctx: &Ctx<'a>, server: ServerId) -> Option<&'a LiveServer> {
    ctx.servers.get(server.0 as usize)
}

/// The servers that take requests at the moment, as HAProxy counts them: primaries, else backups, of which
/// only the first counts unless `option allbackups` is set.
fn in_charge<'a>(ctx: &Ctx<'a>, backend: BackendId) -> impl Iterator<Item = (ServerId, &'a LiveServer)> {
    let config = ctx.config;
    let parts = move |backup: bool| {
        let all = config.servers_of(backend).filter(move |(_, server)| server.backup == backup);
        all.filter_map(|(id, _)| Some((id, live(ctx, id)?))).filter(|(_, live)| live.takes_part())
    };
    let primaries = parts(false).count();
    let backups = match (primaries, config[backend].all_backups) {
        (0, true) => usize::MAX,
        (0, false) => 1,
        _ => 0,
    };
    let chosen: Vec<_> = parts(false).chain(parts(true).take(backups)).collect();
    chosen.into_iter()
}

pub(crate) fn usable_servers(ctx: &Ctx<'_>, backend: BackendId) -> u64 {
    in_charge(ctx, backend).count() as u64
}

fn waiting(ctx: &Ctx<'_>, backend: BackendId) -> u64 {
    let own = ctx.counters.backend(backend).get(Count::QueueCurrent);
    let servers = ctx.config.servers_of(backend).map(|(id, _)| ctx.counters.server(id).get(Count::QueueCurrent));
    own + servers.sum::<u64>()
}

fn avg_queue<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    let backend = args.backend(0)?;
    let (waiting, servers) = (waiting(ctx, backend), usable_servers(ctx, backend));
    // Without a server, HAProxy doubles the figure.
    count(if servers > 0 { waiting.div_ceil(servers) } else { waiting * 2 })
}

/// Places left on a server; `None` where there is no limit.
fn free_places(ctx: &Ctx<'_>, server: ServerId) -> Option<u64> {
    let now = ctx.counters.server(server).get(Count::SessionsCurrent);
    let max = live(ctx, server).and_then(|live| live.maxconn)?;
    Some(u64::from(max).saturating_sub(now))
}

/// A number, or -1 where there is no limit.
fn or_unlimited<'a>(n: Option<u64>) -> Option<Value<'a>> {
    n.map_or(Some(Value::Int(-1)), count)
}

fn srv_conn_free<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    or_unlimited(free_places(ctx, args.server(0)?))
}

fn be_conn_free<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    or_unlimited(in_charge(ctx, args.backend(0)?).map(|(id, _)| free_places(ctx, id)).sum())
}

fn connslots<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    let slots = |id: ServerId| {
        let queued = ctx.counters.server(id).get(Count::QueueCurrent);
        let queue = u64::from(ctx.config[id].maxqueue?).saturating_sub(queued);
        Some(free_places(ctx, id)? + queue)
    };
    let up = ctx.config.servers_of(args.backend(0)?).filter(|(id, _)| live(ctx, *id).is_some_and(|live| live.up));
    or_unlimited(up.map(|(id, _)| slots(id)).sum())
}

fn srv_weight<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(u64::from(live(ctx, args.server(0)?)?.effective))
}

fn srv_user_weight<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(u64::from(live(ctx, args.server(0)?)?.weight))
}

fn be_conn<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.backend(backend(args)?).get(Count::SessionsCurrent))
}

fn be_sess_rate<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(ctx.counters.backend(backend(args)?).rate(Count::SessionRate, ctx.now))
}

fn queue<'a>(ctx: &Ctx<'a>, args: &'a [Arg]) -> Option<Value<'a>> {
    count(waiting(ctx, backend(args)?))
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
