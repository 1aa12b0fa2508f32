//! What `-v`, `-vv` and the usage page say about this program.

use std::fmt::Write;

pub use crate::version::{EPOXY_VERSION, RELEASE_DATE, VERSION};

/// Version that `version_atleast()` and its like compare with, as in HAProxy's `-cc` conditions.
pub const COMPARED_VERSION: &str = "2.6.12";

/// Bytes of a buffer unless `tune.bufsize` says otherwise (configuration manual, 3.2).
pub const DEFAULT_BUFSIZE_BYTES: usize = 16384;

/// Bytes reserved for rewriting unless `tune.maxrewrite` says otherwise (configuration manual, 3.2).
pub const DEFAULT_MAXREWRITE_BYTES: usize = 1024;

/// Events taken from the kernel a turn unless `tune.maxpollevents` says otherwise.
pub const DEFAULT_MAXPOLLEVENTS: usize = 200;

/// HAProxy's build features in its order, and whether epoxy has what the name stands for.
const FEATURES: &[(&str, bool)] = &[
    ("51DEGREES", false),
    ("ACCEPT4", true),
    ("BACKTRACE", false),
    ("CLOSEFROM", false),
    ("CPU_AFFINITY", false),
    ("CRYPT_H", false),
    ("DEVICEATLAS", false),
    ("DL", false),
    ("ENGINE", false),
    ("EPOLL", true),
    ("EVPORTS", false),
    ("GETADDRINFO", true),
    ("KQUEUE", false),
    ("LIBCRYPT", false),
    ("LINUX_SPLICE", true),
    ("LINUX_TPROXY", true),
    ("LUA", false),
    ("MEMORY_PROFILING", false),
    ("NETFILTER", true),
    ("NS", false),
    ("OBSOLETE_LINKER", false),
    ("OPENSSL", false),
    ("OT", false),
    ("PCRE", false),
    ("PCRE2", false),
    ("PCRE2_JIT", false),
    ("PCRE_JIT", false),
    ("POLL", false),
    ("PRCTL", true),
    ("PROCCTL", false),
    ("PROMEX", false),
    ("QUIC", false),
    ("RT", true),
    ("SLZ", false),
    ("STATIC_PCRE", false),
    ("STATIC_PCRE2", false),
    ("SYSTEMD", false),
    ("TFO", true),
    ("THREAD", false),
    ("THREAD_DUMP", false),
    ("TPROXY", true),
    ("WURFL", false),
    ("ZLIB", false),
];

/// True if epoxy has what HAProxy's build option `USE_name` stands for (`feature()` in conditions).
pub fn has_feature(name: &str) -> bool {
    FEATURES.iter().any(|(known, has)| *known == name && *has)
}

/// The page of `-v`, which also opens the usage page. Tools read the first words of its first line.
pub fn version_page() -> String {
    let mut page =
        format!("HAProxy version {VERSION} {RELEASE_DATE} - epoxy {EPOXY_VERSION}, a drop-in HAProxy in Rust\n");
    page.push_str("Status: young; speaks the language and the interfaces of HAProxy 2.6.\n");
    if let Ok(kernel) = nix::sys::utsname::uname() {
        let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let (system, release) = (part(kernel.sysname()), part(kernel.release()));
        let _ = writeln!(page, "Running on: {system} {release} {} {}", part(kernel.version()), part(kernel.machine()));
    }
    page
}

/// The page of `-vv`, in HAProxy's layout.
pub fn build_options_page() -> String {
    let mut page = version_page();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let _ = writeln!(
        page,
        "Build options :\n  TARGET  = {os}\n  CPU     = {arch}\n  CC      = rustc\n  CFLAGS  = {profile}"
    );
    page.push_str("  OPTIONS = \n  DEBUG   = \n\nFeature list :");
    for (name, has) in FEATURES {
        let _ = write!(page, " {}{name}", if *has { '+' } else { '-' });
    }
    let _ = writeln!(
        page,
        "\n\nDefault settings :\n  bufsize = {DEFAULT_BUFSIZE_BYTES}, maxrewrite = {DEFAULT_MAXREWRITE_BYTES}, \
         maxpollevents = {DEFAULT_MAXPOLLEVENTS}\n"
    );
    page.push_str("Built without multi-threading support : a worker is a process.\n");
    page.push_str("Built without OpenSSL support.\nBuilt without Lua support.\n");
    page.push_str("Built without network namespace support.\nBuilt without compression support.\n");
    page.push_str("Built with transparent proxy support using: IP_TRANSPARENT IPV6_TRANSPARENT IP_FREEBIND\n");
    page.push_str("Built without PCRE or PCRE2 support (using the Rust regex crate instead).\n");
    page.push_str("Encrypted password support via crypt(3): no\n\n");
    page.push_str(&pollers());
    page.push_str("\nAvailable multiplexer protocols :\n");
    page.push_str("(protocols marked as <default> cannot be specified using 'proto' keyword)\n");
    page.push_str("  <default> : mode=HTTP  side=FE|BE  mux=H1    flags=HTX\n");
    page.push_str("         h1 : mode=HTTP  side=FE|BE  mux=H1    flags=HTX|NO_UPG\n");
    page.push_str("  <default> : mode=TCP   side=FE|BE  mux=PASS  flags=\n");
    page.push_str("       none : mode=TCP   side=FE|BE  mux=PASS  flags=NO_UPG\n");
    page.push_str("\nAvailable services : none\n\n");
    page.push_str(&filters());
    page.push('\n');
    page
}

/// The pollers, as `-vv` and the verbose start show them.
pub fn pollers() -> String {
    "Available polling systems :\n      epoll : pref=300,  test result OK\nTotal: 1 (1 usable), will use epoll.\n"
        .to_owned()
}

/// The filters, as `-vv` and the verbose start show them.
pub fn filters() -> String {
    "Available filters :\n\tnone\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_read_the_version_find_it() {
        assert!(version_page().starts_with("HAProxy version 2.6.12-epoxy"));
        assert!(version_page().lines().next().is_some_and(|line| line.contains(&format!("epoxy {EPOXY_VERSION}"))));
        assert!(build_options_page().contains("\nFeature list : -51DEGREES +ACCEPT4 "));
        assert!(build_options_page().contains("Total: 1 (1 usable), will use epoll.\n"));
    }

    #[test]
    fn features_are_asked_by_name() {
        assert!(has_feature("EPOLL"));
        assert!(!has_feature("LUA"));
        assert!(!has_feature("NONSENSE"));
    }
}
