//! Into the background: pidfile, fork, session, standard streams (management manual 3, `-D` and `-p`).

use super::{Stop, notice};
use crate::sys::process::{Forked, fork, redirect_stdio};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A pidfile, open since before the chroot.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
    /// What it said before: the processes that are to be replaced, perhaps.
    former: Option<Vec<u8>>,
}

impl Pidfile {
    /// Replaces the file at `path` by an empty one. On failure the alert is printed.
    pub fn create(program: &str, path: &Path) -> Result<Pidfile, Stop> {
        // A device may have no end.
        let is_file = path.metadata().is_ok_and(|file| file.is_file());
        let former = is_file.then(|| std::fs::read(path).ok()).flatten();
        // An old one is removed first, so that ours has our rights and a link is not followed.
        let _ = std::fs::remove_file(path);
        let file = File::options().write(true).create(true).truncate(true).mode(0o644).open(path);
        let file = file.map_err(|_| {
            notice::alert(format!("[{program}.main()] Cannot create pidfile {}", path.display()));
            if let Some(former) = &former {
                let _ = std::fs::write(path, former);
            }
            Stop
        })?;
        Ok(Pidfile { path: path.to_owned(), file, former })
    }

    /// Tries whether a file at `path` could be replaced, and leaves it alone. On failure the alert is printed.
    pub fn rehearse(program: &str, path: &Path) -> Result<(), Stop> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = PathBuf::from(name);
        let file = File::options().write(true).create_new(true).mode(0o644).open(&beside);
        let _ = std::fs::remove_file(&beside);
        if file.is_err() || path.is_dir() {
            notice::alert(format!("[{program}.main()] Cannot create pidfile {}", path.display()));
            return Err(Stop);
        }
        Ok(())
    }

    /// Adds a line with `pid`.
    pub fn add(&mut self, pid: i32) -> io::Result<()> {
        self.file.write_all(format!("{pid}\n").as_bytes())
    }

    /// Puts the file back as it was: the process it names did not come up.
    fn restore(self) {
        // Nobody is left who could do more about it.
        let _ = match &self.former {
            Some(former) => std::fs::write(&self.path, former),
            None => std::fs::remove_file(&self.path),
        };
    }
}

/// Which side of the fork this is.
#[derive(Debug)]
pub enum Background {
    /// The process that was started: it ends with this code, success if the daemon is up.
    Foreground(ExitCode),
    /// The daemon, which says when it is up.
    Daemon(Ready),
}

/// The daemon's promise: the process that was started waits until it is kept or broken.
#[derive(Debug)]
pub struct Ready(PipeWriter);

impl Ready {
    /// The daemon serves from now on.
    pub fn tell(mut self) {
        // If the parent was killed meanwhile, nobody needs to know.
        let _ = self.0.write_all(b"1");
    }
}

/// Forks. The original writes the daemon's pid and waits until it is up, so that its exit code tells the
/// truth.
pub fn go_to_background(program: &str, pidfile: Option<Pidfile>) -> Result<Background, Stop> {
    match io::pipe().and_then(|(reader, writer)| Ok((fork()?, reader, writer))) {
        Ok((Forked::Child, reader, writer)) => {
            drop(reader);
            Ok(Background::Daemon(Ready(writer)))
        }
        Ok((Forked::Parent(child), reader, writer)) => {
            drop(writer);
            Ok(Background::Foreground(await_daemon(child.as_raw(), pidfile, reader)))
        }
        Err(_) => {
            notice::alert(format!("[{program}.main()] Cannot fork."));
            if let Some(pidfile) = pidfile {
                pidfile.restore();
            }
            Err(Stop)
        }
    }
}

fn await_daemon(child: i32, mut pidfile: Option<Pidfile>, mut reader: PipeReader) -> ExitCode {
    if let Some(pidfile) = &mut pidfile
        && let Err(error) = pidfile.add(child)
    {
        notice::warning(format!("Cannot write the pidfile: {}", notice::reason(&error)));
    }
    match reader.read_exact(&mut [0]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            // The daemon ended before it was up, and has said why.
            if let Some(pidfile) = pidfile {
                pidfile.restore();
            }
            ExitCode::FAILURE
        }
    }
}

/// /dev/null, opened while it can still be found (a chroot jail has none).
pub fn open_null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}

/// Takes the standard streams away: nobody reads them any more.
pub fn drop_stdio(null: &File) {
    for number in 0..=2 {
        let _ = redirect_stdio(null, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{exit_now, in_child};

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("epoxy-{name}-{}", std::process::id()))
    }

    /// Forks inside a child of the test's, which has one thread only.
    fn background(name: &str, daemon: fn(Ready)) -> (u8, Option<String>) {
        let path = temporary(name);
        let of_child = path.clone();
        let code = in_child(move || {
            let pidfile = Pidfile::create("epoxy", &of_child).expect("pidfile");
            match go_to_background("epoxy", Some(pidfile)).expect("fork") {
                Background::Daemon(ready) => {
                    daemon(ready);
                    exit_now(0)
                }
                Background::Foreground(code) => u8::from(code != ExitCode::SUCCESS),
            }
        });
        let text = std::fs::read_to_string(&path).ok();
        let _ = std::fs::remove_file(&path);
        (code, text)
    }

    #[test]
    fn the_parent_tells_that_the_daemon_is_up() {
        let (code, text) = background("up", Ready::tell);
        assert_eq!(code, 0);
        let text = text.expect("a pidfile");
        assert!(text.ends_with('\n') && text.trim_end().parse::<i32>().is_ok_and(|pid| pid > 1), "{text:?}");
    }

    #[test]
    fn the_parent_tells_that_the_daemon_failed() {
        assert_eq!(background("down", drop), (1, None));
    }

    #[test]
    fn a_pidfile_that_cannot_be_created_is_fatal() {
        assert!(Pidfile::create("epoxy", Path::new("/nonexistent/x.pid")).is_err());
    }
}
