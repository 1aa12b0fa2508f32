//! Samples: the typed values that ACLs, rules and log formats take from an exchange.
//!
//! [`Expr`] is the way in: parsed once from text within a [`Scope`], evaluated against a [`Ctx`]. What a
//! fetch or a converter is stands in one row of [`fetch`] or [`convert`].

pub mod arg;
pub mod convert;
pub mod ctx;
pub mod expr;
pub mod fetch;
#[cfg(test)]
pub(crate) mod fixture;
pub mod hello;
mod later;
mod live;
pub mod place;
#[cfg(test)]
mod tests;
pub mod value;
pub mod vars;

pub use ctx::{Client, Ctx, Inspection};
pub use expr::{Expr, Scope};
pub use live::LiveServer;
pub use place::{Needs, Place, Places};
pub use value::{Type, Value};
pub use vars::{Provisos, Setting, Variable, Vars};
