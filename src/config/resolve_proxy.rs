//! Frontends and backends from their drafts, and the remarks about each.

use super::balance;
use super::check::external;
use super::draft::{Flags, Format, ProxyDraft, Settings};
use super::finding::{Finding, Place, Severity};
use super::legacy;
use super::resolve::{Resolver, number};
use super::resolve_log;
use super::source;
use crate::proxy::backend::Beyond;
use crate::proxy::check::Speech;
use crate::proxy::frontend::greeting;
use crate::proxy::{Backend, Bind, BindOptions, Captures, Frontend, Mode, Splice, Tune};

/// Says what is odd about a proxy.
pub(super) fn check(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    if proxy.settings.disabled {
        return;
    }
    balance::check(proxy, resolver.findings);
    let (noun, name, balances) = (proxy.kind.noun(), &proxy.name, proxy.settings.balance.written);
    if proxy.kind.is_backend() && proxy.settings.flags.transparent && balances {
        resolver.findings.alert(format!("{noun} '{name}' cannot use both transparent and balance mode."));
    } else if proxy.dispatch.is_some() && balances {
        resolver.findings.warning(format!("dispatch address of {noun} '{name}' will be ignored in balance mode."));
    }
    source::check(proxy, resolver.findings);
    httplog_without_http(resolver, proxy);
    health(resolver, proxy);
    if proxy.kind.is_frontend() && proxy.binds.is_empty() {
        resolver.findings.warning(format!(
            "{} '{}' has no 'bind' directive. Please declare it as a backend if this was intended.",
            proxy.kind.noun(),
            proxy.name
        ));
    }
}

/// The remarks that come after the references of a proxy have been looked up.
pub(super) fn check_late(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    if proxy.settings.disabled {
        return;
    }
    rules_without_option(resolver, proxy, Speech::Http, "http-check", "httpchk");
    external::check(proxy, &resolver.config.global, resolver.findings);
    missing_timeouts(resolver, proxy);
    let most = resolver.config.global.tune.cookie_bytes_max;
    if proxy.captures.cookie.as_ref().is_some_and(|cookie| cookie.bytes_max > most) {
        resolver.findings.warning(format!(
            "truncating capture length to {most} bytes for {} '{}'.",
            proxy.kind.noun(),
            proxy.name
        ));
    }
    two_guards(resolver, proxy);
    format_without_target(resolver, proxy);
    http_only(resolver, proxy);
    rules_without_option(resolver, proxy, Speech::Tcp, "tcp-check", "tcp-check");
}

/// Steps of checks that are of no use for want of an option.
fn rules_without_option(resolver: &mut Resolver<'_>, proxy: &ProxyDraft, speech: Speech, rules: &str, option: &str) {
    if proxy.settings.check.has_rules_for_nothing(speech) {
        let (noun, name) = (proxy.kind.noun(), &proxy.name);
        resolver.findings.warning(format!(
            "{noun} '{name}' uses {rules} rules without 'option {option}', so the rules are ignored."
        ));
    }
}

/// What `mode health` has no use for.
fn health(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let (noun, name) = (proxy.kind.noun(), &proxy.name);
    if !proxy.settings.health {
        return;
    }
    if !proxy.kind.is_frontend() {
        let text = format!("{noun} '{name}' cannot be in health mode as it has no frontend capability.");
        resolver.findings.alert(text);
    }
    if !proxy.servers.is_empty() {
        resolver.findings.warning(format!("servers will be ignored for {noun} '{name}'."));
    }
}

fn httplog_without_http(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let (Format::Http(at) | Format::Clf(at)) = &proxy.settings.format else { return };
    if proxy.settings.mode == Mode::Http {
        return;
    }
    let text = format!(
        "'option httplog' not usable with {} '{}' (needs 'mode http'). Falling back to 'option tcplog'.",
        proxy.kind.noun(),
        proxy.name
    );
    let mut finding = Finding::general(Severity::Warning, text);
    finding.place = Place::Keyword;
    finding.file = at.file.clone();
    finding.line = at.line;
    resolver.findings.push(finding);
}

fn missing_timeouts(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let settings = &proxy.settings;
    let client = proxy.kind.is_frontend() && settings.client_timeouts.client.is_none();
    let servers = proxy.kind.is_backend() && !proxy.servers.is_empty();
    let server = servers && (settings.server_timeouts.connect.is_none() || settings.server_timeouts.server.is_none());
    if client || server {
        resolver.findings.warning(format!(
            "missing timeouts for {} '{}'.\n   | While not properly invalid, you will certainly encounter various \
             problems\n   | with such a configuration. To fix this, please ensure that all following\n   | timeouts \
             are set to a non-zero value: 'client', 'connect', 'server'.",
            proxy.kind.noun(),
            proxy.name
        ));
    }
}

fn format_without_target(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let none = matches!(proxy.settings.format, Format::Default) && proxy.settings.format_sd.is_none();
    if !proxy.kind.is_frontend() || none {
        return;
    }
    let global = &resolver.config.global.log_targets;
    if !resolver.bad_format && resolve_log::targets(&proxy.settings.logs, global).is_empty() {
        resolver.findings.warning(format!(
            "log format ignored for {} '{}' since it has no log address.",
            proxy.kind.noun(),
            proxy.name
        ));
    }
}

