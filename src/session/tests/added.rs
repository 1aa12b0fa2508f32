//! Servers that are added and taken away while the process runs: by one worker, in all of them, over a reload.

use crate::event::Core;
use crate::proxy::{BackendId, Config, ServerId};
use crate::session::Services;
use crate::session::places::Pick;
use crate::shm::Segment;
use crate::stats::{Count, Counters};
use crate::time::Now;
use crate::transport::Net;
use crate::transport::net::SimNet;

const TEXT: &str = "defaults\n mode http\n timeout connect 1s\n timeout client 9s\n timeout server 9s\nfrontend f\n \
    bind :1\n default_backend b\nbackend b\n default-server weight 7\n server s1 10.0.0.1:80\n \
    server s2 10.0.0.2:80 check\nbackend c\n server a 10.0.0.3:80\n";

/// Workers of one service, each with a configuration of its own as processes have.
struct Crew {
    segment: Segment,
}

impl Crew {
    fn new() -> Crew {
        let config = load(TEXT);
        let segment = Segment::create(4 * Counters::objects_needed(config), 8, 4 << 20, 1).expect("memory");
        Crew { segment }
    }

    /// A generation of so many workers.
    fn start(&self, text: &str, workers: usize) -> Vec<Core> {
        let generation = self.segment.begin_generation();
        let slots: Vec<_> = (1..=workers).filter_map(|n| self.segment.slots().take(generation, n)).collect();
        let counters = Counters::new(load(text), self.segment, slots[0], slots.clone()).expect("room");
        slots.iter().map(|slot| self.worker(text, counters.of_slot(*slot))).collect()
    }

    fn worker(&self, text: &str, counters: Counters) -> Core {
        let now = Now { wall_us: 1_700_000_000_000_000, mono_us: 5_000_000 };
        let core = Core::new(Services::new(load(text), counters, now, Net::Sim(SimNet::default()), "epoxy"));
        self.segment.set_state(core.services.counters.slot(), crate::shm::SlotState::Serving);
        core
    }
}

fn load(text: &str) -> &'static Config {
    Box::leak(Box::new(crate::config::load_text("a.cfg", text).config.expect("valid")))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn add(core: &mut Core, name: &str, text: &str) -> Result<(), String> {
    core.services.add_server(BackendId(0), name, &words(text))
}

fn find(core: &Core, name: &str) -> Option<ServerId> {
    core.services.config.servers_of(BackendId(0)).find(|(_, server)| server.name == name).map(|(id, _)| id)
}

fn names(core: &Core) -> String {
    let all = core.services.config.servers_of(BackendId(0));
    all.map(|(_, server)| format!("{}={} ", server.name, server.uuid)).collect()
}

fn status(core: &Core, name: &str) -> String {
    core.services.status_word(find(core, name).expect("known"))
}

fn ready(core: &mut Core, name: &str) {
    let id = find(core, name).expect("known");
    core.services.change_server(id, |state, now_s| state.order_ready(now_s).into());
}

fn maintain(core: &mut Core, name: &str) {
    let id = find(core, name).expect("known");
    core.services.change_server(id, |state, now_s| state.order_maintenance(now_s).into());
}

fn remove(core: &mut Core, name: &str) -> Result<(), &'static str> {
    let id = find(core, name).expect("known");
    core.services.remove_server(id)
}

#[test]
fn a_server_that_one_worker_adds_is_in_all_of_them() {
    let crew = Crew::new();
    let [mut a, mut b] = crew.start(TEXT, 2).try_into().unwrap_or_else(|_| panic!("two"));
    add(&mut a, "n1", "10.0.0.9:80 maxconn 5").expect("added");
    assert_eq!((names(&a), names(&b)), ("s1=1 s2=2 n1=3 ".into(), "s1=1 s2=2 ".into()));
    b.services.follow();
    assert_eq!((names(&b), status(&b, "n1")), ("s1=1 s2=2 n1=3 ".into(), "MAINT".into()));
    ready(&mut b, "n1");
    a.services.follow();
    assert_eq!(status(&a, "n1"), "no check");
    let id = find(&a, "n1").expect("there");
    assert_eq!((a.services.live[id.0 as usize].weight, a.services.config[id].maxconn), (7, Some(5)));
    let mut chosen = 0;
    for core in [&mut a, &mut b] {
        let new = Pick::Server(find(core, "n1").expect("there"));
        let picks = (0..9).map(|_| core.services.choose(BackendId(0), None, None)).filter(|pick| *pick == new).count();
        assert!((2..=3).contains(&picks), "{picks}");
        chosen += picks as u64;
    }
    assert_eq!(a.services.counters.server(id).get(Count::SessionsCurrent), chosen, "both count in one row");
}

