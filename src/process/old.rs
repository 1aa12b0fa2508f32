//! Old processes: asked to make room while the new one binds, then to finish (management manual, 4).

use super::notice;
use crate::args::OldProcesses;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends `signal` to each of `pids` and gives those that could be reached. One that is gone is what was
/// wanted anyway; one that is not ours is left alone.
pub fn tell(pids: &[i32], signal: Signal) -> Vec<i32> {
    // Not 0 or negative: those would mean whole process groups.
    pids.iter().copied().filter(|pid| *pid > 0 && kill(Pid::from_raw(*pid), signal).is_ok()).collect()
}

/// Ends old processes as asked on the command line. The operator is told of those that cannot be reached.
pub fn dismiss(pids: &[i32], how: OldProcesses) {
    let signal = farewell(how);
    for pid in pids.iter().copied() {
        if tell(&[pid], signal).is_empty() {
            let reason = kill(Pid::from_raw(pid), None).err().unwrap_or(Errno::ESRCH);
            notice::warning(format!("Old process {pid} cannot be told to leave ({}).", reason.desc()));
        }
    }
}

/// The signal that ends an old process as asked on the command line.
fn farewell(how: OldProcesses) -> Signal {
    match how {
        OldProcesses::Finish => Signal::SIGUSR1,
        OldProcesses::Terminate => Signal::SIGTERM,
    }
}
