//! Fetches: what can be taken from an exchange (manual 7.3.2 to 7.3.6). One row each, beside its function.

mod address;
mod auth;
mod body;
mod cookie;
mod header;
mod literal;
pub(super) use literal::check_unit;
mod message;
mod param;
mod payload;
mod state;
pub(super) use state::usable_servers;
mod variable;

use super::arg::{Arg, Kind};
use super::place::Needs;
use super::{Ctx, Type, Value};

/// Receives the values of a fetch that has several, until it answers true.
pub type Sink<'s, 'a> = &'s mut dyn FnMut(Value<'a>) -> bool;

/// Gives a fetch's single value, or none where it does not exist.
pub type Get = for<'a> fn(&Ctx<'a>, &'a [Arg]) -> Option<Value<'a>>;

/// Hands a fetch's values to a sink in turn; whether the sink accepted one.
pub type Each = for<'s, 'a> fn(&Ctx<'a>, &'a [Arg], Sink<'s, 'a>) -> bool;

/// A fetch.
#[derive(Debug)]
pub struct Fetch {
    /// Its keyword.
    pub name: &'static str,
    /// Types of its arguments.
    pub args: &'static [Kind],
    /// How many of them must be given.
    pub required: usize,
    /// Type of its value.
    pub output: Type,
    /// What it looks at.
    pub needs: Needs,
    /// Checks and prepares arguments when the configuration is read.
    pub check: Option<super::arg::Check>,
    /// The value.
    pub get: Get,
    /// All values, for ACLs.
    pub each: Option<Each>,
}

impl Fetch {
    const fn new(name: &'static str, output: Type, needs: Needs, get: Get) -> Fetch {
        Fetch { name, args: &[], required: 0, output, needs, check: None, get, each: None }
    }

    const fn args(mut self, args: &'static [Kind], required: usize) -> Fetch {
        self.args = args;
        self.required = required;
        self
    }

    const fn check(mut self, check: super::arg::Check) -> Fetch {
        self.check = Some(check);
        self
    }

    const fn each(mut self, each: Each) -> Fetch {
        self.each = Some(each);
        self
    }
}

const TABLES: [&[Fetch]; 11] = [
    auth::FETCHES,
    body::FETCHES,
    literal::FETCHES,
    state::FETCHES,
    address::FETCHES,
    message::FETCHES,
    header::FETCHES,
    cookie::FETCHES,
    param::FETCHES,
    payload::FETCHES,
    variable::FETCHES,
];

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Fetch> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The row of this name; names are case-sensitive.
pub fn find(name: &str) -> Option<&'static Fetch> {
    all().find(|fetch| fetch.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = all().map(|fetch| fetch.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
