//! From configuration files to findings and typed settings (configuration manual, chapters 2 to 5
//! and 11): text is cut into words, rows of the registry parse them into a draft, and resolving the
//! draft gives what `proxy/` describes.

pub mod added;
pub mod agent;
pub mod balance;
pub mod bind;
pub mod capture;
pub mod check;
pub mod condition;
pub mod confinement;
pub mod connection;
mod detail;
pub mod draft;
pub mod global;
mod later;
pub mod legacy;
pub mod logging;
pub mod naming;
pub mod options;
pub mod pages;
pub mod persist;
pub mod preface;
pub mod program;
pub mod proxies;
mod reader;
pub mod report;
mod resolve;
mod resolve_log;
mod resolve_proxy;
mod resolve_rules;
mod resolve_server;
pub mod resolvers;
pub mod rules;
pub mod scope;
pub mod sections;
pub mod server;
pub mod source;
pub mod spelling;
pub mod state_file;
pub mod stats;
pub mod tcp;
pub mod tcpka;
pub mod timeouts;
mod track;
pub mod tune;
pub mod userlist;
pub mod workers;

use std::path::PathBuf;

pub use crate::text::{Finding, Findings, Severity, Word};

use crate::proxy::Config;
use crate::text::{address, env, finding, suggest, unit, word};
use crate::version::VERSION;
use draft::Draft;
use env::Env;
use reader::Reader;

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The files in order, directories already expanded.
    pub files: Vec<PathBuf>,
    /// `-L`: the name of the local peer; the host name when absent.
    pub local_peer: Option<String>,
    /// `-dD`: also say what is suspicious.
    pub diagnostics: bool,
    /// `-dr`: a server whose name does not resolve is disabled instead of refused.
    pub ignore_unresolved: bool,
    /// `-W` or `-Ws`.
    pub master_worker: bool,
    /// `-S`: where the master's socket listens, with its options.
    pub master_socket: Option<String>,
    /// Somebody looks at the findings: each is to have its line, its word and a suggestion.
    pub detailed: bool,
    /// The environment that variables are taken from.
    pub env: Env,
}

/// A configuration that was read, and what there is to say about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when a finding is fatal.
    pub config: Option<Config>,
    /// Everything found, in order, HAProxy's final lines included.
    pub findings: Findings,
    /// What HAProxy would refuse today, since when, and how it is written now: for `-c -V`.
    pub dated: Findings,
    /// The environment for child processes, with the changes of `setenv` and its kin.
    pub env: Env,
}

