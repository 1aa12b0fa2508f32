//! The statistics of every object at one moment.

use super::column::Column as C;
use super::record::{Kind, Record};
use super::view::{BackendView, CheckView, ServerView, States};
use super::{Count, Counters, Row};
use crate::proxy::{BackendId, Config, FrontendId, ListenAddress, Mode, ServerId};
use crate::time::Now;

/// What the records are made from.
pub struct Snapshot<'a, S> {
    /// The configuration.
    pub config: &'a Config,
    /// Counters.
    pub counters: &'a Counters,
    /// The moment.
    pub now: Now,
    /// States that change.
    pub states: &'a S,
    /// Most connections of the process, as at the start.
    pub maxconn: u32,
    /// Addresses, cookies and algorithms are shown, too.
    pub legends: bool,
}

/// Which objects are wanted.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The id of one proxy; all when absent.
    pub proxy: Option<u32>,
    /// Kinds wanted: bit 0 frontends, 1 backends, 2 servers, 3 listening addresses.
    pub kinds: u32,
    /// The id of one server or listening address; all when absent.
    pub object: Option<u32>,
    /// No servers that are down.
    pub only_up: bool,
    /// No servers in maintenance.
    pub no_maintenance: bool,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter { proxy: None, kinds: u32::MAX, object: None, only_up: false, no_maintenance: false }
    }
}

/// One proxy of the configuration: a frontend, a backend, or both under one name.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProxyParts {
    /// Its id.
    pub uuid: u32,
    /// The client side.
    pub frontend: Option<FrontendId>,
    /// The server side.
    pub backend: Option<BackendId>,
}

impl Filter {
    fn wants(&self, kind: Kind) -> bool {
        self.kinds & 1 << kind as u32 != 0
    }

    fn wants_object(&self, id: u32) -> bool {
        self.object.is_none_or(|wanted| wanted == id)
    }
}

/// All proxies in the order of their sections; those that are `disabled` are not there.
pub fn proxies(config: &Config) -> Vec<ProxyParts> {
    let mut all: Vec<(u32, ProxyParts)> = Vec::new();
    for (index, frontend) in config.frontends.iter().enumerate().filter(|(_, frontend)| !frontend.disabled) {
        let frontend_id = Some(FrontendId(index as u32));
        all.push((frontend.ordinal, ProxyParts { uuid: frontend.uuid, frontend: frontend_id, backend: None }));
    }
    for (index, backend) in config.backends.iter().enumerate().filter(|(_, backend)| !backend.disabled) {
        let id = Some(BackendId(index as u32));
        match all.iter_mut().find(|(ordinal, _)| *ordinal == backend.ordinal) {
            Some((_, parts)) => parts.backend = id,
            None => all.push((backend.ordinal, ProxyParts { uuid: backend.uuid, frontend: None, backend: id })),
        }
    }
    all.sort_by_key(|(ordinal, _)| *ordinal);
    all.into_iter().map(|(_, parts)| parts).collect()
}

/// A proxy's name.
pub fn proxy_name<'a>(config: &'a Config, parts: &ProxyParts) -> &'a str {
    match (parts.frontend, parts.backend) {
        (Some(id), _) => &config[id].name,
        (None, Some(id)) => &config[id].name,
        (None, None) => "",
    }
}

