//! `tcp-request` and `tcp-response` rules at work (manual 4.2): they look at connections, at sessions, and at contents
//! while these arrive.

use super::address::SetAddress;
use super::errand::{Errand, Order};
use super::variable::Assignment;
use super::{Acls, Rule};
use crate::facts::LogOrder;
use crate::sample::Ctx;

/// All of one proxy's.
#[derive(Clone, Debug, Default)]
pub struct TcpRules {
    /// `tcp-request connection`
    pub connection: Vec<Rule<Action>>,
    /// `tcp-request session`
    pub session: Vec<Rule<Action>>,
    /// `tcp-request content`
    pub content: Vec<Rule<Action>>,
    /// `tcp-response content`
    pub response: Vec<Rule<Action>>,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `accept`: no further rules of its kind.
    Accept,
    /// `reject`
    Reject,
    /// `close`: the server's connection.
    Close,
    /// `silent-drop`: forgets the client's connection.
    SilentDrop,
    /// `capture`, `set-nice`, `set-tos`, `set-mark`: something that the session does.
    Order(Box<Order>),
    /// `set-log-level`
    SetLog(LogOrder),
    /// `set-var` and others
    Assign(Assignment),
    /// `set-src` and others
    SetAddress(SetAddress),
}

/// What rules decided.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// More must come before it can be decided.
    Wait,
    /// The connection is closed.
    Reject,
    /// The server's connection is closed.
    Close,
    /// The client's connection is forgotten.
    SilentDrop,
    /// The session has to do something before the rules go on.
    Errand(Errand),
}

impl Action {
    /// Whether it needs CAP_NET_ADMIN.
    fn administers_net(&self) -> bool {
        match self {
            Action::SilentDrop => true,
            Action::Order(order) => order.administers_net(),
            _ => false,
        }
    }

    /// Whether it captures what may yet come.
    fn captures_contents(&self) -> bool {
        let needs = match self {
            Action::Order(order) => order.captured(),
            _ => None,
        };
        needs.is_some_and(|needs| needs.is_raw() || needs.is_head())
    }
}

impl TcpRules {
    /// Whether connections are looked at before they become sessions.
    pub fn guard(&self) -> bool {
        !self.connection.is_empty() || !self.session.is_empty()
    }

    /// Whether a rule needs CAP_NET_ADMIN.
    pub(super) fn administer_net(&self) -> bool {
        let mut lists = [&self.connection, &self.session, &self.content, &self.response].into_iter();
        lists.any(|list| list.iter().any(|rule| rule.action.administers_net()))
    }

    /// How many rules capture what may yet come.
    pub(super) fn captures_of_contents(&self) -> usize {
        self.content.iter().filter(|rule| rule.action.captures_contents()).count()
    }
}

/// Goes through `rules` from the `next` one on. Addresses are changed in the context, for the caller to take over;
/// `scratch` is space for texts.
pub fn run<'a>(
    rules: &'a [Rule<Action>],
    acls: &'a Acls,
    next: &mut usize,
    ctx: &mut Ctx<'a>,
    scratch: &mut Vec<u8>,
) -> Verdict {
    while let Some(rule) = rules.get(*next) {
        *next += 1;
        match rule.condition.as_ref().map_or(Some(true), |condition| condition.verdict(acls, ctx)) {
            Some(true) => {}
            Some(false) => continue,
            None => return Verdict::Wait,
        }
        match &rule.action {
            Action::Accept => return Verdict::Accept,
            Action::Reject => return Verdict::Reject,
            Action::Close => return Verdict::Close,
            Action::SilentDrop => return Verdict::SilentDrop,
            Action::Order(order) => match prepare(order, ctx) {
                Some(Some(errand)) => return Verdict::Errand(errand),
                Some(None) => {}
                None => return Verdict::Wait,
            },
            Action::SetLog(order) => ctx.facts.log_order.set(Some(*order)),
            Action::Assign(assignment) => assignment.apply(ctx, scratch),
            Action::SetAddress(rule) => [ctx.client.source, ctx.client.destination] = rule.apply(ctx),
        }
    }
    Verdict::Accept
}

/// What the session is to do, if anything; `None` while that depends on what is still to come.
fn prepare(order: &Order, ctx: &Ctx<'_>) -> Option<Option<Errand>> {
    let Some(inspection) = ctx.inspection else { return Some(order.errand(ctx)) };
    inspection.take_open();
    let errand = order.errand(ctx);
    // A name is taken as it is now.
    let is_ready = errand.is_some() || matches!(order, Order::Resolve(_)) || !inspection.take_open();
    is_ready.then_some(errand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture::with;
    use crate::sample::{Inspection, Place, Scope};

    fn rules(lines: &[(Action, &str)], acls: &mut Acls) -> Vec<Rule<Action>> {
        let mut scope = Scope::new(Place::FrontContent.only(), "f".into(), 1);
        let one = |(action, condition): &(Action, &str)| {
            let words: Vec<_> = condition.split(' ').map(crate::text::Word::from).collect();
            let condition = super::super::Condition::parse(&words, acls, &mut scope).unwrap();
            Rule { action: action.clone(), condition: Some(condition), file: "f".into(), line: 1 }
        };
        lines.iter().map(one).collect()
    }

    /// What the rules say of `bytes`, once while more may come and once when that is all.
    fn verdicts(lines: &[(Action, &str)], bytes: &[u8]) -> [&'static str; 2] {
        let mut acls = Acls::default();
        let rules = rules(lines, &mut acls);
        with(None, None, |base| {
            let inspection = Inspection::default();
            [Some(&inspection), None].map(|inspection| {
                let mut config = crate::proxy::Config::default();
                config.frontends.push(crate::proxy::Frontend::default());
                let mut ctx = Ctx { request_bytes: bytes, inspection, config: &config, ..*base };
                match run(&rules, &acls, &mut 0, &mut ctx, &mut Vec::new()) {
                    Verdict::Accept => "accept",
                    Verdict::Wait => "wait",
                    Verdict::Reject => "reject",
                    _ => "other",
                }
            })
        })
    }

    #[test]
    fn an_open_condition_waits_and_decides_in_the_end() {
        let reject = [(Action::Reject, "if { req.payload(0,4) -m str evil }")];
        assert_eq!(verdicts(&reject, b"ev"), ["wait", "accept"]);
        assert_eq!(verdicts(&reject, b"evil"), ["reject"; 2]);
        assert_eq!(verdicts(&reject, b"good"), ["accept"; 2]);
        let unless = [(Action::Reject, "unless { req.payload(0,4) -m str ping }")];
        assert_eq!(verdicts(&unless, b"pi"), ["wait", "reject"]);
    }

    #[test]
    fn what_holds_already_is_not_waited_for() {
        let lines = [(Action::Reject, "if { req.payload(9,1) -m str x } or { req.len ge 2 }")];
        assert_eq!(verdicts(&lines, b"ab"), ["reject"; 2]);
        let lines = [(Action::Reject, "if { req.payload(9,1) -m str x } { always_false }")];
        assert_eq!(verdicts(&lines, b"ab"), ["accept"; 2]);
    }

    #[test]
    fn the_end_is_waited_for() {
        let lines = [(Action::Reject, "if WAIT_END")];
        assert_eq!(verdicts(&lines, b""), ["wait", "reject"]);
    }
}
