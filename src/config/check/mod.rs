//! `option httpchk`, `option tcp-check`, `http-check …` and `tcp-check …` (section 4.2).
//!
//! Lines are parsed into the steps of a script as they are read. What nobody wrote but every check does (the
//! first connection, the request of `option httpchk`, the status that is expected) is added once all lines are.

mod connect;
mod expect;
pub mod external;
mod line;
pub mod protocol;
mod request;

use super::scope::{Scope, arg, no_more_than};
use super::word::Word;
use crate::proxy::Script;
use crate::proxy::check::{Action, Connect, Expect, Pattern, Speech, Step};
use crate::registry::{Keyword, Sections};
use crate::sample::arg::Reference;
use external::ProgramDraft;
use line::Line;
use request::RequestDraft;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("option httpchk", request::httpchk, "check servers by an HTTP request"),
    row("option tcp-check", tcp_check, "check servers by a TCP connection and what is said on it"),
    row("http-check", http_step, "a step of HTTP checks"),
    row("http-check disable-on-404", disable_on_404, "404 takes a server out softly"),
    row("http-check send-state", send_state, "tell servers how they are seen"),
    row("tcp-check", tcp_step, "a step of TCP checks"),
];

const fn row(
    name: &'static str,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections: Sections::SERVER_SIDE, args_max: None, parse, help }
}

/// The checks of a proxy, as written.
#[derive(Clone, Debug, Default)]
pub struct CheckDraft {
    /// The last `option` about checks.
    pub speech: Speech,
    /// What `option httpchk` says.
    request: RequestDraft,
    http: Steps,
    tcp: Steps,
    /// The steps of an option that has its own.
    fixed: Vec<StepDraft>,
    /// What `option external-check` took the place of.
    replaced: Speech,
    /// The program of `option external-check`.
    program: ProgramDraft,
    disable_on_404: bool,
    send_state: bool,
}

/// The lines of one kind.
#[derive(Clone, Debug, Default)]
struct Steps {
    steps: Vec<StepDraft>,
    /// `comment` lines and others, those without a step included.
    lines: u32,
    /// A comment that waits for its step.
    comment: Option<Box<[u8]>>,
    references: Vec<Reference>,
    /// All lines so far are those of a `defaults` section; the first own one replaces them.
    inherited: bool,
}

/// A step, or a request that `option httpchk` may still add to.
#[derive(Clone, Debug)]
enum StepDraft {
    Ready(Step),
    Request { number: u32, comment: Option<Box<[u8]>>, request: RequestDraft },
}

impl CheckDraft {
    /// Whether it has lines of its own for `speech`, and no option that gives them a meaning. Those of checks by HTTP
    /// are meant to be there when a program takes their place.
    #[must_use]
    pub fn has_rules_for_nothing(&self, speech: Speech) -> bool {
        let steps = if speech == Speech::Http { &self.http } else { &self.tcp };
        let own = if self.speech == Speech::Program { self.replaced } else { self.speech };
        own != speech && !steps.inherited && !steps.steps.is_empty()
    }

    /// Lines so far are of a `defaults` section.
    pub fn inherit(&mut self) {
        (self.http.inherited, self.tcp.inherited) = (true, true);
    }

    /// The names that the lines mention.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        match self.speech {
            Speech::Nothing | Speech::Fixed | Speech::Program => &[],
            Speech::Tcp => &self.tcp.references,
            Speech::Http => &self.http.references,
        }
    }

    /// What the checks of a proxy do.
    #[must_use]
    pub fn resolve(&self) -> Script {
        let mut steps = match self.speech {
            Speech::Nothing | Speech::Program => Vec::new(),
            Speech::Tcp => self.tcp.steps.iter().map(|step| step.resolve(None)).collect(),
            Speech::Http => self.http_steps(),
            Speech::Fixed => self.fixed.iter().map(|step| step.resolve(None)).collect(),
        };
        let is_setting = |step: &Step| matches!(step.action, Action::Assign(_));
        if !steps.iter().find(|step| !is_setting(step)).is_some_and(|step| matches!(step.action, Action::Connect(_))) {
            steps.insert(0, unwritten(Action::Connect(Connect::default())));
        }
        let (disable_on_404, send_state) = (self.disable_on_404, self.send_state);
        let program = self.program.resolve().filter(|_| self.speech == Speech::Program);
        Script { steps, speech: self.speech, program, disable_on_404, send_state, ..Script::default() }
    }

    /// The steps of HTTP checks, with what `option httpchk` asks and expects.
    fn http_steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut asked = false;
        for step in &self.http.steps {
            let is_expect = matches!(step, StepDraft::Ready(Step { action: Action::Expect(_), .. }));
            if is_expect && !asked {
                steps.push(unwritten(self.request.resolve(None)));
                asked = true;
            }
            steps.push(step.resolve(Some(&self.request).filter(|_| !asked)));
            asked |= matches!(step, StepDraft::Request { .. });
        }
        if !asked {
            steps.push(unwritten(self.request.resolve(None)));
        }
        if steps.iter().rev().find(|step| !matches!(step.action, Action::Assign(_))).is_some_and(is_request) {
            let mut expect = unwritten(Action::Expect(Box::new(Expect::new(Pattern::Status(vec![(200, 399)])))));
            expect.comment.clone_from(&self.http.comment);
            steps.push(expect);
        }
        steps
    }
}

