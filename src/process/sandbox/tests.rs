//! From inside: what a locked-in process can and cannot do.

use super::*;
use crate::proxy::confinement::Confinement;
use crate::shm::{Lock, Segment};
use crate::sys::process::{can_fork, exit_code, start_child};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::getppid;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// Runs `child` in the sandbox; gives its exit code, or 128 and the signal that killed it.
fn sandboxed(landlock: bool, seccomp: bool, child: impl FnOnce() -> bool) -> Option<u8> {
    sandboxed_with(None, landlock, seccomp, child)
}

/// The same for a child that keeps a descriptor.
fn sandboxed_with(
    kept: Option<BorrowedFd<'_>>,
    landlock: bool,
    seccomp: bool,
    child: impl FnOnce() -> bool,
) -> Option<u8> {
    if (landlock && !has_landlock()) || (seccomp && !has_seccomp()) {
        eprintln!("skipped: the kernel lacks landlock or seccomp");
        return None;
    }
    let confinement = Confinement { landlock, seccomp, ..Confinement::default() };
    let sources = Some(Vec::new());
    let plan = StartPlan { program: "epoxy".to_owned(), confinement, sources, ..StartPlan::default() };
    Some(exit_code(start_child(kept, || {
        let entered = Sandbox::prepare(&plan).and_then(|sandbox| sandbox.enter(&plan)).is_ok();
        u8::from(!(entered && child()))
    })))
}

fn is_well(code: Option<u8>) -> bool {
    matches!(code, None | Some(0))
}

/// Killed by SIGSYS, with or without a core.
fn is_killed(code: Option<u8>) -> bool {
    code.is_none_or(|code| code == 128 + libc::SIGSYS as u8)
}

#[test]
fn nothing_is_opened_bound_or_signalled_any_more() {
    let landlocked = sandboxed(true, false, || {
        let denied = Some(ErrorKind::PermissionDenied);
        let opened = std::fs::File::open("/etc/passwd").map_err(|error| error.kind()).err() == denied;
        let listed = std::fs::read_dir("/").map_err(|error| error.kind()).err() == denied;
        let made = std::fs::write("/tmp/epoxy-sandbox", "").map_err(|error| error.kind()).err() == denied;
        // Linux 6.7 and 6.12 know of these.
        let bound = TcpListener::bind("127.0.0.1:0").map_or_else(|error| Some(error.kind()), |_| None);
        let signalled = kill(getppid(), Signal::SIGCONT);
        let old = std::process::Command::new("true").status().is_ok();
        !old && opened && listed && made && bound == denied && signalled == Err(Errno::EPERM)
    });
    assert!(is_well(landlocked), "{landlocked:?}");
}

#[test]
fn servers_and_clients_are_reached_in_the_sandbox() {
    let server = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = server.local_addr().expect("address");
    let path = std::env::temp_dir().join(format!("epoxy-sandbox-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let unix = UnixListener::bind(&path).expect("bind");
    let code = sandboxed(true, true, || {
        let tcp = TcpStream::connect(address).is_ok();
        let unix = UnixStream::connect(&path).is_ok();
        let pair = UnixStream::pair().is_ok();
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let file = std::fs::File::open("/etc/passwd").is_err();
        tcp && unix && pair && memory.len() > 1 && file
    });
    drop(unix);
    let _ = std::fs::remove_file(&path);
    assert!(is_well(code), "{code:?}");
}

#[test]
fn shared_memory_is_changed_in_the_sandbox() {
    let segment = Segment::create(8, 2, 0, 0).expect("segment");
    let generation = segment.begin_generation();
    segment.slots().take(generation, 1).expect("slot");
    let code = sandboxed_with(segment.fd(), true, true, || {
        drop(segment.lock(Lock::State));
        let found = segment.directory(generation).object("server", b"b/s").is_ok();
        found && segment.slots().departed().next().is_none()
    });
    assert!(is_well(code), "{code:?}");
}

#[test]
fn a_call_that_no_worker_makes_is_the_end() {
    let code = sandboxed(false, true, can_fork);
    assert!(is_killed(code), "fork: {code:?}");
    let code = sandboxed(false, true, || nix::unistd::chdir("/").is_ok());
    assert!(is_killed(code), "chdir: {code:?}");
    let code = sandboxed(false, true, || kill(getppid(), Signal::SIGCONT).is_ok());
    assert!(is_killed(code), "kill: {code:?}");
    let code = sandboxed(false, true, || nix::unistd::setuid(nix::unistd::getuid()).is_ok());
    assert!(is_killed(code), "setuid: {code:?}");
}

#[test]
fn a_panic_ends_as_one() {
    // As in release builds, where it aborts.
    let code = sandboxed(true, true, || std::panic::catch_unwind(|| std::process::abort()).is_ok());
    assert!(code.is_none_or(|code| code == 128 + libc::SIGABRT as u8), "{code:?}");
    let code = sandboxed(true, true, || std::panic::catch_unwind(|| panic!("on purpose")).is_err());
    assert!(is_well(code), "{code:?}");
}
