//! Workers that hang because another process has a lock. That who has it is killed first is tested beside the code.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::crew::Crew;
use crate::service::PATIENCE;
use crate::support::place::wait_until;
use crate::turn;

const GLOBAL: &str = "    nbproc 2\n    tune.worker.hang-timeout 400ms\n    stats socket DIR/stats level admin";

/// The lock of the states that workers share, by the file that their supervisor has open.
struct StateLock(File);

impl StateLock {
    /// Which octet of the file stands for it.
    const AT: libc::off_t = 1;

    fn of(supervisor: u32) -> StateLock {
        let is_segment =
            |path: &PathBuf| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("/memfd:epoxy"));
        let all = fs::read_dir(format!("/proc/{supervisor}/fd")).expect("descriptors");
        let path = all.filter_map(|entry| Some(entry.ok()?.path())).find(is_segment).expect("the segment");
        StateLock(File::options().read(true).write(true).open(path).expect("the segment"))
    }

    fn range(kind: i32) -> libc::flock {
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        libc::flock { l_type, l_whence, l_start: Self::AT, l_len: 1, l_pid: 0 }
    }

    fn take(&self) {
        fcntl(&self.0, FcntlArg::F_SETLKW(&Self::range(libc::F_WRLCK))).expect("the lock");
    }

    fn give_back(&self) {
        fcntl(&self.0, FcntlArg::F_SETLK(&Self::range(libc::F_UNLCK))).expect("the lock");
    }
}

/// Gives an order, which takes the lock; its answer is still to come.
fn order(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect("runtime socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.write_all(b"set maxconn frontend f 50; set maxconn frontend f 51\n").expect("an order");
    stream
}

fn answer(mut stream: UnixStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn who_waits_for_a_lock_is_not_killed_for_it() {
    let _turn = turn();
    let crew = Crew::start(GLOBAL, "");
    let before = [crew.worker(1), crew.worker(2)];
    let lock = StateLock::of(crew.supervisor.pid());
    lock.take();
    let order = order(&crew.dir.path().join("stats"));
    let text = format!("it may wait for process {}, which has a lock", std::process::id());
    assert!(wait_until(PATIENCE, || crew.supervisor.stderr().contains(&text)), "{}", crew.supervisor.stderr());
    lock.give_back();
    assert_eq!(answer(order), "\n\n");
    assert_eq!([crew.worker(1), crew.worker(2)], before);
    assert!(!crew.supervisor.stderr().contains("killing it"), "{}", crew.supervisor.stderr());
}
