//! The command line: what the operator typed becomes what to do (management manual, section 3).
//!
//! Parsing is pure: it prints nothing, reads no file and starts nothing. It is as lenient as HAProxy's where
//! scripts may count on that: `-n abc` is 0, `-cfoo` is `-c`, an unknown letter after `-d` is `-d`.

mod memory;
mod usage;
mod version;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

pub use memory::MemoryDebug;
pub use usage::{memory_page, usage_page};
pub use version::*;

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// `-v`: print [`version_page`], exit 0.
    Version,
    /// `-vv`: print [`build_options_page`], exit 0.
    BuildOptions,
    /// `-dMhelp`: print [`memory_page`], exit 0.
    MemoryHelp,
    /// `-cc <condition>`: exit 0 if it is true, 1 if false, 2 if it cannot be evaluated.
    Condition {
        /// The condition.
        text: String,
        /// `-q` stands beside it.
        quiet: bool,
        /// `-V` or `-d` stands beside it.
        verbose: bool,
    },
    /// Read the configuration, then check it or run it.
    Start(Box<Args>),
}

/// A command line that cannot be carried out. The exit code is 1.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// Print [`version_page`] on standard output and [`usage_page`] on standard error.
    Usage,
    /// Print this as an alert.
    Alert(String),
    /// Print this as an alert, then as for [`Refusal::Usage`].
    AlertAndUsage(String),
}

/// `-W` or `-Ws`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterWorker {
    /// `-W`.
    Plain,
    /// `-Ws`: with systemd's notifications.
    Systemd,
}

/// What becomes of old processes once the new one has its sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldProcesses {
    /// `-sf`: they finish what they do (SIGUSR1).
    #[default]
    Finish,
    /// `-st`: they end at once (SIGTERM).
    Terminate,
}

/// The options of a start or a check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    /// Configuration files and directories in the order given (`-f`, `--`); see [`config_files`].
    pub files: Vec<PathBuf>,
    /// `-c`: check the configuration only.
    pub check: bool,
    /// `-cj`: check it, and write what was found as JSON. For HAProxy this is `-c`.
    pub report: bool,
    /// `-C`: directory to change to before anything is read.
    pub directory: Option<PathBuf>,
    /// `-D`: go into background, whatever else is said.
    pub daemon: bool,
    /// `-db`: the configuration's `daemon` is not followed.
    pub foreground: bool,
    /// `-d`: debug mode; the configuration's `daemon` is not followed.
    pub debug: bool,
    /// `-q`: no messages.
    pub quiet: bool,
    /// `-V`: messages in spite of quiet mode, and some more.
    pub verbose: bool,
    /// `-dD`: warnings about suspicious statements.
    pub diagnostics: bool,
    /// `-dW`: any warning is fatal.
    pub zero_warning: bool,
    /// `-p`: file for the pids; goes before the configuration's `pidfile`.
    pub pidfile: Option<PathBuf>,
    /// `-n`: most connections of the process, 0 if not set; goes before `maxconn`.
    pub maxconn: u32,
    /// `-N`: most connections of a proxy that sets none, 0 if not set.
    pub proxy_maxconn: u32,
    /// `-m`: most memory in megabytes, 0 for no limit.
    pub memory_max_mb: u32,
    /// `-L`: name of the local peer, the host's name if not set.
    pub local_peer: Option<String>,
    /// `-W` and `-Ws`.
    pub master_worker: Option<MasterWorker>,
    /// `-S`: where the master's socket listens, with its options.
    pub master_socket: Option<String>,
    /// `-sf` or `-st`, the last one given.
    pub old_processes: OldProcesses,
    /// Pids of `-sf` and `-st`.
    pub old_pids: Vec<i32>,
    /// `-x`: socket of the old process that sends its listening sockets.
    pub sockets_from: Option<PathBuf>,
    /// `-x` was given again: the last one counts, and a warning says so.
    pub sockets_from_twice: bool,
    /// `-cc`: the condition to evaluate instead of a start.
    pub condition: Option<String>,
    /// `-dM`: memory debugging.
    pub memory: MemoryDebug,
    /// `-dK`: classes of keywords to list once the configuration is read, as typed.
    pub keyword_classes: Option<String>,
    /// `-dL`: list the loaded object files once the configuration is read.
    pub list_objects: bool,
    /// `-de`: do without epoll.
    pub no_epoll: bool,
    /// `-dS`: do without splice.
    pub no_splice: bool,
    /// `-dG`: resolve no names through the system.
    pub no_getaddrinfo: bool,
    /// `-dR`: do without SO_REUSEPORT.
    pub no_reuseport: bool,
    /// `-dr`: servers whose names do not resolve are tolerated.
    pub ignore_unresolved: bool,
    /// `-dV`: certificates of servers are not verified.
    pub no_server_verify: bool,
}

