//! `setcap` (configuration manual of HAProxy 2.9, chapter 3) and `sandbox`, which is epoxy's own.

use caps::Capability;

use super::finding::{Findings, Severity};
use super::scope::{Scope, arg};
use super::word::Word;
use crate::proxy::Global;
use crate::registry::{Keyword, Sections};
use crate::text::suggest;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "setcap",
        sections: Sections::GLOBAL,
        args_max: Some(1),
        parse: setcap,
        help: "capabilities that workers keep when they change user",
    },
    Keyword {
        name: "sandbox",
        sections: Sections::GLOBAL,
        args_max: None,
        parse: sandbox,
        help: "lock workers in by landlock, seccomp or both",
    },
];

/// What `setcap` may name.
const CAPABILITIES: [(&str, Capability); 3] = [
    ("cap_net_admin", Capability::CAP_NET_ADMIN),
    ("cap_net_raw", Capability::CAP_NET_RAW),
    ("cap_net_bind_service", Capability::CAP_NET_BIND_SERVICE),
];

fn setcap(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let supported = CAPABILITIES.map(|(name, _)| name);
    for name in arg(words, 1).split(',').map(str::trim) {
        match CAPABILITIES.iter().find(|(known, _)| *known == name) {
            Some((_, capability)) => {
                let keep = &mut scope.global().confinement.keep;
                if !keep.contains(capability) {
                    keep.push(*capability);
                }
            }
            None => {
                let list = supported.join(", ");
                let text = format!("'setcap' expects capabilities among {list}, separated by commas (got '{name}')");
                return Err(with_hint(text, name, &supported));
            }
        }
    }
    Ok(())
}

fn sandbox(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if words.len() < 2 {
        return Err("'sandbox' expects 'landlock', 'seccomp' or both.".to_owned());
    }
    for word in &words[1..] {
        match word.text.as_str() {
            "landlock" => scope.global().confinement.landlock = true,
            "seccomp" => scope.global().confinement.seccomp = true,
            other => {
                let hint = suggest::nearest(other, ["landlock", "seccomp"]);
                let text = format!("'sandbox' knows 'landlock' and 'seccomp', not '{other}'");
                let text = with_hint(text, other, &["landlock", "seccomp"]);
                scope.report(Severity::Alert, text, hint.map(str::to_owned));
            }
        }
    }
    Ok(())
}

/// A sandbox is for good, and what is executed within it cannot gain what its maker gave up.
pub(super) fn check(global: &Global, findings: &mut Findings) {
    let confinement = &global.confinement;
    let refused = match (global.insecure_setuid_wanted, global.insecure_fork_wanted) {
        (true, _) if confinement.is_sandbox() => "insecure-setuid-wanted",
        // Programs that check servers run beside the sandbox, not in it.
        (_, true) if confinement.seccomp && !global.external_check => "insecure-fork-wanted",
        _ => return,
    };
    findings.alert(format!("'sandbox' and '{refused}' exclude each other: remove one of them."));
}

fn with_hint(text: String, word: &str, candidates: &[&'static str]) -> String {
    match suggest::nearest(word, candidates.iter().copied()).filter(|_| !word.is_empty()) {
        Some(meant) => format!("{text}; did you mean '{meant}' maybe ?"),
        None => text + ".",
    }
}
