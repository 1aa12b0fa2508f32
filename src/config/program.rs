//! `program` sections, and what `global` says of the master (sections 3.1 and 3.7).

use nix::unistd::{Group, User};

use super::draft::{At, Draft};
use super::finding::{Findings, Place};
use super::global::lookup_error;
use super::scope::{Prefix, Scope, Section, arg, no_more_than};
use super::unit::atoi;
use super::word::Word;
use super::{bind, resolve};
use crate::proxy::{ListenAddress, Program};
use crate::registry::{Keyword, Sections, sized_row as row};

const IN_GLOBAL: Sections = Sections::GLOBAL;
const HERE: Sections = Sections::PROGRAM;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("master-worker", IN_GLOBAL, Some(1), master_worker, "supervise workers from a master"),
    row("mworker-max-reloads", IN_GLOBAL, Some(1), max_reloads, "reloads that an old worker may survive"),
    row("command", HERE, None, command, "what to run"),
    row("user", HERE, Some(1), user, "user to become before"),
    row("group", HERE, Some(1), group, "group to become before"),
    row("option", HERE, None, unknown_option, "settings of a program"),
    row("option start-on-reload", HERE, Some(0), start_on_reload, "start a new one when reloading"),
];

/// Workers that die are replaced in any case, so that `no-exit-on-failure` is what happens anyway.
fn master_worker(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" | "no-exit-on-failure" => scope.global().master.wanted = true,
        _ => return Err("'master-worker' only supports 'no-exit-on-failure' option.".into()),
    }
    scope.draft.env.set("HAPROXY_MWORKER", b"1");
    Ok(())
}

fn max_reloads(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() {
        return Err("'mworker-max-reloads' expects an integer argument.".into());
    }
    let n = atoi(text);
    let max = u32::try_from(n).map_err(|_| format!("'mworker-max-reloads' : invalid value {n}, must be >= 0"))?;
    scope.global().master.reloads_max = Some(max);
    Ok(())
}

/// Opens a section.
///
/// # Errors
/// It has no name, or not one of its own: the file is given up.
pub fn open(scope: &mut Scope<'_>, words: &[Word]) -> Result<Section, String> {
    let name = arg(words, 1);
    let refuse = |scope: &mut Scope<'_>, text: String| {
        scope.findings.give_up();
        Err(text)
    };
    if name.is_empty() {
        return refuse(scope, "'program' expects an <id> argument".into());
    }
    if let Err(text) = no_more_than(words, 2, 0, "program") {
        return refuse(scope, text);
    }
    let programs = &mut scope.draft.global.master.programs;
    if programs.iter().any(|program| program.name == name) {
        scope.place = Place::Reader;
        return refuse(scope, format!("'{name}' program section already exists in the configuration."));
    }
    let name = name.to_owned();
    programs.push(Program { name, command: Vec::new(), uid: None, gid: None, start_on_reload: true });
    Ok(Section::Program(programs.len() - 1))
}

fn edit(scope: &mut Scope<'_>, change: impl FnOnce(&mut Program)) -> Result<(), String> {
    // Rows are dispatched by section: there is one.
    if let Section::Program(index) = scope.section {
        change(&mut scope.draft.global.master.programs[index]);
    }
    Ok(())
}

fn command(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if arg(words, 1).is_empty() {
        scope.place = Place::Reader;
        return Err("'command' expects a command with optional arguments separated in words.".into());
    }
    edit(scope, |program| program.command = words[1..].iter().map(|word| word.bytes().to_vec()).collect())
}

fn user(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        scope.place = Place::Reader;
        return Err("'user' expects a user name.".into());
    }
    match User::from_name(name) {
        Ok(Some(user)) => edit(scope, |program| program.uid = Some(user.uid.as_raw())),
        other => Err(format!("cannot find user id for '{name}' ({})", lookup_error(other.err()))),
    }
}

fn group(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        scope.place = Place::Reader;
        return Err("'group' expects a group name.".into());
    }
    match Group::from_name(name) {
        Ok(Some(group)) => edit(scope, |program| program.gid = Some(group.gid.as_raw())),
        other => Err(format!("cannot find group id for '{name}' ({})", lookup_error(other.err()))),
    }
}

fn unknown_option(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => {
            scope.place = Place::Reader;
            Err("'option' expects an option name.".into())
        }
        name => Err(format!("unknown option '{name}'.")),
    }
}

fn start_on_reload(scope: &mut Scope<'_>, _: &[Word]) -> Result<(), String> {
    let on = scope.prefix != Prefix::No;
    edit(scope, |program| program.start_on_reload = on)
}

/// What is wrong with the programs once all is read.
pub fn check(draft: &Draft, findings: &mut Findings) {
    let master = &draft.global.master;
    for program in master.programs.iter().filter(|program| program.command.is_empty()) {
        findings.alert(format!("The program section '{}' lacks a command to launch.", program.name));
    }
    if !master.wanted && !master.programs.is_empty() {
        findings.alert("Can't use a 'program' section without master worker mode.");
    }
}