/// Name of the program as called, without its directories.
pub fn program_name(argv: &[OsString]) -> String {
    let name = argv.first().map(PathBuf::from);
    let name = name.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "epoxy".to_owned())
}

/// Parses a command line, `argv[0]` being the program's name.
pub fn parse(argv: &[OsString]) -> Result<Command, Refusal> {
    let mut words = Words { rest: argv.get(1..).unwrap_or_default() };
    let mut args = Args::default();
    while let Some(word) = words.next() {
        let word = word.as_bytes();
        let Some((&letter, tail)) = word.strip_prefix(b"-").and_then(|option| option.split_first()) else {
            return Err(Refusal::Usage);
        };
        let done = match letter {
            b'd' => debug_option(&mut args, tail)?,
            _ => option(&mut args, letter, tail, &mut words)?,
        };
        if let Some(command) = done {
            return Ok(command);
        }
    }
    if let Some(text) = args.condition {
        return Ok(Command::Condition { text, quiet: args.quiet, verbose: args.verbose || args.debug });
    }
    if args.files.is_empty() {
        return Err(Refusal::Usage);
    }
    args.refuse_unbuilt()?;
    Ok(Command::Start(Box::new(args)))
}

/// Carries out an option that is not of the `-d` family; `Some` if the command line ends with it.
fn option(args: &mut Args, letter: u8, tail: &[u8], words: &mut Words) -> Result<Option<Command>, Refusal> {
    match (letter, tail) {
        (b'v', [b'v', ..]) => return Ok(Some(Command::BuildOptions)),
        (b'v', _) => return Ok(Some(Command::Version)),
        (b'c', b"c") => {
            let condition = words.next().ok_or(Refusal::Usage)?;
            args.condition = Some(condition.to_string_lossy().into_owned());
        }
        (b'c', _) => {
            args.check = true;
            args.report |= tail == b"j";
        }
        (b'D', _) => args.daemon = true,
        (b'V', _) => args.verbose = true,
        (b'q', _) => args.quiet = true,
        (b'W', [b's', ..]) => args.master_worker = Some(MasterWorker::Systemd),
        (b'W', _) => args.master_worker = Some(MasterWorker::Plain),
        (b's', [how @ (b'f' | b't'), ..]) => {
            args.old_processes = if *how == b'f' { OldProcesses::Finish } else { OldProcesses::Terminate };
            while let Some(word) = words.next_value() {
                args.old_pids.push(old_pid(*how as char, word.as_bytes())?);
            }
        }
        (b'x', _) => match words.next() {
            Some(path) => args.sockets_from_twice = args.sockets_from.replace(path.into()).is_some(),
            None => return Err(Refusal::AlertAndUsage("Unix socket path expected with the -x flag\n".to_owned())),
        },
        (b'-', b"") => args.files.extend(words.drain().iter().map(PathBuf::from)),
        (b'C' | b'n' | b'N' | b'm' | b'L' | b'p' | b'f' | b'S', _) => {
            let missing = || Refusal::Alert(format!("-{} expects a value.", letter as char));
            value_option(args, letter, words.next().ok_or_else(missing)?);
        }
        _ => return Err(Refusal::Usage),
    }
    Ok(None)
}

/// Carries out an option that takes the word behind it, whatever that looks like.
fn value_option(args: &mut Args, letter: u8, value: &OsString) {
    let number = || u32::try_from(c_integer(value.as_bytes()).0).unwrap_or(0);
    match letter {
        b'C' => args.directory = Some(value.into()),
        b'n' => args.maxconn = number(),
        b'N' => args.proxy_maxconn = number(),
        b'm' => args.memory_max_mb = number(),
        b'L' => args.local_peer = Some(value.to_string_lossy().into_owned()),
        b'p' => args.pidfile = Some(value.into()),
        b'S' => args.master_socket = Some(value.to_string_lossy().into_owned()),
        _ => args.files.push(value.into()),
    }
}

