//! Agents: what their lines say and what it makes of a server (manual 5.2, `agent-check`).
//!
//! An agent's line orders weight, limit and maintenance as an operator does, and says whether the server is
//! well. That counts beside health checks: a server is up when both say so. That an agent cannot be reached
//! says nothing.

use std::net::IpAddr;

use super::expect;
use super::result::{Outcome, Status, Verdict};
use super::server::{Cause, Change, CheckEffect, Operation, ServerState};

/// What is known of a server's agent, and what was ordered about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// It has `agent-check` on its line.
    pub is_configured: bool,
    /// It is asked (`disable agent` stops that).
    pub enabled: bool,
    /// The server is down because it said so.
    pub is_down: bool,
    /// The last answer.
    pub last: Outcome,
    /// What the operator changed.
    pub orders: Orders,
    /// A number that differs where the configuration of the agent does.
    pub settings: u64,
}

/// Settings that the operator changed (management manual 9.3, `set server`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// `agent-addr`
    pub addr: Option<IpAddr>,
    /// `agent-port`
    pub port: Option<u16>,
    /// `agent-send`
    pub send: Option<Box<str>>,
}

/// What a line says. Where it says the same thing twice, the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// A share of the weight, `75%`.
    pub weight: Option<&'a [u8]>,
    /// What follows `maxconn:`.
    pub maxconn: Option<&'a [u8]>,
    /// `ready`, `drain`, `maint`
    pub order: Option<Order>,
    /// Whether the server is well, and the word that says so.
    pub health: Option<(bool, &'a [u8])>,
    /// The first word that nobody knows.
    pub error: Option<&'a [u8]>,
    /// What follows a `#` and blanks behind it, to the end of the line.
    pub description: &'a [u8],
}

/// What an agent orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take part.
    Ready,
    /// No new clients.
    Drain,
    /// Maintenance.
    Maintenance,
}

impl Agent {
    /// An agent at the start; `settings` tells configurations apart.
    pub fn new(settings: u64) -> Agent {
        let last = Outcome { status: Status::Initializing, ..Outcome::default() };
        Agent { is_configured: true, enabled: true, last, settings, ..Agent::default() }
    }

    /// Whether it takes the server down.
    pub fn objects(&self) -> bool {
        self.enabled && self.is_down
    }

    /// The agent under a new configuration, where it was `old`.
    #[must_use]
    pub fn carried(self, old: &Agent) -> Agent {
        match (self.is_configured, old.is_configured) {
            (true, true) if self.settings == old.settings => old.clone(),
            (true, true) => Agent { orders: self.orders, settings: self.settings, ..old.clone() },
            _ => self,
        }
    }

    /// The bits of `srv_agent_state` in `show servers state`; `running` says that it is being asked.
    pub fn bits(&self, running: bool) -> u8 {
        let bits = [(running, 0x01), (self.is_configured, 0x12), (self.enabled, 0x04)];
        bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()
    }
}

