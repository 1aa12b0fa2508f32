//! `http-request` rules and `redirect` rules at work (manual 4.2).

use regex::bytes::Regex;

use super::edit::Edit;
use super::errand::{Errand, Order, Run};
use super::redirect::Redirect;
use super::reply::{Payload, Reply, ReplySpec};
use super::variable::Assignment;
use super::{Rule, Rules};
use crate::facts::LogOrder;
use crate::http::{Head, Known, Version, uri};
use crate::log::format::Format;
use crate::sample::Ctx;
use crate::text;

/// What an `http-request` rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `allow`: no further rules of this section.
    Allow,
    /// `deny`
    Deny(Box<ReplySpec>),
    /// `tarpit`
    Tarpit(Box<ReplySpec>),
    /// `return`
    Return(Box<ReplySpec>),
    /// `auth`, with its realm; the proxy's name where none is given.
    Auth(Box<str>),
    /// `redirect`
    Redirect(Box<Redirect>),
    /// `reject`: closes without an answer.
    Reject,
    /// `silent-drop`: forgets the connection.
    SilentDrop,
    /// `strict-mode`: whether a rewrite for which there is no room is an error.
    StrictMode(bool),
    /// Something that the session does.
    Order(Box<Order>),
    /// `early-hint`
    Hint(Box<[u8]>, Format),
    /// `disable-l7-retry`: it is not sent again once a server has had it.
    NeverAgain,
    /// `set-log-level`
    SetLog(LogOrder),
    /// Changes header fields.
    Edit(Box<Edit>),
    /// `set-var` and others
    Assign(Assignment),
    /// `set-method`
    SetMethod(Format),
    /// `set-path` and others
    SetUri(UriPart, Format),
    /// `replace-path` and others
    ReplaceUri(UriPart, Box<Regex>, Format),
}

/// A part of the request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriPart {
    /// All of it.
    Whole,
    /// The path.
    Path,
    /// The path with the query.
    PathAndQuery,
    /// The query, without its question mark.
    Query,
}

impl Action {
    /// Whether HAProxy warns of rules that come after it.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Action::Allow
                | Action::Deny(_)
                | Action::Tarpit(_)
                | Action::Return(_)
                | Action::Auth(_)
                | Action::Redirect(_)
        )
    }

    /// Whether the rules wait at it.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Action::Order(order) if matches!(**order, Order::WaitForBody(..) | Order::Resolve(_)))
    }

    /// Whether it needs CAP_NET_ADMIN.
    pub(super) fn administers_net(&self) -> bool {
        match self {
            Action::SilentDrop => true,
            Action::Order(order) => order.administers_net(),
            _ => false,
        }
    }
}

/// What rules decided about a message.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on.
    Continue,
    /// Refused with this answer: counted as denied, logged as `PR`.
    Deny(Box<Reply>),
    /// As denied, but only after `timeout tarpit`: logged as `PT`.
    Tarpit(Box<Reply>),
    /// Asked for a password: logged as `LR`.
    Auth(Box<Reply>),
    /// Answered here: logged as `LR`.
    Answer(Box<Reply>),
    /// Closed without an answer: counted as denied, logged as `PR`.
    Reject,
    /// Forgotten: likewise, and the client hears nothing at all.
    SilentDrop,
    /// A rewrite failed: answered with 500, logged as `PR` or `PH`.
    Failed,
    /// The session has to do something before the run goes on.
    Errand(Errand),
}