/// Carries out an option of the `-d` family.
fn debug_option(args: &mut Args, tail: &[u8]) -> Result<Option<Command>, Refusal> {
    match tail.first() {
        Some(b'b') => args.foreground = true,
        Some(b'D') => args.diagnostics = true,
        Some(b'W') => args.zero_warning = true,
        Some(b'e') => args.no_epoll = true,
        // poll() is never used, so doing without it takes nothing.
        Some(b'p') => {}
        Some(b'S') => args.no_splice = true,
        Some(b'G') => args.no_getaddrinfo = true,
        Some(b'R') => args.no_reuseport = true,
        Some(b'L') => args.list_objects = true,
        Some(b'r') => args.ignore_unresolved = true,
        Some(b'V') => args.no_server_verify = true,
        Some(b'K') => args.keyword_classes = Some(String::from_utf8_lossy(&tail[1..]).into_owned()),
        Some(b'M') => match memory::parse(&String::from_utf8_lossy(&tail[1..])).map_err(Refusal::Alert)? {
            memory::MemoryRequest::Set(debug) => args.memory = debug,
            memory::MemoryRequest::Help => return Ok(Some(Command::MemoryHelp)),
        },
        _ => args.debug = true,
    }
    Ok(None)
}

/// One word of a list of `-sf` or `-st` (`how` is its second letter): a positive number with blanks around it at most.
fn old_pid(how: char, word: &[u8]) -> Result<i32, Refusal> {
    let (number, rest) = c_integer(word);
    let rest = rest.trim_ascii_start();
    match i32::try_from(number) {
        _ if !rest.is_empty() && number != 0 || word.iter().any(u8::is_ascii_alphabetic) => {
            let rest = String::from_utf8_lossy(rest);
            Err(Refusal::Alert(format!("-s{how} option: some bytes unconsumed in PID list {{{rest}}}")))
        }
        Ok(pid) if pid > 0 => Ok(pid),
        // Beyond what a pid can be: nobody has it, as HAProxy finds out by signalling it.
        Err(_) if number > 0 => Ok(i32::MAX),
        _ => Err(Refusal::Usage),
    }
}

/// A number as C's strtol reads it (0 if there is none), and what stands behind it.
fn c_integer(text: &[u8]) -> (i64, &[u8]) {
    let trimmed = text.trim_ascii_start();
    let (negative, digits) = match trimmed.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, trimmed),
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return (0, text);
    }
    let step = |sum: i64, byte: &u8| sum.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    let value = digits[..len].iter().fold(0, step);
    (if negative { -value } else { value }, &digits[len..])
}

impl Args {
    /// What is understood but not built is refused, except in check mode, where it changes nothing: the
    /// usual service files check with the options that they start with.
    fn refuse_unbuilt(&self) -> Result<(), Refusal> {
        let refuse = |what: &str| Err(Refusal::Alert(format!("{what} in this version of epoxy.")));
        match self {
            _ if self.check => Ok(()),
            Args { no_getaddrinfo: true, .. } => refuse("-dG leaves no resolver: getaddrinfo() is the only one"),
            Args { no_epoll: true, .. } => refuse("-de leaves no polling system: epoll is the only one"),
            _ => Ok(()),
        }
    }

    /// True if the process goes into background, `configured` being the configuration's `daemon`.
    pub fn goes_to_background(&self, configured: bool) -> bool {
        self.daemon || (configured && !self.foreground && !self.debug)
    }
}

/// The words not yet used.
struct Words<'a> {
    rest: &'a [OsString],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a OsString> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next word unless it is an option.
    fn next_value(&mut self) -> Option<&'a OsString> {
        self.rest.first().filter(|word| !word.as_bytes().starts_with(b"-"))?;
        self.next()
    }

    fn drain(&mut self) -> &'a [OsString] {
        std::mem::take(&mut self.rest)
    }
}

/// The files to read for what `-f` and `--` named: a directory stands for its visible `*.cfg` files, in the
/// order of their bytes. The error is the text of HAProxy's alert.
pub fn config_files(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in named {
        let cannot = |what: &str, error: std::io::Error| {
            let reason = crate::text::unit::reason(&error);
            format!("config : Cannot open configuration {what} {} : {reason}", path.display())
        };
        let kind = std::fs::metadata(path).map_err(|error| cannot("file/directory", error))?;
        if !kind.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| cannot("directory", error))? {
            let name = entry.map_err(|error| cannot("directory", error))?.file_name().into_vec();
            // A name is more than its ending; what is not a file (a directory `x.cfg`) is left out.
            let named_cfg = name.len() > b".cfg".len() && name.ends_with(b".cfg") && name[0] != b'.';
            let full = path.join(OsString::from_vec(name));
            if named_cfg && full.is_file() {
                names.push(full);
            }
        }
        names.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        files.append(&mut names);
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
