//! `http-response` rules at work (manual 4.2).

use super::edit::Edit;
use super::redirect::Redirect;
use super::reply::ReplySpec;
use super::variable::Assignment;
use super::{Rules, Verdict};
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
}

impl Rules {
    /// Runs the `http-response` rules. `base` shows the exchange without the response, which is `head`;
    /// `scratch` is space for texts.
    pub fn on_response(&self, base: &Ctx<'_>, head: &mut Head, scratch: &mut Vec<u8>) -> Verdict {
        for rule in &self.response {
            let ctx = Ctx { response: Some(&*head), ..*base };
            if !rule.applies(&self.acls, &ctx) {
                continue;
            }
            match &rule.action {
                Action::Allow => break,
                Action::Deny(spec) => return Verdict::Deny(Box::new(spec.render(&ctx))),
                Action::Return(spec) => return Verdict::Answer(Box::new(spec.render(&ctx))),
                Action::Redirect(redirect) => {
                    if let Some(reply) = redirect.render(&ctx) {
                        return Verdict::Answer(Box::new(reply));
                    }
                }
                Action::SetLog(order) => ctx.facts.log_order.set(Some(*order)),
                Action::Assign(assignment) => assignment.apply(&ctx, scratch),
                Action::Edit(edit) => {
                    edit.prepare(&ctx, scratch);
                    edit.apply(head, scratch);
                }
                Action::SetStatus(code, reason) => {
                    head.set_status(*code);
                    if let Some(reason) = reason {
                        head.set_reason(reason);
                    }
                }
            }
        }
        Verdict::Continue
    }
}
