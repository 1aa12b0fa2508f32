//! Setting counters back.

use super::{Call, Command, Outcome, Scope};
use crate::proxy::CliLevel;

/// The commands of this file.
pub static ROWS: &[Command] = &[Command {
    words: &["clear", "counters"],
    usage: "clear counters [all]",
    help: "clear max statistics counters (or all counters)",
    level: CliLevel::Operator,
    scope: Scope::Everywhere,
    run: counters,
}];

fn counters(call: &mut Call<'_>) -> Outcome {
    let all = call.word(2) == "all";
    if all {
        call.need(CliLevel::Admin)?;
    }
    call.core.services.clear_counters(all);
    Ok(())
}