impl Rules {
    /// Runs the `http-request` rules from where `run` stands. `base` shows the exchange without the request, which
    /// is `head`; `scratch` is space for texts.
    pub fn on_request(&self, run: &mut Run, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Verdict {
        self.go_on(&self.request, run, base, head, scratch)
    }

    /// Runs the `stats http-request` rules, in the same way.
    pub fn on_stats(&self, run: &mut Run, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Verdict {
        self.go_on(&self.stats, run, base, head, scratch)
    }

    /// Whether a `stats admin` rule lets the visitor change states.
    pub fn is_admin(&self, ctx: &Ctx<'_>) -> bool {
        self.admin.iter().any(|rule| rule.applies(&self.acls, ctx))
    }

    fn go_on(
        &self,
        rules: &[Rule<Action>],
        run: &mut Run,
        base: &Ctx<'_>,
        head: &mut Head,
        scratch: &mut Vec<u8>,
    ) -> Verdict {
        loop {
            let ctx = Ctx { request: Some(&*head), kept_request: Some(&*head), ..*base };
            let Some(action) = run.next_applying(rules, &self.acls, &ctx) else { return Verdict::Continue };
            match action {
                Action::Allow => return Verdict::Continue,
                Action::Deny(spec) => return Verdict::Deny(Box::new(spec.render(&ctx))),
                Action::Tarpit(spec) => return Verdict::Tarpit(Box::new(spec.render(&ctx))),
                Action::Return(spec) => return Verdict::Answer(Box::new(spec.render(&ctx))),
                Action::Redirect(redirect) => {
                    if let Some(reply) = redirect.render(&ctx) {
                        return Verdict::Answer(Box::new(reply));
                    }
                }
                Action::Auth(realm) => return Verdict::Auth(Box::new(challenge(&ctx, realm))),
                Action::Reject => return Verdict::Reject,
                Action::SilentDrop => return Verdict::SilentDrop,
                Action::StrictMode(strict) => run.strict = *strict,
                Action::NeverAgain => ctx.facts.never_again.set(true),
                Action::SetLog(order) => ctx.facts.log_order.set(Some(*order)),
                Action::Assign(assignment) => assignment.apply(&ctx, scratch),
                Action::Order(order) => {
                    if let Some(errand) = order.errand(&ctx) {
                        return Verdict::Errand(errand);
                    }
                }
                Action::Hint(name, format) => {
                    if let Some(hint) = hint(run, &ctx, name, format, rules.get(run.next)) {
                        return Verdict::Errand(Errand::Hint(hint));
                    }
                }
                rewrite => {
                    if !run.rewrite(head, |head| change(rewrite, base, head, scratch)) {
                        return Verdict::Failed;
                    }
                }
            }
        }
    }

    /// The answer of the first `redirect` rule that applies; they come after the `http-request` rules and
    /// after the statistics page.
    pub fn redirect(&self, ctx: &Ctx<'_>) -> Option<Box<Reply>> {
        let mut applying = self.redirects.iter().filter(|rule| rule.applies(&self.acls, ctx));
        applying.find_map(|rule| rule.action.render(ctx)).map(Box::new)
    }
}

/// Changes the request as an action says that does nothing else.
fn change(action: &Action, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) {
    let ctx = Ctx { request: Some(&*head), kept_request: Some(&*head), ..*base };
    scratch.clear();
    match action {
        Action::Edit(edit) => {
            edit.prepare(&ctx, scratch);
            edit.apply(head, scratch);
        }
        Action::SetMethod(format) => {
            format.write(&ctx, scratch);
            head.set_method(scratch);
        }
        Action::SetUri(part, format) => {
            format.write(&ctx, scratch);
            set_uri(head, *part, scratch);
        }
        Action::ReplaceUri(part, regex, format) => {
            format.write(&ctx, scratch);
            replace_uri(head, *part, regex, scratch);
        }
        _ => debug_assert!(false, "no change: {action:?}"),
    }
}

/// Adds a field to the interim answer under way; gives it once the `next` rule cannot add to it.
fn hint(run: &mut Run, ctx: &Ctx<'_>, name: &[u8], format: &Format, next: Option<&Rule<Action>>) -> Option<Box<Head>> {
    if ctx.request.is_some_and(|head| head.version() == Version::Http10) {
        return None;
    }
    let mut head = run.hint.take().unwrap_or_else(|| {
        let mut head = Box::new(Head::new());
        head.start_response(Version::Http11, 103, b"Early Hints");
        head
    });
    let mut value = Vec::new();
    format.write(ctx, &mut value);
    head.add(name, &value);
    if next.is_some_and(|rule| matches!(rule.action, Action::Hint(..)) && rule.condition.is_none()) {
        run.hint = Some(head);
        return None;
    }
    Some(head)
}

/// The answer that asks for a password (manual 4.2, `http-request auth`): the page for 401 with a challenge, which is
/// a proxy's where the request is for one (`option http-use-proxy-header`).
pub fn challenge(ctx: &Ctx<'_>, realm: &str) -> Reply {
    let (status, header) =
        if ctx.asks_a_proxy() { (407, &b"proxy-authenticate"[..]) } else { (401, &b"www-authenticate"[..]) };
    let page = ReplySpec { status, content_type: None, headers: Vec::new(), payload: Payload::BuiltIn };
    let mut reply = page.render(ctx);
    reply.head.remove(header);
    reply.head.add(header, format!("Basic realm=\"{realm}\"").as_bytes());
    reply
}

/// The byte range of a part in the request target.
fn part_range(target: &[u8], part: UriPart) -> std::ops::Range<usize> {
    let both = uri::path_and_query(target);
    let start = target.len() - both.len();
    let mark = start + memchr::memchr(b'?', both).unwrap_or(both.len());
    match part {
        UriPart::Whole => 0..target.len(),
        // A target without a path, such as `*`, is replaced as a whole.
        UriPart::Path | UriPart::PathAndQuery if both.is_empty() => 0..target.len(),
        UriPart::Path => start..mark,
        UriPart::PathAndQuery => start..target.len(),
        UriPart::Query => (mark + 1).min(target.len())..target.len(),
    }
}

fn set_uri(head: &mut Head, part: UriPart, text: &[u8]) {
    let target = head.uri();
    let range = part_range(target, part);
    let mut new = target[..range.start].to_vec();
    // A query gets its question mark where there was none, unless it is empty.
    if part == UriPart::Query && !target.contains(&b'?') && !text.is_empty() {
        new.push(b'?');
    }
    new.extend_from_slice(text);
    new.extend_from_slice(&target[range.end..]);
    head.set_uri(&new);
    if part == UriPart::Whole {
        follow_authority(head);
    }
}

/// A new target that names a host makes it the request's host, as in HAProxy.
fn follow_authority(head: &mut Head) {
    let target = head.uri();
    let authority = match target.first() {
        None | Some(b'/' | b'*') => b"",
        _ => uri::authority(target).unwrap_or_else(|| target.split(|c| *c == b'/').next().unwrap_or_default()),
    };
    let host = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    let authority = host.to_vec();
    if !authority.is_empty()
        && let Some(index) = head.find_known(Known::Host, 0)
    {
        head.set_value(index, &authority);
    }
}

fn replace_uri(head: &mut Head, part: UriPart, regex: &Regex, format: &[u8]) {
    let target = head.uri();
    if part != UriPart::Whole && uri::path_and_query(target).is_empty() {
        return;
    }
    let old = &target[part_range(target, part)];
    let Some(groups) = regex.captures(old) else { return };
    let mut new = Vec::new();
    text::regex::expand(format, &groups, &mut new);
    set_uri(head, part, &new);
}
