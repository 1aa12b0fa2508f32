//! The machine's time zone.

use std::sync::OnceLock;

use jiff::tz::TimeZone;

static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// The machine's time zone (the variable TZ, then /etc/localtime; UTC when neither is usable). It is read by the
/// first call, which must come before a chroot or a sandbox puts the file out of reach.
pub fn zone() -> &'static TimeZone {
    ZONE.get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC))
}
