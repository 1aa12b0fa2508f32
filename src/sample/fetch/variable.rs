//! The fetch of variables (manual 7.3.2).

use super::Fetch;
use crate::sample::arg::{Args, Kind};
use crate::sample::place::Needs::Nothing;
use crate::sample::vars::check_variable;
use crate::sample::{Type, Value};

pub(super) const FETCHES: &[Fetch] = &[Fetch::new("var", Type::Any, Nothing, |ctx, args| {
    args.variable(0)?.get(ctx).or_else(|| args.text(1).map(Value::str))
})
.args(&[Kind::Str, Kind::Str], 1)
.check(check_variable)];
