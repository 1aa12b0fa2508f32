//! Dates in log lines and syslog headers, in the machine's time zone.
//!
//! The zone is read once, before the process may enter a chroot ([`zone`]). A second's texts are
//! formatted once and kept per thread, so that a line costs a copy: see the budget of a request.

use std::cell::RefCell;
use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::time::Now;
use crate::time::zone::zone;

/// Seconds remembered per thread: those of the accept, of the request and of the message may differ.
const SECONDS_KEPT: usize = 4;

thread_local! {
    static CACHE: RefCell<[Second; SECONDS_KEPT]> = RefCell::new(std::array::from_fn(|_| Second::new(u64::MAX)));
}

/// The texts of one second.
#[derive(Debug)]
struct Second {
    wall_s: u64,
    /// `21/Nov/2026:01:41:40`, local.
    local: Vec<u8>,
    /// As `local`, with the zone's offset: `… +0100`.
    local_zone: Vec<u8>,
    /// `21/Nov/2026:01:41:40 +0000`.
    gmt: Vec<u8>,
    /// `Nov 21 01:41:40`, local (RFC 3164 4.1.2).
    syslog: Vec<u8>,
    /// `2026-11-21T01:41:40`, local.
    iso: Vec<u8>,
    /// `+00:00`.
    iso_zone: Vec<u8>,
}

impl Second {
    fn new(wall_s: u64) -> Second {
        let mut second = Second {
            wall_s,
            local: Vec::with_capacity(24),
            local_zone: Vec::with_capacity(32),
            gmt: Vec::with_capacity(32),
            syslog: Vec::with_capacity(16),
            iso: Vec::with_capacity(24),
            iso_zone: Vec::with_capacity(8),
        };
        if wall_s != u64::MAX {
            second.fill(zone());
        }
        second
    }

    fn set(&mut self, wall_s: u64, zone: &TimeZone) {
        self.wall_s = wall_s;
        for text in
            [&mut self.local, &mut self.local_zone, &mut self.gmt, &mut self.syslog, &mut self.iso, &mut self.iso_zone]
        {
            text.clear();
        }
        self.fill(zone);
    }

    fn fill(&mut self, zone: &TimeZone) {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let at = i64::try_from(self.wall_s)
            .ok()
            .and_then(|s| Timestamp::from_second(s).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let local = zone.to_datetime(at);
        let offset = zone.to_offset(at).seconds() / 60;
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
        let month = |d: &jiff::civil::DateTime| MONTHS[usize::from(d.month().unsigned_abs()) - 1];
        let clock = |d: &jiff::civil::DateTime| (d.hour(), d.minute(), d.second());
        let dated = |out: &mut Vec<u8>, d: &jiff::civil::DateTime| {
            let (h, m, s) = clock(d);
            write!(out, "{:02}/{}/{:04}:{h:02}:{m:02}:{s:02}", d.day(), month(d), d.year())
        };
        let (h, m, s) = clock(&local);
        // Writes into vectors do not fail.
        let _ = dated(&mut self.local, &local);
        let _ = dated(&mut self.local_zone, &local);
        let _ = write!(self.local_zone, " {sign}{:02}{:02}", minutes / 60, minutes % 60);
        let _ = dated(&mut self.gmt, &TimeZone::UTC.to_datetime(at));
        self.gmt.extend_from_slice(b" +0000");
        let _ = write!(self.syslog, "{} {:2} {h:02}:{m:02}:{s:02}", month(&local), local.day());
        let (year, month, day) = (local.year(), local.month(), local.day());
        let _ = write!(self.iso, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
        let _ = write!(self.iso_zone, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
}

fn with<R>(wall_s: u64, take: impl FnOnce(&Second) -> R) -> R {
    CACHE.with_borrow_mut(|cache| {
        let slot = &mut cache[wall_s as usize % SECONDS_KEPT];
        if slot.wall_s != wall_s {
            slot.set(wall_s, zone());
        }
        take(slot)
    })
}

/// `21/Nov/2026:01:41:40.442` in local time (%t, %tr).
pub fn write_ms(out: &mut Vec<u8>, at: Now) {
    with(at.wall_s(), |second| out.extend_from_slice(&second.local));
    out.push(b'.');
    super::format::encode::padded(out, at.wall_ms_part(), 3);
}

/// `21/Nov/2026:02:41:40 +0100` in local time (%Tl, %trl).
pub fn write_local(out: &mut Vec<u8>, at: Now) {
    with(at.wall_s(), |second| out.extend_from_slice(&second.local_zone));
}

/// `21/Nov/2026:01:41:40 +0000` (%T, %trg).
pub fn write_gmt(out: &mut Vec<u8>, at: Now) {
    with(at.wall_s(), |second| out.extend_from_slice(&second.gmt));
}

/// `Nov 21 01:41:40` in local time (RFC 3164 4.1.2).
pub fn write_syslog(out: &mut Vec<u8>, at: Now) {
    with(at.wall_s(), |second| out.extend_from_slice(&second.syslog));
}

/// `2026-11-21T01:41:40.123456+00:00` in local time (RFC 5424 6.2.3).
pub fn write_iso(out: &mut Vec<u8>, at: Now) {
    with(at.wall_s(), |second| {
        out.extend_from_slice(&second.iso);
        out.push(b'.');
        super::format::encode::padded(out, (at.wall_us % 1_000_000) as u32, 6);
        out.extend_from_slice(&second.iso_zone);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_texts_in_any_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("zone");
        let mut second = Second::new(u64::MAX);
        second.set(1_783_213_323, &zone);
        assert_eq!(second.local, b"05/Jul/2026:03:02:03");
        assert_eq!(second.local_zone, b"05/Jul/2026:03:02:03 +0200");
        assert_eq!(second.gmt, b"05/Jul/2026:01:02:03 +0000");
        assert_eq!(second.syslog, b"Jul  5 03:02:03");
        assert_eq!(second.iso, b"2026-07-05T03:02:03");
        assert_eq!(second.iso_zone, b"+02:00");
        second.set(1_783_213_323, &TimeZone::posix("NST3:30").expect("zone"));
        assert_eq!(second.local_zone, b"04/Jul/2026:21:32:03 -0330");
        assert_eq!(second.iso_zone, b"-03:30");
    }

    #[test]
    fn fractions_are_added_to_the_kept_second() {
        let at = Now { mono_us: 0, wall_us: 1_783_213_323_000_000 + 7_045 };
        let mut out = Vec::new();
        write_gmt(&mut out, at);
        assert_eq!(out, b"05/Jul/2026:01:02:03 +0000");
        out.clear();
        write_ms(&mut out, at);
        assert!(out.ends_with(b".007"), "{out:?}");
        out.clear();
        write_iso(&mut out, at);
        assert_eq!(&out[19..26], b".007045");
    }
}