/// Rules that only HTTP mode has.
const HTTP_RULES: &[&str] = &["http-request", "http-response", "http-after-response", "redirect"];

/// `stats auth` makes rules of its own.
fn two_guards(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let defaults = crate::proxy::StatsPage::default();
    let simple = |page: &crate::proxy::StatsPage| !page.auth.is_empty() || page.realm != defaults.realm;
    let rules = proxy.rules.iter().any(|line| line.keyword == "stats http-request");
    if rules && proxy.settings.stats.as_ref().is_some_and(simple) {
        let name = &proxy.name;
        resolver
            .findings
            .alert(format!("proxy '{name}': stats 'auth'/'realm' and 'http-request' can't be used at the same time."));
    }
}

/// What is ignored outside of HTTP mode.
fn http_only(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let settings = &proxy.settings;
    if settings.mode == Mode::Http {
        return;
    }
    let (noun, name) = (proxy.kind.noun(), proxy.name.as_str());
    let findings = &mut *resolver.findings;
    if proxy.kind.is_backend() && settings.cookie.is_some() {
        findings.warning(format!("cookie will be ignored for {noun} '{name}' (needs 'mode http')."));
    }
    if proxy.kind.is_frontend() && settings.monitor_uri.is_some() {
        findings.warning(format!("monitor-uri will be ignored for {noun} '{name}' (needs 'mode http')."));
    }
    if settings.stats.is_some() {
        findings.warning(format!("'stats' statement ignored for {noun} '{name}' as it requires HTTP mode."));
    }
    let old = legacy::ROWS.iter().map(|row| row.name);
    for keyword in HTTP_RULES.iter().copied().chain(old) {
        if proxy.rules.iter().any(|rule| rule.keyword == keyword) {
            findings.warning(format!("'{keyword}' rules ignored for {noun} '{name}' as they require HTTP mode."));
        }
    }
    if proxy.captures.cookie.is_some() {
        findings.warning(format!("'capture' statement ignored for {noun} '{name}' as it requires HTTP mode."));
    }
    if settings.forwarded_for.is_some() {
        findings.warning(format!("'option forwardfor' ignored for {noun} '{name}' as it requires HTTP mode."));
    }
    if settings.original_to.is_some() {
        findings.warning(format!("'option originalto' ignored for {noun} '{name}' as it requires HTTP mode."));
    }
    for row in crate::registry::OPTIONS.iter().copied().flatten().filter(|row| row.http) {
        let mut copy = settings.clone();
        if *(row.field)(&mut copy) && row.sections.intersects(proxy.kind.section()) {
            let option = row.name;
            findings.warning(format!("'option {option}' ignored for {noun} '{name}' as it requires HTTP mode."));
        }
    }
    for server in proxy.servers.iter().filter(|server| proxy.kind.is_backend() && server.cookie.is_some()) {
        let server = &server.name;
        findings.warning(format!("{noun} '{name}' : ignoring cookie for server '{server}' as HTTP mode is disabled."));
    }
}

/// The client side of a proxy, its default backend, rules and logging left open.
pub(super) fn frontend(proxy: &ProxyDraft, uuid: u32, tune: &Tune) -> Frontend {
    let settings = &proxy.settings;
    let flags = &settings.flags;
    Frontend {
        name: proxy.name.clone(),
        uuid,
        description: proxy.description.clone(),
        mode: settings.mode,
        is_listen: proxy.kind.is_backend(),
        greeting: settings.health.then(|| greeting(settings.check.speech == Speech::Http)),
        monitor_nets: settings.monitor_nets.clone(),
        monitor_uri: settings.monitor_uri.clone().filter(|_| settings.mode == Mode::Http),
        forward_proxy: flags.http_proxy,
        grace: settings.grace,
        disabled: settings.disabled,
        processes: settings.processes,
        binds: binds(proxy),
        maxconn: settings.maxconn,
        rate_limit: settings.rate_limit,
        backlog: settings.backlog,
        timeouts: settings.client_timeouts,
        inspect_delay: settings.inspect_delays.request,
        connection_mode: settings.connection_mode.unwrap_or_default(),
        forwarded_for: in_http(settings, &settings.forwarded_for),
        original_to: in_http(settings, &settings.original_to),
        stats: in_http(settings, &settings.stats),
        splice: splice(flags),
        tcp_keepalive: flags.clitcpka.then_some(settings.client_keepalive),
        smart_accept: settings.smart_accept.unwrap_or(settings.mode == Mode::Http),
        independent_streams: flags.independent_streams,
        buffers_request: flags.http_buffer_request,
        header_names: settings.header_names,
        respells: flags.h1_case_adjust_bogus_client,
        fronts_proxy: flags.http_use_proxy_header,
        no_upgrade: flags.disable_h2_upgrade,
        nolinger: flags.nolinger,
        ignore_probes: flags.http_ignore_probes,
        abort_on_close: flags.abortonclose,
        idle_close_on_response: flags.idle_close_on_response,
        socket_stats: flags.socket_stats,
        continuous_stats: flags.contstats,
        accept_invalid: flags.accept_invalid_http_request,
        captures: captures(proxy, tune.cookie_bytes_max),
        unique_id_header: settings.unique_id_header.clone().filter(|_| settings.mode == Mode::Http),
        ..Frontend::default()
    }
}

