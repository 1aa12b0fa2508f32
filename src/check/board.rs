//! A server's state where all workers see it: one of them runs the checks and publishes, the others see
//! the generation change and read.

use super::agent::{self, Agent};
use super::carry::{Carried, Configured};
use super::health::Health;
use super::place::Place;
use super::result::{Outcome, Status};
use super::server::{Admin, Ending, Operation, ServerState};
use crate::shm::{Board, Generation, NUMBERS_MAX, Page, TEXT_NUMBERS};
use crate::time::{Millis, Tick};

const _: () = assert!(Number::End as usize <= NUMBERS_MAX);

#[repr(usize)]
enum Number {
    Admin,
    Operation,
    Health,
    Rise,
    Fall,
    Weight,
    Status,
    Code,
    Duration,
    Flags,
    ChangedAt,
    Downtime,
    Maxconn,
    ConfiguredWeight,
    ConfiguredMaxconn,
    ConfiguredAddress,
    ConfiguredIn,
    Endings,
    EndedFor,
    CheckBy,
    ConfiguredCheck,
    AgentFlags,
    AgentStatus,
    AgentDuration,
    AgentSettings,
    AgentPort,
    AgentInfo,
    AgentAddress = Number::AgentInfo as usize + TEXT_NUMBERS,
    AgentSend = Number::AgentAddress as usize + TEXT_NUMBERS,
    Place = Number::AgentSend as usize + TEXT_NUMBERS,
    End = Number::Place as usize + Place::NUMBERS,
}

const CHECKED: u64 = 1;
const ENABLED: u64 = 2;
const TRACKS: u64 = 4;
const IS_DOWN: u64 = 8;
const SENDS: u64 = 16;
const PAUSED: u64 = 32;

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

    /// Makes a server's state and its limit of connections what everyone sees.
    pub fn publish(&self, state: &ServerState, maxconn: Option<u32>, place: &Place) {
        self.board.change(|page| write(page, state, maxconn, place));
    }

    /// The same under a new configuration, which is noted for [`super::carry`] under the next one.
    /// `generation` is whose configuration it is.
    pub fn publish_configured(&self, carried: &Carried, configured: &Configured, generation: Generation) {
        self.board.change(|page| {
            write(page, &carried.state, carried.maxconn, &carried.place);
            page.set(Number::ConfiguredWeight as usize, u64::from(configured.weight));
            page.set(Number::ConfiguredMaxconn as usize, limit_word(configured.maxconn));
            page.set(Number::ConfiguredAddress as usize, configured.address);
            page.set(Number::ConfiguredCheck as usize, configured.check);
            page.set(Number::ConfiguredIn as usize, generation.0);
        });
    }

    /// The configuration that was noted last.
    pub fn configured(&self) -> Configured {
        self.board.read(|page| Configured {
            weight: page.get(Number::ConfiguredWeight as usize) as u32,
            maxconn: limit(page.get(Number::ConfiguredMaxconn as usize)),
            address: page.get(Number::ConfiguredAddress as usize),
            check: page.get(Number::ConfiguredCheck as usize),
        })
    }

    /// The newest generation whose configuration has the server.
    pub fn configured_in(&self) -> Generation {
        Generation(self.board.get(Number::ConfiguredIn as usize))
    }

    /// What was published last, its health on the scale of `health` (the reader's `rise` and `fall`), its place
    /// as `configured` where nothing else was ordered.
    pub fn read(&self, health: Health, configured: &Place) -> Carried {
        self.board.read(|page| Carried {
            state: state_on(page, health),
            maxconn: limit(page.get(Number::Maxconn as usize)),
            place: Place::read(page, Number::Place as usize, configured),
        })
    }

    /// Differs from an earlier one if something was published since.
    pub fn generation(&self) -> u64 {
        self.board.generation()
    }
}

fn write(page: Page, state: &ServerState, maxconn: Option<u32>, place: &Place) {
    let flags = [
        (state.is_checked, CHECKED),
        (state.checks_enabled, ENABLED),
        (state.tracks, TRACKS),
        (state.checks_paused, PAUSED),
    ];
    let numbers = [
        (Number::Admin, u64::from(state.admin.bits())),
        (Number::Operation, state.operation as u64),
        (Number::Health, u64::from(state.health.value())),
        (Number::Rise, u64::from(state.health.rise())),
        (Number::Fall, u64::from(state.health.fall())),
        (Number::Weight, u64::from(state.weight)),
        (Number::Status, state.last.status as u64),
        (Number::Code, state.last.code as u64),
        (Number::Duration, state.last.duration.0),
        (Number::Flags, flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()),
        (Number::ChangedAt, state.changed_at),
        (Number::Downtime, state.downtime),
        (Number::Maxconn, limit_word(maxconn)),
        (Number::Endings, u64::from(state.endings)),
        (Number::EndedFor, state.ended_for as u64),
        (Number::CheckBy, state.check_by.0),
    ];
    for (number, value) in numbers {
        page.set(number as usize, value);
    }
    place.write(page, Number::Place as usize);
    write_agent(page, &state.agent);
    page.set_text(&state.last.info);
}