impl<S: States> Snapshot<'_, S> {
    /// The records of all objects that are wanted, proxy by proxy.
    pub fn records(&self, filter: &Filter) -> Vec<Record> {
        let mut out = Vec::new();
        for parts in proxies(self.config) {
            if filter.proxy.is_none_or(|wanted| wanted == parts.uuid) {
                self.proxy(&parts, filter, &mut out);
            }
        }
        out
    }

    /// The records of one proxy: frontend, listening addresses, servers, backend.
    pub fn proxy(&self, parts: &ProxyParts, filter: &Filter, out: &mut Vec<Record>) {
        if let Some(id) = parts.frontend {
            if filter.wants(Kind::Frontend) && filter.wants_object(0) {
                out.push(self.frontend(id));
            }
            if self.config[id].socket_stats && filter.wants(Kind::Listener) {
                let binds = self.config[id].binds.iter().enumerate();
                let wanted = binds.filter(|(_, bind)| filter.wants_object(bind.uuid));
                out.extend(wanted.map(|(index, _)| self.listener(id, index)));
            }
        }
        let Some(id) = parts.backend else { return };
        if filter.wants(Kind::Server) {
            for (server_id, server) in self.config.servers_of(id).filter(|(_, s)| filter.wants_object(s.uuid)) {
                let view = self.states.server(server_id);
                if (filter.only_up && view.down) || (filter.no_maintenance && view.maintained) {
                    continue;
                }
                debug_assert_eq!(server.backend, id);
                out.push(self.server(server_id, &view));
            }
        }
        if filter.wants(Kind::Backend) && filter.wants_object(0) {
            let mut record = self.backend(id);
            if filter.only_up {
                self.count_up(id, &mut record);
            }
            out.push(record);
        }
    }

    /// Tells beside a backend's state how many of its servers are up, since the others are not shown.
    fn count_up(&self, id: BackendId, record: &mut Record) {
        let up = self.config.servers_of(id).filter(|(server, _)| !self.states.server(*server).down).count();
        let status = format!("{} ({up}/{})", record.get_text(C::Status), self.config[id].servers.len());
        record.text(C::Status, status);
    }

    /// A frontend's record.
    pub fn frontend(&self, id: FrontendId) -> Record {
        let frontend = &self.config[id];
        let row = self.counters.frontend(id);
        let view = self.states.frontend(id);
        let mut record = Record::new(Kind::Frontend);
        record.text(C::Pxname, &frontend.name);
        record.text(C::Svname, "FRONTEND");
        record.number(C::Iid, u64::from(frontend.uuid));
        record.number(C::Sid, 0);
        sessions(&mut record, row);
        record.number(C::Slim, u64::from(view.maxconn));
        record.number(C::Stot, row.get(Count::SessionsTotal));
        copy(&mut record, row, &[(C::Dreq, Count::DeniedRequests), (C::Dresp, Count::DeniedResponses)]);
        copy(&mut record, row, &[(C::Ereq, Count::RequestErrors), (C::ConnTot, Count::ConnectionsTotal)]);
        copy(&mut record, row, &[(C::Dcon, Count::DeniedConnections), (C::Dses, Count::DeniedSessions)]);
        let status = match (view.stopped, view.paused) {
            (true, _) => "STOP",
            (_, true) => "PAUSED",
            _ => "OPEN",
        };
        record.text(C::Status, status);
        self.rate(&mut record, row, Count::SessionRate, Count::SessionRateMax, (C::Rate, C::RateMax));
        self.rate(&mut record, row, Count::RequestRate, Count::RequestRateMax, (C::ReqRate, C::ReqRateMax));
        self.rate(&mut record, row, Count::ConnectionRate, Count::ConnectionRateMax, (C::ConnRate, C::ConnRateMax));
        record.number(C::RateLim, frontend.rate_limit.map_or(0, u64::from));
        record.number(C::ReqTot, row.get(Count::RequestsTotal));
        if frontend.mode == Mode::Http {
            statuses(&mut record, row);
            record.number(C::Intercepted, row.get(Count::Intercepted));
            record.zeros(&[C::CacheLookups, C::CacheHits]);
        }
        record.number(C::Pid, self.process_number());
        common(&mut record, row, frontend.mode);
        protocols(&mut record);
        let (requests, current) = (row.get(Count::RequestsTotal), row.get(Count::SessionsCurrent));
        if frontend.mode == Mode::Http {
            record.number(C::H1OpenConnections, current);
            record.number(C::H1OpenStreams, current);
            record.number(C::H1TotalConnections, row.get(Count::ConnectionsTotal));
            record.number(C::H1TotalStreams, requests);
            record.number(C::H1BytesIn, row.get(Count::BytesIn));
            record.number(C::H1BytesOut, row.get(Count::BytesOut));
        }
        record
    }

    /// A listening address's record.
    pub fn listener(&self, id: FrontendId, index: usize) -> Record {
        let frontend = &self.config[id];
        let bind = &frontend.binds[index];
        let row = self.counters.listener(id, index);
        let view = self.states.frontend(id);
        let mut record = Record::new(Kind::Listener);
        record.text(C::Pxname, &frontend.name);
        record.text(C::Svname, bind.name.clone().unwrap_or_else(|| format!("sock-{}", bind.uuid)));
        record.number(C::Iid, u64::from(frontend.uuid));
        record.number(C::Sid, u64::from(bind.uuid));
        sessions(&mut record, row);
        record.number(C::Slim, u64::from(bind.options.maxconn.unwrap_or(0)));
        record.number(C::Stot, row.get(Count::SessionsTotal));
        copy(&mut record, row, &[(C::Dreq, Count::DeniedRequests), (C::Dresp, Count::DeniedResponses)]);
        copy(&mut record, row, &[(C::Ereq, Count::RequestErrors), (C::Eint, Count::InternalErrors)]);
        copy(&mut record, row, &[(C::Dcon, Count::DeniedConnections), (C::Dses, Count::DeniedSessions)]);
        copy(&mut record, row, &[(C::Wrew, Count::FailedRewrites)]);
        let current = row.get(Count::SessionsCurrent);
        let full = bind.options.maxconn.is_some_and(|max| current >= u64::from(max));
        let whole = self.counters.frontend(id);
        let limited = |limit: u32| whole.rate(Count::SessionRate, self.now) >= u64::from(limit);
        let waits = whole.get(Count::SessionsCurrent) >= u64::from(view.maxconn);
        let waits = waits || frontend.rate_limit.is_some_and(limited);
        record.text(
            C::Status,
            if full {
                "FULL"
            } else if waits {
                "WAITING"
            } else {
                "OPEN"
            },
        );
        record.text(C::Mode, mode_name(frontend.mode));
        if self.legends {
            record.text(C::Addr, address_text(&bind.address));
        }
        record.zeros(&[C::SslSess, C::SslReusedSess, C::SslFailedHandshake]);
        record.number(C::Pid, self.process_number());
        record
    }

    /// A server's record.
    pub fn server(&self, id: ServerId, view: &ServerView) -> Record {
        let server = &self.config[id];
        let backend = &self.config[server.backend];
        let row = self.counters.server(id);
        let mut record = Record::new(Kind::Server);
        record.text(C::Pxname, &backend.name);
        record.text(C::Svname, &server.name);
        record.number(C::Iid, u64::from(backend.uuid));
        record.number(C::Sid, u64::from(server.uuid));
        sessions(&mut record, row);
        if let Some(max) = view.maxconn {
            record.number(C::Slim, u64::from(max));
        }
        record.number(C::Stot, row.get(Count::SessionsTotal));
        upstream_side(&mut record, row, self.now);
        record.text(C::Status, &view.status);
        record.number(C::Weight, u64::from(view.weight));
        record.number(C::Uweight, u64::from(view.user_weight));
        record.number(C::Act, u64::from(!server.backup));
        record.number(C::Bck, u64::from(server.backup));
        record.number(C::Lastchg, view.changed_s);
        if view.checked {
            record.number(C::Chkfail, row.get(Count::CheckFailures));
            record.number(C::Chkdown, row.get(Count::CheckDowns));
            if server.observe.is_some() {
                record.number(C::Hanafail, row.get(Count::ObservedFailures));
            }
            record.number(C::Downtime, view.downtime_s);
        }
        if let Some(check) = &view.check {
            check_columns(&mut record, CHECK_COLUMNS, check);
        }
        if let Some(agent) = &view.agent {
            check_columns(&mut record, AGENT_COLUMNS, agent);
        }
        if let Some(max) = server.maxqueue {
            record.number(C::Qlimit, u64::from(max));
        }
        if let Some(throttle) = view.throttle {
            record.number(C::Throttle, u64::from(throttle));
        }
        if let Some(of) = server.track {
            let (backend, server) = self.config.server_names(of);
            record.text(C::Tracked, format!("{backend}/{server}"));
        }
        if let Some(max) = view.idle_max {
            record.number(C::SrcIlim, u64::from(max));
        }
        if let Some(cookie) = view.cookie.as_ref().filter(|_| self.legends) {
            record.text(C::Cookie, cookie);
        }
        if self.legends {
            record.text(C::Addr, &view.address);
        }
        self.rate(&mut record, row, Count::SessionRate, Count::SessionRateMax, (C::Rate, C::RateMax));
        if backend.mode == Mode::Http {
            statuses(&mut record, row);
            record.number(C::ReqTot, row.get(Count::RequestsTotal));
        }
        record.number(C::Pid, self.process_number());
        common(&mut record, row, backend.mode);
        let (idle, safe) = (row.get(Count::IdleCurrent), row.get(Count::IdleProven));
        record.number(C::SrvIcur, idle);
        // The rows of other workers may change between the two looks.
        record.number(C::IdleConnCur, idle.saturating_sub(safe));
        record.number(C::SafeConnCur, safe);
        record.number(C::UsedConnCur, row.get(Count::UsedCurrent));
        record.number(C::NeedConnEst, row.get(Count::NeededCurrent));
        record
    }

    /// A backend's record.
    pub fn backend(&self, id: BackendId) -> Record {
        let backend = &self.config[id];
        let row = self.counters.backend(id);
        let view: BackendView = self.states.backend(id);
        let mut record = Record::new(Kind::Backend);
        record.text(C::Pxname, &backend.name);
        record.text(C::Svname, "BACKEND");
        record.number(C::Iid, u64::from(backend.uuid));
        record.number(C::Sid, 0);
        sessions(&mut record, row);
        record.number(C::Slim, u64::from(self.config.full_at(id, self.maxconn)));
        record.number(C::Stot, row.get(Count::SessionsTotal));
        record.number(C::Dreq, row.get(Count::DeniedRequests));
        upstream_side(&mut record, row, self.now);
        record.text(C::Status, if view.up { "UP" } else { "DOWN" });
        for (column, value) in [(C::Weight, view.weight), (C::Uweight, view.user_weight)] {
            record.number(column, u64::from(value));
        }
        record.number(C::Act, u64::from(view.active));
        record.number(C::Bck, u64::from(view.backup));
        record.number(C::Chkdown, view.downs);
        record.number(C::Lastchg, view.changed_s);
        if !backend.servers.is_empty() {
            record.number(C::Downtime, view.downtime_s);
        }
        self.rate(&mut record, row, Count::SessionRate, Count::SessionRateMax, (C::Rate, C::RateMax));
        if backend.mode == Mode::Http {
            statuses(&mut record, row);
            record.number(C::ReqTot, row.get(Count::RequestsTotal));
            record.zeros(&[C::CacheLookups, C::CacheHits]);
        }
        if self.legends {
            record.text(C::Algo, backend.algorithm.name());
            if let Some(cookie) = &backend.cookie {
                record.text(C::Cookie, &cookie.name);
            }
        }
        record.number(C::Pid, self.process_number());
        common(&mut record, row, backend.mode);
        record.zeros(&[C::AggServerStatus, C::AggServerCheckStatus, C::AggCheckStatus]);
        protocols(&mut record);
        record
    }

    /// The number of the worker that is shown; the service as a whole is one process.
    fn process_number(&self) -> u64 {
        self.counters.shown().map_or(1, |slot| self.counters.segment().number(slot) as u64)
    }

    fn rate(&self, record: &mut Record, row: Row<'_>, rate: Count, max: Count, columns: (C, C)) {
        record.number(columns.0, row.rate(rate, self.now));
        record.number(columns.1, row.max(max));
    }
}

