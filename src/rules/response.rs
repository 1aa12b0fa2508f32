//! `http-response` rules at work (manual 4.2).

use super::edit::Edit;
use super::errand::{Order, Run};
use super::redirect::Redirect;
use super::reply::ReplySpec;
use super::variable::Assignment;
use super::{Rule, Rules, Verdict};
use crate::facts::LogOrder;
use crate::http::Head;
use crate::sample::Ctx;

/// What an `http-response` rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `allow`: no further rules of this section.
    Allow,
    /// `deny`
    Deny(Box<ReplySpec>),
    /// `return`
    Return(Box<ReplySpec>),
    /// `redirect`
    Redirect(Box<Redirect>),
    /// `silent-drop`: forgets the client's connection.
    SilentDrop,
    /// `strict-mode`: whether a rewrite for which there is no room is an error.
    StrictMode(bool),
    /// Something that the session does.
    Order(Box<Order>),
    /// `set-log-level`
    SetLog(LogOrder),
    /// Changes header fields.
    Edit(Box<Edit>),
    /// `set-var` and others
    Assign(Assignment),
    /// `set-status`, with the reason where one was given.
    SetStatus(u16, Option<Box<[u8]>>),
}

impl Action {
    /// Whether no further rule is looked at after it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Action::Allow | Action::Deny(_) | Action::Return(_) | Action::Redirect(_))
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

impl Rules {
    /// Runs the `http-response` rules from where `run` stands. `base` shows the exchange without the response, which
    /// is `head`; `scratch` is space for texts.
    pub fn on_response(&self, run: &mut Run, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Verdict {
        self.answer(&self.response, run, base, head, scratch)
    }

    /// Runs the `http-after-response` rules, in the same way. They come to no verdict but that they failed.
    pub fn after_response(&self, run: &mut Run, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Verdict {
        self.answer(&self.after_response, run, base, head, scratch)
    }

    fn answer(
        &self,
        rules: &[Rule<Action>],
        run: &mut Run,
        base: &Ctx<'_>,
        head: &mut Head,
        scratch: &mut Vec<u8>,
    ) -> Verdict {
        // Nothing of the request is left by now but what is kept of it for logs.
        let base = &Ctx { request: None, ..*base };
        loop {
            let ctx = Ctx { response: Some(&*head), ..*base };
            let Some(action) = run.next_applying(rules, &self.acls, &ctx) else { return Verdict::Continue };
            match action {
                Action::Allow => return Verdict::Continue,
                Action::Deny(spec) => return Verdict::Deny(Box::new(spec.render(&ctx))),
                Action::Return(spec) => return Verdict::Answer(Box::new(spec.render(&ctx))),
                Action::Redirect(redirect) => {
                    if let Some(reply) = redirect.render(&ctx) {
                        return Verdict::Answer(Box::new(reply));
                    }
                }
                Action::SilentDrop => return Verdict::SilentDrop,
                Action::StrictMode(strict) => run.strict = *strict,
                Action::SetLog(order) => ctx.facts.log_order.set(Some(*order)),
                Action::Assign(assignment) => assignment.apply(&ctx, scratch),
                Action::Order(order) => {
                    if let Some(errand) = order.errand(&ctx) {
                        return Verdict::Errand(errand);
                    }
                }
                Action::Edit(edit) => {
                    edit.prepare(&ctx, scratch);
                    if !run.rewrite(head, |head| edit.apply(head, scratch)) {
                        return Verdict::Failed;
                    }
                }
                Action::SetStatus(code, reason) => {
                    head.set_status(*code);
                    if let Some(reason) = reason {
                        head.set_reason(reason);
                    }
                }
            }
        }
    }
}
