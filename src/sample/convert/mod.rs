//! Converters: what can be made of a sample (manual 7.3.1). One row each, beside its function.

mod binary;
mod date;
mod digest;
mod hash;
mod json;
mod number;
mod state;
mod text;
mod variable;

use super::arg::{Arg, Kind};
use super::{Ctx, Type, Value};

/// Makes one value of another, already cast to the input type.
pub type Apply = for<'a> fn(Value<'a>, &'a [Arg], &Ctx<'a>) -> Option<Value<'a>>;

/// A converter.
#[derive(Debug)]
pub struct Converter {
    /// Its keyword.
    pub name: &'static str,
    /// Types of its arguments.
    pub args: &'static [Kind],
    /// How many of them must be given.
    pub required: usize,
    /// What it takes.
    pub input: Type,
    /// What it gives.
    pub output: Type,
    /// Checks and prepares arguments when the configuration is read.
    pub check: Option<super::arg::Check>,
    /// The conversion.
    pub apply: Apply,
}

impl Converter {
    const fn new(name: &'static str, input: Type, output: Type, apply: Apply) -> Converter {
        Converter { name, args: &[], required: 0, input, output, check: None, apply }
    }

    const fn args(mut self, args: &'static [Kind], required: usize) -> Converter {
        self.args = args;
        self.required = required;
        self
    }

    const fn check(mut self, check: super::arg::Check) -> Converter {
        self.check = Some(check);
        self
    }
}

const TABLES: [&[Converter]; 9] = [
    number::CONVERTERS,
    json::CONVERTERS,
    text::CONVERTERS,
    binary::CONVERTERS,
    hash::CONVERTERS,
    date::CONVERTERS,
    variable::CONVERTERS,
    digest::CONVERTERS,
    state::CONVERTERS,
];

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Converter> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The row of this name; names are case-sensitive.
pub fn find(name: &str) -> Option<&'static Converter> {
    all().find(|converter| converter.name == name)
}