fn copy(record: &mut Record, row: Row<'_>, columns: &[(C, Count)]) {
    for &(column, count) in columns {
        record.number(column, row.get(count));
    }
}

fn sessions(record: &mut Record, row: Row<'_>) {
    copy(record, row, &[(C::Scur, Count::SessionsCurrent), (C::Bin, Count::BytesIn), (C::Bout, Count::BytesOut)]);
    record.number(C::Smax, row.max(Count::SessionsMax));
}

fn statuses(record: &mut Record, row: Row<'_>) {
    copy(
        record,
        row,
        &[
            (C::Hrsp1xx, Count::Http1xx),
            (C::Hrsp2xx, Count::Http2xx),
            (C::Hrsp3xx, Count::Http3xx),
            (C::Hrsp4xx, Count::Http4xx),
            (C::Hrsp5xx, Count::Http5xx),
            (C::HrspOther, Count::HttpOther),
        ],
    );
}

/// What backends and servers have alike.
fn upstream_side(record: &mut Record, row: Row<'_>, now: Now) {
    copy(
        record,
        row,
        &[
            (C::Qcur, Count::QueueCurrent),
            (C::Dresp, Count::DeniedResponses),
            (C::Econ, Count::ConnectErrors),
            (C::Eresp, Count::ResponseErrors),
            (C::Wretr, Count::Retries),
            (C::Wredis, Count::Redispatches),
            (C::Lbtot, Count::Chosen),
            (C::CliAbrt, Count::ClientAborts),
            (C::SrvAbrt, Count::ServerAborts),
            (C::Connect, Count::Connects),
            (C::Reuse, Count::Reuses),
        ],
    );
    record.number(C::Qmax, row.max(Count::QueueMax));
    let last = row.max(Count::LastSession);
    record.signed(C::Lastsess, if last == 0 { -1 } else { now.wall_s().saturating_sub(last) as i64 });
    for (column, count) in [
        (C::Qtime, Count::QueueTimeSum),
        (C::Ctime, Count::ConnectTimeSum),
        (C::Rtime, Count::ResponseTimeSum),
        (C::Ttime, Count::TotalTimeSum),
    ] {
        record.number(column, row.average(count));
    }
    for (column, count) in [
        (C::QtimeMax, Count::QueueTimeMax),
        (C::CtimeMax, Count::ConnectTimeMax),
        (C::RtimeMax, Count::ResponseTimeMax),
        (C::TtimeMax, Count::TotalTimeMax),
    ] {
        record.number(column, row.max(count));
    }
}

