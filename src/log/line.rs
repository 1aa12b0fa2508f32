//! The words of a `log` line to a target (manual 3.1 and 4.2, `log`).

use socket2::SockAddr;

use super::syslog::{Facility, Header, Level};
use super::target::{Destination, LINE_BYTES_DEFAULT, LogTarget, Sampling};
use crate::sys::socket::unix_address;
use crate::text::address::{self, Host, Port, Target, Transport};

/// Port of syslog servers (RFC 5426 3.3).
const SYSLOG_PORT: u16 = 514;

/// What one `log` line asks.
#[derive(Clone, Debug)]
pub enum LogLine {
    /// A target of its own.
    Target(Box<LogTarget>),
    /// `log global`: the targets of the global section.
    Global,
    /// `no log`: forget what was there.
    Forget,
}

/// Parses the words behind `log`. `no` says that the keyword was negated, `in_global` that the line stands in
/// the global section.
///
/// # Errors
/// HAProxy's words, to follow `parsing [file:line] : `.
pub fn parse(args: &[&str], no: bool, in_global: bool) -> Result<LogLine, String> {
    line(args, no, in_global).map_err(|error| format!("log : {error}"))
}

fn line(args: &[&str], no: bool, in_global: bool) -> Result<LogLine, String> {
    let arg = |index: usize| args.get(index).copied().unwrap_or("");
    if no {
        return match arg(0) {
            "" => Ok(LogLine::Forget),
            _ => Err("'no log' does not expect arguments".to_owned()),
        };
    }
    if arg(0) == "global" && arg(1).is_empty() {
        return match in_global {
            true => Err("'global' is not supported for a global syslog server".to_owned()),
            false => Ok(LogLine::Global),
        };
    }
    if arg(0).is_empty() || arg(1).is_empty() {
        return Err(format!(
            "expects <address> and <facility> {} as arguments",
            if in_global { "" } else { "or global" }
        ));
    }
    let mut at = 1;
    let mut bytes_max = LINE_BYTES_DEFAULT;
    if arg(at) == "len" {
        bytes_max = length(arg(at + 1))?;
        at += 2;
    }
    let mut header = None;
    if arg(at) == "format" {
        let name = arg(at + 1);
        header = Some(Header::parse(name).ok_or_else(|| format!("unknown log format '{name}'"))?);
        at += 2;
    }
    let mut sampling = None;
    if arg(at) == "sample" {
        sampling = Some(sample(arg(at + 1))?);
        at += 2;
    }
    let facility = Facility::parse(arg(at)).ok_or_else(|| format!("unknown log facility '{}'", arg(at)))?;
    let level = |name: &str, what: &str, absent: Level| match name {
        "" => Ok(absent),
        _ => Level::parse(name).ok_or_else(|| format!("unknown optional {what} '{name}'")),
    };
    let max_level = level(arg(at + 1), "log level", Level::Debug)?;
    let min_level = level(arg(at + 2), "minimum log level", Level::Emerg)?;
    if !arg(at + 3).is_empty() {
        return Err(format!("cannot handle unexpected argument '{}'", arg(at + 3)));
    }
    let destination = destination(arg(0))?;
    Ok(LogLine::Target(Box::new(LogTarget {
        destination,
        header,
        bytes_max,
        facility,
        max_level,
        min_level,
        sampling,
    })))
}

fn length(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text[..digits].parse::<usize>() {
        Ok(length) if (80..=65535).contains(&length) => Ok(length),
        _ => Err(format!("invalid log length '{text}', must be between 80 and 65535")),
    }
}

/// `1,3-4:5`
fn sample(text: &str) -> Result<Sampling, String> {
    let Some((ranges, size_text)) = text.split_once(':') else {
        return Err("Missing sample size".to_owned());
    };
    let size = match size_text.parse::<u32>() {
        Ok(size) if size > 0 => size,
        _ => return Err(format!("wrong sample size '{size_text}' for sample range '{ranges}'")),
    };
    let mut parsed = Vec::new();
    let mut rest = ranges;
    while !rest.is_empty() {
        let (item, after) = rest.split_once(',').unwrap_or((rest, ""));
        parsed.push(range(item).ok_or_else(|| format!("wrong sample range '{rest}'"))?);
        rest = after;
    }
    parsed.sort_unstable();
    if parsed.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
        return Err("ranges are overlapping".to_owned());
    }
    match parsed.last() {
        None => Err("no sampling ranges given".to_owned()),
        Some(&(_, high)) if high > size => Err(format!(
            "sample size {size} should be greater or equal to {high} the maximum of the high ranges limits"
        )),
        Some(_) => Ok(Sampling::new(parsed.into(), size)),
    }
}

fn range(item: &str) -> Option<(u32, u32)> {
    let (low, high) = item.split_once('-').unwrap_or((item, item));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (low, high): (u32, u32) = (digits(low)?, digits(high)?);
    (low > 0 && low <= high).then_some((low, high))
}