fn captures(proxy: &ProxyDraft, cookie_bytes_max: usize) -> Captures {
    let mut captures = proxy.captures.clone();
    if proxy.settings.mode != Mode::Http {
        // Slots are there for rules; that some have the names of headers means nothing.
        captures.cookie = None;
    }
    if let Some(cookie) = &mut captures.cookie {
        cookie.bytes_max = cookie.bytes_max.min(cookie_bytes_max);
    }
    captures
}

/// The server side of a proxy, its servers, rules and logging left out.
pub(super) fn backend(proxy: &ProxyDraft, uuid: u32) -> Backend {
    let settings = &proxy.settings;
    let flags = &settings.flags;
    Backend {
        name: proxy.name.clone(),
        uuid,
        chose_id: proxy.id.is_some(),
        description: proxy.description.clone(),
        mode: settings.mode,
        is_listen: proxy.kind.is_frontend(),
        disabled: settings.disabled,
        hash_type: settings.balance.hash_type,
        hash_balance_factor: settings.balance.factor,
        beyond: beyond(proxy),
        all_backups: flags.allbackups,
        timeouts: settings.server_timeouts,
        inspect_delays: settings.inspect_delays,
        connection_mode: settings.connection_mode.unwrap_or_default(),
        reuse: settings.reuse,
        retries: settings.retries,
        retry_on: settings.retry_on,
        redispatch: settings.redispatch,
        fullconn: settings.fullconn,
        forwarded_for: in_http(settings, &settings.forwarded_for),
        original_to: in_http(settings, &settings.original_to),
        abort_on_close: flags.abortonclose,
        check: settings.check.resolve(),
        log_health_checks: flags.log_health_checks,
        stats: in_http(settings, &settings.stats),
        splice: splice(flags),
        tcp_keepalive: flags.srvtcpka.then_some(settings.server_keepalive),
        smart_connect: flags.tcp_smart_connect,
        independent_streams: flags.independent_streams,
        buffers_request: flags.http_buffer_request,
        header_names: settings.header_names,
        respells: flags.h1_case_adjust_bogus_server,
        checks_caching: flags.checkcache,
        name_header: in_http(settings, &settings.name_header),
        keep_alive_queue_max: settings.keep_alive_queue_max,
        nolinger: flags.nolinger,
        pretend_keepalive: flags.http_pretend_keepalive,
        prefer_last_server: flags.prefer_last_server,
        preset: settings.default_server.preset.clone(),
        source: settings.source.clone(),
        cookie: in_http(settings, &settings.cookie),
        dynamic_cookie_key: settings.dynamic_cookie_key.clone(),
        app_session: in_http(settings, &settings.app_session),
        rdp_cookie: settings.rdp_cookie.clone().filter(|_| settings.mode == Mode::Tcp),
        persist: flags.persist,
        accept_invalid: flags.accept_invalid_http_response,
        ..Backend::default()
    }
}

/// Where requests go without a server's being chosen: `balance` wants one to be chosen.
fn beyond(proxy: &ProxyDraft) -> Beyond {
    let settings = &proxy.settings;
    let balances = settings.balance.written;
    match proxy.dispatch {
        Some(address) if !balances => Beyond::Dispatch(address),
        None if settings.flags.http_proxy && settings.mode == Mode::Http && (!balances || proxy.servers.is_empty()) => {
            Beyond::Uri
        }
        None if settings.flags.transparent && !balances => Beyond::Destination,
        _ => Beyond::Nowhere,
    }
}

/// A setting that only HTTP mode uses.
fn in_http<T: Clone>(settings: &Settings, value: &Option<T>) -> Option<T> {
    value.clone().filter(|_| settings.mode == Mode::Http)
}

fn splice(flags: &Flags) -> Splice {
    Splice { auto: flags.splice_auto, request: flags.splice_request, response: flags.splice_response }
}

fn binds(proxy: &ProxyDraft) -> Vec<Bind> {
    let mut chosen = Vec::new();
    for bind in &proxy.binds {
        // `id` names the line's first socket; the others are counted on.
        chosen.extend((0..bind.addresses.len()).map(|index| bind.id.filter(|_| index == 0)));
    }
    let mut numbers = number(&chosen, 1).into_iter();
    let mut out = Vec::with_capacity(chosen.len());
    for bind in &proxy.binds {
        for address in &bind.addresses {
            out.push(Bind {
                // `number` gives as many as it is asked for.
                uuid: numbers.next().unwrap_or_default(),
                name: bind.name.clone(),
                place: bind.at.to_string(),
                address: address.clone(),
                options: BindOptions {
                    backlog: bind.options.backlog.or(proxy.settings.backlog),
                    ..bind.options.clone()
                },
            });
        }
    }
    out
}
