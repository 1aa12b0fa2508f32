//! From configuration files to findings and typed settings (configuration manual, chapters 2 to 5
//! and 11): text is cut into words, rows of the registry parse them into a draft, and resolving the
//! draft gives what `proxy/` describes.

pub mod address;
pub mod balance;
pub mod bind;
pub mod check;
pub mod condition;
pub mod draft;
pub mod env;
pub mod finding;
pub mod global;
mod later;
pub mod logging;
pub mod options;
pub mod proxies;
mod reader;
mod resolve;
mod resolve_proxy;
mod resolve_server;
pub mod rules;
pub mod scope;
pub mod sections;
pub mod server;
pub mod stats;
pub mod suggest;
pub mod timeouts;
pub mod tune;
pub mod unit;
pub mod word;

use std::path::PathBuf;

pub use finding::{Finding, Findings, Severity};
pub use word::Word;

use crate::args::VERSION;
use crate::proxy::Config;
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
    /// The environment for child processes, with the changes of `setenv` and its kin.
    pub env: Env,
}

/// Reads the files of `options`, and resolves what they say when all of it could be read.
#[must_use]
pub fn load(options: &LoadOptions) -> Loaded {
    let mut findings = Findings::default();
    let mut draft = Draft::new(options.env.clone());
    let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let peer = options.local_peer.clone().or_else(host).unwrap_or_default();
    draft.env.set("HAPROXY_LOCALPEER", peer.as_bytes());
    draft.env.preset("HAPROXY_STARTUP_VERSION", VERSION.as_bytes());
    draft.global.local_peer = options.local_peer.clone();
    for path in &options.files {
        let name = path.to_string_lossy();
        let before = findings.alerts();
        match std::fs::read(path) {
            Ok(text) => Reader::new(&mut draft, &mut findings, options.diagnostics).file(&name, &text),
            Err(error) => {
                let reason = unit::os_error(error.raw_os_error().unwrap_or_default());
                findings.alert(format!("Could not open configuration file {name} : {reason}"));
            }
        }
        if findings.alerts() > before {
            findings.alert(format!("Error(s) found in configuration file : {name}"));
        }
    }
    finish(draft, findings, options)
}

/// Reads a configuration from memory, for tests and tools; `name` stands for its file.
#[must_use]
pub fn load_text(name: &str, text: &str) -> Loaded {
    let mut findings = Findings::default();
    let mut draft = Draft::new(Env::empty());
    Reader::new(&mut draft, &mut findings, false).file(name, text.as_bytes());
    if findings.fatal() {
        findings.alert(format!("Error(s) found in configuration file : {name}"));
    }
    finish(draft, findings, &LoadOptions::default())
}

fn finish(mut draft: Draft, mut findings: Findings, options: &LoadOptions) -> Loaded {
    let names: Vec<_> = options.files.iter().map(|path| path.to_string_lossy()).collect();
    draft.env.set("HAPROXY_CFGFILES", names.join(";").as_bytes());
    let config = if findings.fatal() { None } else { Some(resolve::resolve(&draft, &mut findings)) };
    let config = config.filter(|_| !findings.fatal());
    // A host name that cannot be resolved ends the start later, where HAProxy has no summary.
    if config.is_none() && !findings.iter().any(|f| f.text == resolve_server::UNRESOLVED) {
        findings.alert("Fatal errors found in configuration.");
    }
    Loaded { config, findings, env: draft.env }
}