#[test]
fn a_server_that_has_sessions_or_is_needed_stays() {
    let crew = Crew::new();
    let text = format!("{TEXT} server t 10.0.0.4:80 track b/s2\n");
    let [mut a, mut b] = crew.start(&text, 2).try_into().unwrap_or_else(|_| panic!("two"));
    add(&mut a, "n1", "10.0.0.9:80").expect("added");
    b.services.follow();
    ready(&mut b, "n1");
    assert_eq!(remove(&mut a, "n1"), Err("Only servers in maintenance mode can be deleted."));
    let id = find(&b, "n1").expect("there");
    assert!(b.services.occupy(id));
    maintain(&mut a, "n1");
    assert_eq!(remove(&mut a, "n1"), Err("Server still has connections attached to it, cannot remove it."));
    b.services.vacate(id);
    assert_eq!(remove(&mut a, "n1"), Ok(()));
    b.services.follow();
    assert_eq!((find(&a, "n1"), find(&b, "n1")), (None, None));
    maintain(&mut a, "s2");
    assert!(remove(&mut a, "s2").is_err_and(|text| text.starts_with("This server cannot be removed at runtime")));
    maintain(&mut a, "s1");
    assert_eq!(remove(&mut a, "s1"), Ok(()));
    b.services.follow();
    assert_eq!(names(&b), "s2=2 ");
}

#[test]
fn a_name_that_comes_back_begins_anew() {
    let crew = Crew::new();
    let [mut a, mut b] = crew.start(TEXT, 2).try_into().unwrap_or_else(|_| panic!("two"));
    for port in 1..=3 {
        add(&mut b, "n1", &format!("10.0.0.9:{port} weight {port}")).expect("added");
        a.services.follow();
        let id = find(&a, "n1").expect("there");
        assert_eq!(a.services.counters.server(id).get(Count::SessionsTotal), 0);
        assert_eq!((status(&a, "n1"), a.services.servers[id.0 as usize].weight), ("MAINT".into(), port));
        a.services.counters.server(id).add(Count::SessionsTotal, 5);
        ready(&mut a, "n1");
        maintain(&mut a, "n1");
        assert_eq!(remove(&mut a, "n1"), Ok(()));
        b.services.follow();
    }
    // What one takes away and adds again at once is another server to those that see both at a time.
    add(&mut a, "n1", "10.0.0.9:4").expect("added");
    b.services.follow();
    let old = find(&b, "n1").expect("there");
    assert_eq!(remove(&mut a, "n1"), Ok(()));
    add(&mut a, "n1", "10.0.0.9:5").expect("added");
    b.services.follow();
    assert_ne!(find(&b, "n1"), Some(old));
    assert_eq!(names(&b), names(&a));
}

#[test]
fn a_replacement_and_the_next_generation_know_what_was_added_and_taken_away() {
    let crew = Crew::new();
    let [mut a, b] = crew.start(TEXT, 2).try_into().unwrap_or_else(|_| panic!("two"));
    for name in ["n1", "n2", "n3"] {
        add(&mut a, name, "10.0.0.9:80").expect("added");
    }
    ready(&mut a, "n2");
    let id = find(&a, "n2").expect("there");
    a.services.set_server_weight(id, 4);
    a.services.counters.server(id).add(Count::SessionsTotal, 5);
    for name in ["n1", "s1"] {
        if name == "s1" {
            maintain(&mut a, name);
        }
        assert_eq!(remove(&mut a, name), Ok(()));
    }
    let replaced = crew.worker(TEXT, b.services.counters.of_slot(b.services.counters.slot()));
    assert_eq!(names(&replaced), "s2=2 n2=4 n3=5 ");
    assert_eq!((status(&replaced, "n2"), status(&replaced, "n3")), ("no check".into(), "MAINT".into()));
    // The file is read anew, has a server of one name now, and another one by that number.
    let text = TEXT.replace(" server s1", " server n3 10.0.0.8:80\n server x 10.0.0.8:80 id 4\n server s1");
    let [mut new, other] = crew.start(&text, 2).try_into().unwrap_or_else(|_| panic!("two"));
    assert_eq!(names(&new), "n3=1 x=4 s1=3 s2=5 n2=2 ");
    assert_eq!((names(&other), status(&other, "n2")), (names(&new), "no check".into()));
    let id = find(&new, "n2").expect("there");
    assert_eq!(new.services.servers[id.0 as usize].weight, 4);
    assert_eq!(new.services.counters.server(id).get(Count::SessionsTotal), 5);
    // The old ones follow what the new ones do, and what the file had is not remembered beside it.
    maintain(&mut new, "n2");
    assert_eq!(remove(&mut new, "n2"), Ok(()));
    a.services.follow();
    assert_eq!(find(&a, "n2"), None);
    let third = crew.start(TEXT, 1);
    assert_eq!(names(&third[0]), "s1=1 s2=2 ");
}

