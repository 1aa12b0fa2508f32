//! The versions that epoxy says it has.

/// epoxy's own version.
pub const EPOXY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version as HAProxy's tools read it: the release whose language and interfaces epoxy speaks, then
/// epoxy's own. `show info` and the statistics page tell the same.
pub const VERSION: &str = concat!("2.6.12-epoxy", env!("CARGO_PKG_VERSION"));

/// Date of this version, as HAProxy writes it.
pub const RELEASE_DATE: &str = "2026/11/21";
