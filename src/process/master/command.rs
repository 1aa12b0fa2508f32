//! The commands of the master's runtime socket (management manual 9.4.1): pure words in, words out.

use std::fmt::Write;

use super::child::{Child, Role};
use crate::args::VERSION;
use crate::proxy::CliLevel;
use crate::shm::Slot;

/// Whom a conversation speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The master.
    Master,
    /// The process with this pid.
    Process(i32),
}

/// What a conversation has switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// `prompt`.
    pub prompt: bool,
    /// `experimental-mode on`.
    pub experimental: bool,
    /// `expert-mode on`.
    pub expert: bool,
    /// `mcli-debug-mode on`.
    pub debug: bool,
}

/// What commands are about.
#[derive(Debug)]
pub struct View<'a> {
    /// The master's pid.
    pub pid: u32,
    /// Reloads so far.
    pub reloads: u32,
    /// Failed ones since the last that did not fail.
    pub failed: u32,
    /// When the master was started, seconds of the wall clock.
    pub since: u64,
    /// Seconds of the wall clock.
    pub now: u64,
    /// Workers and programs, those that leave included.
    pub children: &'a [Child],
    /// What the last reload had to say, if it failed.
    pub messages: &'a str,
    /// The id of the memory that workers share.
    pub segment: Option<u64>,
}

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer, without the empty line behind it.
    Text(String),
    /// Done, and nothing to say.
    Nothing,
    /// From now on commands go there.
    Turn(Target),
    /// These words, then the end.
    End(String),
    /// A reload.
    Reload,
    /// A question to a worker.
    Ask(Slot, String),
}

const ROWS: &[(&str, &str)] = &[
    ("@!<pid>", "send a command to the <pid> process"),
    ("@<relative pid>", "send a command to the <relative pid> process"),
    ("@master", "send a command to the master process"),
    ("operator", "lower the level of the current CLI session to operator"),
    ("reload", "reload haproxy"),
    ("show cli level", "display the level of the current CLI session"),
    ("show cli sockets", "dump list of cli sockets"),
    ("show proc", "show processes status"),
    ("show startup-logs", "messages of the last reload, if it failed"),
    ("show version", "show version of the current process"),
    ("user", "lower the level of the current CLI session to user"),
];

/// Those that every list ends with.
const LAST: [(&str, &str); 3] = [
    ("help [<command>]", "list matching or all commands"),
    ("prompt", "toggle interactive mode with prompt"),
    ("quit", "disconnect"),
];

/// Carries out the command that `words` are, said to `target`.
pub fn run(words: &[String], target: Target, level: &mut CliLevel, modes: &mut Modes, view: &View<'_>) -> Reply {
    let (target, words) = match words.first().and_then(|word| word.strip_prefix('@')) {
        None => (target, words),
        Some(name) => {
            let prefix = &words[0];
            let Some(target) = find(name, view) else {
                return Reply::End(format!("Can't find the target PID matching the prefix '{prefix}'\n"));
            };
            match &words[1..] {
                [] => return Reply::Turn(target),
                rest => (target, rest),
            }
        }
    };
    if let Some(reply) = of_conversation(words, level, modes) {
        return reply;
    }
    match target {
        Target::Master => of_master(words, *level, view),
        Target::Process(pid) => match slot(pid, view) {
            Some(slot) => Reply::Ask(slot, format!("{} alone {}\n", level.name(), escaped(words))),
            None => Reply::End(format!("Can't find the target PID matching the prefix '@!{pid}'\n")),
        },
    }
}

/// The words as a worker reads them: blanks and the like keep their meaning.
fn escaped(words: &[String]) -> String {
    let escape = |word: &String| {
        let chars =
            word.chars().flat_map(|c| matches!(c, ' ' | '\t' | ';' | '\\').then_some('\\').into_iter().chain([c]));
        chars.collect::<String>()
    };
    words.iter().map(escape).collect::<Vec<_>>().join(" ")
}

/// Whom a prefix means, its `@` taken off.
fn find(name: &str, view: &View<'_>) -> Option<Target> {
    if matches!(name, "" | "master" | "0") {
        return Some(Target::Master);
    }
    let pid = match name.strip_prefix('!') {
        Some(pid) => {
            let pid: i32 = pid.parse().ok()?;
            if pid == view.pid as i32 {
                return Some(Target::Master);
            }
            slot(pid, view).map(|_| pid)?
        }
        None => {
            let wanted: u32 = name.parse().ok()?;
            let is_it = |child: &&Child| {
                !child.leaving && matches!(child.role, Role::Worker { number, .. } if number == wanted)
            };
            view.children.iter().find(is_it)?.pid
        }
    };
    Some(Target::Process(pid))
}