impl<'a> Report<'a> {
    /// Reads what an agent said; `None` if it is not a whole line.
    pub fn parse(answer: &'a [u8]) -> Option<Report<'a>> {
        let mut rest = expect::line(answer)?;
        let mut report = Report::default();
        loop {
            rest = from_first(rest, |octet| !is_separator(octet));
            match rest {
                [] => break,
                [b'#', text @ ..] => {
                    report.description = from_first(text, |octet| !matches!(octet, b' ' | b'\t'));
                    break;
                }
                _ => {}
            }
            let (word, others) = rest.split_at(rest.iter().position(is_separator).unwrap_or(rest.len()));
            report.add(word);
            rest = others;
        }
        Some(report)
    }

    fn add(&mut self, word: &'a [u8]) {
        const MAXCONN: &[u8] = b"maxconn:";
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        if word.first().is_some_and(u8::is_ascii_digit) && word.contains(&b'%') {
            self.weight = Some(word);
        } else if is("ready") {
            self.order = Some(Order::Ready);
        } else if is("drain") {
            self.order = Some(Order::Drain);
        } else if is("maint") {
            self.order = Some(Order::Maintenance);
        } else if is("up") {
            self.health = Some((true, word));
        } else if is("down") || is("stopped") || is("fail") {
            self.health = Some((false, word));
        } else if word.get(..MAXCONN.len()).is_some_and(|name| name.eq_ignore_ascii_case(MAXCONN)) {
            self.maxconn = Some(&word[MAXCONN.len()..]);
        } else {
            self.error.get_or_insert(word);
        }
    }

    /// What came of asking; `warning` is what was wrong with a number.
    pub fn outcome(&self, warning: Option<&str>) -> Outcome {
        let warning = warning.map(str::as_bytes);
        let info = match (self.health, self.error, warning) {
            (Some((up, word)), error, warning) => {
                // Why a server is down matters more than what is wrong with the line.
                let first = Some(self.description).filter(|text| !up && !text.is_empty());
                match first.or(error).or(warning).unwrap_or(self.description) {
                    b"" => [b"via agent : ", word].concat(),
                    more => [b"via agent : ", word, b" (", more, b")"].concat(),
                }
            }
            (None, Some(error), _) => [b"agent reports an error : ", error].concat(),
            (None, None, Some(warning)) => [b"agent warns : ", warning].concat(),
            (None, None, None) => Vec::new(),
        };
        let status = match self.health {
            Some((true, _)) => Status::L7Passed,
            Some((false, _)) => Status::L7Status,
            None => Status::Checked,
        };
        Outcome { status, info, ..Outcome::default() }.cut()
    }
}

/// What stands between words.
fn is_separator(octet: &u8) -> bool {
    matches!(octet, b' ' | b'\t' | b',')
}

/// The text from the first octet on that is of this kind.
fn from_first(text: &[u8], is_it: impl Fn(&u8) -> bool) -> &[u8] {
    &text[text.iter().position(is_it).unwrap_or(text.len())..]
}

impl ServerState {
    /// Whether asking the agent came to what is known, so that [`ServerState::agent_ended`] would change nothing but
    /// the time that it took.
    pub fn is_confirmed_by_agent(&self, outcome: &Outcome) -> bool {
        let (last, is_down) = (&self.agent.last, self.agent.is_down);
        let same = (outcome.status, &outcome.info) == (last.status, &last.info);
        let settled = match outcome.status {
            Status::L7Status => is_down && self.operation == Operation::Stopped,
            status if status.verdict() == Verdict::Passed => {
                !is_down && matches!(self.operation, Operation::Running | Operation::Starting)
            }
            _ => true,
        };
        same && settled && self.agent.enabled
    }

    /// The agent was asked.
    pub fn agent_ended(&mut self, outcome: Outcome, now_s: u64) -> CheckEffect {
        if !self.agent.enabled {
            return CheckEffect::default();
        }
        let changed_status = outcome.status != self.agent.last.status;
        let (status, was_down) = (outcome.status, self.agent.is_down);
        self.agent.last = outcome;
        // Anything else that fails is about the way to the agent.
        if status == Status::L7Status {
            self.agent.is_down = true;
        }
        if status.verdict() == Verdict::Passed {
            self.agent.is_down = false;
        }
        let change = match status {
            Status::L7Status => self.go_down(Cause::Agent, now_s),
            _ if status.verdict() == Verdict::Passed => self.agent_agrees(now_s),
            _ => None,
        };
        CheckEffect {
            reported: status != Status::Checked && (changed_status || was_down != self.agent.is_down),
            failed: self.agent.is_down && !was_down,
            is_agents: true,
            words: Vec::new(),
            change,
        }
    }

    fn agent_agrees(&mut self, now_s: u64) -> Option<Change> {
        let ill = self.is_checked && self.checks_enabled && !self.health.is_up();
        if ill || self.operation == Operation::Stopping || self.admin.is_maintenance() {
            return None;
        }
        self.go_up(Cause::Agent, now_s)
    }

