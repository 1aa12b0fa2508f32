//! Checks by programs: `option external-check`, `external-check command` and `path` (section 4.2), and the
//! `external-check` of the global section that allows them (3.1).

use super::row as server_row;
use crate::config::draft::ProxyDraft;
use crate::config::finding::Findings;
use crate::config::scope::{Scope, arg, no_more_than};
use crate::config::word::Word;
use crate::proxy::Global;
use crate::proxy::check::{Program, Speech};
use crate::registry::{Keyword, Sections};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    // A frontend may have them, too, as in HAProxy; it has no servers that they could check.
    Keyword {
        sections: Sections::ANY_PROXY,
        ..server_row("option external-check", option, "check servers by programs")
    },
    Keyword {
        sections: Sections::ANY_PROXY,
        ..server_row("external-check", program, "the program that checks servers")
    },
    Keyword {
        name: "external-check",
        sections: Sections::GLOBAL,
        args_max: Some(0),
        parse: allow,
        help: "allow checks of servers by programs",
    },
];

/// What is written of the program.
#[derive(Clone, Debug, Default)]
pub struct ProgramDraft {
    command: Option<Box<[u8]>>,
    path: Option<Box<[u8]>>,
}

impl ProgramDraft {
    /// The program, if there is one.
    pub fn resolve(&self) -> Option<Program> {
        let command = self.command.clone()?;
        Some(Program { command, path: self.path.clone().unwrap_or_default() })
    }
}

fn allow(scope: &mut Scope<'_>, _: &[Word]) -> Result<(), String> {
    scope.global().external_check = true;
    Ok(())
}

fn option(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option external-check")?;
    let check = &mut scope.settings().check;
    if check.speech != Speech::Program {
        check.replaced = std::mem::replace(&mut check.speech, Speech::Program);
    }
    Ok(())
}

/// `external-check { command <command> | path <path> }`
fn program(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        // The end of the line is HAProxy's.
        return Err("missing argument after 'external-check'.\n".into());
    }
    if !matches!(name, "command" | "path") {
        return Err(format!("'external-check' only supports 'command' and 'path'. but got '{name}'."));
    }
    no_more_than(words, 2, 1, "external-check")?;
    let value = words.get(2).map(Word::bytes).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| format!("missing argument after '{name}'."))?;
    let draft = &mut scope.settings().check.program;
    let field = if name == "command" { &mut draft.command } else { &mut draft.path };
    *field = Some(value.into());
    Ok(())
}

/// Says what a proxy's checks by programs lack.
pub fn check(proxy: &ProxyDraft, global: &Global, findings: &mut Findings) {
    let (noun, name, check) = (proxy.kind.noun(), &proxy.name, &proxy.settings.check);
    let ProgramDraft { command, path } = &check.program;
    let runs = check.speech == Speech::Program;
    if runs {
        let required = |what| format!("Proxy '{name}' : 'option external-check' unable to find required '{what}'.");
        if !global.external_check {
            findings.alert(required("global.external-check"));
        }
        if command.is_none() {
            findings.alert(required("external-check command"));
        }
        if !global.insecure_fork_wanted {
            findings.warning(format!(
                "Proxy '{name}' : 'insecure-fork-wanted' not enabled in the global section, 'option external-check' \
                 will likely fail."
            ));
        }
    }
    let ignored = |what| {
        format!("'external-check {what}' will be ignored for {noun} '{name}' (requires 'option external-check').")
    };
    if let Some(command) = command {
        if !runs {
            findings.warning(ignored("command"));
        }
        if !command.starts_with(b"/") && path.is_none() {
            findings.alert(format!(
                "Proxy '{name}': 'external-check command' does not have a leading '/' and 'external-check path' is not \
                 set."
            ));
        }
    }
    if path.is_some() && !runs {
        findings.warning(ignored("path"));
    }
}
