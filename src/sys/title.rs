//! The words that `ps` shows of a process.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::fs;

/// Shows `title` instead of the command line. The name of the program (`comm`), by which `killall` and `pidof`
/// find it, stays. For a process with one thread; without /proc nothing changes.
///
/// The kernel shows what stands in the memory where it put the command line and, behind it, the environment:
/// a title that overwrites the end of the command line may be as long as both.
pub fn set(title: &[u8]) {
    let Some((start, command_line_end, end)) = area() else { return };
    let room = end - start;
    if super::process::thread_count() > 1 || title.len() < command_line_end - start || room <= title.len() {
        return;
    }
    move_environment();
    // SAFETY: the range is this process's own stack, mapped and writable for its whole life (the kernel put the
    // strings there and says where they are). What still points there are std's pointers to the arguments: they
    // stay valid, for strings of bytes end at the latest with the last, which stays zero. The environment has
    // just been moved. No other thread runs.
    unsafe {
        let start = start as *mut u8;
        start.write_bytes(0, room);
        start.copy_from_nonoverlapping(title.as_ptr(), title.len());
    }
}

/// Start and end of the command line, and the end of the environment behind it.
fn area() -> Option<(usize, usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may contain anything; the fields behind it count from the third.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<usize>().ok().filter(|address| *address > 0);
    let (start, arg_end, env_start, env_end) = (field(48)?, field(49)?, field(50)?, field(51)?);
    (start < arg_end && arg_end <= env_start && env_start <= env_end).then_some((start, arg_end, env_end))
}

/// Has every variable stand elsewhere than in the kernel's area.
fn move_environment() {
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for (name, value) in variables {
        // SAFETY: only this thread runs (checked by the caller), so nobody reads the environment meanwhile.
        unsafe { std::env::set_var(name, value) };
    }
}
