//! Messages to the operator: `[NOTICE]   (pid) : text` on standard error, as HAProxy 2.6 writes them.
//!
//! Quiet and verbose mode decide what is shown; a daemon has no standard error any more, so its messages end
//! there by themselves. The first alert or warning is preceded by two notices that name the program.

use crate::args::VERSION;
pub use crate::text::unit::reason;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

static QUIET: AtomicBool = AtomicBool::new(false);
static VERBOSE: AtomicBool = AtomicBool::new(false);
static INSISTS: AtomicBool = AtomicBool::new(false);
static KEPT: Mutex<Option<String>> = Mutex::new(None);
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
    !QUIET.load(Relaxed) || VERBOSE.load(Relaxed) || INSISTS.load(Relaxed)
}

/// Shows messages in quiet mode, too: somebody else decides what becomes of them.
pub fn insist() {
    INSISTS.store(true, Relaxed);
}

/// Keeps a copy of what is printed from now on, for [`kept`].
pub fn keep() {
    if let Ok(mut kept) = KEPT.lock() {
        kept.get_or_insert_default();
    }
}

/// What was printed since [`keep`], which is over.
pub fn kept() -> String {
    KEPT.lock().ok().and_then(|mut kept| kept.take()).unwrap_or_default()
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
    let line = line(label, std::process::id(), text);
    if let Ok(mut kept) = KEPT.lock()
        && let Some(kept) = kept.as_mut()
    {
        kept.push_str(&line);
    }
    if is_shown() {
        // One write a line, so that lines of several processes do not mix. Nobody is left to tell of a failure.
        let _ = io::stderr().write_all(line.as_bytes());
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
