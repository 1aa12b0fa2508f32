//! What a worker and its spawner say to each other: one message a packet, words divided by zero octets.

use std::fmt::Display;

/// What a program is told of the server that it checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its number in the backend.
    pub id: u32,
    /// Its address: an IP address or a path; empty for other sockets.
    pub addr: String,
    /// Its port, where it has one.
    pub port: Option<u16>,
    /// `maxconn`; 0 for none.
    pub maxconn: u32,
    /// Sessions that it has.
    pub curconn: u64,
    /// What it speaks: `h1`, `tcp`.
    pub proto: String,
}

/// What a worker asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Run the program of a backend.
    Run {
        /// What reports are to say.
        id: u64,
        /// Number of the backend.
        backend: u32,
        /// The server.
        subject: Subject,
    },
    /// End it: it takes too long, or its result is of no use any more.
    End {
        /// What was said when it was to be run.
        id: u64,
    },
}

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It runs as this process.
    Began(i32),
    /// It ended by itself, with this code.
    Exited(i32),
    /// A signal ended it.
    Killed,
    /// The system has no process for it, for this reason (errno).
    Refused(i32),
}

/// What the spawner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which program.
    pub id: u64,
    /// What happened.
    pub event: Event,
}

impl Order {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Order::End { id } => join(&[&"end", id]),
            Order::Run { id, backend, subject } => {
                let Subject { name, id: number, addr, port, maxconn, curconn, proto } = subject;
                let port = port.map(|port| port.to_string()).unwrap_or_default();
                join(&[&"run", id, backend, name, number, addr, &port, maxconn, curconn, proto])
            }
        }
    }

    pub(super) fn decode(packet: &[u8]) -> Option<Order> {
        let text = std::str::from_utf8(packet).ok()?;
        let words: Vec<&str> = text.split('\0').collect();
        match words[..] {
            ["end", id] => Some(Order::End { id: id.parse().ok()? }),
            ["run", id, backend, name, number, addr, port, maxconn, curconn, proto] => {
                let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
                let (maxconn, curconn) = (maxconn.parse().ok()?, curconn.parse().ok()?);
                let (name, addr, proto) = (name.to_owned(), addr.to_owned(), proto.to_owned());
                let subject = Subject { name, id: number.parse().ok()?, addr, port, maxconn, curconn, proto };
                Some(Order::Run { id: id.parse().ok()?, backend: backend.parse().ok()?, subject })
            }
            _ => None,
        }
    }
}

impl Report {
    pub(super) fn encode(self) -> Vec<u8> {
        let (word, number) = match self.event {
            Event::Began(pid) => ("began", pid),
            Event::Exited(code) => ("exited", code),
            Event::Killed => ("killed", 0),
            Event::Refused(errno) => ("refused", errno),
        };
        join(&[&word, &self.id, &number])
    }

    pub(super) fn decode(packet: &[u8]) -> Option<Report> {
        let text = std::str::from_utf8(packet).ok()?;
        let words: Vec<&str> = text.split('\0').collect();
        let [word, id, number] = words[..] else { return None };
        let number = number.parse().ok()?;
        let event = match word {
            "began" => Event::Began(number),
            "exited" => Event::Exited(number),
            "killed" => Event::Killed,
            "refused" => Event::Refused(number),
            _ => return None,
        };
        Some(Report { id: id.parse().ok()?, event })
    }
}

fn join(words: &[&dyn Display]) -> Vec<u8> {
    let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    words.join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_reports_arrive_as_they_were_sent() {
        let subject = Subject { name: "s 1".into(), addr: "::1".into(), proto: "h1".into(), ..Subject::default() };
        for port in [None, Some(0), Some(80)] {
            let order = Order::Run { id: u64::MAX, backend: 3, subject: Subject { port, ..subject.clone() } };
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
        assert_eq!(Order::decode(&Order::End { id: 7 }.encode()), Some(Order::End { id: 7 }));
        for event in [Event::Began(5), Event::Exited(255), Event::Killed, Event::Refused(11)] {
            let report = Report { id: 9, event };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }

    #[test]
    fn nonsense_is_nothing() {
        for packet in [&b""[..], b"run", b"end\0x", b"end\x001\x002", b"run\x001\x002\0a\x00b\0\0\0\0\0", b"\xff\0\0"] {
            assert_eq!((Order::decode(packet), Report::decode(packet)), (None, None));
        }
    }
}
