//! Phase inspect: the rules of the frontend, then of the backend, look at the request.

use super::{Phase, Step, Turn};

/// The frontend's rules and its statistics page.
pub fn frontend(turn: &mut Turn<'_>) -> Step {
    let _ = turn;
    Step::Go(Phase::Route)
}

/// The backend's rules and its statistics page; then the request is ready for a server.
pub fn backend(turn: &mut Turn<'_>) -> Step {
    let _ = turn;
    Step::Go(Phase::Pick)
}

/// The rules for responses, the backend's before the frontend's; a step if one of them ends the exchange.
pub fn response(turn: &mut Turn<'_>) -> Option<Step> {
    let _ = turn;
    None
}
