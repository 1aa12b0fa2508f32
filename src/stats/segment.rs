//! The segment of a configuration: how large it is made, whether a found one will do, and how a generation of
//! workers enters it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::Counters;
use crate::notice;
use crate::proxy::{Config, Server};
use crate::shm::{Directory, Full, Generation, List, Lock, Mismatch, Ports, Segment, Slot, Table, region_words};
use crate::sys::memory::map_words;

/// Objects and slots that there are at least, so that later configurations find room.
const OBJECTS_MIN: usize = 4096;
const SLOTS_MIN: usize = 64;
/// Times more than needed, likewise.
const OBJECTS_SPARE: usize = 4;
const SLOTS_SPARE: usize = 16;
/// Words of a backend's table of sessions: hundreds of thousands of them, or as many as memory allows.
const TABLE_WORDS: usize = (64 << 20) / size_of::<u64>();
const TABLE_WORDS_LESS: [usize; 3] = [TABLE_WORDS, TABLE_WORDS / 16, TABLE_WORDS / 256];
/// Room for tables that there is at least, and times more than needed.
const ROOM_MIN: usize = 4 * TABLE_WORDS;
const ROOM_SPARE: usize = 2;
/// Share of a limit on the address space (`-m`) that the segment may take.
const CAP_SHARE: usize = 4;
/// How long a supervisor may take to notice that a worker has died, before its slot is given to another.
const FUNERAL_WAIT: Duration = Duration::from_millis(100);

/// Maps what all workers share before any of them is forked, and gives each its slot: in one of the `old` segments
/// of earlier processes, or else in a new one, which respects `cap_bytes` as [`create`] does. Says on standard error
/// why an old one would not do.
///
/// # Errors
/// The text says why there is no memory for it.
pub fn enter(
    config: &Config,
    workers: usize,
    old: impl IntoIterator<Item = OwnedFd>,
    cap_bytes: Option<usize>,
) -> Result<(Counters, Vec<Slot>), String> {
    let mut refused = None;
    for file in old {
        let segment = attach(file, config).map_err(|mismatch| mismatch.to_string());
        let full = |_| "it is full of what older processes have".to_owned();
        match segment.and_then(|segment| begin(config, segment, workers).map_err(full)) {
            Ok(shared) => return Ok(shared),
            Err(reason) => refused = Some(reason),
        }
    }
    if let Some(reason) = refused {
        notice::warning(format!(
            "The memory of the old process cannot be shared ({reason}): counters, states of servers and limits start \
             afresh."
        ));
    }
    begin(config, create(config, workers, cap_bytes)?, workers).map_err(|Full| nothing_left())
}

/// Begins a generation in a segment: a slot for each worker, and the objects of `config`.
fn begin(config: &Config, segment: Segment, workers: usize) -> Result<(Counters, Vec<Slot>), Full> {
    let generation = segment.begin_generation();
    let mut slots = Vec::with_capacity(workers);
    for number in 1..=workers {
        let Some(slot) = take_slot(segment, generation, number) else { break };
        slots.push(slot);
    }
    let first = slots.first().filter(|_| slots.len() == workers).copied();
    let counters = first.ok_or(Full).and_then(|first| Counters::new(config, segment, first, slots.clone()));
    match counters {
        Ok(counters) => Ok((counters, slots)),
        Err(full) => {
            slots.into_iter().for_each(|slot| segment.slots().free(slot));
            Err(full)
        }
    }
}

/// A free slot; if there is none, one whose worker has gone.
fn take_slot(segment: Segment, generation: Generation, number: usize) -> Option<Slot> {
    segment.slots().take(generation, number).or_else(|| {
        let gone: Vec<Slot> = segment.slots().departed().collect();
        if gone.is_empty() {
            return None;
        }
        std::thread::sleep(FUNERAL_WAIT);
        bury_departed(segment, |slot| gone.contains(slot));
        segment.slots().take(generation, number)
    })
}

