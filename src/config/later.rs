//! Keywords of HAProxy that this build does not have yet: refused by name, and known to suggestions.

use super::scope::{Scope, not_yet};
use super::word::Word;
use crate::registry::Sections;

const G: Sections = Sections::GLOBAL;
const P: Sections = Sections::ANY_PROXY;

/// First words of lines and the sections they belong to.
pub static NAMES: &[(&str, Sections)] = &[
    ("compression", P),
    ("email-alert", P),
    ("filter", P),
    ("stick", P),
    ("stick-table", P),
    ("use-fcgi-app", P),
    ("51degrees-data-file", G),
    ("ca-base", G),
    ("cluster-secret", G),
    ("crt-base", G),
    ("default-path", G),
    ("h1-accept-payload-with-any-method", G),
    ("issuers-chain-path", G),
    ("lua-load", G),
    ("lua-load-per-thread", G),
    ("lua-prepend-path", G),
    ("maxcomprate", G),
    ("maxcompcpuusage", G),
    ("maxsslconn", G),
    ("maxsslrate", G),
    ("maxzlibmem", G),
    ("no-memory-trimming", G),
    ("numa-cpu-mapping", G),
    ("pp2-never-send-local", G),
    ("profiling.memory", G),
    ("profiling.tasks", G),
    ("set-var", G),
    ("set-var-fmt", G),
    ("ssl-default-bind-ciphers", G),
    ("ssl-default-bind-ciphersuites", G),
    ("ssl-default-bind-curves", G),
    ("ssl-default-bind-options", G),
    ("ssl-default-server-ciphers", G),
    ("ssl-default-server-ciphersuites", G),
    ("ssl-default-server-options", G),
    ("ssl-dh-param-file", G),
    ("ssl-load-extra-files", G),
    ("ssl-server-verify", G),
    ("ssl-skip-self-issued-ca", G),
    ("thread-group", G),
    ("thread-groups", G),
    ("tune.buffers.limit", G),
    ("tune.buffers.reserve", G),
    ("tune.comp.maxlevel", G),
    ("tune.fail-alloc", G),
    ("tune.fd.edge-triggered", G),
    ("tune.h2.header-table-size", G),
    ("tune.h2.initial-window-size", G),
    ("tune.h2.max-concurrent-streams", G),
    ("tune.h2.max-frame-size", G),
    ("tune.idle-pool.shared", G),
    ("tune.idletimer", G),
    ("tune.listener.multi-queue", G),
    ("tune.lua.forced-yield", G),
    ("tune.lua.maxmem", G),
    ("tune.lua.service-timeout", G),
    ("tune.lua.session-timeout", G),
    ("tune.lua.task-timeout", G),
    ("tune.pattern.cache-size", G),
    ("tune.peers.max-updates-at-once", G),
    ("tune.pool-high-fd-ratio", G),
    ("tune.pool-low-fd-ratio", G),
    ("tune.recv_enough", G),
    ("tune.runqueue-depth", G),
    ("tune.sched.low-latency", G),
    ("tune.ssl.cachesize", G),
    ("tune.ssl.default-dh-param", G),
    ("tune.ssl.lifetime", G),
    ("tune.ssl.maxrecord", G),
    ("tune.stick-counters", G),
    ("tune.vars.global-max-size", G),
    ("tune.vars.proc-max-size", G),
    ("tune.vars.reqres-max-size", G),
    ("tune.vars.sess-max-size", G),
    ("tune.vars.txn-max-size", G),
    ("tune.zlib.memlevel", G),
    ("tune.zlib.windowsize", G),
    ("unix-bind", G),
    ("wurfl-data-file", G),
];

/// Whether a line's first word is known but not built, in a section of this kind.
#[must_use]
pub fn knows(name: &str, section: Sections) -> bool {
    NAMES.iter().any(|(known, sections)| *known == name && sections.intersects(section))
}

/// The refusal of such a line.
pub fn refuse(scope: &mut Scope<'_>, words: &[Word]) {
    let name = words.first().map_or("", |word| word.text.as_str());
    scope.alert(not_yet(name));
}
