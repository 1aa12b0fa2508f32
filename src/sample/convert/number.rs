//! Converters of integers, booleans and addresses (manual 7.3.1). Arithmetic saturates.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Converter;
use crate::sample::arg::{Arg, Args, Kind};
use crate::sample::{Ctx, Type, Value, Variable};

const OPERAND: &[Kind] = &[Kind::Str];

macro_rules! unary {
    ($name:literal, $out:ident, $op:expr) => {
        Converter::new($name, Type::Int, Type::$out, |value, _, _| int(&value).map(|i| Value::$out($op(i))))
    };
}

macro_rules! binary {
    ($name:literal, $op:expr) => {
        Converter::new($name, Type::Int, Type::Int, |value, args, ctx| {
            Some(Value::Int($op(int(&value)?, operand(args, ctx)?)))
        })
        .args(OPERAND, 1)
        .check(check_operand)
    };
}

pub(super) const CONVERTERS: &[Converter] = &[
    binary!("add", i64::saturating_add),
    binary!("sub", i64::saturating_sub),
    binary!("mul", i64::saturating_mul),
    binary!("div", divide),
    binary!("mod", |a: i64, b: i64| a.checked_rem(b).unwrap_or(0)),
    binary!("and", |a: i64, b: i64| a & b),
    binary!("or", |a: i64, b: i64| a | b),
    binary!("xor", |a: i64, b: i64| a ^ b),
    unary!("neg", Int, i64::wrapping_neg),
    unary!("cpl", Int, |i: i64| !i),
    unary!("bool", Bool, |i: i64| i != 0),
    unary!("not", Bool, |i: i64| i == 0),
    unary!("odd", Bool, |i: i64| i & 1 != 0),
    unary!("even", Bool, |i: i64| i & 1 == 0),
    Converter::new("htonl", Type::Int, Type::Bin, htonl),
    Converter::new("iif", Type::Bool, Type::Str, iif).args(&[Kind::Str, Kind::Str], 2),
    Converter::new("ipmask", Type::Addr, Type::Ipv4, ipmask).args(&[Kind::Mask4, Kind::Mask6], 1),
];

fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(i) => Some(*i),
        _ => None,
    }
}

/// Operands are integers or variables. Nothing is zero.
fn check_operand(args: Vec<Arg>) -> Result<Vec<Arg>, String> {
    let text = String::from_utf8_lossy(args.text(0).unwrap_or_default()).into_owned();
    let number = if text.is_empty() { Ok(0) } else { text.parse() };
    let argument = match number {
        Ok(number) => Arg::Int(number),
        Err(_) => Arg::Var(Variable::parse(&text).map_err(|_| "expects an integer or a variable name".to_owned())?),
    };
    Ok(vec![argument])
}

fn operand(args: &[Arg], ctx: &Ctx<'_>) -> Option<i64> {
    let Some(variable) = args.variable(0) else { return args.int(0) };
    let value = variable.get(ctx)?;
    if !value.ty().casts_to(Type::Int) {
        return None;
    }
    value.cast(Type::Int).and_then(|value| int(&value))
}

/// Division by zero gives the largest integer.
fn divide(a: i64, b: i64) -> i64 {
    if b == 0 { i64::MAX } else { a.saturating_div(b) }
}

fn htonl<'a>(value: Value<'a>, _: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let bytes = (int(&value)? as u32).to_be_bytes().to_vec();
    Some(Value::Bin(bytes.into()))
}

fn iif<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    let choice = if value == Value::Bool(true) { 0 } else { 1 };
    args.text(choice).map(Value::str)
}

fn ipmask<'a>(value: Value<'a>, args: &'a [Arg], _: &Ctx<'a>) -> Option<Value<'a>> {
    // What is IPv4 in another form has an IPv4 mask.
    let value = match value {
        Value::Ipv6(a) => a.to_ipv4_mapped().map_or(value, Value::Ipv4),
        other => other,
    };
    match (value, args) {
        (Value::Ipv4(a), [Arg::Ipv4(mask), ..]) => Some(Value::Ipv4(Ipv4Addr::from(u32::from(a) & u32::from(*mask)))),
        (Value::Ipv6(a), [_, Arg::Ipv6(mask)]) => Some(Value::Ipv6(Ipv6Addr::from(u128::from(a) & u128::from(*mask)))),
        _ => None,
    }
}