#[test]
fn a_server_that_a_new_file_has_no_place_for_is_left_out_for_good() {
    let crew = Crew::new();
    let mut a = crew.start(TEXT, 1);
    add(&mut a[0], "n1", "10.0.0.9:80 track c/a").expect_err("not checked");
    add(&mut a[0], "n1", "10.0.0.9:80 track s2").expect("added");
    let hashed = TEXT.replace("backend b\n", "backend b\n balance source\n");
    assert_eq!(names(&crew.start(&hashed, 1)[0]), "s1=1 s2=2 ");
    assert_eq!(names(&crew.start(TEXT, 1)[0]), "s1=1 s2=2 ");
}

#[test]
fn words_are_those_of_the_file() {
    let mut core = Crew::new().start(TEXT, 1).remove(0);
    for (text, wrong) in [
        ("", "'server' expects <name> and <addr>[:<port>] as arguments.\n"),
        ("10.0.0.9:99999", "invalid port '99999'\n"),
        ("10.0.0.9:1 chek", "unknown keyword 'chek'; did you mean 'check' maybe ?\n"),
        ("10.0.0.9:1 weight 300", "weight of server n1 is not within 0 and 256 (300)..\n"),
        ("10.0.0.9:1 init-addr none", "'init-addr' option is not accepted for dynamic server\n"),
        ("10.0.0.9:1 id 1", "'id' : custom id 1 already used at a.cfg:11 ('server s1').\n"),
        ("10.0.0.9:1 track x", "unable to find required server 'x' for tracking.\n"),
        ("10.0.0.9:1 agent-check", "server n1 does not have agent port. Agent check has been disabled.\n"),
    ] {
        assert_eq!(add(&mut core, "n1", text), Err(wrong.to_owned()), "{text}");
    }
    let twin = "Already exists a server with the same name in backend.\n";
    assert_eq!(add(&mut core, "s1", "10.0.0.9:1"), Err(twin.to_owned()));
    let long = format!("10.0.0.9:1 cookie {}", "x".repeat(3000));
    assert!(add(&mut core, "n1", &long).is_err());
    assert_eq!(names(&core), "s1=1 s2=2 ", "what was refused has left nothing");
    for (name, text, status_then) in [
        ("n1", "10.0.0.9:1 check", "MAINT"),
        ("n2", "10.0.0.9:1 disabled", "MAINT"),
        ("n3", "10.0.0.9:1 enabled", "no check"),
        ("n4", "10.0.0.9:1 track s2", "MAINT"),
        ("n5", "/tmp/socket", "MAINT"),
        ("n6", "somewhere:1", "MAINT (resolution)"),
    ] {
        add(&mut core, name, text).expect(name);
        assert_eq!(status(&core, name), status_then, "{name}");
    }
    let said = add(&mut core, "n7", "10.0.0.9:1 track n1");
    assert_eq!(said, Err("unable to use b/n1 for tracking as it is a dynamic server.\n".to_owned()));
}

