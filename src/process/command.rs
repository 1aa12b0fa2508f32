//! From the words of the command line to a start: what ends at once, and what goes before and after reading
//! the configuration (management manual, section 3).

use super::notice;
use crate::args::{self, Args, Command, Refusal};
use crate::config::{condition, report};
use crate::text::env::Env;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code of `-cc` for a condition that cannot be evaluated.
const EXIT_CONDITION_ERROR: u8 = 2;
/// Exit code of `-c` for a configuration that listens nowhere.
const EXIT_NO_LISTENER: u8 = 2;

/// A command line that goes on to the configuration.
#[derive(Debug)]
pub struct Invocation {
    /// The program as called, `argv[0]`.
    pub program: String,
    /// The options.
    pub args: Box<Args>,
    /// Configuration files to read, in order.
    pub files: Vec<PathBuf>,
}

/// Carries out the command line up to reading the configuration: modes of messages, working directory, list
/// of files. The error is the exit code of a command line that ends here; everything is printed.
pub fn invoke(argv: &[OsString]) -> Result<Invocation, ExitCode> {
    let args = match args::parse(argv) {
        Ok(Command::Start(args)) => args,
        Ok(command) => return Err(carry_out(&command)),
        Err(refusal) => return Err(refuse(&refusal, argv)),
    };
    notice::set_modes(args.quiet, args.verbose || args.debug);
    if args.sockets_from_twice {
        notice::warning("-x option already set, overwriting the value");
    }
    if args.report {
        // All that there is to say stands in the report.
        notice::set_modes(true, false);
    }
    let alert = |text: String| {
        if args.report {
            write_out(&report::failure(&text));
        }
        notice::alert(text);
        ExitCode::FAILURE
    };
    if let Some(directory) = &args.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            let reason = notice::reason(&error);
            alert(format!("Could not change to directory {} : {reason}", directory.display()))
        })?;
    }
    let files = args::config_files(&args.files).map_err(alert)?;
    if files.is_empty() {
        return Err(refuse(&Refusal::Usage, argv));
    }
    let program = argv.first().map_or_else(|| "epoxy".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(Invocation { program, args, files })
}

/// What is left between a configuration without errors and the start. `Some` is the exit code of a command
/// line that ends here. The caller has printed the findings through [`notice`].
pub fn after_config(args: &Args, listens: bool) -> Option<ExitCode> {
    if args.list_objects {
        list_objects(args.quiet);
    }
    let warned = notice::warnings() > 0;
    if warned && args.zero_warning {
        notice::alert("config : Some warnings were found and 'zero-warning' is set. Aborting.");
        return Some(ExitCode::FAILURE);
    }
    if !args.check {
        return None;
    }
    let print = |line: &str| {
        if notice::is_shown() {
            write_out(&format!("{line}\n"));
        }
    };
    if warned {
        print("Warnings were found.");
    }
    if !listens {
        print("Configuration file has no error but will not start (no listener) => exit(2).");
        return Some(ExitCode::from(EXIT_NO_LISTENER));
    }
    print("Configuration file is valid");
    Some(ExitCode::SUCCESS)
}

/// A command that needs no configuration.
fn carry_out(command: &Command) -> ExitCode {
    match command {
        Command::Version => write_out(&args::version_page()),
        Command::BuildOptions => write_out(&args::build_options_page()),
        Command::MemoryHelp => write_out(&args::memory_page()),
        Command::Condition { text, quiet, verbose } => {
            notice::set_modes(*quiet, *verbose);
            return evaluate(text);
        }
        Command::Start(_) => {}
    }
    ExitCode::SUCCESS
}

fn evaluate(text: &str) -> ExitCode {
    match condition::evaluate(text, &Env::of_process()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            notice::alert(format!("config : Failed to evaluate condition: {}", error.text));
            ExitCode::from(EXIT_CONDITION_ERROR)
        }
    }
}

fn refuse(refusal: &Refusal, argv: &[OsString]) -> ExitCode {
    if let Refusal::Alert(text) | Refusal::AlertAndUsage(text) = refusal {
        notice::alert(text);
    }
    if let Refusal::Usage | Refusal::AlertAndUsage(_) = refusal {
        write_out(&args::version_page());
        eprint!("{}", args::usage_page(&args::program_name(argv)));
    }
    ExitCode::FAILURE
}

/// Writes to standard output; a reader that has gone (`epoxy -vv | head -1`) is no error.
fn write_out(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// `-dL`: the files that are mapped as code, the executable first.
fn list_objects(quiet: bool) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut page = if quiet { String::new() } else { "List of loaded object files:\n".to_owned() };
    for path in maps.lines().filter_map(mapped_object) {
        if seen.insert(path) {
            page.push_str(path);
            page.push('\n');
        }
    }
    write_out(&page);
}

/// The file of a line of /proc/self/maps, if it is a file and mapped as code.
fn mapped_object(line: &str) -> Option<&str> {
    let rights = line.split_ascii_whitespace().nth(1)?;
    let path = &line[line.find('/')?..];
    rights.contains('x').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_end_with_their_value() {
        assert_eq!(evaluate("1"), ExitCode::SUCCESS);
        assert_eq!(evaluate("0"), ExitCode::FAILURE);
        assert_eq!(evaluate("foo("), ExitCode::from(2));
    }

    #[test]
    fn objects_are_files_mapped_as_code() {
        assert_eq!(mapped_object("7f-80 r-xp 0000 00:00 12   /lib/x y.so"), Some("/lib/x y.so"));
        assert_eq!(mapped_object("7f-80 r--p 0000 00:00 12   /lib/x.so"), None);
        assert_eq!(mapped_object("7f-80 r-xp 0000 00:00 0    [vdso]"), None);
    }
}