/// The place of a worker that is there.
fn slot(wanted: i32, view: &View<'_>) -> Option<Slot> {
    view.children.iter().find_map(|child| match child.role {
        Role::Worker { slot, .. } if child.pid == wanted && child.pid > 0 => Some(slot),
        _ => None,
    })
}

/// Commands about the conversation: they have no answer.
fn of_conversation(words: &[String], level: &mut CliLevel, modes: &mut Modes) -> Option<Reply> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let flag = match word(0) {
        "prompt" => {
            modes.prompt = !modes.prompt;
            return Some(Reply::Nothing);
        }
        "quit" => return Some(Reply::End(String::new())),
        "operator" | "user" => {
            let wanted = if word(0) == "user" { CliLevel::User } else { CliLevel::Operator };
            if *level < wanted {
                return Some(Reply::End("Permission denied!\n".to_owned()));
            }
            *level = wanted;
            return Some(Reply::Nothing);
        }
        "expert-mode" => &mut modes.expert,
        "experimental-mode" => &mut modes.experimental,
        "mcli-debug-mode" => &mut modes.debug,
        _ => return None,
    };
    if *level < CliLevel::Admin {
        return Some(Reply::End("Permission denied!\n".to_owned()));
    }
    match word(1) {
        "on" => *flag = true,
        "off" => *flag = false,
        _ => {}
    }
    Some(Reply::Nothing)
}

fn of_master(words: &[String], level: CliLevel, view: &View<'_>) -> Reply {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Reply::Text(match words[..] {
        ["help", ref about @ ..] => list("The following commands are valid at this level:", about),
        ["show", "proc", ..] => processes(view),
        ["show", "startup-logs", ..] => view.messages.to_owned(),
        ["show", "version", ..] => format!("{VERSION}\n"),
        ["show", "cli", "level", ..] => format!("{}\n", level.name()),
        // Those of the configuration are the workers'.
        ["show", "cli", "sockets", ..] => String::new(),
        ["reload", ..] if level < CliLevel::Operator => "Permission denied\n".to_owned(),
        ["reload", ..] => return Reply::Reload,
        [] => list("Unknown command. Please enter one of the following commands only:", &[]),
        _ => list("Unknown command, but maybe one of the following ones is a better match:", &words),
    })
}

/// The commands that begin like `about`, or all.
fn list(title: &str, about: &[&str]) -> String {
    let shared = |usage: &str| usage.split(' ').zip(about).take_while(|(known, word)| known == *word).count();
    let most = ROWS.iter().map(|(usage, _)| shared(usage)).max().unwrap_or(0);
    let mut text = format!("{title}\n");
    for (usage, help) in ROWS.iter().filter(|(usage, _)| shared(usage) == most).chain(&LAST) {
        // Writes into strings do not fail.
        let _ = writeln!(text, "  {usage:<40}: {help}");
    }
    text
}

/// `show proc`.
fn processes(view: &View<'_>) -> String {
    let mut text = String::new();
    let mut line = |a: &str, b: &str, c: &str, d: &str, e: &str| {
        let _ = writeln!(text, "{a:<15} {b:<15} {c:<15} {d:<15} {e:<15}");
    };
    line("#<PID>", "<type>", "<reloads>", "<uptime>", "<version>");
    let uptime = |since: u64| duration(view.now.saturating_sub(since));
    let reloads = format!("{} [failed: {}]", view.reloads, view.failed);
    let pid = view.pid.to_string();
    let own = format!("{pid:<15} {:<15} {reloads:<15} {:<15} {VERSION}\n", "master", uptime(view.since));
    let mut text = text + &own;
    let mut part = |title: &str, always: bool, wanted: &dyn Fn(&Child) -> bool| {
        let mut some = view.children.iter().filter(|child| child.pid > 0 && wanted(child)).peekable();
        if always || some.peek().is_some() {
            let _ = writeln!(text, "# {title}");
        }
        for child in some {
            let kind = match &child.role {
                Role::Worker { .. } => "worker",
                Role::Program(name) => name,
            };
            let (pid, uptime) = (child.pid, uptime(child.since));
            let version = if child.is_worker() { child.version.clone() } else { format!("{:<15}", child.version) };
            let _ = writeln!(text, "{pid:<15} {kind:<15} {:<15} {uptime:<15} {version}", child.reloads);
        }
    };
    part("workers", true, &|child| child.is_worker() && !child.leaving);
    part("old workers", false, &|child| child.is_worker() && child.leaving);
    part("programs", true, &|child| !child.is_worker() && !child.leaving);
    part("old programs", false, &|child| !child.is_worker() && child.leaving);
    text
}

fn duration(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{}d{:02}h{minutes:02}m{seconds:02}s", hours / 24, hours % 24)
}

