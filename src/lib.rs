//! epoxy, a drop-in HAProxy: the library behind the binary.
//!
//! ARCHITECTURE.md describes the layers; dependencies point down the list given there.

pub mod args;
pub mod balance;
pub mod buffer;
pub mod check;
pub mod cli;
pub mod config;
pub mod dns;
pub mod event;
pub mod facts;
pub mod h1;
pub mod http;
pub mod log;
pub mod mesh;
pub mod notice;
pub mod pattern;
pub mod persist;
pub mod preface;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod rules;
pub mod sample;
pub mod session;
pub mod shm;
pub mod stats;
pub mod sys;
pub mod text;
pub mod time;
pub mod token;
pub mod transport;
pub mod upstream;
pub mod version;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use config::{LoadOptions, Severity};
use process::master::Inherited;
use process::{Invocation, StartPlan};
use text::finding::Style;

/// Runs the command line to its end and gives the exit code of the process.
pub fn run(argv: Vec<OsString>) -> ExitCode {
    process::master::remember_start(&argv);
    let inherited = process::master::Inherited::find();
    match inherited {
        // The master reads it.
        Some(inherited) if inherited.trial => notice::insist(),
        // It is asked for at the master's socket if the start comes to nothing.
        Some(_) => notice::keep(),
        None => {}
    }
    let code = match process::invoke(&argv) {
        Ok(invocation) => start(&invocation, inherited),
        Err(code) => code,
    };
    match inherited {
        Some(inherited) if inherited.is_stranded() => process::master::strand(inherited, |file| {
            let segment = stats::segment::attach_for_burials(file).ok()?;
            Some(process::master::Memory { segment, bury: stats::Counters::bury })
        }),
        _ => code,
    }
}

fn start(invocation: &Invocation, inherited: Option<&'static Inherited>) -> ExitCode {
    let args = &invocation.args;
    // What can be read once only would be gone, or never come, when the trial's success is followed up.
    let mut once = invocation.files.iter().filter(|path| !is_there_to_stay(path));
    if let Some(path) = once.next().filter(|_| inherited.is_some()) {
        notice::alert(format!("config : {} is no file: it cannot be read again by a reload.", path.display()));
        return ExitCode::FAILURE;
    }
    let loaded = load(invocation);
    let Some(mut config) = loaded.config else { return ExitCode::FAILURE };
    if args.check && args.verbose {
        loaded.dated.print(Style::Plain, &mut |_, text| notice::notice(text));
    }
    let (debug, zero_warning) = (args.debug || config.global.debug, args.zero_warning || config.global.zero_warning);
    let args = &args::Args { debug, zero_warning, ..(**args).clone() };
    overrule(&mut config, args);
    if let Some(classes) = &args.keyword_classes {
        // A reader that has gone (`| head`) is no error.
        let _ = std::io::stdout().write_all(registry::dump::dump(classes).as_bytes());
    }
    if args.check && !args.report && config.global.quiet {
        // Findings are shown all the same, the verdict's words are not.
        notice::set_modes(true, args.verbose || args.debug);
    }
    let mut plan = StartPlan::new(&invocation.program, args, &config);
    plan.inherited = inherited.filter(|_| plan.master.is_some());
    if let Some(code) = process::after_config(args, !plan.listeners.is_empty()) {
        return code;
    }
    if inherited.is_some() && plan.master.is_none() {
        notice::alert("config : 'master-worker' cannot be taken away by a reload.");
        return ExitCode::FAILURE;
    }
    // The configuration lives as long as the process: everything refers to it.
    let config: &'static proxy::Config = Box::leak(Box::new(config));
    let old = config.global.carry_over.then(|| process::old_segments(&plan)).into_iter().flatten();
    let memory_max_mb = plan.limits.memory_max_mb as usize;
    let cap_bytes = Some(memory_max_mb << 20).filter(|cap| *cap > 0);
    let (counters, slots) = match stats::segment::enter(config, plan.workers as usize, old, cap_bytes) {
        Ok(shared) => shared,
        Err(reason) => {
            notice::alert(format!("[{}.main()] Cannot map shared memory: {reason}.", invocation.program));
            return ExitCode::FAILURE;
        }
    };
    let program = invocation.program.rsplit('/').next().unwrap_or_default();
    time::zone::zone();
    // Made when it is needed: by then the supervisor has its pid.
    let mut logger = None;
    let mut log = |level, text: &str| {
        let logger = logger.get_or_insert_with(|| log::Logger::new(config, program));
        logger.global(event::Clock.now(), level, format_args!("{text}"));
    };
    let segment = counters.segment();
    let bury = |slot| stats::Counters::bury(segment, slot);
    let ties = process::Ties { segment, slots, bury: &bury, log: &mut log };
    let worker = |worker: process::WorkerStart| event::serve(config, counters.of_slot(worker.slot), worker, program);
    let code = process::start(&plan, ties, worker);
    segment.slots().give_up();
    code
}

/// How findings are shown: colours are for terminals that know them, whose user has nothing against
/// (<https://no-color.org>).
fn style() -> Style {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    match std::io::stderr().is_terminal() {
        false => Style::Plain,
        true if is_dumb || is_set("NO_COLOR") => Style::Detailed,
        true => Style::Coloured,
    }
}

/// Reads the configuration and says what was found in it.
fn load(invocation: &Invocation) -> config::Loaded {
    let args = &invocation.args;
    let style = style();
    let options = LoadOptions {
        files: invocation.files.clone(),
        local_peer: args.local_peer.clone(),
        master_worker: args.master_worker.is_some(),
        master_socket: args.master_socket.clone(),
        env: text::env::Env::of_process(),
        diagnostics: args.diagnostics,
        ignore_unresolved: args.ignore_unresolved,
        detailed: args.report || style != Style::Plain,
    };
    let loaded = config::load(&options);
    loaded.findings.print(style, &mut say);
    if args.report {
        // A reader that has gone (`| head`) is no error.
        let _ = std::io::stdout().write_all(config::report::report(&loaded).as_bytes());
    }
    loaded
}

/// Whether a file can be read as often as one likes. Of what is not there, reading it tells.
fn is_there_to_stay(path: &std::path::Path) -> bool {
    std::fs::metadata(path).map_or(true, |file| file.is_file() || file.is_dir())
}

/// Says a finding as loud as it is severe.
fn say(severity: Severity, text: &str) {
    match severity {
        Severity::Alert | Severity::Complaint => notice::alert(text),
        Severity::Warning => notice::warning(text),
        Severity::Diag => notice::diagnostic(text),
        _ => notice::notice(text),
    }
}

/// The command line has precedence over the configuration (management manual, section 3).
fn overrule(config: &mut proxy::Config, args: &args::Args) {
    let positive = |n: u32| Some(n).filter(|n| *n > 0);
    config.global.maxconn = positive(args.maxconn).or(config.global.maxconn);
    config.global.master.wanted |= args.master_worker.is_some();
    config.global.nosplice |= args.no_splice;
    config.global.debug |= args.debug;
    config.global.poison_byte = args.memory.poison_byte;
    for frontend in &mut config.frontends {
        frontend.maxconn = frontend.maxconn.or(positive(args.proxy_maxconn));
    }
}
