//! An exchange to evaluate expressions against in tests.

use super::{Client, Ctx, Vars};
use crate::facts::Facts;
use crate::h1::Body;
use crate::http::{Head, Version};
use crate::proxy::bind::{Bind, BindOptions, ListenAddress};
use crate::proxy::{BackendId, Config, Frontend, FrontendId};
use crate::stats::Counters;
use crate::time::Now;

/// A head from a start line and field lines, `\n` between them.
pub fn head(text: &str) -> Head {
    let mut lines = text.lines();
    let start: Vec<&str> = lines.next().unwrap_or_default().splitn(3, ' ').collect();
    let mut head = Head::new();
    match start[..] {
        [version, status, reason] if version.starts_with("HTTP/") => {
            head.start_response(Version::classify(version.as_bytes()), status.parse().unwrap(), reason.as_bytes());
        }
        [method, uri, version] => {
            head.start_request(method.as_bytes(), uri.as_bytes(), Version::classify(version.as_bytes()));
        }
        _ => panic!("no start line"),
    }
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        head.add(name.as_bytes(), value.trim().as_bytes());
    }
    head
}

/// Calls `f` with the view of an exchange from 192.0.2.7:4000 to 127.0.0.1:80 in frontend `f`.
pub fn with<R>(request: Option<&Head>, response: Option<&Head>, f: impl FnOnce(&Ctx<'_>) -> R) -> R {
    let mut config = Config::default();
    let address = ListenAddress::Ip(([127, 0, 0, 1], 80).into());
    let bind = Bind { uuid: 1, name: None, place: String::new(), address, options: BindOptions::default() };
    config.frontends.push(Frontend { name: "f".to_owned(), uuid: 2, binds: vec![bind], ..Frontend::default() });
    let counters = Counters::private(&config);
    let (facts, vars, session_vars) = (Facts::default(), Vars::default(), Vars::default());
    let client = Client {
        frontend: FrontendId(0),
        bind: 0,
        source: Some("192.0.2.7:4000".parse().unwrap()),
        destination: Some("127.0.0.1:80".parse().unwrap()),
        outside: [None; 2],
        requests: 1,
    };
    let now = Now { mono_us: 5_000_000, wall_us: 1_577_836_800_123_456 };
    let (backend, server) = (None::<BackendId>, None);
    f(&Ctx {
        now,
        config: &config,
        counters: &counters,
        client,
        request,
        kept_request: request,
        response,
        request_bytes: b"",
        response_bytes: b"",
        request_framing: Body::None,
        response_framing: Body::None,
        upstream: None,
        inspection: None,
        backend,
        server,
        servers: &[],
        stopping: false,
        vars: &vars,
        session_vars: &session_vars,
        facts: &facts,
        raw: None,
    })
}
