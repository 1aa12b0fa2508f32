//! From an opened start to a running worker.

use std::os::fd::AsRawFd;
use std::process::ExitCode;

use mio::unix::SourceFd;
use mio::{Interest, Poll};

use super::core::Core;
use super::worker::{Clock, Worker};
use crate::mesh::Post;
use crate::notice;
use crate::process::{ListenOwner, WorkerStart};
use crate::proxy::{Config, FrontendId};
use crate::session::Services;
use crate::shm::SlotState;
use crate::stats::Counters;
use crate::text::address::end_lookups;
use crate::token::{Kind, Token};
use crate::transport::Net;

/// Runs a worker until it is told to stop; gives the exit code of its process.
pub fn serve(config: &'static Config, counters: Counters, start: WorkerStart, program: &str) -> ExitCode {
    let (segment, slot, supervised) = (counters.segment(), counters.slot(), start.supervised);
    end_lookups();
    let outcome = assemble(config, counters, start, program).and_then(|mut worker| worker.run());
    if !supervised {
        Counters::bury(segment, slot);
        segment.slots().free(slot);
    }
    match outcome {
        Ok(code) => code,
        Err(error) => {
            notice::alert(format!("The event loop cannot go on: {}.", notice::reason(&error)));
            ExitCode::FAILURE
        }
    }
}

fn assemble(config: &'static Config, counters: Counters, start: WorkerStart, program: &str) -> std::io::Result<Worker> {
    let poll = Poll::new()?;
    let clock = Clock;
    let (segment, slot) = (counters.segment(), counters.slot());
    segment.settle(slot, clock.now());
    let registry = poll.registry().try_clone()?;
    let signals = Token::new(Kind::Worker, 0, 0);
    registry.register(&mut SourceFd(&start.signals.as_raw_fd()), signals.into(), Interest::READABLE)?;
    let mut services = Services::new(config, counters, clock.now(), Net::Real(poll.registry().try_clone()?), program);
    services.adopt_limits(&start.limits);
    services.note_start();
    services.log.complain_to(|text| notice::running(true, text));
    let core = Core::new(services);
    let mut worker = Worker::new(poll, clock, core, start.signals);
    if start.supervised {
        worker.listeners.share(start.kept);
    }
    for listener in start.listeners {
        match listener.owner {
            ListenOwner::Frontend { frontend, bind } => {
                let frontend = FrontendId(frontend as u32);
                worker.listeners.add(&registry, &worker.core, listener.socket, frontend, bind)?;
            }
            // Kept by the master.
            ListenOwner::Master => {}
            ListenOwner::Cli(bind) => worker.cli.add(&registry, listener.socket, bind)?,
        }
    }
    if let Some(post) = start.post {
        listen_to_others(&mut worker, post)?;
    }
    if let Some(spawner) = start.spawner {
        let token = Token::new(Kind::Spawner, 0, 0);
        registry.register(&mut SourceFd(&spawner.as_raw_fd()), token.into(), Interest::READABLE)?;
        worker.core.checks.employ(spawner);
    }
    worker.follow_frontends();
    segment.set_state(slot, SlotState::Serving);
    worker.core.claim_checks();
    Ok(worker)
}

/// Listens to other workers.
fn listen_to_others(worker: &mut Worker, post: Post) -> std::io::Result<()> {
    for (socket, kind) in [(post.bell(), Kind::Bell), (post.door(), Kind::Door)] {
        let token = Token::new(kind, 0, 0);
        worker.registry().register(&mut SourceFd(&socket.as_raw_fd()), token.into(), Interest::READABLE)?;
    }
    worker.post = Some(post);
    Ok(())
}