    /// `set server … agent up|down`, and the same on the page.
    pub fn order_agent(&mut self, cause: Cause, up: bool, now_s: u64) -> Option<Change> {
        self.agent.is_down = !up;
        match up {
            _ if self.admin.is_maintenance() => None,
            true => self.go_up(cause, now_s),
            false => self.go_down(cause, now_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(line: &str) -> String {
        let report = Report::parse(line.as_bytes()).expect("a line");
        let outcome = report.outcome(None);
        format!("{} {}", outcome.status.word(), String::from_utf8(outcome.info).expect("text"))
    }

    #[test]
    fn every_word_has_its_meaning() {
        assert_eq!(Report::parse(b"up"), None);
        assert_eq!(Report::parse(b""), None);
        let report = Report::parse(b" Ready,\tUP 75%,maxconn:30 # all is well \r\nmore").expect("a line");
        let expected = Report {
            weight: Some(b"75%"),
            maxconn: Some(b"30"),
            order: Some(Order::Ready),
            health: Some((true, b"UP")),
            error: None,
            description: b"all is well ",
        };
        assert_eq!(report, expected);
        for (line, expected) in [
            ("\n", "CHECKED "),
            ("#hello\n", "CHECKED "),
            ("drain #why\n", "CHECKED "),
            ("up #hello world\n", "L7OK via agent : up (hello world)"),
            ("foo bar up #hello\n", "L7OK via agent : up (foo)"),
            ("foo bar down #hello\n", "L7STS via agent : down (hello)"),
            ("up down\n", "L7STS via agent : down"),
            ("down fail stopped\n", "L7STS via agent : stopped"),
            ("down#why so\n", "CHECKED agent reports an error : down#why"),
            ("stop\n", "CHECKED agent reports an error : stop"),
            ("-5%\n", "CHECKED agent reports an error : -5%"),
        ] {
            assert_eq!(heard(line), expected, "{line}");
        }
        let warned = Report::parse(b"up 5x%\n").expect("a line").outcome(Some("no weight"));
        assert_eq!(warned.info, b"via agent : up (no weight)");
    }

    #[test]
    fn octets_that_are_no_text_are_told_as_they_came() {
        for (line, expected) in [
            (&b"\xff\xfe%,#\n"[..], &b"agent reports an error : \xff\xfe%"[..]),
            (b"up\xa0down\n", b"agent reports an error : up\xa0down"),
            (b"down # \t\xa0so\xff \t\n", b"via agent : down (\xa0so\xff \t)"),
            (b"9\xff%\n", b""),
            (b"maxconn:\xc3\n", b""),
            (b"maxconn\xc3\n", b"agent reports an error : maxconn\xc3"),
            (b"#\n", b""),
            (b"#\xff \n", b""),
            (b",,,\r", b""),
        ] {
            assert_eq!(Report::parse(line).expect("a line").outcome(None).info, expected, "{line:?}");
        }
        let long = [b"fail #".as_slice(), &[0xc3; 300], b"\n"].concat();
        let cut = [b"via agent : fail (".as_slice(), &[0xc3; 109]].concat();
        assert_eq!(Report::parse(&long).expect("a line").outcome(None).info, cut);
    }

    #[test]
    fn words_that_begin_like_others_are_errors() {
        for word in ["maxcon", "MAXCONN", "u", "upp"] {
            assert_eq!(heard(&format!("{word}\n")), format!("CHECKED agent reports an error : {word}"));
        }
        assert_eq!(Report::parse(b"MaxConn:7\n").and_then(|report| report.maxconn), Some(&b"7"[..]));
    }

    fn state() -> ServerState {
        let mut state = ServerState::new(Some((1, 1)), 1, false, 0);
        state.agent = Agent::new(7);
        state
    }

    fn says(state: &mut ServerState, status: Status) -> Option<Change> {
        state.agent_ended(Outcome { status, ..Outcome::default() }, 1).change
    }

    #[test]
    fn an_agent_counts_beside_the_checks() {
        let mut state = state();
        assert_eq!(says(&mut state, Status::L4Failed), None);
        assert_eq!(says(&mut state, Status::L7Status), Some(Change::Down { cause: Cause::Agent, quiet: false }));
        assert_eq!(state.status_word(), "DOWN (agent)");
        let passed = Outcome { status: Status::L4Passed, ..Outcome::default() };
        assert_eq!(state.checked(passed, 2).change, None);
        assert_eq!(says(&mut state, Status::Checked), None);
        assert_eq!(says(&mut state, Status::L7Passed), Some(Change::Up { cause: Cause::Agent }));
        let failed = Outcome { status: Status::L4Failed, ..Outcome::default() };
        state.checked(failed, 3);
        assert_eq!((says(&mut state, Status::L7Passed), state.status_word().as_str()), (None, "DOWN"));
    }

    #[test]
    fn maintenance_ends_where_the_agent_is() {
        let mut state = state();
        state.order_maintenance(1);
        assert_eq!(says(&mut state, Status::L7Status), None);
        assert_eq!(state.order_ready(2), Some(Change::Ready { inherited: false }));
        assert!(!state.is_up());
        state.agent.enabled = false;
        assert_eq!(says(&mut state, Status::L7Passed), None);
    }

    #[test]
    fn orders_outlive_a_reload_that_leaves_the_agent_alone() {
        let mut old = Agent::new(7);
        old.orders.port = Some(9);
        old.enabled = false;
        assert_eq!(Agent::new(7).carried(&old), old);
        assert_eq!(Agent::new(8).carried(&old), Agent { orders: Orders::default(), settings: 8, ..old.clone() });
        assert_eq!(Agent::default().carried(&old), Agent::default());
    }
}