fn destination(text: &str) -> Result<Destination, String> {
    match text {
        "stdout" => return Ok(Destination::Fd(1)),
        "stderr" => return Ok(Destination::Fd(2)),
        _ if text.starts_with("ring@") => {
            return Err(format!("ring buffers are not supported yet in '{text}'"));
        }
        _ => {}
    }
    // Any descriptor will do here, whereas the general address asks for a socket.
    if let Some(number) = text.strip_prefix("fd@") {
        return match number.parse() {
            Ok(number) if number >= 0 => Ok(Destination::Fd(number)),
            _ => Err(format!("file descriptor '{number}' is not a valid integer in '{text}'\n")),
        };
    }
    let address = address::parse(text, address::LOG)?;
    if address.transport == Some(Transport::Stream) {
        return Err(format!("stream log targets are not supported yet in '{text}'"));
    }
    let too_long = |_| format!("socket name too long in '{text}'");
    match address.target {
        Target::Inet { host: Host::Ip(ip), port } => match port {
            Port::None | Port::Fixed(0) => Ok(Destination::udp(ip, SYSLOG_PORT)),
            Port::Fixed(port) => Ok(Destination::udp(ip, port)),
            Port::Range(..) => Err(format!("port range not permitted here in '{text}'")),
            Port::Offset(_) => Err(format!("port offset not permitted here in '{text}'")),
        },
        Target::Inet { host: Host::Name(name, _), .. } => Err(format!("invalid address: '{name}' in '{text}'\n")),
        Target::Unix(path) => SockAddr::unix(path).map(Destination::Datagram).map_err(too_long),
        Target::Abstract(name) => {
            let name: Vec<u8> = std::iter::once(0).chain(name).collect();
            unix_address(&name).map(Destination::Datagram).map_err(too_long)
        }
        Target::Fd(number) => Ok(Destination::Fd(number)),
        Target::SocketPair(_) => Err(format!("stream log targets are not supported yet in '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let args: Vec<&str> = text.split(' ').collect();
        parse(&args, false, false).err().unwrap_or_default()
    }

    fn target(text: &str) -> LogTarget {
        let args: Vec<&str> = text.split(' ').collect();
        match parse(&args, false, false) {
            Ok(LogLine::Target(target)) => *target,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn shown(destination: &Destination) -> String {
        let mut out = Vec::new();
        destination.describe(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn targets_are_parsed() {
        let full = target("[::1]:515 len 100 format raw sample 3-4,1:5 local0 notice err");
        assert_eq!(shown(&full.destination), "[::1]:515");
        assert_eq!((full.bytes_max, full.header), (100, Some(Header::Raw)));
        assert_eq!((full.max_level, full.min_level), (Level::Notice, Level::Err));
        let sampling = full.sampling.expect("sampling");
        assert_eq!((&sampling.ranges[..], sampling.size), (&[(1, 1), (3, 4)][..], 5));
        for (text, expected) in [
            ("127.0.0.1 local0", "127.0.0.1:514"),
            ("127.0.0.1:0 local0", "127.0.0.1:514"),
            ("udp4@127.0.0.1:5 local0", "127.0.0.1:5"),
            (":515 local0", "0.0.0.0:515"),
            ("/dev/log local0", "/dev/log"),
            ("stdout format raw daemon", "fd@1"),
            ("fd@99 local0", "fd@99"),
        ] {
            assert_eq!(shown(&target(text).destination), expected);
        }
        assert_eq!(target("127.0.0.1 len 80x local0").bytes_max, 80);
        assert!(matches!(parse(&["global"], false, false), Ok(LogLine::Global)));
        assert!(matches!(parse(&[], true, true), Ok(LogLine::Forget)));
    }

    /// Words of haproxy 2.6.
    #[test]
    fn mistakes_are_told_in_haproxys_words() {
        for (text, expected) in [
            ("127.0.0.1", "expects <address> and <facility> or global as arguments"),
            ("127.0.0.1 local8", "unknown log facility 'local8'"),
            ("foo bar", "unknown log facility 'bar'"),
            ("global foo", "unknown log facility 'foo'"),
            ("127.0.0.1 local0 foo", "unknown optional log level 'foo'"),
            ("127.0.0.1 local0 info foo", "unknown optional minimum log level 'foo'"),
            ("127.0.0.1 local0 info err extra", "cannot handle unexpected argument 'extra'"),
            ("127.0.0.1 len 79 local0", "invalid log length '79', must be between 80 and 65535"),
            ("127.0.0.1 len", "invalid log length '', must be between 80 and 65535"),
            ("127.0.0.1 len 100", "unknown log facility ''"),
            ("127.0.0.1 format foo local0", "unknown log format 'foo'"),
            ("127.0.0.1 format raw len 100 local0", "unknown log facility 'len'"),
            ("127.0.0.1 sample 1 local0", "Missing sample size"),
            ("127.0.0.1 sample 0:5 local0", "wrong sample range '0'"),
            ("127.0.0.1 sample ,:4 local0", "wrong sample range ','"),
            ("127.0.0.1 sample 1,3-2,5:9 local0", "wrong sample range '3-2,5'"),
            ("127.0.0.1 sample 1:6:7 local0", "wrong sample size '6:7' for sample range '1'"),
            ("127.0.0.1 sample 1-3,2:5 local0", "ranges are overlapping"),
            ("127.0.0.1 sample :6 local0", "no sampling ranges given"),
            (
                "127.0.0.1 sample 1,6:5 bad",
                "sample size 5 should be greater or equal to 6 the maximum of the high ranges limits",
            ),
            ("127.0.0.1:100000 local0", "invalid port '100000'"),
            ("127.0.0.1:514-516 local0", "port range not permitted here in '127.0.0.1:514-516'"),
            ("fd@x local0", "file descriptor 'x' is not a valid integer in 'fd@x'\n"),
            ("ring@x local0", "ring buffers are not supported yet in 'ring@x'"),
            ("tcp@127.0.0.1 local0", "stream log targets are not supported yet in 'tcp@127.0.0.1'"),
        ] {
            assert_eq!(error(text), format!("log : {expected}"), "{text}");
        }
        assert_eq!(
            parse(&["global"], false, true).err().as_deref(),
            Some("log : 'global' is not supported for a global syslog server")
        );
        assert_eq!(parse(&["x"], true, false).err().as_deref(), Some("log : 'no log' does not expect arguments"));
        assert_eq!(
            parse(&["127.0.0.1"], false, true).err().as_deref(),
            Some("log : expects <address> and <facility>  as arguments")
        );
    }
}
