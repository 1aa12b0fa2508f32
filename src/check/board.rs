//! A server's state where all workers see it: one of them runs the checks and publishes, the others see
//! the generation change and read.

use super::health::Health;
use super::result::{Outcome, Status};
use super::server::{Admin, Operation, ServerState};
use crate::shm::{Board, NUMBERS_MAX, Page};
use crate::time::Millis;

const _: () = assert!(Number::End as usize <= NUMBERS_MAX);

#[repr(usize)]
enum Number {
    Admin,
    Operation,
    Health,
    Weight,
    Status,
    Code,
    Duration,
    Flags,
    ChangedAt,
    Downtime,
    End,
}

const CHECKED: u64 = 1;
const ENABLED: u64 = 2;
const IN_PROGRESS: u64 = 4;

/// A server's board.
#[derive(Clone, Copy, Debug)]
pub struct ServerBoard {
    board: Board,
}

impl ServerBoard {
    /// A server's view of the board on its shared words.
    pub fn new(board: Board) -> ServerBoard {
        ServerBoard { board }
    }

    /// Makes `state` what everyone sees.
    pub fn publish(&self, state: &ServerState) {
        let flags = [(state.is_checked, CHECKED), (state.checks_enabled, ENABLED), (state.in_progress, IN_PROGRESS)];
        let numbers = [
            (Number::Admin, u64::from(state.admin.bits())),
            (Number::Operation, state.operation as u64),
            (Number::Health, u64::from(state.health.value())),
            (Number::Weight, u64::from(state.weight)),
            (Number::Status, state.last.status as u64),
            (Number::Code, u64::from(state.last.code)),
            (Number::Duration, state.last.duration.0),
            (Number::Flags, flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()),
            (Number::ChangedAt, state.changed_at),
            (Number::Downtime, state.downtime),
        ];
        self.board.change(|page| {
            for (number, value) in numbers {
                page.set(number as usize, value);
            }
            page.set_text(state.last.info.as_bytes());
        });
    }

    /// What was published last. `health` gives the server's `rise` and `fall`.
    pub fn read(&self, health: Health) -> ServerState {
        self.board.read(|page| state_on(page, health))
    }

    /// Differs from an earlier one if something was published since.
    pub fn generation(&self) -> u64 {
        self.board.generation()
    }
}

fn state_on(page: Page, health: Health) -> ServerState {
    let number = |number: Number| page.get(number as usize);
    let flags = number(Number::Flags);
    ServerState {
        admin: Admin::from_bits_truncate(number(Number::Admin) as u8),
        operation: Operation::from_number(number(Number::Operation) as u8),
        health: health.at(number(Number::Health) as u32),
        weight: number(Number::Weight) as u32,
        last: Outcome {
            status: Status::from_number(number(Number::Status) as u8),
            code: number(Number::Code) as u16,
            info: String::from_utf8_lossy(&page.text()).into_owned(),
            duration: Millis(number(Number::Duration)),
        },
        is_checked: flags & CHECKED != 0,
        checks_enabled: flags & ENABLED != 0,
        in_progress: flags & IN_PROGRESS != 0,
        changed_at: number(Number::ChangedAt),
        downtime: number(Number::Downtime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::Segment;

    #[test]
    fn what_is_published_is_read() {
        let segment = Segment::private(1, 1).expect("segment");
        let found = segment.directory(segment.begin_generation()).object("server", b"b/s").expect("room");
        let board = ServerBoard::new(Board::new(segment.shared(found.object)));
        let mut state = ServerState::new(Some((2, 3)), 7, false, 1_000);
        let before = board.generation();
        let info = "Connection refused".to_string();
        state.checked(Outcome { status: Status::L4Failed, code: 0, info, duration: Millis(3) }, 1_009);
        board.publish(&state);
        assert_ne!(board.generation(), before);
        assert_eq!(board.read(Health::new(2, 3)), state);
    }
}
