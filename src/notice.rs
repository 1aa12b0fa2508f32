//! Messages to the operator: `[NOTICE]   (pid) : text` on standard error, as HAProxy 2.6 writes them.
//!
//! Quiet and verbose mode decide what is shown; a daemon has no standard error any more, so its messages end
//! there by themselves. The first alert or warning is preceded by two notices that name the program.

use crate::args::VERSION;
pub use crate::text::unit::reason;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

static QUIET: AtomicBool = AtomicBool::new(false);
static VERBOSE: AtomicBool = AtomicBool::new(false);
static INTRODUCED: AtomicBool = AtomicBool::new(false);
static WARNINGS: AtomicU32 = AtomicU32::new(0);
static EXECUTABLE: OnceLock<String> = OnceLock::new();

/// Sets what is shown: nothing in quiet mode, unless verbose mode undoes it.
pub fn set_modes(quiet: bool, verbose: bool) {
    QUIET.store(quiet, Relaxed);
    VERBOSE.store(verbose, Relaxed);
    // Found now, because there is no /proc in a chroot jail.
    executable();
}

/// True if messages are shown.
pub fn is_shown() -> bool {
    !QUIET.load(Relaxed) || VERBOSE.load(Relaxed)
}

/// True in verbose mode (`-V`, `-d`).
pub fn is_verbose() -> bool {
    VERBOSE.load(Relaxed)
}

/// Warnings so far, shown or not: `-c` mentions them and `-dW` fails on them.
pub fn warnings() -> u32 {
    WARNINGS.load(Relaxed)
}

/// Something that goes wrong for good.
pub fn alert(text: impl Display) {
    introduce();
    print("ALERT", &text);
}

/// Something that the operator should look at.
pub fn warning(text: impl Display) {
    WARNINGS.fetch_add(1, Relaxed);
    introduce();
    print("WARNING", &text);
}

/// What a running worker has to say of its servers: without the introduction, which belongs to the start.
pub fn running(is_alert: bool, text: impl Display) {
    print(if is_alert { "ALERT" } else { "WARNING" }, &text);
}

/// Several lines that are no message: what a dump prints.
pub fn page(text: &str) {
    // Nobody is left to tell of a failure.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// A suspicious statement, shown in diagnostic mode only: the caller knows.
pub fn diagnostic(text: impl Display) {
    introduce();
    print("DIAG", &text);
}

/// Something worth knowing.
pub fn notice(text: impl Display) {
    print("NOTICE", &text);
}

/// One line as it is printed: the label in a field of eleven, the pid, the text.
pub fn line(label: &str, pid: u32, text: &dyn Display) -> String {
    format!("{:<11}({pid}) : {text}\n", format!("[{label}]"))
}

fn introduce() {
    if !is_shown() || INTRODUCED.swap(true, Relaxed) {
        return;
    }
    print("NOTICE", &format_args!("haproxy version is {VERSION}"));
    print("NOTICE", &format_args!("path to executable is {}", executable()));
}

/// Path of the program.
fn executable() -> &'static str {
    EXECUTABLE
        .get_or_init(|| std::env::current_exe().map_or_else(|_| "epoxy".to_owned(), |path| path.display().to_string()))
}

fn print(label: &str, text: &dyn Display) {
    if is_shown() {
        // One write a line, so that lines of several processes do not mix. Nobody is left to tell of a failure.
        let _ = io::stderr().write_all(line(label, std::process::id(), text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_in_a_field() {
        assert_eq!(line("ALERT", 5, &"x"), "[ALERT]    (5) : x\n");
        assert_eq!(line("WARNING", 5, &"x"), "[WARNING]  (5) : x\n");
        assert_eq!(line("NOTICE", 12, &"x y"), "[NOTICE]   (12) : x y\n");
    }

    #[test]
    fn errors_are_in_the_c_librarys_words() {
        for (number, words) in [
            (libc::EADDRINUSE, "Address already in use"),
            (libc::EACCES, "Permission denied"),
            (libc::EADDRNOTAVAIL, "Cannot assign requested address"),
            (libc::ENOENT, "No such file or directory"),
            (libc::ENODEV, "No such device"),
            (libc::EBADF, "Bad file descriptor"),
        ] {
            assert_eq!(reason(&io::Error::from_raw_os_error(number)), words);
        }
    }
}
