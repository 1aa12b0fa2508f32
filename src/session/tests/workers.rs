//! Several workers of one service: one limit, one order of waiting, one view of load.

use super::*;
use crate::proxy::{BackendId, FrontendId, ServerId};
use crate::session::Admission;
use crate::shm::Slot;
use crate::stats::{Count, Counters};

const ONE_PLACE: &str = "frontend fe\n bind :8001\n default_backend be\nbackend be\n server s1 127.0.0.1:1 maxconn 1\n";

/// Workers whose bells are heard, and whose clocks go together.
struct Service {
    workers: Vec<Sim>,
    /// Connections to servers, by worker.
    servers: Vec<Vec<Far>>,
    /// This one does not hear its bell.
    deaf: Option<usize>,
}

impl Service {
    fn new(workers: usize, config: &str) -> Service {
        Service { workers: Sim::workers(workers, config), servers: vec![Vec::new(); workers], deaf: None }
    }

    /// A client of a worker sends a request.
    fn client(&mut self, worker: usize) -> (usize, Far) {
        self.pass(1);
        let far = self.workers[worker].client_sends(GET);
        self.settle();
        (worker, far)
    }

    /// Whether a server has a request of this worker, which it answers then.
    fn answers(&mut self, worker: usize) -> bool {
        let sim = &mut self.workers[worker];
        while let Some(far) = sim.try_server() {
            self.servers[worker].push(far);
        }
        let asked = self.servers[worker].iter().copied().find(|far| sim.got(*far).contains("GET"));
        if let Some(far) = asked {
            sim.send(far, OK);
            self.settle();
        }
        asked.is_some()
    }

    fn close(&mut self, (worker, far): (usize, Far)) {
        self.workers[worker].close(far);
        self.settle();
    }

    fn got(&mut self, (worker, far): (usize, Far)) -> String {
        self.workers[worker].got(far)
    }

