//! Conditions of rules: access lists joined by and, or and not (manual 7.2).

use super::acl::{AclId, Acls};
use crate::sample::{Ctx, Scope};
use crate::text::Word;

/// What stands after `if` or `unless`.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    unless: bool,
    /// One of these groups must hold; a group holds when all its terms do.
    any: Vec<Vec<Term>>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    negated: bool,
    acl: AclId,
}

impl Condition {
    /// Parses the words from `if` or `unless` on.
    ///
    /// # Errors
    /// HAProxy's words, to follow `error detected while parsing … condition : `.
    pub fn parse(words: &[Word], acls: &mut Acls, scope: &mut Scope) -> Result<Condition, String> {
        let (first, mut rest) = words.split_first().ok_or("missing condition")?;
        let mut condition = Condition { unless: first.text == "unless", any: Vec::new() };
        let (mut starts_group, mut negated) = (true, false);
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            if word.text.is_empty() {
                // An empty word ends a line, here as everywhere.
                break;
            }
            if word.text == "or" || word.text == "||" {
                (starts_group, negated) = (true, false);
                continue;
            }
            let name = word.text.trim_start_matches('!');
            negated ^= (word.text.len() - name.len()) % 2 == 1;
            let acl = match name {
                "" => continue,
                "{" => {
                    let close = after.iter().position(|word| word.text.is_empty() || word.text == "}");
                    let close = close.filter(|at| after[*at].text == "}").ok_or("missing closing '}' in condition")?;
                    rest = &after[close + 1..];
                    acls.anonymous(&after[..close], scope)?
                }
                name => acls.find(name, scope)?,
            };
            if starts_group {
                condition.any.push(Vec::new());
            }
            if let Some(group) = condition.any.last_mut() {
                group.push(Term { negated, acl });
            }
            (starts_group, negated) = (false, false);
        }
        Ok(condition)
    }

    /// Warns in `scope` of the first access list that can never match at its places, or else of the first
    /// that can only in part.
    pub(super) fn warn(&self, acls: &Acls, scope: &mut Scope) {
        let lists = || self.any.iter().flatten().map(|term| term.acl);
        let never = lists().find_map(|acl| acls.never(acl, scope.places));
        let warning = never.or_else(|| lists().find_map(|acl| acls.partly(acl, scope.places)));
        scope.warnings.extend(warning);
    }

    /// Whether it looks at raw octets.
    pub(super) fn is_raw(&self, acls: &Acls) -> bool {
        self.any.iter().flatten().any(|term| acls.is_raw(term.acl))
    }

    /// Whether the rule applies. Terms are looked at from left to right, no more of them than needed.
    pub fn holds<'a>(&'a self, acls: &'a Acls, ctx: &Ctx<'a>) -> bool {
        let true_here = |term: &Term| acls.matches(term.acl, ctx) != term.negated;
        let found = self.any.iter().any(|group| group.iter().all(true_here));
        found != self.unless
    }

    /// As [`Condition::holds`], or `None` while that depends on what is still to come.
    pub fn verdict<'a>(&'a self, acls: &'a Acls, ctx: &Ctx<'a>) -> Option<bool> {
        let Some(inspection) = ctx.inspection else { return Some(self.holds(acls, ctx)) };
        let term = |term: &Term| acls.verdict(term.acl, ctx, inspection).map(|matches| matches != term.negated);
        let mut open = false;
        for group in &self.any {
            match all(group.iter().map(term)) {
                Some(true) => return Some(!self.unless),
                Some(false) => {}
                None => open = true,
            }
        }
        (!open).then_some(self.unless)
    }
}

/// Whether all hold: one that does not decides, even if others are open.
fn all(terms: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut outcome = Some(true);
    for term in terms {
        match term {
            Some(true) => {}
            Some(false) => return Some(false),
            None => outcome = None,
        }
    }
    outcome
}