fn is_request(step: &Step) -> bool {
    matches!(step.action, Action::Request(_))
}

fn unwritten(action: Action) -> Step {
    Step { number: 0, comment: None, action }
}

impl StepDraft {
    fn resolve(&self, first: Option<&RequestDraft>) -> Step {
        match self {
            StepDraft::Ready(step) => step.clone(),
            StepDraft::Request { number, comment, request } => {
                Step { number: *number, comment: comment.clone(), action: request.resolve(first) }
            }
        }
    }

    /// What it expects, if it does.
    fn expect_mut(&mut self) -> Option<&mut Expect> {
        match self {
            StepDraft::Ready(Step { action: Action::Expect(expect), .. }) => Some(expect),
            _ => None,
        }
    }

    /// What it is, for the order of steps; nothing if it may stand anywhere.
    fn kind(&self) -> Option<&'static str> {
        match self {
            StepDraft::Request { .. } => Some("send"),
            StepDraft::Ready(step) => match step.action {
                Action::Connect(_) => Some("connect"),
                Action::Send(_) | Action::Request(_) => Some("send"),
                Action::Expect(_) => Some("expect"),
                Action::Assign(_) => None,
            },
        }
    }
}

impl Steps {
    /// Adds a step, if it may follow those before it.
    fn add(&mut self, step: StepDraft, line: &Line<'_>) -> Result<(), String> {
        if let Some(kind) = step.kind() {
            self.check_order(kind, line)?;
        }
        self.steps.push(step);
        Ok(())
    }

    fn check_order(&self, kind: &str, line: &Line<'_>) -> Result<(), String> {
        let mut kinds = self.steps.iter().filter_map(StepDraft::kind);
        let (first, last) = (kinds.clone().next(), kinds.next_back());
        if kind == "connect" && first.is_some_and(|first| first != "connect") {
            return Err(line.error(
                "first step MUST also be a 'connect', optionally preceded by a 'set-var', an 'unset-var' or a \
                 'comment', when there is a 'connect' step in the tcp-check ruleset.",
            ));
        }
        let missing = match (kind, last) {
            _ if line.speech != Speech::Http => None,
            ("send", Some("send" | "expect")) => Some("connect"),
            ("expect", Some("connect")) => Some("send"),
            ("connect", Some("connect" | "send")) => Some("expect"),
            _ => None,
        };
        match missing {
            None => Ok(()),
            Some(missing) => Err(line.error(&format!(
                "unable to add http-check {kind} rule at step {} (missing {missing} rule)..",
                self.lines.max(2)
            ))),
        }
    }
}

fn tcp_check(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option tcp-check")?;
    scope.settings().check.speech = Speech::Tcp;
    Ok(())
}

fn disable_on_404(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "http-check")?;
    scope.settings().check.disable_on_404 = true;
    Ok(())
}

fn send_state(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "http-check")?;
    scope.settings().check.send_state = true;
    Ok(())
}

fn http_step(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    step(scope, words, Speech::Http)
}

fn tcp_step(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    step(scope, words, Speech::Tcp)
}

fn step(scope: &mut Scope<'_>, words: &[Word], speech: Speech) -> Result<(), String> {
    let mut line = Line::new(scope, words, speech);
    let is_http = speech == Speech::Http;
    let name = arg(words, 1);
    let mut comment = None;
    let step = match name.split('(').next().unwrap_or_default() {
        "comment" => {
            let word = line.word(2).ok_or_else(|| line.error("expects a string as argument."))?;
            comment = Some(word.bytes().into());
            None
        }
        "connect" => Some(connect::parse(&mut line)?),
        "send" if is_http => Some(request::parse(&mut line)?),
        "send" | "send-lf" | "send-binary" | "send-binary-lf" if !is_http => Some(request::parse_data(&mut line)?),
        "expect" => Some(expect::parse(&mut line)?),
        "set-var" | "set-var-fmt" | "unset-var" => Some(line.assignment()?),
        _ => {
            let others = if is_http {
                "'disable-on-404', 'send-state', 'comment', 'connect', 'send'"
            } else {
                "'comment', 'connect', 'send', 'send-binary'"
            };
            return Err(format!(
                "'{}' only supports {others}, 'expect', 'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)'. but got '{name}'",
                arg(words, 0)
            ));
        }
    };
    let (warnings, references) = (std::mem::take(&mut line.scope.warnings), std::mem::take(&mut line.scope.references));
    let check = &mut scope.settings().check;
    let steps = if is_http { &mut check.http } else { &mut check.tcp };
    if steps.inherited {
        *steps = Steps::default();
    }
    if let Some(mut step) = step {
        step.finish(steps.lines + 1, &mut steps.comment);
        steps.add(step, &line)?;
    }
    steps.comment = comment.or(steps.comment.take());
    steps.lines += 1;
    steps.references.extend(references);
    warnings.into_iter().for_each(|text| scope.warn(text));
    Ok(())
}

impl StepDraft {
    /// Gives it its number, and the comment that waits for it unless it has its own.
    fn finish(&mut self, place: u32, waiting: &mut Option<Box<[u8]>>) {
        let is_setting = self.kind().is_none();
        let (number, comment) = match self {
            StepDraft::Ready(step) => (&mut step.number, &mut step.comment),
            StepDraft::Request { number, comment, .. } => (number, comment),
        };
        *number = place;
        if comment.is_none() && !is_setting {
            *comment = waiting.take();
        }
    }
}