/// What an interactive client sees before it types.
pub fn prompt(target: Target, modes: Modes, view: &View<'_>) -> String {
    let mut text = match target {
        Target::Master if view.failed > 0 => "master[ReloadFailed]".to_owned(),
        Target::Master => "master".to_owned(),
        Target::Process(pid) => pid.to_string(),
    };
    let flags = [(modes.experimental, 'x'), (modes.expert, 'e'), (modes.debug, 'd')];
    let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag).collect();
    if !flags.is_empty() {
        let _ = write!(text, "({flags})");
    }
    text + "> "
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children() -> Vec<Child> {
        let worker = |pid, number, leaving| Child {
            role: Role::Worker { number, slot: Slot(number as u16) },
            pid,
            reloads: u32::from(leaving),
            since: 100,
            leaving,
            version: VERSION.to_owned(),
        };
        let role = Role::Program("echo".to_owned());
        let program = Child { role, pid: 44, reloads: 0, since: 40, leaving: false, version: "-".to_owned() };
        vec![worker(41, 1, false), worker(42, 2, false), worker(31, 1, true), program]
    }

    fn view(children: &[Child]) -> View<'_> {
        View {
            pid: 40,
            reloads: 3,
            failed: 1,
            since: 40,
            now: 100 + 90_061,
            children,
            messages: "why\n",
            segment: None,
        }
    }

    fn say(text: &str, target: Target, level: &mut CliLevel, modes: &mut Modes) -> Reply {
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        run(&words, target, level, modes, &view(&children()))
    }

    fn once(text: &str) -> Reply {
        say(text, Target::Master, &mut CliLevel::Admin, &mut Modes::default())
    }

    #[test]
    fn prefixes_lead_to_processes() {
        assert_eq!(once("@2 show info"), Reply::Ask(Slot(2), "admin alone show info\n".to_owned()));
        assert_eq!(once("@!31 show info"), Reply::Ask(Slot(1), "admin alone show info\n".to_owned()));
        assert_eq!(once("@1"), Reply::Turn(Target::Process(41)));
        for master in ["@", "@master", "@0", "@!40"] {
            assert_eq!(once(master), Reply::Turn(Target::Master));
        }
        for nobody in ["@3", "@!44", "@!99", "@x", "@@1", "@!"] {
            let text = format!("Can't find the target PID matching the prefix '{nobody}'\n");
            assert_eq!(once(nobody), Reply::End(text));
        }
        let gone = say("show info", Target::Process(99), &mut CliLevel::Admin, &mut Modes::default());
        assert!(matches!(gone, Reply::End(_)));
    }

    #[test]
    fn rights_only_go_down() {
        let (mut level, mut modes) = (CliLevel::Admin, Modes::default());
        let mut say = |text: &str| super::tests::say(text, Target::Master, &mut level, &mut modes);
        assert_eq!(say("operator"), Reply::Nothing);
        assert_eq!(say("@1 show info"), Reply::Ask(Slot(1), "operator alone show info\n".to_owned()));
        assert_eq!(say("reload"), Reply::Reload);
        assert_eq!(say("user"), Reply::Nothing);
        assert_eq!(say("reload"), Reply::Text("Permission denied\n".to_owned()));
        assert_eq!(say("operator"), Reply::End("Permission denied!\n".to_owned()));
    }

    #[test]
    fn processes_are_shown_as_haproxy_does() {
        let Reply::Text(text) = once("show proc") else { panic!("an answer") };
        let expected = format!(
            "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
             40              master          3 [failed: 1]   1d01h02m01s     {VERSION}\n\
             # workers\n\
             41              worker          0               1d01h01m01s     {VERSION}\n\
             42              worker          0               1d01h01m01s     {VERSION}\n\
             # old workers\n\
             31              worker          1               1d01h01m01s     {VERSION}\n\
             # programs\n\
             44              echo            0               1d01h02m01s     -              \n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn modes_show_in_the_prompt() {
        let (mut level, mut modes) = (CliLevel::Admin, Modes::default());
        for text in ["expert-mode on", "experimental-mode on", "mcli-debug-mode on", "expert-mode"] {
            assert_eq!(say(text, Target::Master, &mut level, &mut modes), Reply::Nothing);
        }
        assert_eq!(prompt(Target::Process(7), modes, &view(&[])), "7(xed)> ");
        assert_eq!(prompt(Target::Master, Modes::default(), &view(&[])), "master[ReloadFailed]> ");
    }

    #[test]
    fn help_is_about_what_was_typed() {
        let Reply::Text(text) = once("show") else { panic!("an answer") };
        assert_eq!(text.lines().count(), 1 + 5 + 3, "{text}");
        let Reply::Text(text) = once("help") else { panic!("an answer") };
        assert_eq!(text.lines().count(), 1 + ROWS.len() + 3);
        assert_eq!(once("show startup-logs"), Reply::Text("why\n".to_owned()));
        assert_eq!(escaped(&["a b".to_owned(), "c;\\".to_owned()]), "a\\ b c\\;\\\\");
    }
}
