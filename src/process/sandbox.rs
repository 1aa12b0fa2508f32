//! The optional sandbox of workers (`sandbox landlock seccomp`): what a worker never does, the kernel refuses.
//!
//! - **landlock**: no file can be opened, made, changed or removed, no TCP address bound and no process outside
//!   signalled. What is open stays usable, and so do UNIX sockets of servers, log daemons and other workers, for
//!   the kernel does not count connecting as access to a file. A feature that binds while it serves adds its
//!   ports to the network rule, as `source` does.
//! - **seccomp**: only the system calls of `CALLS` in [`calls`]. Asking for a file is answered by EPERM,
//!   because libraries ask for files that may be missing; any other call kills the process: a worker that makes
//!   one is no longer doing our work, and whoever makes it do so shall not try another. Its supervisor tells
//!   (SIGSYS), the kernel's log names the call, and another worker takes its place.
//!
//! Both last until the process ends, and neither stops a new process from taking its sockets.

mod calls;

use super::plan::StartPlan;
use super::{Stop, notice};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};
use seccompiler::BpfProgram;

/// A sandbox that is ready to be entered.
#[derive(Debug, Default)]
pub struct Sandbox {
    rules: Option<RulesetCreated>,
    filters: Vec<BpfProgram>,
}

impl Sandbox {
    /// What `plan` asks for and the kernel has. To be made before the chroot, which hides the kernel's answers.
    pub(super) fn prepare(plan: &StartPlan) -> Result<Sandbox, Stop> {
        let wanted = &plan.confinement;
        let rules = match wanted.landlock && has_landlock() {
            true => Some(rules(plan.sources.as_deref()).map_err(|error| refused(plan, &error))?),
            false => None,
        };
        let filters = match wanted.seccomp && has_seccomp() {
            true => calls::filters().map_err(|error| refused(plan, &error))?,
            false => Vec::new(),
        };
        Ok(Sandbox { rules, filters })
    }

    /// Locks this process in, for good. Nothing may be left to open.
    pub(super) fn enter(self, plan: &StartPlan) -> Result<(), Stop> {
        if let Some(rules) = self.rules {
            rules.restrict_self().map_err(|error| refused(plan, &error))?;
        }
        for filter in &self.filters {
            seccompiler::apply_filter(filter).map_err(|error| refused(plan, &error))?;
        }
        Ok(())
    }
}

/// Tells at the start what the kernel lacks of the sandbox.
pub fn announce(plan: &StartPlan) {
    let wanted = &plan.confinement;
    for (name, missing) in
        [("landlock", wanted.landlock && !has_landlock()), ("seccomp", wanted.seccomp && !has_seccomp())]
    {
        if missing {
            notice::notice(format!(
                "[{}.main()] 'sandbox {name}' has no effect: the kernel does not have it, or has it switched off.",
                plan.program
            ));
        }
    }
}

fn refused(plan: &StartPlan, error: &dyn std::fmt::Display) -> Stop {
    notice::alert(format!("[{}.main()] Cannot enter the sandbox: {error}.", plan.program));
    Stop
}

/// Everything that landlock knows of files up to ABI 5, and what it knows of sockets and signals less
/// connecting. Older kernels enforce the part that they know. What connects from a `source` binds its port.
fn rules(sources: Option<&[u16]>) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(ABI::V5))?;
    if sources.is_some() {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    let rules = rules.scope(Scope::Signal)?.create()?;
    rules.add_rules(sources.unwrap_or_default().iter().map(|port| Ok(NetPort::new(*port, AccessNet::BindTcp))))
}

/// Whether this kernel has landlock: Linux 5.13, unless it is switched off.
pub fn has_landlock() -> bool {
    let first = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Execute);
    first.and_then(Ruleset::create).is_ok()
}

/// Whether this kernel has filters that can kill a whole process: Linux 4.14.
pub fn has_seccomp() -> bool {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    calls::architecture().is_some() && actions.split_whitespace().any(|action| action == "kill_process")
}

#[cfg(test)]
mod tests;