/// Makes the segment for `config` with so many workers: a generous one, or a smaller one where the address
/// space is limited (to `cap_bytes` from later on, if there is one).
///
/// # Errors
/// The text says that there is not even room for what is needed; nothing is left behind.
fn create(config: &Config, workers: usize, cap_bytes: Option<usize>) -> Result<Segment, String> {
    let mut refused = None;
    let generous = (room_needed(config, TABLE_WORDS) * ROOM_SPARE).max(ROOM_MIN);
    let needed = Counters::objects_needed(config);
    let rooms = TABLE_WORDS_LESS.map(|words| room_needed(config, words));
    let all = rooms.into_iter().flat_map(|room| sizes(needed, workers).map(move |size| (room, size)));
    for (room, (objects, slots, spare)) in all {
        let room = if spare { generous } else { room };
        let bytes = Segment::bytes_needed(objects, slots, room);
        if cap_bytes.is_some_and(|cap| bytes.is_none_or(|bytes| bytes > cap / CAP_SHARE)) {
            continue;
        }
        match Segment::create(objects, slots, room, Counters::layout()) {
            Ok(segment) => return Ok(segment),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        // Without a file in memory, one worker has all but what it could leave to a successor.
        Some(error) if workers == 1 => {
            Segment::private(Counters::objects_needed(config), SLOTS_SPARE).map_err(|_| reason(error))
        }
        Some(error) => Err(reason(error)),
        None => Err(nothing_left()),
    }
}

/// The segment of another process, if it can be that of `config`, too.
///
/// # Errors
/// Why not; then [`create`] a new one.
fn attach(file: OwnedFd, config: &Config) -> Result<Segment, Mismatch> {
    Segment::attach(
        file,
        Counters::layout(),
        Counters::objects_needed(config),
        room_needed(config, TABLE_WORDS_LESS[2]),
    )
}

/// The segment of another process, to bury workers in and for nothing else.
///
/// # Errors
/// It is none of this layout.
pub fn attach_for_burials(file: OwnedFd) -> Result<Segment, Mismatch> {
    Segment::attach(file, Counters::layout(), 0, 0)
}

/// The tables of the sessions that backends remember.
///
/// # Errors
/// There is no room for them.
pub(super) fn app_sessions(
    config: &Config,
    segment: Segment,
    directory: &mut Directory,
) -> Result<Vec<Option<Table>>, Full> {
    let mut tables = Vec::with_capacity(config.backends.len());
    for backend in &config.backends {
        let table = match &backend.app_session {
            Some(session) => {
                let bytes = session.bytes_max;
                let name = [b"appsession ", &bytes.to_ne_bytes()[..], backend.name.as_bytes()].concat();
                let mut sizes = TABLE_WORDS_LESS.into_iter();
                let region = sizes.find_map(|words| directory.region(&name, words).ok()).ok_or(Full)?;
                Some(Table::new(region, bytes, segment.id()))
            }
            None => None,
        };
        tables.push(table);
    }
    Ok(tables)
}

/// The ports of servers that have a range of them (`source`), seen from a slot.
///
/// # Errors
/// There is no room for them.
pub(super) fn ports(
    config: &Config,
    segment: Segment,
    slot: Slot,
    directory: &mut Directory,
) -> Result<Vec<Option<Ports>>, Full> {
    let all = config.servers.written().iter();
    all.map(|server| ports_of(config, server, segment, slot, directory)).collect()
}

/// Those of one server.
///
/// # Errors
/// Likewise.
pub(super) fn ports_of(
    config: &Config,
    server: &Server,
    segment: Segment,
    slot: Slot,
    directory: &mut Directory,
) -> Result<Option<Ports>, Full> {
    if server.source.as_ref().and_then(|source| source.ports).is_none() {
        return Ok(None);
    }
    let name = [b"ports ", config[server.backend].name.as_bytes(), b"/", server.name.as_bytes()].concat();
    let words = region(&name, Ports::WORDS, segment, directory)?;
    Ok(Some(Ports::new(words, segment, slot)))
}

/// Where servers stand that were added and taken away, if there is room for that.
pub(super) fn added(segment: Segment, directory: &mut Directory) -> Option<List> {
    region(b"added servers", List::WORDS, segment, directory).ok().map(List::new)
}

fn region(
    name: &[u8],
    words: usize,
    segment: Segment,
    directory: &mut Directory,
) -> Result<&'static [AtomicU64], Full> {
    match segment.fd() {
        Some(_) => directory.region(name, words),
        // Nobody else is there but those that are forked later.
        None => map_words(None, words).map_err(|_| Full),
    }
}

