//! Old processes: asked to make room while the new one binds, then to finish (management manual, 4).

use crate::args::OldProcesses;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends `signal` to each of `pids` and gives those that could be reached. One that is gone is what was
/// wanted anyway; one that is not ours is left alone.
pub fn tell(pids: &[i32], signal: Signal) -> Vec<i32> {
    // Not 0 or negative: those would mean whole process groups.
    pids.iter().copied().filter(|pid| *pid > 0 && kill(Pid::from_raw(*pid), signal).is_ok()).collect()
}

/// The signal that ends an old process as asked on the command line.
pub fn farewell(how: OldProcesses) -> Signal {
    match how {
        OldProcesses::Finish => Signal::SIGUSR1,
        OldProcesses::Terminate => Signal::SIGTERM,
    }
}
