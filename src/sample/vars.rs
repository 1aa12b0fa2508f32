//! Variables: values that rules keep for later rules and for the log (manual 4.2, `http-request set-var`).
//!
//! A session has a store of its own variables, an exchange one of all others. Both are empty, and cost nothing,
//! until a rule sets one.

use std::cell::RefCell;
use std::sync::Arc;

use super::arg::Arg;
use super::{Ctx, Value};

/// How long a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// `sess`: as long as the client's connection.
    Session,
    /// `txn`: request and response.
    Transaction,
    /// `req`: until the server is connected, or the proxy has answered itself.
    Request,
    /// `res`: from then on.
    Response,
    /// `check`: as long as one health check, whose other variables end with it as well.
    Check,
}

/// The name of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    life: Life,
    name: Arc<str>,
}

/// Variables with their values.
#[derive(Clone, Debug, Default)]
pub struct Vars(RefCell<Vec<(Variable, Value<'static>)>>);

impl Variable {
    /// Reads `txn.name`.
    ///
    /// # Errors
    /// HAProxy's words.
    pub fn parse(text: &str) -> Result<Variable, String> {
        Variable::parse_before(text, "")
    }

    /// The same, where `behind` stands behind it in its word: a message about a wrong letter shows that, too.
    ///
    /// # Errors
    /// HAProxy's words.
    pub fn parse_before(text: &str, behind: &str) -> Result<Variable, String> {
        if text.is_empty() {
            return Err("Empty variable name cannot be accepted".to_owned());
        }
        let no_scope = || {
            format!(
                "invalid variable name '{text}'. A variable name must be start by its scope. \
                 The scope can be 'proc', 'sess', 'txn', 'req', 'res' or 'check'"
            )
        };
        let (scope, name) = text.split_once('.').filter(|(_, name)| !name.is_empty()).ok_or_else(no_scope)?;
        let life = match scope {
            "sess" => Life::Session,
            "txn" => Life::Transaction,
            "req" => Life::Request,
            "res" => Life::Response,
            "check" => Life::Check,
            "proc" => {
                return Err(format!("variables of scope '{scope}' are not supported by this build of epoxy yet"));
            }
            _ => return Err(no_scope()),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        match name.find(|c| !allowed(c)) {
            Some(at) => Err(format!("invalid syntax at char '{}{behind}'", &name[at..])),
            None => Ok(Variable { life, name: Arc::from(name) }),
        }
    }

    /// The variable that an argument of a row names.
    ///
    /// # Errors
    /// As [`Variable::parse`].
    pub(super) fn of(argument: Option<&[u8]>) -> Result<Variable, String> {
        Variable::parse(&String::from_utf8_lossy(argument.unwrap_or_default()))
    }

    /// Its value.
    pub fn get(&self, ctx: &Ctx<'_>) -> Option<Value<'static>> {
        let store = self.store(ctx)?.0.borrow();
        store.iter().find(|(variable, _)| variable == self).map(|(_, value)| value.clone())
    }

    /// Whether the value was set: not where the variable is not at home.
    pub fn set(&self, value: Value<'_>, ctx: &Ctx<'_>) -> bool {
        let Some(store) = self.store(ctx) else { return false };
        let (mut store, value) = (store.0.borrow_mut(), value.into_owned());
        match store.iter_mut().find(|(variable, _)| variable == self) {
            Some(entry) => entry.1 = value,
            None => store.push((self.clone(), value)),
        }
        true
    }

    /// Forgets the value.
    pub fn unset(&self, ctx: &Ctx<'_>) {
        if let Some(store) = self.store(ctx) {
            store.0.borrow_mut().retain(|(variable, _)| variable != self);
        }
    }

    fn store<'a>(&self, ctx: &Ctx<'a>) -> Option<&'a Vars> {
        let responding = ctx.facts.connected.is_some() || ctx.facts.status.is_some();
        match self.life {
            Life::Session => Some(ctx.session_vars),
            Life::Transaction | Life::Check => Some(ctx.vars),
            Life::Request => (!responding).then_some(ctx.vars),
            Life::Response => responding.then_some(ctx.vars),
        }
    }
}

impl Vars {
    /// Forgets all values, and keeps their places.
    pub fn clear(&mut self) {
        self.0.get_mut().clear();
    }
}

/// When a variable is set at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proviso {
    Exists,
    NotExists,
    Empty,
    NotEmpty,
    Greater,
    Less,
}

/// The conditions on which a variable is set.
#[derive(Clone, Debug, Default)]
pub struct Provisos(Box<[Proviso]>);

impl Provisos {
    /// Reads them.
    ///
    /// # Errors
    /// HAProxy's words.
    pub fn parse<'w>(words: impl Iterator<Item = &'w str>) -> Result<Provisos, String> {
        let proviso = |name: &str| match name {
            // What was unset is no longer there.
            "ifexists" | "ifset" => Ok(Proviso::Exists),
            "ifnotexists" | "ifnotset" => Ok(Proviso::NotExists),
            "ifempty" => Ok(Proviso::Empty),
            "ifnotempty" => Ok(Proviso::NotEmpty),
            "ifgt" => Ok(Proviso::Greater),
            "iflt" => Ok(Proviso::Less),
            _ => Err(format!("unknown condition \"{name}\"")),
        };
        words.map(proviso).collect::<Result<_, _>>().map(Provisos)
    }
}

