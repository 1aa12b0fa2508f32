//! Converters that set, forget and compare variables (manual 7.3.1).

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::vars::{Variable, check_setting, check_variable};
use crate::sample::{Ctx, Type, Value};

const NAME: &[Kind] = &[Kind::Str];

pub(super) const CONVERTERS: &[Converter] = &[
    Converter::new("set-var", Type::Any, Type::Any, |value, args, ctx| {
        let Some(Arg::Setting(setting)) = args.first() else { return None };
        setting.apply(value.clone(), ctx).then_some(value)
    })
    .args(&[Kind::Str; 5], 1)
    .check(check_setting),
    Converter::new("unset-var", Type::Any, Type::Any, |value, args, ctx| {
        args.variable(0)?.unset(ctx);
        Some(value)
    })
    .args(NAME, 1)
    .check(check_variable),
    Converter::new("strcmp", Type::Str, Type::Int, compare).args(NAME, 1).check(check_compared),
    Converter::new("secure_memcmp", Type::Bin, Type::Bool, compare_in_constant_time)
        .args(NAME, 1)
        .check(check_compared),
];

fn check_compared(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let name = args.text(0).unwrap_or_default();
    if name.is_empty() {
        return Err("missing variable name".to_owned());
    }
    registered(name).map(|variable| vec![Arg::Var(variable)])
}

/// The variable of this name, as converters speak of it.
pub(super) fn registered(name: &[u8]) -> Result<Variable, String> {
    let name = String::from_utf8_lossy(name);
    Variable::parse(&name).map_err(|_| format!("failed to register variable name '{name}'"))
}

/// As strcmp(3) over the octets that both have, then by length.
fn compare<'a>(value: Value<'a>, args: &'a [Arg], ctx: &Ctx<'a>) -> Option<Value<'a>> {
    let other = args.variable(0)?.get(ctx)?.cast(Type::Str)?.into_text();
    let text = value.into_text();
    let differs = text.iter().zip(other.iter()).find(|(a, b)| a != b);
    let lengths = || text.len().cmp(&other.len()) as i64;
    Some(Value::Int(differs.map_or_else(lengths, |(a, b)| i64::from(*a) - i64::from(*b))))
}

fn compare_in_constant_time<'a>(value: Value<'a>, args: &'a [Arg], ctx: &Ctx<'a>) -> Option<Value<'a>> {
    let (Value::Bin(left), Value::Bin(right)) = (value, args.variable(0)?.get(ctx)?.cast(Type::Bin)?) else {
        return None;
    };
    let differing = left.iter().zip(right.iter()).fold(0, |bits, (a, b)| bits | (a ^ b));
    Some(Value::Bool(left.len() == right.len() && std::hint::black_box(differing) == 0))
}