#[test]
fn ids_and_seats_are_used_again_once_nobody_needs_them() {
    for algorithm in ["roundrobin", "leastconn", "first", "random", "source\n hash-type consistent"] {
        let text = TEXT.replace("backend b\n", &format!("backend b\n balance {algorithm}\n"));
        let crew = Crew::new();
        let mut both = crew.start(&text, 2);
        for name in ["s1", "s2"] {
            maintain(&mut both[0], name);
        }
        for n in 0..30 {
            let (one, name) = (n % 2, format!("n{}", n % 3));
            let backup = if n % 4 == 0 { "backup" } else { "" };
            add(&mut both[one], &name, &format!("10.0.0.9:{} weight {} id {} {backup}", n % 5 + 1, n + 1, 9 - n % 7))
                .expect("added");
            ready(&mut both[one], &name);
            for core in &mut both {
                core.follow();
                let id = find(core, &name).expect("there");
                assert_eq!(core.services.counters.server(id).get(Count::SessionsTotal), 0);
                for hash in 0..4 {
                    let pick = core.services.choose(BackendId(0), Some(hash), None);
                    assert_eq!(pick, Pick::Server(id), "{algorithm}");
                    core.services.count_attempt(id);
                    core.services.vacate(id);
                }
                core.services.counters.server(id).set(Count::SessionsTotal, 0);
            }
            maintain(&mut both[1 - one], &name);
            assert_eq!(remove(&mut both[one], &name), Ok(()));
            for core in &mut both {
                core.follow();
                core.run_promoted();
                assert_eq!(core.services.choose(BackendId(0), Some(1), None), Pick::Nobody, "{algorithm}");
            }
        }
        let ids = both.iter().map(|core| core.services.config.servers.len());
        assert!(ids.max().is_some_and(|ids| ids <= 3 + 1), "{algorithm}");
    }
}

#[test]
fn names_that_do_not_come_back_leave_their_room_to_others() {
    let crew = Crew::new();
    let [mut a, mut b] = crew.start(TEXT, 2).try_into().unwrap_or_else(|_| panic!("two"));
    add(&mut b, "stays", "10.0.0.8:1 weight 7").expect("added");
    let mut gone = None;
    for n in 0..200 {
        let name = format!("n{n}");
        assert_eq!(add(&mut a, &name, "10.0.0.9:1"), Ok(()), "{name}");
        ready(&mut a, &name);
        // One goes and another one comes, maybe in its room, before this worker looks.
        b.services.follow();
        let id = find(&b, &name).expect("there");
        assert!(b.services.live[id.0 as usize].usable && b.services.servers[id.0 as usize].is_up(), "{name}");
        if let Some(gone) = gone.replace(id).filter(|gone| *gone != id) {
            assert!(!b.services.live[gone.0 as usize].usable, "{name}");
        }
        assert_eq!(b.services.counters.server(id).get(Count::SessionsTotal), 0, "{name}");
        b.services.counters.server(id).add(Count::SessionsTotal, 5);
        maintain(&mut a, &name);
        assert_eq!(remove(&mut a, &name), Ok(()));
    }
    b.services.follow();
    let id = find(&a, "stays").expect("there");
    assert_eq!((a.services.servers[id.0 as usize].weight, names(&a)), (7, names(&b)));
}

/// A server goes, its namesake comes and changes so often before the other worker looks.
fn namesakes(changes: u32) {
    let crew = Crew::new();
    let [mut a, mut b] = crew.start(TEXT, 2).try_into().unwrap_or_else(|_| panic!("two"));
    add(&mut a, "n1", "10.0.0.9:1").expect("added");
    b.services.follow();
    let gone = find(&b, "n1").expect("there");
    assert_eq!(remove(&mut a, "n1"), Ok(()));
    add(&mut a, "n1", "10.0.0.9:2").expect("added");
    // With much to follow, all servers are looked at.
    if changes >= 600 {
        b.services.follow();
    }
    ready(&mut a, "n1");
    let id = find(&a, "n1").expect("there");
    for n in 0..changes {
        a.services.set_server_weight(id, 1 + n % 200);
    }
    b.services.follow();
    let new = find(&b, "n1").expect("there");
    let usable = [gone, new].map(|id| b.services.live[id.0 as usize].usable);
    assert_eq!((usable, b.services.servers[new.0 as usize].weight), ([false, true], 200));
}

#[test]
fn who_has_missed_much_does_not_take_one_that_has_gone_for_its_namesake() {
    namesakes(600);
}

#[test]
fn nor_does_who_sees_both_at_once() {
    namesakes(200);
}

#[test]
fn workers_share_the_ports_towards_a_server_that_was_added() {
    let crew = Crew::new();
    let [mut a, mut b] = crew.start(TEXT, 2).try_into().unwrap_or_else(|_| panic!("two"));
    add(&mut a, "n1", "10.0.0.9:1 source 127.0.0.1:5000-5001").expect("added");
    b.services.follow();
    let ports = [&a, &b].map(|core| core.services.counters.ports(find(core, "n1").expect("there")).expect("a range"));
    let leases = ports.each_ref().map(|ports| ports.take((5000, 5001)).map(|lease| (lease.port, lease)));
    let [Some((first, _one)), Some((second, _other))] = leases else { panic!("two ports") };
    assert_eq!((first, second), (5000, 5001));
    assert!(ports[0].take((5000, 5001)).is_none());
}