/// The addresses of `-S`, whose words are separated by commas.
pub fn master_cli(text: &str, draft: &mut Draft, findings: &mut Findings) {
    let mut trouble = Findings::default();
    let words: Vec<Word> = text.split(',').map(|word| Word::new(word.as_bytes().to_vec(), 0)).collect();
    let mut scope = Scope {
        draft,
        findings: &mut trouble,
        section: Section::Global,
        at: At { file: "master-socket".into(), line: 0 },
        place: Place::Keyword,
        column: 0,
        end: 0,
        prefix: Prefix::None,
        source: text.as_bytes().into(),
    };
    let parsed = bind::master_socket(&mut scope, &words);
    let texts: Vec<String> = trouble.iter().map(|finding| finding.text.clone()).collect();
    match parsed {
        Ok(bind) if texts.is_empty() => {
            draft.global.master.cli = resolve::cli_binds(&bind).collect();
            let names: Vec<String> = bind.addresses.iter().map(address_name).collect();
            draft.env.set("HAPROXY_MASTER_CLI", names.join(";").as_bytes());
        }
        parsed => {
            texts.into_iter().chain(parsed.err()).for_each(|text| findings.alert(text));
            findings.alert("Can't create the master's CLI.");
        }
    }
}

/// An address as the environment names it.
fn address_name(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Ip(address) if address.is_ipv6() => format!("ipv6@{}:{}", address.ip(), address.port()),
        ListenAddress::Ip(address) => format!("ipv4@{address}"),
        ListenAddress::Unix(path) => format!("unix@{}", path.display()),
        ListenAddress::Abstract(name) => format!("abns@{}", String::from_utf8_lossy(name)),
        ListenAddress::Fd(number) => format!("fd@{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;
    use crate::proxy::CliLevel;
    use crate::text::env::Env;

    #[test]
    fn a_program_is_what_its_section_says() {
        let text = "global\n master-worker no-exit-on-failure\n mworker-max-reloads 3\nprogram log\n command tail -F \"a b\"\n \
                    no option start-on-reload\n user root\nprogram other\n command true\n";
        let loaded = load_text("p.cfg", text);
        let messages: Vec<String> = loaded.findings.iter().map(|finding| finding.message()).collect();
        let master = loaded.config.unwrap_or_else(|| panic!("{messages:?}")).global.master;
        assert_eq!((master.wanted, master.reloads_max, master.programs.len()), (true, Some(3), 2));
        let first = &master.programs[0];
        assert_eq!(first.command, [&b"tail"[..], b"-F", b"a b"]);
        assert_eq!((first.start_on_reload, first.uid, first.gid), (false, Some(0), None));
        assert!(master.programs[1].start_on_reload);
    }

    #[test]
    fn what_is_wrong_is_said_as_haproxy_does() {
        for (text, message) in [
            ("program\n", "parsing [p.cfg:1] : 'program' expects an <id> argument"),
            ("program a b\n", "parsing [p.cfg:1] : 'program' cannot handle unexpected argument 'b'."),
            ("program a\nprogram a\n", "parsing [p.cfg:2]: 'a' program section already exists in the configuration."),
            (
                "program a\n command\n",
                "parsing [p.cfg:2]: 'command' expects a command with optional arguments separated in words.",
            ),
            ("program a\n option x\n", "parsing [p.cfg:2] : unknown option 'x'."),
            ("program a\n bogus\n", "parsing [p.cfg:2] : unknown keyword 'bogus' in 'program' section"),
            ("global\n master-worker\nprogram a\n", "The program section 'a' lacks a command to launch."),
            ("program a\n command b\n", "Can't use a 'program' section without master worker mode."),
            (
                "global\n master-worker x\n",
                "parsing [p.cfg:2] : 'master-worker' only supports 'no-exit-on-failure' option.",
            ),
        ] {
            let loaded = load_text("p.cfg", text);
            let messages: Vec<String> = loaded.findings.iter().map(|finding| finding.message()).collect();
            assert!(messages.iter().any(|said| said.contains(message)), "{message}: {messages:?}");
        }
    }

    #[test]
    fn the_masters_socket_has_bind_options() {
        let mut draft = Draft::new(Env::empty());
        let mut findings = Findings::default();
        master_cli("/run/m.sock,mode,600,level,user", &mut draft, &mut findings);
        let cli = &draft.global.master.cli[0];
        assert_eq!((cli.mode, cli.level, findings.is_empty()), (Some(0o600), CliLevel::User, true));
        master_cli("127.0.0.1:99", &mut draft, &mut findings);
        assert_eq!(draft.global.master.cli[0].level, CliLevel::Admin);
        for (text, message) in [
            ("/x,level,foo", "'/x level' : ''level' only supports 'user', 'operator', and 'admin' (got 'foo')'"),
            ("/x,bogus", "'/x bogus' : unknown keyword 'bogus'."),
        ] {
            let mut findings = Findings::default();
            master_cli(text, &mut draft, &mut findings);
            let said: Vec<String> = findings.iter().map(|finding| finding.message()).collect();
            assert_eq!(said.len(), 2, "{said:?}");
            assert!(said[0].contains(message), "{said:?}");
        }
    }
}
