//! `do-resolve` (manual 4.2): a name that a request tells is asked of name servers, and a variable takes its address.

use crate::proxy::ResolversId;
use crate::proxy::resolvers::Family;
use crate::sample::{Ctx, Expr, Variable};

/// Such a rule.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The section whose name servers are asked.
    pub section: ResolversId,
    /// The kind of addresses that is asked for first.
    pub family: Family,
    /// What gives the name.
    pub name: Box<Expr>,
    /// What takes the address; nothing where it is written as no variable can be.
    pub variable: Option<Variable>,
}

/// What is to be asked for one exchange.
#[derive(Clone, Debug)]
pub struct Question {
    /// As in the rule.
    pub section: ResolversId,
    /// Likewise.
    pub family: Family,
    /// The name, as the request has it.
    pub name: Vec<u8>,
    /// As in the rule.
    pub variable: Option<Variable>,
}

impl Lookup {
    /// The question for the exchange that `ctx` shows; none where there is no name.
    pub fn question(&self, ctx: &Ctx<'_>) -> Option<Question> {
        let name = self.name.eval(ctx)?.into_text().into_owned();
        Some(Question { section: self.section, family: self.family, name, variable: self.variable.clone() })
    }
}