/// Reads the files of `options`, and resolves what they say when all of it could be read.
#[must_use]
pub fn load(options: &LoadOptions) -> Loaded {
    let mut draft = Draft::new(options.env.clone());
    let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let peer = options.local_peer.clone().or_else(host).unwrap_or_default();
    draft.env.set("HAPROXY_LOCALPEER", peer.as_bytes());
    draft.env.preset("HAPROXY_STARTUP_VERSION", VERSION.as_bytes());
    draft.global.local_peer = options.local_peer.clone();
    draft.ignore_unresolved = options.ignore_unresolved;
    draft.global.master.wanted = options.master_worker;
    if options.master_worker {
        draft.env.set("HAPROXY_MWORKER", b"1");
    }
    let mut files = Vec::new();
    let mut texts = Vec::new();
    for path in &options.files {
        let name = path.to_string_lossy().into_owned();
        let mut findings = Findings::default();
        let mut whole = true;
        match std::fs::read(path) {
            Ok(text) => {
                whole = Reader::new(&mut draft, &mut findings, options.diagnostics).file(&name, &text);
                if options.detailed {
                    texts.push((name.clone(), text));
                }
            }
            Err(error) => {
                let reason = unit::os_error(error.raw_os_error().unwrap_or_default());
                findings.alert(format!("Could not open configuration file {name} : {reason}"));
            }
        }
        files.push((name, findings));
        if !whole {
            break;
        }
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    draft.env.set("HAPROXY_CFGFILES", names.join(";").as_bytes());
    let mut about_master = Findings::default();
    match &options.master_socket {
        Some(text) if draft.global.master.wanted => program::master_cli(text, &mut draft, &mut about_master),
        Some(_) => about_master.warning("a master CLI socket was defined, but master-worker mode (-W) is not enabled."),
        None => {}
    }
    let mut loaded = finish(draft, files, about_master);
    if options.detailed {
        detail::complete(&mut loaded.findings, &texts, &loaded.env);
        detail::complete(&mut loaded.dated, &texts, &loaded.env);
    }
    loaded
}

/// Reads a configuration from memory, for tests and tools; `name` stands for its file.
#[must_use]
pub fn load_text(name: &str, text: &str) -> Loaded {
    let mut findings = Findings::default();
    let mut draft = Draft::new(Env::empty());
    Reader::new(&mut draft, &mut findings, false).file(name, text.as_bytes());
    finish(draft, vec![(name.to_owned(), findings)], Findings::default())
}

/// As [`load_text`], each finding with its line, its word and a suggestion.
#[must_use]
pub fn load_detailed(name: &str, text: &str) -> Loaded {
    let mut loaded = load_text(name, text);
    let texts = [(name.to_owned(), text.as_bytes().to_vec())];
    detail::complete(&mut loaded.findings, &texts, &loaded.env);
    detail::complete(&mut loaded.dated, &texts, &loaded.env);
    loaded
}

/// From the lines of all files, with what was found in each, to the configuration.
fn finish(draft: Draft, mut files: Vec<(String, Findings)>, about_master: Findings) -> Loaded {
    let mut about_rules = Findings::default();
    let resolvers = resolvers::resolve(&draft);
    let parsers = resolve_rules::parse(&draft, &resolvers, &mut about_rules);
    let mut findings = Findings::default();
    for (name, found) in &mut files {
        let of_file = about_rules.take_file(name);
        if !of_file.is_empty() {
            found.append(of_file);
            found.sort_by_line();
        }
        let fatal = found.fatal();
        findings.append(std::mem::take(found));
        if fatal {
            findings.alert(format!("Error(s) found in configuration file : {name}"));
        }
    }
    if !findings.fatal() {
        program::check(&draft, &mut findings);
        findings.append(about_master);
    }
    let config =
        if findings.fatal() { None } else { Some(resolve::resolve(&draft, &resolvers, parsers, &mut findings)) };
    let mut config = config.filter(|_| !findings.fatal());
    if let Some(config) = &mut config {
        let environment = draft.env.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
        config.environment = environment.collect();
    }
    if config.is_none() && !findings.gave_up() {
        findings.alert("Fatal errors found in configuration.");
    }
    Loaded { config, findings, dated: draft.dated, env: draft.env }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Mode, ServerId};

    #[test]
    fn the_two_node_lab_loads_unmodified() {
        let text = include_str!("../../tests/fixtures/mission/000-two-node-lab.cfg");
        let loaded = load_text("lab.cfg", text);
        let messages: Vec<String> = loaded.findings.iter().map(Finding::message).collect();
        assert!(messages.is_empty(), "{messages:?}");
        let config = loaded.config.expect("no finding, so a configuration");
        assert_eq!((config.frontends.len(), config.backends.len(), config.servers.len()), (1, 2, 3));
        assert!(config.global.daemon);
        let front = &config.frontends[0];
        assert_eq!((front.mode, front.uuid, front.default_backend), (Mode::Http, 2, Some(crate::proxy::BackendId(0))));
        assert_eq!(front.stats.as_ref().map(|page| &page.uri[..]), Some(&b"/haproxy?stats"[..]));
        let back = &config.backends[1];
        assert_eq!(
            (back.uuid, back.servers.ids().collect::<Vec<_>>(), back.algorithm.name()),
            (4, vec![ServerId(2)], "roundrobin")
        );
        let check = config[ServerId(2)].check.as_ref().expect("checked");
        assert_eq!((check.inter.0, check.rise, check.fall), (2000, 3, 3));
    }

    /// Pieces that configurations are made of, whole and broken.
    const PIECES: &[&str] = &[
        "\n",
        "\n",
        "\n",
        "\n ",
        " ",
        " ",
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "from",
        "no",
        "default",
        "bind",
        "server",
        "option",
        "timeout",
        "client",
        "log",
        "acl",
        "use_backend",
        "http-request",
        "deny",
        "if",
        "{",
        "}",
        "path",
        "/",
        "stats",
        "socket",
        "uri",
        "mode",
        "http",
        "tcp",
        ":80",
        "1.2.3.4:80",
        "[::1]:80",
        ":1-9",
        "a",
        "a.b",
        "unix@/x",
        "\"",
        "'",
        "\\",
        "\\x4",
        "${A}",
        "\"$A\"",
        "#",
        ".if",
        ".else",
        ".endif",
        "defined(A)",
        "(",
        "!",
        "&&",
        "1",
        "-1",
        "99999999999999999999",
        "10s",
        "\0",
        "\r",
        "é",
        "%[path]",
        "httpchk",
        "GET",
        "http-check",
        "expect",
        "status",
        "200-",
        "balance",
        "source",
        "check",
        "inter",
        "id",
        "name",
        "default-server",
        "tune.bufsize",
    ];

    proptest::proptest! {
        #[test]
        fn no_text_panics(picks in proptest::collection::vec(0..PIECES.len(), 0..60), glue in 0..3usize) {
            let glue = ["", " ", " "][glue];
            let text: Vec<&str> = picks.iter().map(|pick| PIECES[*pick]).collect();
            let loaded = load_detailed("g.cfg", &text.join(glue));
            proptest::prop_assert_eq!(loaded.config.is_none(), loaded.findings.fatal());
            for finding in loaded.findings.iter() {
                let _ = finding.explain(true);
            }
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = word::split(&line, &Env::empty());
            let _ = load_detailed("g.cfg", &format!("global\n {}\n", String::from_utf8_lossy(&line)));
        }
    }

    #[test]
    fn nothing_panics_on_garbage() {
        for text in [
            "",
            "\0",
            "\n\n",
            "global\0\nglobal",
            "listen a :1-65535,:1-65535\n",
            "\"${",
            ".if ((((\n",
            "\u{feff}global\n",
        ] {
            let _ = load_text("g.cfg", text);
        }
    }
}
