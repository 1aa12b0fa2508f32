//! `set-var`, `set-var-fmt` and `unset-var` (manual 4.2).

use super::{Input, parse_format};
use crate::log::format::Purpose;
use crate::proxy::Mode;
use crate::rules::variable::Assignment;
use crate::sample::expr::Scope;
use crate::sample::{Expr, Provisos, Setting, Variable};

const EXPECTED: &str = "Expects 'set-var(<var-name>)', 'set-var-fmt(<var-name>)' or 'unset-var(<var-name>)'";

/// Reads the variable in the action's own word, and what follows it.
pub(super) fn assignment(input: &mut Input<'_, '_>) -> Result<Assignment, String> {
    let word = input.cursor.words.get(input.cursor.at.wrapping_sub(1)).map_or("", |word| word.text.as_str());
    let parsed = parse(word, input.cursor.peek(), Purpose::Http, input.mode, input.scope)?;
    if !matches!(parsed, Assignment::Unset(_)) {
        input.cursor.next();
    }
    Ok(parsed)
}

/// Reads `set-var(…)` or one of its kin, and its value.
///
/// # Errors
/// HAProxy's words.
pub fn parse(word: &str, value: &str, purpose: Purpose, mode: Mode, scope: &mut Scope) -> Result<Assignment, String> {
    let (action, inside) = word.split_once('(').unwrap_or((word, ""));
    if !matches!(action, "set-var" | "set-var-fmt" | "unset-var") || action == word {
        return Err(format!("invalid or incomplete action '{word}'. {EXPECTED}"));
    }
    let inside =
        inside.strip_suffix(')').ok_or_else(|| format!("incomplete argument after action '{word}'. {EXPECTED}"))?;
    let (name, conditions) = inside.split_once(',').map_or((inside, None), |(name, rest)| (name, Some(rest)));
    let behind = conditions.map_or_else(|| ")".to_owned(), |conditions| format!(",{conditions})"));
    if action == "unset-var" {
        if conditions.is_some() {
            return Err("unset-var does not expect parameters after the variable name. \
                        Only \"set-var\" and \"set-var-fmt\" manage conditions"
                .to_owned());
        }
        return Variable::parse_before(name, &behind).map(Assignment::Unset);
    }
    // They are looked at first, and end where one is empty.
    let conditions = conditions.into_iter().flat_map(|conditions| conditions.split(','));
    let provisos = Provisos::parse(conditions.take_while(|condition| !condition.is_empty()))?;
    let setting = Setting::new(Variable::parse_before(name, &behind)?, provisos);
    if action == "set-var-fmt" {
        return Ok(Assignment::Format(setting, parse_format(value, purpose, mode, scope)?));
    }
    let expr = Expr::parse(value, scope)?;
    if expr.needs().places().intersection(scope.places).is_empty() {
        let source = expr.needs().name();
        return Err(format!(
            "fetch method '{word}' extracts information from '{source}', none of which is available here"
        ));
    }
    Ok(Assignment::Value(setting, Box::new(expr)))
}