/// The columns of a check: word, description, code, duration, details, `rise`, `fall` and health.
const CHECK_COLUMNS: [C; 8] = [
    C::CheckStatus,
    C::CheckDesc,
    C::CheckCode,
    C::CheckDuration,
    C::LastChk,
    C::CheckRise,
    C::CheckFall,
    C::CheckHealth,
];
/// Those of an agent.
const AGENT_COLUMNS: [C; 8] = [
    C::AgentStatus,
    C::AgentDesc,
    C::AgentCode,
    C::AgentDuration,
    C::LastAgt,
    C::AgentRise,
    C::AgentFall,
    C::AgentHealth,
];

fn check_columns(record: &mut Record, columns: [C; 8], check: &CheckView) {
    let [status, description, code, duration, last, rise, fall, health] = columns;
    let running = if check.running { "* " } else { "" };
    record.text(status, format!("{running}{}", check.word));
    record.text(description, check.description);
    if let Some(number) = check.code {
        // HAProxy shows those below zero without their sign.
        record.number(code, u64::from(i32::from(number) as u32));
    }
    match check.duration_ms {
        // More than other numbers reach: -1 in an unsigned column.
        Some(u64::MAX) => record.text(duration, u64::MAX.to_string()),
        Some(ms) => record.number(duration, ms),
        None => {}
    }
    record.octets(last, &check.info);
    record.number(rise, u64::from(check.rise));
    record.number(fall, u64::from(check.fall));
    record.number(health, u64::from(check.health));
}