fn write_agent(page: Page, agent: &Agent) {
    let flags = [
        (agent.is_configured, CHECKED),
        (agent.enabled, ENABLED),
        (agent.is_down, IS_DOWN),
        (agent.orders.send.is_some(), SENDS),
    ];
    let numbers = [
        (Number::AgentFlags, flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()),
        (Number::AgentStatus, agent.last.status as u64),
        (Number::AgentDuration, agent.last.duration.0),
        (Number::AgentSettings, agent.settings),
        (Number::AgentPort, agent.orders.port.map_or(0, |port| u64::from(port) + 1)),
    ];
    for (number, value) in numbers {
        page.set(number as usize, value);
    }
    let address = agent.orders.addr.map(|address| address.to_string()).unwrap_or_default();
    let send = agent.orders.send.as_deref().unwrap_or_default();
    page.set_text_at(Number::AgentInfo as usize, &agent.last.info);
    page.set_text_at(Number::AgentAddress as usize, address.as_bytes());
    page.set_text_at(Number::AgentSend as usize, send.as_bytes());
}

fn agent_on(page: Page) -> Agent {
    let number = |number: Number| page.get(number as usize);
    let octets = |number: Number| page.text_at(number as usize);
    let text = |number: Number| String::from_utf8_lossy(&octets(number)).into_owned();
    let flags = number(Number::AgentFlags);
    Agent {
        is_configured: flags & CHECKED != 0,
        enabled: flags & ENABLED != 0,
        is_down: flags & IS_DOWN != 0,
        last: Outcome {
            status: Status::from_number(number(Number::AgentStatus) as u8),
            code: 0,
            info: octets(Number::AgentInfo),
            duration: Millis(number(Number::AgentDuration)),
        },
        orders: agent::Orders {
            addr: text(Number::AgentAddress).parse().ok(),
            port: number(Number::AgentPort).checked_sub(1).map(|port| port as u16),
            send: (flags & SENDS != 0).then(|| text(Number::AgentSend).into()),
        },
        settings: number(Number::AgentSettings),
    }
}

/// A limit as a word: zero stands for none.
fn limit_word(limit: Option<u32>) -> u64 {
    limit.map_or(0, u64::from)
}

fn limit(word: u64) -> Option<u32> {
    u32::try_from(word).ok().filter(|limit| *limit > 0)
}

fn state_on(page: Page, health: Health) -> ServerState {
    let number = |number: Number| page.get(number as usize);
    let flags = number(Number::Flags);
    let written = Health::new(number(Number::Rise) as u32, number(Number::Fall) as u32);
    ServerState {
        admin: Admin::from_bits_truncate(number(Number::Admin) as u8),
        operation: Operation::from_number(number(Number::Operation) as u8),
        health: written.at(number(Number::Health) as u32).within(health),
        weight: number(Number::Weight) as u32,
        last: Outcome {
            status: Status::from_number(number(Number::Status) as u8),
            code: number(Number::Code) as i16,
            info: page.text(),
            duration: Millis(number(Number::Duration)),
        },
        is_checked: flags & CHECKED != 0,
        tracks: flags & TRACKS != 0,
        slowstart_s: 0,
        checks_enabled: flags & ENABLED != 0,
        checks_paused: flags & PAUSED != 0,
        changed_at: number(Number::ChangedAt),
        downtime: number(Number::Downtime),
        agent: agent_on(page),
        endings: number(Number::Endings) as u32,
        ended_for: Ending::from_number(number(Number::EndedFor) as u8),
        check_by: Tick(number(Number::CheckBy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::place::Orders;
    use crate::proxy::ServerAddress;
    use crate::shm::Segment;

    #[test]
    fn what_is_published_is_read() {
        let segment = Segment::private(1, 1).expect("segment");
        let found = segment.directory(segment.begin_generation()).object("server", b"b/s").expect("room");
        let board = ServerBoard::new(Board::new(segment.shared(found.object)));
        let mut state = ServerState::new(Some((2, 3)), 7, false, 1_000);
        let before = board.generation();
        let info = b"no \xff UTF-8 \xc3".to_vec();
        state.checked(Outcome { status: Status::L4Failed, code: 0, info, duration: Millis(3) }, 1_009);
        state.agent = Agent::new(u64::MAX);
        let addr = "2001:db8::1".parse().ok();
        state.agent.orders = agent::Orders { addr, port: Some(0), send: Some("hello\n".into()) };
        state.agent.last.info = b"via agent : up (\xe9)".into();
        let place = Place {
            address: ServerAddress::Ip(([127, 0, 0, 1], 80).into()),
            check_addr: None,
            check_port: None,
            name: None,
            orders: Orders::empty(),
        };
        board.publish(&state, Some(9), &place);
        assert_ne!(board.generation(), before);
        let carried = Carried { state, maxconn: Some(9), place };
        assert_eq!(board.read(Health::new(2, 3), &carried.place), carried);
        let configured = Configured { weight: 7, maxconn: None, address: u64::MAX, check: 3 };
        board.publish_configured(&carried, &configured, Generation(5));
        assert_eq!((board.configured(), board.read(Health::new(2, 3), &carried.place)), (configured, carried));
        assert_eq!(board.configured_in(), Generation(5));
    }
}