/// A variable that is set on conditions: what stands in the parentheses of `set-var`.
#[derive(Clone, Debug)]
pub struct Setting {
    variable: Variable,
    provisos: Provisos,
}

impl Setting {
    /// The variable with the conditions that stand behind it.
    pub fn new(variable: Variable, provisos: Provisos) -> Setting {
        Setting { variable, provisos }
    }

    /// Sets the variable if all conditions hold; whether it was set.
    pub fn apply(&self, value: Value<'_>, ctx: &Ctx<'_>) -> bool {
        let holds = self.provisos.0.is_empty() || self.holds(&value, ctx);
        holds && self.variable.set(value, ctx)
    }

    fn holds(&self, new: &Value<'_>, ctx: &Ctx<'_>) -> bool {
        let old = self.variable.get(ctx);
        let is_empty = match new {
            Value::Str(text) | Value::Bin(text) => Some(text.is_empty()),
            _ => None,
        };
        let numbers = match (&old, new) {
            (Some(Value::Int(old)), Value::Int(new)) => Some((*old, *new)),
            _ => None,
        };
        self.provisos.0.iter().all(|proviso| match proviso {
            Proviso::Exists => old.is_some(),
            Proviso::NotExists => old.is_none(),
            Proviso::Empty => is_empty == Some(true),
            Proviso::NotEmpty => is_empty != Some(true),
            Proviso::Greater => numbers.is_none_or(|(old, new)| old > new),
            Proviso::Less => numbers.is_none_or(|(old, new)| old < new),
        })
    }
}

/// Makes arguments `variable[,default]` of texts.
pub(super) fn check_variable(mut args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let variable = Variable::of(text(&args, 0))?;
    args.splice(..1.min(args.len()), [Arg::Var(variable)]);
    Ok(args)
}

/// Makes the arguments of the converter `set-var` of texts.
pub(super) fn check_setting(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let variable = Variable::of(text(&args, 0))?;
    let conditions: Vec<_> =
        (1..args.len()).map(|i| String::from_utf8_lossy(text(&args, i).unwrap_or_default())).collect();
    let provisos = Provisos::parse(conditions.iter().map(|word| &**word))?;
    Ok(vec![Arg::Setting(Box::new(Setting::new(variable, provisos)))])
}

fn text(args: &[Arg], index: usize) -> Option<&[u8]> {
    super::arg::Args::text(args, index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fixture::with;

    #[test]
    fn names_have_a_scope_and_plain_letters() {
        for good in ["txn.a", "sess.a.b_1", "req.A", "res.x"] {
            assert!(Variable::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "txn", "txn.", ".a", "foo.a", "txn.a-b", "proc.a", "txn.é"] {
            assert!(Variable::parse(bad).is_err(), "{bad}");
        }
        let wrong = Variable::parse_before("txn.a-b", ",ifset)");
        assert_eq!(wrong, Err("invalid syntax at char '-b,ifset)'".to_owned()));
    }

    #[test]
    fn conditions_compare_the_old_value_with_the_new() {
        with(None, None, |ctx| {
            let set = |words: &str, value: i64| {
                let mut words = words.split(',');
                let variable = Variable::parse(words.next().unwrap_or_default()).unwrap();
                Setting::new(variable, Provisos::parse(words).unwrap()).apply(Value::Int(value), ctx)
            };
            let get = || Variable::parse("txn.a").unwrap().get(ctx);
            assert!(!set("txn.a,ifexists", 1) && get().is_none());
            assert!(set("txn.a,ifnotexists", 5) && !set("txn.a,ifnotset", 6));
            assert!(!set("txn.a,ifgt", 9) && set("txn.a,ifgt", 3));
            assert!(!set("txn.a,ifempty", 1) && set("txn.a,ifset,ifnotempty,iflt", 7));
            assert_eq!(get(), Some(Value::Int(7)));
            Variable::parse("txn.a").unwrap().unset(ctx);
            assert_eq!(get(), None);
        });
    }

    #[test]
    fn variables_of_the_response_do_not_exist_before_it() {
        with(None, None, |ctx| {
            assert!(Variable::parse("req.a").unwrap().set(Value::Int(1), ctx));
            assert!(!Variable::parse("res.a").unwrap().set(Value::Int(1), ctx));
            assert!(Variable::parse("sess.a").unwrap().set(Value::Int(1), ctx));
        });
    }
}