/// What all but listening addresses have.
fn common(record: &mut Record, row: Row<'_>, mode: Mode) {
    record.text(C::Mode, mode_name(mode));
    copy(record, row, &[(C::Wrew, Count::FailedRewrites), (C::Eint, Count::InternalErrors)]);
    record.zeros(&[C::SslSess, C::SslReusedSess, C::SslFailedHandshake]);
}

/// Compression and the protocols' own columns of proxies.
fn protocols(record: &mut Record) {
    record.zeros(&[C::CompIn, C::CompOut, C::CompByp, C::CompRsp]);
    record.zeros(&[C::H2HeadersRcvd, C::H2DataRcvd, C::H2SettingsRcvd, C::H2RstStreamRcvd, C::H2GoawayRcvd]);
    record.zeros(&[C::H2DetectedConnProtocolErrors, C::H2DetectedStrmProtocolErrors, C::H2RstStreamResp]);
    record.zeros(&[C::H2GoawayResp, C::H2OpenConnections, C::H2BackendOpenStreams, C::H2TotalConnections]);
    record.zeros(&[C::H2BackendTotalStreams, C::H1OpenConnections, C::H1OpenStreams, C::H1TotalConnections]);
    record.zeros(&[C::H1TotalStreams, C::H1BytesIn, C::H1BytesOut, C::H1SplicedBytesIn, C::H1SplicedBytesOut]);
}

/// The word of `mode`.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Http => "http",
        Mode::Tcp => "tcp",
    }
}

/// A listening address as the statistics show it.
pub fn address_text(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Ip(address) => address.to_string(),
        ListenAddress::Unix(_) | ListenAddress::Abstract(_) => "unix".to_owned(),
        ListenAddress::Fd(number) => format!("fd@{number}"),
    }
}
