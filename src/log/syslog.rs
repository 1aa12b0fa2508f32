//! Syslog: facilities, levels and what stands in front of a message (manual 3.1, `log`; RFC 3164, RFC 5424).

use super::date;
use super::format::encode::number;
use crate::time::Now;

/// How urgent a message is; smaller is more urgent (RFC 5424 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing works: a backend without servers.
    Emerg,
    /// A server went down.
    Alert,
    /// `crit`
    Crit,
    /// An exchange failed, where `option log-separate-errors` is set.
    Err,
    /// A proxy stopped.
    Warning,
    /// A server came up.
    Notice,
    /// An exchange ended.
    Info,
    /// `debug`
    Debug,
}

impl Level {
    const NAMES: [(&'static str, Level); 8] = [
        ("emerg", Level::Emerg),
        ("alert", Level::Alert),
        ("crit", Level::Crit),
        ("err", Level::Err),
        ("warning", Level::Warning),
        ("notice", Level::Notice),
        ("info", Level::Info),
        ("debug", Level::Debug),
    ];

    /// The level of a number; those above all are `debug`.
    pub fn from_number(number: u8) -> Level {
        Level::NAMES.get(usize::from(number)).map_or(Level::Debug, |&(_, level)| level)
    }

    /// The level of a name.
    pub fn parse(name: &str) -> Option<Level> {
        Level::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, level)| level)
    }
}

/// Who logs, as syslog servers sort it: 0 to 23 (RFC 5424 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    const NAMES: [&'static str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
        "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];

    /// The facility of a name.
    pub fn parse(name: &str) -> Option<Facility> {
        Facility::NAMES.iter().position(|known| *known == name).map(|number| Facility(number as u8))
    }

    /// Its number together with a level, as `<PRI>` has it.
    pub fn priority(self, level: Level) -> u8 {
        self.0 * 8 + level as u8
    }
}

/// What stands in front of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// `<PRI>Mmm dd hh:mm:ss tag[pid]: `
    Local,
    /// As local, with the host name.
    Rfc3164,
    /// `<PRI>1 date host tag pid - data `
    Rfc5424,
    /// `<PRI>`
    Priority,
    /// `<LEVEL>`
    Short,
    /// `<LEVEL>date `
    Timed,
    /// `date `
    Iso,
    /// Nothing.
    Raw,
}

impl Header {
    const NAMES: [(&'static str, Header); 8] = [
        ("local", Header::Local),
        ("rfc3164", Header::Rfc3164),
        ("rfc5424", Header::Rfc5424),
        ("priority", Header::Priority),
        ("short", Header::Short),
        ("timed", Header::Timed),
        ("iso", Header::Iso),
        ("raw", Header::Raw),
    ];

    /// The header of a name.
    pub fn parse(name: &str) -> Option<Header> {
        Header::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, header)| header)
    }

    /// Appends the header of a message.
    pub fn write(self, message: &About<'_>, out: &mut Vec<u8>) {
        let bracketed = |out: &mut Vec<u8>, value: u8| {
            out.push(b'<');
            number(out, value);
            out.push(b'>');
        };
        let priority = message.facility.priority(message.level);
        match self {
            Header::Raw => {}
            Header::Priority => bracketed(out, priority),
            Header::Short => bracketed(out, message.level as u8),
            Header::Timed => {
                bracketed(out, message.level as u8);
                Header::Iso.write(message, out);
            }
            Header::Iso => {
                date::write_iso(out, message.at);
                out.push(b' ');
            }
            Header::Local | Header::Rfc3164 => {
                bracketed(out, priority);
                date::write_syslog(out, message.at);
                out.push(b' ');
                if self == Header::Rfc3164 {
                    out.extend_from_slice(message.host.unwrap_or("localhost").as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(message.tag.as_bytes());
                out.push(b'[');
                number(out, message.pid);
                out.extend_from_slice(b"]: ");
            }
            Header::Rfc5424 => {
                bracketed(out, priority);
                out.extend_from_slice(b"1 ");
                date::write_iso(out, message.at);
                for word in [message.host.unwrap_or("-"), message.tag] {
                    out.push(b' ');
                    out.extend_from_slice(word.as_bytes());
                }
                out.push(b' ');
                number(out, message.pid);
                out.extend_from_slice(b" - ");
                out.extend_from_slice(if message.structured_data.is_empty() { b"-" } else { message.structured_data });
                out.push(b' ');
            }
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// When.
    pub at: Now,
    /// Facility of the target.
    pub facility: Facility,
    /// Level of the message, within the target's bounds already.
    pub level: Level,
    /// `log-send-hostname`; `None` when not set.
    pub host: Option<&'a str>,
    /// `log-tag`, or the program's name.
    pub tag: &'a str,
    /// The process.
    pub pid: u32,
    /// What `log-format-sd` made; empty shows as `-`.
    pub structured_data: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: Header, host: Option<&str>, data: &[u8]) -> String {
        let about = About {
            at: Now { mono_us: 0, wall_us: 1_795_225_473_149_710 },
            facility: Facility::parse("local0").expect("facility"),
            level: Level::Info,
            host,
            tag: "haproxy",
            pid: 25763,
            structured_data: data,
        };
        let mut out = Vec::new();
        header.write(&about, &mut out);
        String::from_utf8(out).expect("ascii")
    }

    /// The hour and the offset depend on the machine's zone; the rest is what haproxy sends.
    #[test]
    fn headers_are_haproxys() {
        let line = shown(Header::Local, None, b"");
        assert!(line.starts_with("<134>Nov 21 ") && line.ends_with(":33 haproxy[25763]: "), "{line}");
        let line = shown(Header::Rfc3164, None, b"");
        assert!(line.ends_with(":33 localhost haproxy[25763]: "), "{line}");
        let line = shown(Header::Rfc3164, Some("foo"), b"");
        assert!(line.ends_with(":33 foo haproxy[25763]: "), "{line}");
        let line = shown(Header::Rfc5424, None, b"");
        assert!(line.starts_with("<134>1 2026-11-21T") && line.contains(":33.149710"), "{line}");
        assert!(line.ends_with(" - haproxy 25763 - - "), "{line}");
        let line = shown(Header::Rfc5424, Some("vm"), b"[ex@1 a=\"127.0.0.1\"]");
        assert!(line.ends_with(" vm haproxy 25763 - [ex@1 a=\"127.0.0.1\"] "), "{line}");
        assert_eq!(shown(Header::Priority, None, b""), "<134>");
        assert_eq!(shown(Header::Short, None, b""), "<6>");
        assert!(shown(Header::Timed, None, b"").starts_with("<6>2026-11-21T"));
        assert!(shown(Header::Iso, None, b"").starts_with("2026-11-21T"));
        assert_eq!(shown(Header::Raw, None, b""), "");
    }

    #[test]
    fn names_are_those_of_the_manual() {
        assert_eq!(Facility::parse("local7").map(|f| f.priority(Level::Debug)), Some(191));
        assert_eq!(Facility::parse("LOCAL0"), None);
        assert_eq!(Level::parse("warning"), Some(Level::Warning));
        assert_eq!(Level::parse("0"), None);
        assert_eq!(Header::parse("timed"), Some(Header::Timed));
    }
}