/// Words of room that the tables of `config` take, each of so many words.
fn room_needed(config: &Config, table_words: usize) -> usize {
    let tables = config.backends.iter().filter(|backend| backend.app_session.is_some()).count();
    let ports = config.sources().filter(|source| source.ports.is_some()).count();
    tables * region_words(table_words) + ports * region_words(Ports::WORDS)
}

/// Buries those of the workers `meant` that died without anybody noticing, and frees their slots. A supervisor that
/// lives does that for its own, so wait a while before it is done for it.
pub fn bury_departed(segment: Segment, meant: impl Fn(&Slot) -> bool) {
    // Nobody else may do the same, or take a slot that was freed, before all is done.
    let _guard = segment.lock(Lock::Directory);
    for slot in segment.slots().departed().filter(meant) {
        Counters::bury(segment, slot);
        segment.slots().free(slot);
    }
}

/// Objects and slots to try, the most generous first, and whether there is to be spare room for tables.
fn sizes(objects: usize, workers: usize) -> impl Iterator<Item = (usize, usize, bool)> {
    let generous = (objects * OBJECTS_SPARE).next_power_of_two().max(OBJECTS_MIN);
    let slots = (workers * SLOTS_SPARE).max(SLOTS_MIN);
    // Old workers finish beside new ones: two slots a worker are the least.
    let fewer = [slots, slots / 4, 2 * workers].into_iter().filter(move |slots| *slots >= 2 * workers);
    let less = [generous / 2, generous / 4, objects].into_iter().filter(move |less| *less >= objects);
    let first = std::iter::once((generous, slots, true));
    let fewer = fewer.map(move |slots| (generous, slots, false));
    first.chain(fewer).chain(less.map(move |less| (less, 2 * workers, false)))
}

fn reason(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::OutOfMemory | io::ErrorKind::FileTooLarge => nothing_left(),
        _ => notice::reason(&error),
    }
}

fn nothing_left() -> String {
    "no shared memory left".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_shrinks_to_what_is_needed() {
        let sizes: Vec<_> = sizes(2000, 4).map(|(objects, slots, _)| (objects, slots)).collect();
        assert_eq!(sizes, [(8192, 64), (8192, 64), (8192, 16), (8192, 8), (4096, 8), (2048, 8), (2000, 8)]);
        let config = Config::default();
        let size = |cap| create(&config, 1, cap).map(|segment| (segment.objects_max(), segment.slots_max()));
        assert_eq!(size(None), Ok((4096, 64)));
        assert_eq!(size(Some(100 << 20)), Ok((4096, 2)));
        assert_eq!(size(Some(1 << 20)), Ok((2, 2)));
        assert_eq!(size(Some(4000)), Err("no shared memory left".to_owned()));
    }

    #[test]
    fn one_worker_needs_no_file() {
        use nix::sys::resource::{Resource, setrlimit};
        let code = crate::sys::process::in_child(|| {
            setrlimit(Resource::RLIMIT_FSIZE, 1000, 1000).expect("limit");
            let alone = create(&Config::default(), 1, None);
            u8::from(!alone.is_ok_and(|segment| segment.fd().is_none()) || create(&Config::default(), 2, None).is_ok())
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn a_limited_address_space_is_no_crash() {
        use nix::sys::resource::{Resource, setrlimit};
        let limited = |bytes_left: u64| {
            crate::sys::process::in_child(|| {
                let statm = std::fs::read_to_string("/proc/self/statm").expect("proc");
                let pages: u64 = statm.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
                let limit = pages * 4096 + bytes_left;
                setrlimit(Resource::RLIMIT_AS, limit, limit).expect("limit");
                match create(&Config::default(), 1, None) {
                    Ok(segment) => segment.slots_max() as u8,
                    Err(text) => u8::from(text != "no shared memory left"),
                }
            })
        };
        assert_eq!(limited(54 << 20), 16);
        assert_eq!(limited(0), 0);
    }
}
