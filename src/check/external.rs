//! Checks by programs: how long one may run and what its end says (manual 4.2, `option external-check`).

use super::result::{Outcome, Status};
use crate::process::spawner::Event;
use crate::proxy::ServerTimeouts;
use crate::text::unit::os_error;
use crate::time::{Millis, Tick};

/// The code of a program that a signal ended.
const KILLED: i16 = -1;

/// Until when a program that begins now may run: `inter`, or `timeout connect` if that is shorter and there is a
/// `timeout check`, which itself says nothing here.
pub fn deadline(now: Tick, inter: Millis, timeouts: &ServerTimeouts) -> Tick {
    let limit = timeouts.connect.filter(|_| timeouts.check.is_some());
    now + limit.map_or(inter, |limit| limit.min(inter))
}

/// What an event makes of a check that runs for `duration`; `None` if it goes on.
pub fn outcome(event: Event, duration: Millis) -> Option<Outcome> {
    let (status, code, info) = match event {
        Event::Began(_) => return None,
        Event::Exited(0) => (Status::ProgramPassed, 0, Vec::new()),
        Event::Exited(code) => (Status::ProgramFailed, code as i16, Vec::new()),
        Event::Killed => (Status::ProgramFailed, KILLED, Vec::new()),
        Event::Refused(errno) => (Status::SocketError, 0, os_error(errno).into_bytes()),
    };
    Some(Outcome { status, code, info, duration })
}

/// What is said of a program that is late, with the code of the one before it, as in HAProxy.
pub fn late(last: &Outcome, duration: Millis) -> Outcome {
    let code = if last.status.is_programs() { last.code } else { 0 };
    Outcome { status: Status::ProgramTimeout, code, info: Vec::new(), duration }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_program_is_the_servers_interval_or_that_of_a_connection() {
        let until = |connect: Option<u64>, check: Option<u64>| {
            let timeouts =
                ServerTimeouts { connect: connect.map(Millis), check: check.map(Millis), ..ServerTimeouts::default() };
            deadline(Tick(1000), Millis(500), &timeouts).0 - 1000
        };
        assert_eq!((until(None, None), until(Some(100), None), until(None, Some(50))), (500, 500, 500));
        assert_eq!((until(Some(100), Some(50)), until(Some(900), Some(50))), (100, 500));
    }

    #[test]
    fn ends_of_programs_are_told_as_haproxy_tells_them() {
        let told = |event| outcome(event, Millis(7)).map(|outcome| outcome.to_string());
        let reason = |text: &str| Some(format!("reason: {text}, check duration: 7ms"));
        assert_eq!(told(Event::Began(5)), None);
        assert_eq!(told(Event::Exited(0)), reason("External check passed, code: 0"));
        assert_eq!(told(Event::Exited(255)), reason("External check error, code: 255"));
        assert_eq!(told(Event::Killed), reason("External check error, code: -1"));
        let refused = "Socket error, info: \"Resource temporarily unavailable\"";
        assert_eq!(told(Event::Refused(libc::EAGAIN)), reason(refused));
        let after = |event| outcome(event, Millis(1)).map(|last| late(&last, Millis(7)).to_string());
        assert_eq!(after(Event::Exited(3)), reason("External check timeout, code: 3"));
        assert_eq!(after(Event::Refused(libc::EAGAIN)), reason("External check timeout, code: 0"));
    }
}
