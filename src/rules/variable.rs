//! Rules that set and forget variables (manual 4.2, `http-request set-var`).

use crate::log::format::Format;
use crate::sample::{Ctx, Expr, Setting, Value, Variable};

/// What becomes of a variable.
#[derive(Clone, Debug)]
pub enum Assignment {
    /// `set-var`
    Value(Setting, Box<Expr>),
    /// `set-var-fmt`
    Format(Setting, Format),
    /// `unset-var`
    Unset(Variable),
}

impl Assignment {
    /// Sets or forgets the variable; `text` is room for texts.
    pub fn apply(&self, ctx: &Ctx<'_>, text: &mut Vec<u8>) {
        match self {
            Assignment::Value(setting, expr) => {
                if let Some(value) = expr.eval(ctx) {
                    setting.apply(value, ctx);
                }
            }
            Assignment::Format(setting, format) => {
                text.clear();
                format.write(ctx, text);
                setting.apply(Value::str(text), ctx);
            }
            Assignment::Unset(variable) => variable.unset(ctx),
        }
    }
}