    fn settle(&mut self) {
        loop {
            let ring = |worker: &mut Sim| std::mem::take(&mut worker.core.services.to_ring);
            let rung: Vec<Slot> = self.workers.iter_mut().flat_map(ring).collect();
            let rung = rung.into_iter().map(|slot| usize::from(slot.0)).filter(|at| Some(*at) != self.deaf);
            let mut rest = true;
            for worker in rung {
                rest = false;
                self.workers[worker].core.rung();
                self.workers[worker].settle();
            }
            if rest {
                return;
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            for worker in 0..self.workers.len() {
                self.workers[worker].pass(1);
                self.settle();
            }
        }
    }

    /// Sessions on a server.
    fn held(&self, server: u32) -> u64 {
        self.workers[0].core.services.counters.server(ServerId(server)).get(Count::SessionsCurrent)
    }
}

#[test]
fn a_place_goes_to_whoever_has_waited_longest_in_any_worker() {
    let mut service = Service::new(3, ONE_PLACE);
    let first = service.client(0);
    let waiting = [service.client(2), service.client(0), service.client(1), service.client(2)];
    let queue = service.workers[1].core.services.counters.backend(BackendId(0));
    assert_eq!((queue.get(Count::QueueCurrent), queue.max(Count::QueueMax)), (4, 4));
    for client in [first].into_iter().chain(waiting) {
        assert_eq!(service.held(0), 1);
        assert!(service.answers(client.0), "it is the turn of worker {}", client.0);
        assert_eq!(status(&service.got(client)), "200");
    }
    assert_eq!(service.held(0), 0);
    service.pass(1);
    let lines: Vec<_> = service.workers.iter_mut().flat_map(|worker| worker.log()).collect();
    for position in ["0/0", "0/1", "0/2", "0/3", "0/4"] {
        let shown = lines.iter().filter(|line| line.contains(&format!(" {position} \"GET")));
        assert_eq!(shown.count(), 1, "{position} in {lines:?}");
    }
}

#[test]
fn who_comes_later_does_not_overtake_who_waits_elsewhere() {
    let mut service = Service::new(2, ONE_PLACE);
    let _first = service.client(0);
    let patient = service.client(1);
    // The bell has not been heard yet when the next one comes.
    service.deaf = Some(1);
    assert!(service.answers(0));
    let late = service.client(0);
    assert_eq!(service.held(0), 0);
    service.deaf = None;
    service.workers[1].core.rung();
    assert!(service.answers(1));
    assert_eq!((status(&service.got(patient)), &*service.got(late)), ("200", ""));
    assert!(service.answers(0));
    assert_eq!(status(&service.got(late)), "200");
}

#[test]
fn a_worker_that_hangs_keeps_no_place_from_others() {
    let mut service = Service::new(2, ONE_PLACE);
    let _first = service.client(0);
    let _hangs = service.client(1);
    let waits = service.client(0);
    // It neither hears its bell nor looks by itself.
    service.deaf = Some(1);
    assert!(service.answers(0));
    assert_eq!(service.held(0), 0);
    service.workers[0].pass(110);
    assert!(service.answers(0));
    assert_eq!(status(&service.got(waits)), "200");
    service.deaf = None;
}

#[test]
fn places_of_a_worker_that_died_are_found_without_a_bell() {
    let mut service = Service::new(2, ONE_PLACE);
    let _first = service.client(1);
    let waits = service.client(0);
    let segment = service.workers[0].core.services.counters.segment();
    std::mem::forget(service.workers.pop());
    Counters::bury(segment, Slot(1));
    service.pass(51);
    assert!(service.answers(0));
    assert_eq!(status(&service.got(waits)), "200");
}

#[test]
fn who_gives_up_waiting_leaves_the_place_to_others() {
    let mut service = Service::new(2, &format!("timeout queue 300ms\noption abortonclose\n{ONE_PLACE}"));
    let _first = service.client(0);
    let impatient = service.client(1);
    let leaves = service.client(0);
    service.pass(100);
    let last = service.client(1);
    service.close(leaves);
    service.pass(250);
    assert_eq!(status(&service.got(impatient)), "503");
    assert!(service.answers(0));
    assert!(service.answers(1));
    assert_eq!(status(&service.got(last)), "200");
}

#[test]
fn a_hash_waits_for_its_server_alone_and_maxqueue_counts_all_workers() {
    let mut service = Service::new(
        2,
        "balance source\nfrontend fe\n bind :8001\n default_backend be\nbackend be\n \
         server s1 127.0.0.1:1 maxconn 1 maxqueue 2\n server s2 127.0.0.1:2 maxconn 1 maxqueue 2\n",
    );
    let clients = [service.client(0), service.client(1), service.client(0)];
    let refused = service.client(1);
    assert_eq!(status(&service.got(refused)), "503");
    for client in clients {
        assert!(service.answers(client.0));
        assert_eq!(status(&service.got(client)), "200");
    }
}

#[test]
fn least_connections_are_those_of_all_workers() {
    let mut service = Service::new(
        2,
        "balance leastconn\nfrontend fe\n bind :8001\n default_backend be\nbackend be\n server s1 127.0.0.1:1\n \
         server s2 127.0.0.1:2\n server s3 127.0.0.1:3\n",
    );
    let clients: Vec<_> = (0..9).map(|n| service.client(n % 2)).collect();
    assert_eq!([0, 1, 2].map(|server| service.held(server)), [3, 3, 3]);
    clients.into_iter().for_each(|client| service.close(client));
}

#[test]
fn a_frontend_accepts_as_many_as_it_may_over_all_workers() {
    let mut service = Service::new(2, &format!("maxconn 3\n{ONE_PLACE}"));
    let frontend = FrontendId(0);
    let first = service.workers[0].client();
    let [second, _third] = [0, 1].map(|worker| service.workers[worker].client());
    let services = &service.workers[1].core.services;
    assert_eq!(services.admit(frontend, 0), Admission::Full);
    assert!(services.wait_to_accept(true) && !services.wait_to_accept(true));
    assert_eq!(services.admit(frontend, 0), Admission::Full);
    service.workers[0].close(first);
    assert_eq!(service.workers[0].core.services.to_ring, [Slot(1)]);
    service.settle();
    assert!(service.workers[1].core.services.wait_to_accept(false));
    let _fourth = service.workers[1].client();
    service.workers[0].close(second);
    assert!(service.workers[0].core.services.to_ring.is_empty());
    let services = &mut service.workers[0].core.services;
    assert_eq!(services.admit(frontend, 0), Admission::Reserved);
    assert_eq!(services.admit(frontend, 0), Admission::Full);
    services.withdraw(frontend, 0);
    assert_eq!(services.counters.frontend(frontend).max(Count::SessionsMax), 3);
}

#[test]
fn a_rate_is_that_of_all_workers() {
    let mut service = Service::new(2, &format!("rate-limit sessions 4\n{ONE_PLACE}"));
    let clients: Vec<_> = (0..4).map(|n| service.client(n % 2)).collect();
    let services = &service.workers[0].core.services;
    let Admission::Later(next) = services.admit(FrontendId(0), 0) else { panic!("the limit is reached") };
    let now = services.now.tick();
    service.pass(next.0 - now.0 - 2);
    assert!(matches!(service.workers[0].core.services.admit(FrontendId(0), 0), Admission::Later(_)));
    service.pass(2);
    let services = &mut service.workers[0].core.services;
    assert_eq!(services.admit(FrontendId(0), 0), Admission::Reserved);
    services.withdraw(FrontendId(0), 0);
    assert_eq!(services.counters.frontend(FrontendId(0)).max(Count::SessionRateMax), 4);
    drop(clients);
}

#[test]
fn chance_never_exceeds_a_limit_and_leaves_nobody_waiting() {
    let config = "timeout queue 60s\nretries 1\noption redispatch\nfrontend fe\n bind :8001\n default_backend be\n\
                  backend be\n server s1 127.0.0.1:1 maxconn 2\n server s2 127.0.0.1:2 maxconn 1\n";
    for seed in 1..=12u64 {
        let mut service = Service::new(3, config);
        let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut roll = |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice % sides as u64) as usize
        };
        let mut clients = Vec::new();
        for _ in 0..200 {
            // Bells are heard late.
            service.deaf = [None, Some(0), Some(1), Some(2)][roll(4)];
            match roll(5) {
                0 | 1 => clients.push(service.client(roll(3))),
                2 if !clients.is_empty() => {
                    let client = clients.swap_remove(roll(clients.len()));
                    service.close(client);
                }
                3 => service.pass(roll(80) as u64),
                _ => drop(service.answers(roll(3))),
            }
            assert!(service.held(0) <= 2 && service.held(1) <= 1, "seed {seed}");
        }
        service.deaf = None;
        service.pass(200);
        while (0..3).any(|worker| service.answers(worker)) {}
        assert_eq!((service.held(0), service.held(1)), (0, 0), "seed {seed}");
        for client in clients {
            assert_eq!(status(&service.got(client)), "200", "seed {seed}");
        }
    }
}
