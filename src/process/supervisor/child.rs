//! From a fork of the supervisor to a worker.

use super::Supervisor;
use crate::process::plan::StartPlan;
use crate::process::signals::Signals;
use crate::process::spawner::Spawner;
use crate::process::start::{WorkerStart, leave_behind};
use crate::process::{Stop, notice};
use crate::sys::{signal, title};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use std::ffi::OsString;
use std::io::{PipeWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

impl Supervisor<'_> {
    /// Turns this process, a fork of the supervisor, into worker `number`, and tells `ready` when it is one. On
    /// failure the messages are printed.
    pub(super) fn become_worker(&mut self, number: u32, ready: Option<PipeWriter>) -> Result<WorkerStart, Stop> {
        let plan = self.plan;
        set_title(&format!("worker {number}"));
        pin(plan, number);
        let spawner = Spawner::raise(plan)?;
        let sandbox = leave_behind(plan)?;
        // Forgotten by the kernel at every change of user, so not before. What happened meanwhile shows.
        let follow = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
        if follow.is_err() || getppid() != self.pid {
            return Err(Stop);
        }
        if let Some(signals) = self.signals.take() {
            signals.hand_on();
        }
        let signals = Signals::open().map_err(|error| {
            notice::alert(format!("[{}.main()] Cannot read signals: {}.", plan.program, notice::reason(&error)));
            Stop
        })?;
        // Only a master has use for it.
        let _ = signal::ignore(Signal::SIGUSR2);
        let listeners = std::mem::take(&mut self.listeners);
        let (listeners, kept) = listeners.into_iter().partition(|listener| listener.workers.contains(number));
        let mut posts = std::mem::take(&mut self.posts);
        sandbox.enter(plan)?;
        if let Some(mut ready) = ready {
            // A supervisor that is gone needs no word.
            let _ = ready.write_all(b"1");
        }
        Ok(WorkerStart {
            listeners,
            kept,
            signals,
            limits: self.limits,
            number,
            workers: plan.workers,
            supervised: true,
            segment: self.ties.segment,
            slot: self.slot(number),
            post: posts.get_mut(number as usize - 1).and_then(Option::take),
            spawner,
        })
    }
}

/// Pins the calling process to the processors of worker `number`.
pub fn pin(plan: &StartPlan, number: u32) {
    let Some(Some(cpus)) = plan.cpus.get(number as usize - 1) else { return };
    let mut set = CpuSet::new();
    for cpu in cpus.iter() {
        // More than the kernel's interface knows there cannot be.
        let _ = set.set(cpu);
    }
    if let Err(error) = sched_setaffinity(Pid::from_raw(0), &set) {
        notice::warning(format!(
            "[{}.main()] Cannot set CPU affinity of worker {number}: {}.",
            plan.program,
            error.desc()
        ));
    }
}

/// Shows what this process is: the program's name as it was called, the role, and the other arguments.
pub fn set_title(role: &str) {
    // Kept, for the title overwrites them.
    static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();
    let arguments = ARGUMENTS.get_or_init(|| std::env::args_os().collect());
    let Some((name, rest)) = arguments.split_first() else { return };
    let mut text = name.as_bytes().to_vec();
    text.extend_from_slice(format!(" [{role}]").as_bytes());
    for argument in rest {
        text.push(b' ');
        text.extend_from_slice(argument.as_bytes());
    }
    title::set(&text);
}
